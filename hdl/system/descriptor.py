# SPDX-License-Identifier: Apache-2.0
"""A layer's descriptor, from words of memory to what the accelerator is told, or why it refuses.

i ─► all bytes ─► width, ffn in words of `lanes` ─► faults ─► lowest code ─► o
"""

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.descriptor import DESCRIPTOR_BYTES, DESCRIPTOR_VERSION, MAGIC, ErrorCode, Flag, used_bits, values
from config.execute import EPS_BITS
from config.requantise import MAX_SHIFT, SHIFT_BITS
from config.speculate import UNITY
from config.system import ADDRESS_BITS, SystemConfig
from hdl.arith.compare import less
from hdl.speculate.socket import settings_layout
from hdl.system.axi import COUNT_BITS
from hdl.system.layouts import bus_shape
from hdl.system.sequencer import shape_layout

CODE_SHAPE = unsigned(8)
"""Of an `ErrorCode`."""
NORM = data.StructLayout({"eps": EPS_BITS, "shift": SHIFT_BITS})
ADDRESSES = ("x", "y", "parameters", "predictor", "weights1", "weights2", "key_mask")


def _settings(config: SystemConfig) -> dict:
    """Fields of the speculation unit's settings, but for the first ones, `tokens`, `heads`, `slices`: these are in
    `task`, and Verilator takes a port whose bits have two names for a loop."""
    (_tokens, _heads, _slices, *fields) = settings_layout(config.speculation).members.items()
    return dict(fields)


def layer_layout(config: SystemConfig) -> data.StructLayout:
    """What a descriptor says. `task`: as the sequencer has it; `width`: channels of a row of x; `head_width`; `masked`:
    there is a key mask; `settings`: see `settings_of`; `norms`; addresses; strides of x and y."""
    return data.StructLayout(
        {
            "task": shape_layout(config),
            "width": range(config.speculation.width + 1),
            "head_width": range(config.speculation.head_width + 1),
            "masked": 1,
            "settings": data.StructLayout(_settings(config)),
            "norms": data.ArrayLayout(NORM, 2),
            **dict.fromkeys(ADDRESSES, ADDRESS_BITS),
            "x_stride": COUNT_BITS,
            "y_stride": COUNT_BITS,
        }
    )


def settings_of(config: SystemConfig, layer: data.View) -> data.View:
    """What the speculation unit is told of a layer."""
    layout = settings_layout(config.speculation)
    slices = layer.task.width_words[: layout["slices"].width]
    return data.View(layout, Cat(layer.task.tokens, layer.task.heads, slices, layer.settings))


def verdict_layout(config: SystemConfig) -> data.StructLayout:
    """A descriptor that was read; `code`: an `ErrorCode`, and unless it is NONE, the layer means nothing."""
    return data.StructLayout({"code": CODE_SHAPE, "layer": layer_layout(config)})


def descriptor_layout() -> data.FlexibleLayout:
    """The bytes of a descriptor."""
    fields = {name: data.Field(unsigned(field.bits), 8 * offset) for name, (offset, field) in values().items()}
    return data.FlexibleLayout(8 * DESCRIPTOR_BYTES, fields)


def _beyond(value: Value, least: int, most: int) -> Value:
    """The value is out of its range."""
    return less(value, least) | less(most, value)


