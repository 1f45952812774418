# SPDX-License-Identifier: Apache-2.0
"""What a power must exceed: the row's total times the threshold.

powers ─► CSA ─► sum ─► + ─┬─► · threshold >> 16 ─► at most 2^21 - 1 ─► bound
                       ▲   │
                 total └───┘

power·65536 > threshold·total, if and only if power > threshold·total >> 16, as powers are integers: nothing is divided.
"""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from config.execute import POWER_BITS
from config.sanger import SangerConfig
from config.speculate import PROBABILITY_UNITY
from hdl.arith.adder import add_in_two
from hdl.arith.multiply import MultiplyAdd
from hdl.execute.total import add_beats, along, beat_tree
from hdl.shared import share
from hdl.speculate.sanger.layouts import BOUND_BITS, THRESHOLD_BITS, powers_layout

UNITY_BITS = PROBABILITY_UNITY.bit_length() - 1


class Bound(wiring.Component):
    """The bounds of rows, whose chunks come in rising order, one in any cycle.

    Parameters: config: `SangerConfig`.

    Members
    -------
    threshold: In, 16, still while rows are under way.
    enter: In, 1: `powers` (In, `powers_layout`) are those of a chunk; last: In, 1: of a row's last.
    done: Out, 1: `latency` cycles behind a row's last chunk; bound: Out, 21, with it: threshold·total >> 16, at most
    2^21 - 1.
    """

    def __init__(self, config: SangerConfig):
        self._total_bits = POWER_BITS + config.tokens.bit_length()
        self._tree = beat_tree(config.rows)
        self._multiply = MultiplyAdd(
            a_bits=self._total_bits + 1, b_bits=THRESHOLD_BITS, bits=self._total_bits + 1 + THRESHOLD_BITS
        )
        super().__init__(
            {
                "threshold": In(THRESHOLD_BITS),
                "enter": In(1),
                "last": In(1),
                "powers": In(powers_layout(config)),
                "done": Out(1),
                "bound": Out(BOUND_BITS),
            }
        )

    @property
    def latency(self) -> int:
        """Register stages: the tree's, two for the sum of a chunk, two for the total; the product's; the bound."""
        return self._adding + 2 + self._multiply.latency + 1

    @property
    def _adding(self) -> int:
        return self._tree.latency + 2

    def elaborate(self, platform):
        m = Module()
        tree, adding = self._tree, self._adding
        enable, lasts = along(m, self.enter, self.last, adding + 1)
        m.submodules.tree = share(tree, "sanger_total_tree", platform)
        m.d.comb += [tree.i.eq(self.powers), tree.enable.eq(Cat(enable[: tree.latency]))]
        beat = add_in_two(m, list(tree.o), *enable[tree.latency : adding])
        total = add_beats(m, beat, self._total_bits, enable[adding : adding + 2], lasts[adding : adding + 2])
        self._multiplied(m, total, enable[-1] & lasts[-1], platform)
        return m

    def _multiplied(self, m: Module, total: Value, comes: Value, platform) -> None:
        """`comes`: the total stands in the next cycle."""
        multiply = self._multiply
        m.submodules.multiply = share(multiply, multiply.kind, platform)
        ends = Signal(multiply.latency + 2)
        bound = Signal(BOUND_BITS, reset_less=True)
        share_ = multiply.o[UNITY_BITS:]
        m.d.sync += ends.eq(Cat(comes, ends[:-1]))
        m.d.comb += [
            multiply.a.eq(Cat(total, 0)),
            multiply.b.eq(self.threshold),
            multiply.enable.eq(ends[:-2]),
            self.done.eq(ends[-1]),
            self.bound.eq(bound),
        ]
        with m.If(ends[-2]):
            m.d.sync += bound.eq(share_[:BOUND_BITS] | share_[BOUND_BITS:].any().replicate(BOUND_BITS))
