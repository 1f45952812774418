# SPDX-License-Identifier: Apache-2.0
"""How much each token has mattered: the sums of its column of probabilities, over rows, heads and layers.

                               cycle 0    1        …         L          L+1         L+2
totals ─► division ─► scale ─┬─► regis- ─► codes · r + ½ ─► >> ─► share ─┬─► + ─► sum ─► memory, a bank for each
codes, `rows` of them ───────┘   ters                       read ─► old ─┘              key of a chunk

A chunk a cycle. One that is still on its way into the memory is not read: the same chunk comes again 3 cycles later at
the soonest, which only rows of one or two chunks must wait for.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import DIVISOR_BITS, PROBABILITY_BITS
from config.spatten import SpattenConfig
from hdl.arith.adder import add_in_slices
from hdl.arith.multiply import MultiplyAdd
from hdl.cover import corner
from hdl.shared import share
from hdl.speculate.spatten.layouts import SHARE_BITS, codes_layout, number_of, scale_layout, total_layout
from hdl.speculate.spatten.scales import RowScales
from hdl.store import Store

FIXED_BITS = DIVISOR_BITS - 1 - PROBABILITY_BITS
"""Bits that a product of code and reciprocal has below a share's, if the total has 22."""


class Share(wiring.Component):
    """A probability in units of 1/65280, as golden.execute.softmax.Softmax.shares: (code·reciprocal + half) >> (7 +
    over).

    Parameters: config: `SpattenConfig`.
    Members: enable: In, `latency`: bit i lets stage i take what stands in front of it. code: In, 8; reciprocal: In, 16,
    up to 2^15; half: In, 2^(6 + over); over: In, of what stands in front of the last stage. o: Out, 16, 0 to 65280.
    """

    def __init__(self, config: SpattenConfig):
        over = scale_layout(config)["over"].shape
        # Reciprocal and half get a sign; what comes out is less than 2^24, and has one as well.
        half_bits = FIXED_BITS + config.tokens.bit_length()
        self._multiply = MultiplyAdd(
            a_bits=DIVISOR_BITS + 1,
            b_bits=PROBABILITY_BITS,
            bits=DIVISOR_BITS + PROBABILITY_BITS + 1,
            addends=(half_bits,),
        )
        super().__init__(
            {
                "enable": In(self.latency),
                "code": In(PROBABILITY_BITS),
                "reciprocal": In(DIVISOR_BITS),
                "half": In(half_bits - 1),
                "over": In(over),
                "o": Out(SHARE_BITS),
            }
        )

    @property
    def latency(self) -> int:
        """Register stages: the product's, and one for the share."""
        return self._multiply.latency + 1

    def elaborate(self, platform):
        m = Module()
        multiply = self._multiply
        m.submodules.multiply = share(multiply, multiply.kind, platform)
        m.d.comb += [
            multiply.a.eq(Cat(self.reciprocal, Const(0, 1)).as_signed()),
            multiply.b.eq(self.code),
            multiply.addend0.eq(Cat(self.half, Const(0, 1)).as_signed()),
            multiply.enable.eq(self.enable[:-1]),
        ]
        found = Signal(SHARE_BITS, reset_less=True)
        m.d.comb += self.o.eq(found)
        with m.If(self.enable[-1]):
            m.d.sync += found.eq((multiply.o.as_unsigned()[FIXED_BITS:] >> self.over)[:SHARE_BITS])
        return m