class WordCount(wiring.Component):
    """How many words of `lanes` bytes a number of bytes is: a cycle for each.

    Parameters: `bits` of the number; `lanes`; `most` words.

    Members: start: In, 1: `bytes`: In, which stands, is counted from the next cycle on. busy: Out, 1. words: Out.
    whole: Out, 1: it is so many words, and nothing is left.
    """

    def __init__(self, bits: int, lanes: int, most: int):
        self._lanes, self._most = lanes, most
        super().__init__(
            {
                "start": In(1),
                "bytes": In(bits),
                "busy": Out(1),
                "words": Out(range(most + 1)),
                "whole": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        reached = Signal.like(self.bytes)
        m.d.comb += [self.whole.eq(reached == self.bytes), self.busy.eq(~self.whole & (self.words != self._most))]
        with m.If(self.start):
            m.d.sync += [reached.eq(0), self.words.eq(0)]
        with m.Elif(self.busy):
            m.d.sync += [reached.eq(reached + self._lanes), self.words.eq(self.words + 1)]
        return m


class DescriptorReader(wiring.Component):
    """Reads descriptors, one behind the other.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    i: In, stream of `bus_shape`: a descriptor's words, in order. Those of the next one are taken when `o` has been.
    first: In, 1, while a descriptor comes: no layer stands before it.
    o: Out, stream of `verdict_layout`; its payload stands. Some cycles more than a row of x, or of the FFN, has words.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(bus_shape(config))),
                "first": In(1),
                "o": Out(stream.Signature(verdict_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        given, stray = Signal(descriptor_layout(), reset_less=True), Signal()
        width = WordCount(16, config.lanes, config.width_words)
        ffn = WordCount(16, config.lanes, config.ffn_words)
        m.submodules.width, m.submodules.ffn = width, ffn
        m.d.comb += [width.bytes.eq(given.width), ffn.bytes.eq(given.ffn)]
        # Sums of heads go on from layer to layer.
        heads = {"heads": given.heads} if config.speculation.prunes else {}
        now = Cat(given.tokens, given.width, self._flag(given, Flag.PRE), *heads.values())
        earlier = Signal(len(now), reset_less=True)
        faults = self._faults(given, stray, width, ffn, (earlier != now) | self.first)
        found, code = Signal(len(faults)), Signal(CODE_SHAPE)
        m.d.comb += self.o.payload.code.eq(code)
        with m.FSM():
            with m.State("FILL"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self._fill(m, given.as_value(), stray)):
                    m.next = "MEASURE"
            with m.State("MEASURE"):
                m.d.comb += [width.start.eq(1), ffn.start.eq(1)]
                m.next = "COUNT"
            with m.State("COUNT"), m.If(~width.busy & ~ffn.busy):
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += found.eq(Cat(faults.values()))
                m.next = "NAME"
            with m.State("NAME"):
                m.d.sync += code.eq(ErrorCode.NONE)
                for number, fault in reversed(list(zip(faults, found, strict=True))):
                    with m.If(fault):
                        m.d.sync += code.eq(number)
                m.next = "TELL"
            with m.State("TELL"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [earlier.eq(now), stray.eq(0)]
                    m.next = "FILL"
        self._tell(m, given, width.words, ffn.words)
        return m

    @staticmethod
    def _flag(given: data.View, flag: Flag) -> Value:
        return given.flags[exact_log2(flag)]

    def _fill(self, m: Module, descriptor: Value, stray: Signal) -> Value:
        """Takes a word. Returns whether it is the last."""
        bits = self._config.bus_bits
        count = len(descriptor) // bits
        number = Signal(range(count))
        spare = [(~used_bits() >> (bits * n)) & ((1 << bits) - 1) for n in range(count)]
        strays = [(number == n) & (self.i.payload & mask).any() for n, mask in enumerate(spare) if mask]
        with m.If(self.i.valid):
            m.d.sync += [stray.eq(stray | Cat(strays).any()), number.eq(number + 1)]
            with m.Switch(number):
                for n in range(count):
                    with m.Case(n):
                        m.d.sync += descriptor[bits * n : bits * (n + 1)].eq(self.i.payload)
        return number == count - 1

    def _faults(self, given, stray: Value, width: WordCount, ffn: WordCount, unlike: Value) -> dict[ErrorCode, Value]:
        """Each code that a descriptor can have, lowest first, and whether it has it."""
        config = self._config
        shapes = {"tokens": config.tokens, "heads": config.heads, "head_width": config.speculation.head_width}
        return {
            ErrorCode.BAD_MAGIC: given.magic != MAGIC,
            ErrorCode.BAD_VERSION: given.version != DESCRIPTOR_VERSION,
            ErrorCode.RESERVED: stray,
            ErrorCode.BAD_SHAPE: Cat(
                *(_beyond(given[name], 1, most) for name, most in shapes.items()),
                *(~part.whole | less(part.words, 2) for part in (width, ffn)),
            ).any(),
            ErrorCode.BAD_SETTINGS: Cat(self._wrong_settings(given)).any(),
            ErrorCode.BAD_CHAIN: self._flag(given, Flag.CHAINED) & unlike,
            ErrorCode.MISALIGNED: Cat(self._misaligned(given)).any(),
        }

    def _wrong_settings(self, given) -> list[Value]:
        config = self._config.speculation
        wrong = [_beyond(given[f"norm{n}_shift"], 1, MAX_SHIFT) for n in (1, 2)]
        if config.top_k:
            wrong.append(_beyond(given.k, 1, config.tokens))
        if config.method == "spls":
            wrong += [
                (given.k_similarity == 0) | less(given.k, given.k_similarity),
                less(UNITY, given.s),
                _beyond(given.f, 1, config.heads + 1),
            ]
        if config.method == "lapa":
            wrong += [less(UNITY, given[f"eta{n}"]) for n in range(config.rounds)]
        if config.prunes:
            wrong.append(self._flag(given, Flag.CAUSAL))
        return wrong

    def _misaligned(self, given) -> list[Value]:
        low = exact_log2(self._config.bus_bytes)
        x, y, mask = ~self._flag(given, Flag.CHAINED), self._flag(given, Flag.WRITE), self._flag(given, Flag.MASK)
        used = {"x": x, "x_stride": x, "y": y, "y_stride": y, "key_mask": mask}
        used |= dict.fromkeys(("parameters", "weights1", "weights2"), Const(1))
        if self._config.speculation.coded:
            used["predictor"] = Const(1)
        return [is_used & given[name][:low].any() for name, is_used in used.items()]

    def _tell(self, m: Module, given, width_words: Value, ffn_words: Value) -> None:
        """The fields."""
        layer, task = self.o.payload.layer, self.o.payload.layer.task
        flags = (
            (task.pre, Flag.PRE),
            (task.chained, Flag.CHAINED),
            (task.send, Flag.WRITE),
            (layer.masked, Flag.MASK),
            (layer.settings.causal, Flag.CAUSAL),
        )
        m.d.comb += [to.eq(self._flag(given, flag)) for to, flag in flags]
        m.d.comb += [
            task.tokens.eq(given.tokens),
            task.heads.eq(given.heads),
            task.width_words.eq(width_words),
            task.ffn_words.eq(ffn_words),
            *(getattr(layer, name).eq(given[name]) for name in ("width", "head_width", "x_stride", "y_stride")),
            *(getattr(layer, name).eq(given[name]) for name in ADDRESSES),
        ]
        for n, norm in enumerate(layer.norms):
            m.d.comb += [norm.eps.eq(given[f"norm{n + 1}_eps"]), norm.shift.eq(given[f"norm{n + 1}_shift"])]
        if self._config.speculation.top_k:
            m.d.comb += layer.settings.k.eq(given.k)
        if self._config.speculation.method == "spls":
            m.d.comb += [layer.settings[name].eq(given[name]) for name in ("k_similarity", "s", "f")]
        if self._config.speculation.method == "lapa":
            m.d.comb += [eta.eq(given[f"eta{n}"]) for n, eta in enumerate(layer.settings.eta)]
        if self._config.speculation.method == "sanger":
            m.d.comb += layer.settings.threshold.eq(given.threshold)
        if self._config.speculation.prunes:
            m.d.comb += [layer.settings[name].eq(given[name]) for name in ("drop_tokens", "drop_heads")]
