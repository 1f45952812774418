# SPDX-License-Identifier: Apache-2.0
"""Whole layers through an accelerator: descriptors and blobs in a memory behind its AXI port, y out of it.

steps ─► blobs, descriptors ─► memory ◄─► m_axi ─ accelerator ─ s_axi_ctrl ◄─► start, counters
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config import descriptor
from config.descriptor import DESCRIPTOR_BYTES, Flag
from config.errors import require
from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from config.registers import COUNTERS, REGISTERS
from config.speculate import FactSettings, LapaSettings, SangerSettings, SplsSettings
from config.system import SystemConfig
from golden.speculate.planner import CascadePredictor
from hdl.system.accelerator import Accelerator
from hdl.system.blobs import whole_words
from sim import memory, runner
from sim.emitted import emitted
from sim.image import image
from sim.stack import Step
from sim.windows import Record, Windows

Int64 = NDArray[np.int64]
PAGE = 4096
LIMIT = 200_000
USUAL = memory.Pace(latency=20)
"""A memory that is ready, 20 cycles away."""
FEW_LANES = 8
COUNTER_NAMES = tuple(sorted((counter.name for counter in COUNTERS), key=lambda name: not name.startswith("CYCLES")))
"""Those first that go on while they are read."""
OFFSETS = {register.name: register.offset for register in REGISTERS}


@dataclass(frozen=True)
class Rows:
    """A matrix in memory: `count` rows of `width` values of `bits` bits each."""

    address: int
    count: int
    width: int
    bits: int
    stride: int

    def read(self, memory: bytes) -> Int64:
        """int64 [count, width]."""
        kind = np.int8 if self.bits == OPERAND_BITS else np.int16
        size = self.width * self.bits // 8
        starts = (self.address + n * self.stride for n in range(self.count))
        return np.stack([np.frombuffer(memory[at : at + size], kind) for at in starts]).astype(np.int64)


@dataclass
class Memory:
    """What is laid out in a memory, blob behind blob, each at the begin of a page."""

    content: bytearray = field(default_factory=lambda: bytearray(PAGE))

    def put(self, blob: bytes) -> int:
        """Its address."""
        at = len(self.content)
        self.content += blob + bytes(-len(blob) % PAGE)
        return at

    def put_rows(self, config: SystemConfig, values: Int64, bits: int) -> Rows:
        """Rows, each filled up to whole words of the bus."""
        kind = np.int8 if bits == OPERAND_BITS else np.int16
        rows = [row.astype(kind).tobytes() for row in values]
        stride = whole_words(config, len(rows[0]))
        at = self.put(b"".join(row.ljust(stride, b"\0") for row in rows))
        return Rows(at, len(values), values.shape[1], bits, stride)


@dataclass(frozen=True)
class Job:
    """A list of layers: content of the memory, registers to write, and how the run goes. after: cycles from its start
    to where aresetn breaks it off, if it does."""

    memory: bytes
    start: list[tuple[str, int]]
    stall: float
    seed: int
    limit: int
    after: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a list ended. counters: by name. rate: cycles simulated in a second, if it was measured. waves: the file of
    waveforms, if they were asked for. seen: the counters behind each layer, if the host looked, some cycles late, the
    same number each time. record: of the windows asked for."""

    memory: bytes
    error_code: int
    error_index: int
    cycles: int
    counters: dict[str, int]
    rate: float = 0.0
    waves: Path | None = None
    seen: list[dict[str, int]] = field(default_factory=list)
    record: Record | None = None


@dataclass(frozen=True)
class Laid:
    """Steps in a memory. y: where each layer's output will be, or none if it stays on chip."""

    memory: Memory
    descriptors: int
    count: int
    y: list[Rows | None]


def lay_out(
    config: SystemConfig,
    steps: Sequence[Step],
    *,
    chained: bool = True,
    every: bool = False,
    content: Memory | None = None,
) -> Laid:
    """Steps, each of which takes what the one before has left on chip, if `chained`; y of the last one goes to memory,
    or that of `every`. content: what is in the memory already."""
    content, places, written = content or Memory(), [], []
    for number, step in enumerate(steps):
        bits = OPERAND_BITS if step.layer.order == "post" else STREAM_BITS
        follows = chained and number > 0
        x = None if follows else content.put_rows(config, step.x, bits)
        sends = every or not chained or number == len(steps) - 1
        y = content.put_rows(config, np.zeros_like(step.y), bits) if sends else None
        blobs = image(config, step.layer, step.predictor)
        fields = _fields(config, step, x, y)
        if step.attend is not None:
            fields |= {"flags": fields["flags"] | Flag.MASK, "key_mask": content.put(_mask(config, step.attend))}
        fields |= {"parameters": content.put(blobs.parameters), "predictor": content.put(blobs.predictor)}
        fields |= {f"weights{n + 1}": content.put(each) for n, each in enumerate(blobs.weights)}
        places.append(descriptor.pack(fields))
        written.append(y)
    assert all(len(place) == DESCRIPTOR_BYTES for place in places)
    return Laid(content, content.put(b"".join(places)), len(places), written)