class TokenSums(wiring.Component):
    """Adds the shares of a layer's rows to the sums of their keys. Equals what `golden.speculate.spatten.gathered` does
    with token_sums.

    Parameters
    ----------
    config: `SpattenConfig`.

    Members
    -------
    last_chunk: In, of the sequence, still from `start` until `fed`.
    start: In, 1: the rows of a layer may come. fed: Out, 1, after reset as well: the last one is in the sums.
    totals: In, stream of `total_layout`; codes: In, stream of `codes_layout`: the layer's rows in any order; those
    without kept keys, and those of padding, may be left out, but one row at least there is. A row's codes are taken
    `RowScales.latency` cycles behind its total, or later.
    clear: In, 1: the sums of chunk `read_at` begin at 0. read: In, 1; words: Out, the sums of chunk `read_at`, from the
    next cycle on. Only while `fed`.
    """

    def __init__(self, config: SpattenConfig):
        self._config = config
        self._lanes = [Share(config) for _ in range(config.rows)]
        self._tag = data.StructLayout(
            {"chunk": number_of(config.blocks), "over": scale_layout(config)["over"].shape, "last": 1}
        )
        super().__init__(
            {
                "last_chunk": In(number_of(config.blocks)),
                "start": In(1),
                "fed": Out(1, init=1),
                "totals": In(stream.Signature(total_layout(config))),
                "codes": In(stream.Signature(codes_layout(config))),
                "clear": In(1),
                "read": In(1),
                "read_at": In(number_of(config.blocks)),
                "words": Out(data.ArrayLayout(config.token_sum_bits, config.rows)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a chunk of codes taken until it is in the sums: registers, shares, the addition, the memory."""
        return 1 + self._lanes[0].latency + 2

    def elaborate(self, platform):
        m = Module()
        scales = RowScales(self._config)
        m.submodules.scales = share(scales, "spatten_scales", platform)
        wiring.connect(m, wiring.flipped(self.totals), scales.i)
        valids = [Signal(name="enters"), *(Signal(name=f"valid{i}") for i in range(1, self.latency))]
        tags = [Signal(self._tag, name=f"tag{i}", reset_less=i > 0) for i in range(self.latency)]
        for stage in range(1, self.latency):
            m.d.sync += valids[stage].eq(valids[stage - 1])
            with m.If(valids[stage - 1]):
                m.d.sync += tags[stage].eq(tags[stage - 1])
        self._enter(m, scales, valids, tags, platform)
        shares = self._shares(m, scales, valids, tags, platform)
        self._add(m, shares, valids, tags, platform)
        with m.If(self.start):
            m.d.sync += self.fed.eq(0)
        with m.If(valids[-1] & tags[-1].last):
            m.d.sync += self.fed.eq(1)
        return m

    def _enter(self, m: Module, scales: RowScales, valids: list[Signal], tags: list[data.View], platform) -> None:
        """Counts chunks of rows and lets them in; none whose sums are read or added to in the two cycles before."""
        open_, chunk, ready, ends = Signal(), Signal(number_of(self._config.blocks)), Signal(), Signal()
        under_way = Cat(valids[stage] & (tags[stage].chunk == chunk) for stage in (1, 2)).any()
        scale = scales.o.payload
        m.d.comb += [
            ready.eq(open_ & scales.o.valid & ~under_way),
            self.codes.ready.eq(ready),
            valids[0].eq(self.codes.valid & ready),
            ends.eq(chunk == self.last_chunk),
            scales.o.ready.eq(valids[0] & ends),
            tags[0].chunk.eq(chunk),
            tags[0].over.eq(scale.over),
            tags[0].last.eq(ends & scale.last),
        ]
        with m.If(valids[0]):
            m.d.sync += chunk.eq(Mux(ends, 0, chunk + 1))
        with m.If(self.start):
            m.d.sync += open_.eq(1)
        with m.If(valids[0] & tags[0].last):
            m.d.sync += open_.eq(0)
        corner(m, platform, "chunk_under_way", self.codes.valid & open_ & scales.o.valid & under_way)
        corner(m, platform, "codes_wait_for_the_scale", self.codes.valid & open_ & ~scales.o.valid)

    def _shares(
        self, m: Module, scales: RowScales, valids: list[Signal], tags: list[data.View], platform
    ) -> list[Value]:
        """The shares of a chunk, `latency` of a lane and a cycle behind its codes."""
        latency, scale = self._lanes[0].latency, scales.o.payload
        codes = Signal.like(self.codes.payload, reset_less=True)
        reciprocal = Signal.like(scale.reciprocal, reset_less=True)
        half = Signal(len(self._lanes[0].half), reset_less=True)
        with m.If(valids[0]):
            m.d.sync += [
                codes.as_value().eq(self.codes.payload.as_value() & scale.counts.replicate(codes.shape().size)),
                reciprocal.eq(scale.reciprocal),
                half.eq(Cat(Const(0, FIXED_BITS - 1), (scale.over == n for n in range(len(half) - FIXED_BITS + 1)))),
            ]
        for i, lane in enumerate(self._lanes):
            m.submodules[f"share{i}"] = share(lane, "spatten_share", platform)
            m.d.comb += [
                lane.enable.eq(Cat(valids[1 : 1 + latency])),
                lane.code.eq(codes[i]),
                lane.reciprocal.eq(reciprocal),
                lane.half.eq(half),
                lane.over.eq(tags[latency].over),
            ]
        return [lane.o for lane in self._lanes]

    def _add(self, m: Module, shares: list[Value], valids: list[Signal], tags: list[data.View], platform) -> None:
        bits, reads = self._config.token_sum_bits, self.latency - 3
        store = Store(self._config.blocks, self.words.shape())
        m.submodules.store = share(store, store.name, platform)
        sums = Signal(self.words.shape(), reset_less=True)
        with m.If(valids[reads + 1]):
            m.d.sync += [
                total.eq(add_in_slices(old, Cat(part, Const(0, bits - SHARE_BITS)))[:-1])
                for total, old, part in zip(map(Value.cast, sums), map(Value.cast, store.stored), shares, strict=True)
            ]
        m.d.comb += [
            store.read.eq(self.read | valids[reads]),
            store.read_at.eq(Mux(valids[reads], tags[reads].chunk, self.read_at)),
            store.write.eq(self.clear | valids[-1]),
            store.write_at.eq(Mux(self.clear, self.read_at, tags[-1].chunk)),
            store.word.as_value().eq(sums.as_value() & ~self.clear.replicate(sums.shape().size)),
            self.words.eq(store.stored),
        ]
