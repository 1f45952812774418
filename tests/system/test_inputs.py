# SPDX-License-Identifier: Apache-2.0
"""What a layer is given before its weights: asked for in turn, and each part to where it belongs."""

import random

import pytest

from config.formats import OPERAND_BITS
from config.presets import systems
from hdl.system.axi import TRANSFER
from hdl.system.inputs import LayerInputs
from hdl.system.layouts import Parameter
from hdl.system.parameters import GELU_ENTRIES
from tests.arith import simulate
from tests.system.streams import fields_of, through

CONFIG = systems("tiny")["spls"]
WIDTH, HEADS = 8, 1
BUS = CONFIG.bus_bits
ADDRESSES = {"mask_address": 0x1000, "parameters_address": 0x20_0000, "x_address": 0x3_0000_0000}


def words_of(content: bytes) -> list[int]:
    size = CONFIG.bus_bytes
    content += bytes(-len(content) % size)
    return [int.from_bytes(content[at : at + size], "little") for at in range(0, len(content), size)]


class Layer:
    """Bytes of each part, and what is seen of them."""

    def __init__(self, rng: random.Random, tokens: int, wide: bool, masked: bool, chained: bool) -> None:
        self.flags = {"wide": wide, "masked": masked, "chained": chained}
        self.tokens, self.x_bytes = tokens, WIDTH * (2 if wide else 1)
        self.mask = rng.getrandbits(CONFIG.tokens) if masked else (1 << CONFIG.tokens) - 1
        self.entries = [rng.getrandbits(64) for _ in range(4 * WIDTH + HEADS + GELU_ENTRIES)]
        self.x = [rng.randbytes(self.x_bytes) for _ in range(tokens)]

    @property
    def words(self) -> list[int]:
        mask = words_of(self.mask.to_bytes(CONFIG.tokens // 8, "little")) if self.flags["masked"] else []
        entries = words_of(b"".join(entry.to_bytes(8, "little") for entry in self.entries))
        x = [] if self.flags["chained"] else [word for row in self.x for word in words_of(row)]
        return mask + entries + x

    @property
    def jobs(self) -> list[dict[str, int]]:
        size = CONFIG.bus_bytes
        found = []
        if self.flags["masked"]:
            found.append({"address": ADDRESSES["mask_address"], "bytes": size, "rows": 1})
        entries = -(-len(self.entries) * 8 // size) * size
        found.append({"address": ADDRESSES["parameters_address"], "bytes": entries, "rows": 1})
        if not self.flags["chained"]:
            row = -(-self.x_bytes // size) * size
            found.append({"address": ADDRESSES["x_address"], "bytes": row, "rows": self.tokens, "stride": 48})
        return found

    @property
    def beats(self) -> list[int]:
        if self.flags["chained"]:
            return []
        size, values = (2 if self.flags["wide"] else 1), CONFIG.values
        numbers = [
            int.from_bytes(row[at : at + size], "little", signed=True) & 0xFFFF
            for row in self.x
            for at in range(0, len(row), size)
        ]
        return [
            sum(value << 16 * n for n, value in enumerate(numbers[at : at + values]))
            for at in range(0, len(numbers), values)
        ]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("chained", [False, True])
def test_parts_of_a_layer(wide, masked, chained):
    layer = Layer(random.Random(7), 5, wide, masked, chained)
    dut, seen, tables, loaded, known = LayerInputs(CONFIG), [], {}, [], []

    def each(context, now):
        for name, value in (*ADDRESSES.items(), *layer.flags.items()):
            context.set(getattr(dut, name), value)
        for name, value in (("tokens", 5), ("width", WIDTH), ("heads", HEADS), ("x_stride", 48)):
            context.set(getattr(dut, name), value)
        context.set(dut.start, now == 3)
        if context.get(dut.write):
            parameter = dut.word
            seen.append(tuple(context.get(f) for f in (parameter.kind, parameter.index, parameter.entry)))
        if context.get(dut.gelu_write):
            entry = dut.gelu_entry
            tables[context.get(entry.table), context.get(entry.code) & 0xFF] = context.get(entry.entry)
        if now > 3:
            loaded.append(context.get(dut.loaded))
            known.append((context.get(dut.known), context.get(dut.mask)))

    due = {"job": len(layer.jobs), "x": len(layer.beats)}
    found = through(
        dut, {"i": layer.words}, due, seed=3, idle=0.3, stall=0.3, each=each, until=lambda: loaded[-1:] == [1]
    )
    jobs = [fields_of(TRANSFER, job) for job in found["job"]]
    assert [{name: job[name] for name in want} for job, want in zip(jobs, layer.jobs, strict=True)] == layer.jobs
    assert found["x"] == layer.beats
    kinds = [(kind, n) for kind in list(Parameter)[:4] for n in range(WIDTH)] + [(Parameter.HEAD, 0)]
    assert seen == [(*place, entry) for place, entry in zip(kinds, layer.entries, strict=False)]
    bytes_ = b"".join(entry.to_bytes(8, "little") for entry in layer.entries[-GELU_ENTRIES:])
    signed = [int.from_bytes(bytes_[n : n + 1], "little", signed=True) for n in range(len(bytes_))]
    assert tables == {(n >> OPERAND_BITS, n & 0xFF): value for n, value in enumerate(signed)}
    assert loaded == sorted(loaded)
    # The mask is told of when it is there, which is before the parameters are.
    first = [there for there, _ in known].index(1)
    assert first < loaded.index(1)
    assert (first == 0) == (not masked)
    assert {mask for there, mask in known if there} == {known[-1][1]}


def test_a_layer_behind_another():
    """What fills up the last word of one layer's parameters is no part of the next one's."""
    rng = random.Random(8)
    layers = [Layer(rng, 5, wide=False, masked=False, chained=True) for _ in range(2)]
    assert len(layers[0].entries) % (BUS // 64), "the last word must have room"
    dut, seen = LayerInputs(CONFIG), []

    async def step(context) -> bool:
        """Whether the word that is offered was taken."""
        if context.get(dut.write):
            seen.append(context.get(dut.word.entry))
        taken = bool(context.get(dut.i.valid) & context.get(dut.i.ready))
        await context.tick()
        return taken

    async def bench(context):
        for name, value in (("tokens", 5), ("width", WIDTH), ("heads", HEADS), ("chained", 1)):
            context.set(getattr(dut, name), value)
        await context.tick()
        for layer in layers:
            context.set(dut.start, 1)
            await step(context)
            context.set(dut.start, 0)
            for word in layer.words:
                context.set(dut.i.valid, 1)
                context.set(dut.i.payload, word)
                while not await step(context):
                    pass
            context.set(dut.i.valid, 0)
            while not context.get(dut.loaded):
                await step(context)

    simulate.run(dut, bench)
    assert seen == [entry for layer in layers for entry in layer.entries[:-GELU_ENTRIES]]