def _mask(config: SystemConfig, attend: NDArray[np.bool_]) -> bytes:
    """A bit for each token, the first one lowest; those that are not there may be attended to."""
    there = np.pad(attend, (0, config.tokens - len(attend)), constant_values=True)
    bits = np.packbits(there, bitorder="little").tobytes()
    return bits.ljust(whole_words(config, len(bits)), b"\0")


def _fields(config: SystemConfig, step: Step, x: Rows | None, y: Rows | None) -> dict[str, int]:
    layer, settings = step.layer, step.predictor.settings
    flags = Flag(0)
    for flag, given in (
        (Flag.CAUSAL, settings.causal),
        (Flag.PRE, layer.order == "pre"),
        (Flag.CHAINED, x is None),
        (Flag.WRITE, y is not None),
    ):
        flags |= flag if given else Flag(0)
    tokens, width = step.x.shape
    fields = {
        "flags": int(flags),
        "tokens": tokens,
        "width": width,
        "heads": layer.heads,
        "head_width": len(layer.q.w) // layer.heads,
        "ffn": len(layer.up.w),
    }
    for number, norm in enumerate((layer.norm1, layer.norm2), 1):
        fields |= {f"norm{number}_shift": int(norm.shift), f"norm{number}_eps": int(norm.eps)}
    for name, rows in (("x", x), ("y", y)):
        if rows is not None:
            fields |= {name: rows.address, f"{name}_stride": rows.stride}
    if isinstance(settings, SplsSettings | FactSettings):
        fields["k"] = min(settings.k, config.tokens)
    if isinstance(settings, SplsSettings):
        fields["k_similarity"] = min(settings.k_similarity, config.tokens)
        fields |= {"s": settings.s, "f": min(settings.f, config.heads + 1)}
    if isinstance(step.predictor, CascadePredictor):
        number, drops = step.predictor.number, step.predictor.settings
        require(
            number == 0 or x is None,
            f"Layer {number} of a sequence must be chained to the one before, and stands alone; chain the steps.",
        )
        fields |= {"drop_tokens": drops.tokens[number], "drop_heads": drops.heads[number]}
    if isinstance(settings, SangerSettings):
        fields["threshold"] = settings.threshold
    if isinstance(settings, LapaSettings):
        fields |= {f"eta{n}": eta for n, eta in enumerate(settings.eta)}
    return fields


MEMORY_BYTES = 1 << 24


@cache
def build(config: SystemConfig) -> memory.Model:
    """The accelerator with its memory and its host, built if need be."""
    # Wide arrays are simulated by what they compute; small ones as they are built.
    text = emitted(lambda: Accelerator(config), config.name, config, behavioural=config.lanes > FEW_LANES)
    return memory.build(text, config.name, memory_bytes=MEMORY_BYTES)


def run(
    config: SystemConfig,
    laid: Laid,
    *,
    overlap: bool = True,
    eager: bool = True,
    pace: memory.Pace = USUAL,
    limit: int = LIMIT,
    model: memory.Model | None = None,
    watch: bool = False,
    windows: Windows | None = None,
) -> Ended:
    """Runs the list that was laid out, at the simulator's own speed. model: the accelerator, if it is not to be the one
    of `build`. watch: the host looks at the counters behind each layer. windows: of which a model that has a probe
    leaves the record.

    Raises `SimulationError` if it does not end within `limit` cycles, or breaks a rule of the bus; with `watch`, also
    if it gives the list up.
    """
    read = [memory.read(OFFSETS[f"{name}_{half}"]) for name in COUNTER_NAMES for half in ("LOW", "HIGH")]
    steps = start_by_host(laid, overlap, eager)
    for number in range(1, laid.count if watch else 1):
        steps += [memory.poll(OFFSETS["LAYERS_LOW"], 0xFFFFFFFF, number, limit), *read]
    steps += [
        memory.interrupt(limit),
        *(memory.read(OFFSETS[f"ERROR_{name}"]) for name in ("CODE", "DESCRIPTOR")),
        *read,
    ]
    job = memory.Job(
        bytes(laid.memory.content), steps, pace=pace, limit=limit + 10 * len(steps) + 1000, windows=windows
    )
    found = memory.run(model or build(config), job)
    *earlier, (code, index, *last) = _between_waits(steps, found.values)
    counters = _counters(last)
    seen = [*map(_counters, earlier), counters] if watch else []
    return Ended(found.memory, code, index, counters["CYCLES"], counters, found.rate, found.waves, seen, found.record)


