# SPDX-License-Identifier: Apache-2.0
"""Scalers: the sums of a group of lanes brought back to few bits.

pairs, offset ─► registers ─► CSA, one carry chain ─► sum ─┬──────────────► requantise ─► o
mul, shift ──────────────────────────────────────────────── │ ────────────────▲
bias ──────────────────────────────────────────────────────┴─► + bias, if there is one
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from config.pe_arrays import PeArraysConfig
from config.requantise import MAX_SHIFT, MUL_BITS, SHIFT_BITS
from hdl.arith.adder import add_in_two
from hdl.arith.columns import ColumnTree
from hdl.arith.compress import Word
from hdl.arith.requantise import Requantiser
from hdl.delay import delayed
from hdl.execute.layouts import MULTIPLIER
from hdl.execute.line import sums_layout
from hdl.execute.pe_lane import BIAS_SHIFT, CARRIES
from hdl.shared import share

BIAS_BITS = 32
"""Of what is added to a dense sum, signed."""

COLUMN = data.StructLayout({"mul": MUL_BITS, "shift": SHIFT_BITS, "bias": signed(BIAS_BITS)})
"""Of a column of a dense product."""


def columns_layout(config: PeArraysConfig) -> data.ArrayLayout:
    """Of a group of columns."""
    return data.ArrayLayout(COLUMN, config.scalers)


def results_layout(config: PeArraysConfig, bits: int, tag_bits: int) -> data.StructLayout:
    """Of a group: `values`, and `tag`."""
    return data.StructLayout({"values": data.ArrayLayout(signed(bits), config.scalers), "tag": tag_bits})


class Scaler(wiring.Component):
    """clip(((Σ + bias)·mul + 2^(shift-1)) >> shift) of each lane of a group; a group a cycle.

    Parameters
    ----------
    config: `scalers` lanes of a group, and widths. dense: each column has its own multiplier and bias, and results have
    16 bits; else all lanes have one multiplier, no bias, and results have 8 bits. tag_bits: of what accompanies a
    group.

    Members
    -------
    i: In, stream of `sums`, `sums_layout(config)`; `by`: `columns_layout(config)` or `MULTIPLIER`; `tag`. Without
    `dense`, sums are within `context_bits`, and shift is 1 to 63, as far as softmax goes beyond 40.
    o: Out, stream of `results_layout`, in the order of `i`, `latency` cycles behind.

    `o.ready` low holds the whole pipeline; `o.valid` does not depend on it. Empty after reset.
    """

    def __init__(self, config: PeArraysConfig, *, dense: bool, tag_bits: int = 1):
        self._config, self._dense, self._tag_bits = config, dense, tag_bits
        self._sum_bits = max(config.acc_bits, BIAS_BITS) + 1 if dense else config.context_bits
        # Beyond this, no sum is as much as a half.
        self._most_shift = MAX_SHIFT if dense else max(MAX_SHIFT, self._sum_bits + MUL_BITS)
        bits = STREAM_BITS if dense else OPERAND_BITS
        self._requantisers = [
            Requantiser(acc_bits=self._sum_bits, out_bits=bits, max_shift=self._most_shift)
            for _ in range(config.scalers)
        ]
        # The offset has nothing in its lowest columns.
        acc = config.acc_bits
        words = [Word(acc), *CARRIES, Word(acc - BIAS_SHIFT, BIAS_SHIFT)]
        self._merge = ColumnTree(words=words, bits=acc + 1)
        by = columns_layout(config) if dense else MULTIPLIER
        entry = data.StructLayout({"sums": sums_layout(config), "by": by, "tag": tag_bits})
        super().__init__(
            {
                "i": In(stream.Signature(entry)),
                "o": Out(stream.Signature(results_layout(config, bits, tag_bits))),
            }
        )

    @property
    def front(self) -> int:
        """Register stages in front of the requantisers: pairs, two for their sum, two for the bias."""
        return 5 if self._dense else 3

    @property
    def latency(self) -> int:
        """Register stages from i to o."""
        return self.front + self._requantisers[0].latency

    def elaborate(self, platform):
        m = Module()
        advance = self._requantisers[0].i.ready
        valids = [self.i.valid]
        for stage in range(self.latency - 1):
            valids.append(Signal(name=f"valid{stage}"))
            with m.If(advance):
                m.d.sync += valids[-1].eq(valids[-2])
        enable = [advance & valid for valid in valids]
        entry, front = self.i.payload, self.front
        by = delayed(m, entry.by, "by_", enable[: front - 2] if self._dense else enable[:front])
        if self._dense:
            settings = [Cat(column.mul, column.shift) for column in by]
            settings = [delayed(m, each, f"by_last{k}_", enable[3:front]) for k, each in enumerate(settings)]
        else:
            shift = Signal.like(by.shift, name="shift")
            m.d.comb += shift.eq(Mux(by.shift > self._most_shift, self._most_shift, by.shift))
            settings = [Cat(by.mul, shift)] * self._config.scalers
        m.d.comb += [
            self.i.ready.eq(advance),
            self.o.valid.eq(self._requantisers[0].o.valid),
            self.o.payload.tag.eq(delayed(m, entry.tag, "tag_", enable)),
        ]
        kind = "dense_requantiser" if self._dense else "context_requantiser"
        for k, requantiser in enumerate(self._requantisers):
            total = self._sum(m, k, enable, platform)
            if self._dense:
                bits = self._sum_bits
                pair = [_widened(total, bits), _widened(by[k].bias, bits)]
                total = add_in_two(m, pair, *enable[3:5]).as_signed()
            m.submodules[f"requantiser{k}"] = share(requantiser, kind, platform)
            m.d.comb += [
                requantiser.i.payload.eq(total[: self._sum_bits].as_signed()),
                requantiser.i.valid.eq(valids[front]),
                Cat(requantiser.mul, requantiser.shift).eq(settings[k]),
                requantiser.o.ready.eq(self.o.ready),
                self.o.payload.values[k].eq(requantiser.o.payload),
            ]
        return m

    def _sum(self, m: Module, k: int, enable: list[Value], platform) -> Value:
        """Of lane k's words, three stages behind them."""
        sums, merge, acc = self.i.payload.sums, self._merge, self._config.acc_bits
        if k:
            merge = ColumnTree(words=merge.words, bits=acc + 1)
        m.submodules[f"merge{k}"] = share(merge, "scaler_merge", platform)
        m.d.comb += merge.i.eq(Cat(sums.pairs[k].sum, sums.pairs[k].carry, sums.offset[BIAS_SHIFT:]))
        pair = [Signal(acc, name=f"pair{k}_{i}", reset_less=True) for i in range(2)]
        with m.If(enable[0]):
            m.d.sync += [word.eq(merge.o[i][:acc]) for i, word in enumerate(pair)]
        return add_in_two(m, pair, *enable[1:3]).as_signed()


def _widened(value: Value, bits: int) -> Value:
    """A signed value as a word of so many bits."""
    return Cat(value, value[-1].replicate(bits - len(value)))