def _between_waits(steps: Sequence[memory.Step], values: Sequence[int]) -> list[list[int]]:
    """What was read behind each step that waits."""
    found: list[list[int]] = []
    for step, value in zip(steps, values, strict=True):
        if step.what in ("p", "i"):
            found.append([])
        elif found:
            found[-1].append(value)
    return found


def _counters(words: Sequence[int]) -> dict[str, int]:
    """By name, from low and high words."""
    return {name: words[2 * n] | words[2 * n + 1] << 32 for n, name in enumerate(COUNTER_NAMES)}


def hidden(*counters: Mapping[str, int]) -> float | None:
    """Share of the cycles of prediction, in all of these counters, in which the arrays did not wait for it; none where
    nothing was predicted."""
    works, hides = (sum(each[f"PREDICTION_{name}"] for each in counters) for name in ("CYCLES", "HIDDEN"))
    return hides / works if works else None


def limit_of(steps: Sequence[Step]) -> int:
    """Cycles in which they have long ended, or never will."""
    return LIMIT + 20_000 * sum(len(step.x) for step in steps)


def start(laid: Laid, overlap: bool, eager: bool) -> list[tuple[str, int]]:
    """Registers to write, in this order."""
    return [
        ("CONTROL", 1 << 2),
        ("DESCRIPTORS_LOW", laid.descriptors & 0xFFFFFFFF),
        ("DESCRIPTORS_HIGH", laid.descriptors >> 32),
        ("DESCRIPTOR_COUNT", laid.count),
        ("MODE", overlap | eager << 1),
        ("INTERRUPT_ENABLE", 3),
        ("CONTROL", 1),
    ]


def start_by_host(laid: Laid, overlap: bool = True, eager: bool = True) -> list[memory.Step]:
    """`start` as the host of `sim.memory` does it."""
    return [memory.write(OFFSETS[name], value) for name, value in start(laid, overlap, eager)]


@cache
def build_for_cocotb(config: SystemConfig) -> Path:
    """Folder of the accelerator's model alone, built if need be."""
    return runner.build(emitted(lambda: Accelerator(config), config.name, config), config.name)


def run_by_cocotb(
    config: SystemConfig,
    laid: Laid,
    *,
    overlap: bool = True,
    eager: bool = True,
    stall: float = 0.0,
    seed: int = 0,
    limit: int = LIMIT,
    broken_off: Sequence[int] = (),
) -> Ended:
    """`run` with memory and host of cocotbext-axi. stall: how often each channel of the memory rests. broken_off: after
    how many cycles aresetn breaks the list off, each time before it is run anew and at last to its end."""
    job = Job(bytes(laid.memory.content), start(laid, overlap, eager), stall, seed, limit)
    jobs = [*(replace(job, after=after) for after in broken_off), job]
    found: list[Ended] = runner.run_jobs(build_for_cocotb(config), config.name, "sim.accelerator_bench", jobs)
    return found[-1]


def check(steps: Sequence[Step], laid: Laid, ended: Ended) -> None:
    """Raises AssertionError at the first difference, and says where it is."""
    assert ended.error_code == 0, f"descriptor {ended.error_index}: error {ended.error_code}"
    for number, (step, rows) in enumerate(zip(steps, laid.y, strict=True)):
        if rows is None:
            continue
        found = rows.read(ended.memory)
        wrong = np.argwhere(found != step.y)
        if len(wrong):
            token, column = wrong[0]
            raise AssertionError(
                f"layer {number}: token {token}, channel {column} is {found[token, column]}, not "
                f"{step.y[token, column]}; {len(wrong)} of {found.size} differ"
            )
