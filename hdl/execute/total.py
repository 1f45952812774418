# SPDX-License-Identifier: Apache-2.0
"""The sum of a row's powers, and the division that it asks for.

powers ─► CSA ─► sum ─► + ─┬─► leading one ─► 16 bits below it ─► divisor ─┐
                       ▲   │                └► shift + its place ──────────┼─► o
                 total └───┘                                       mul ────┘
"""

from contextlib import nullcontext

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import DIVISOR_BITS, POWER_BITS
from config.requantise import SHIFT_BITS
from hdl.arith.adder import add_in_slices, add_in_two
from hdl.arith.compress import CarrySaveTree, Word, cuts
from hdl.arith.divide import operands_layout
from hdl.arith.leading_one import binary, one_hot_leading
from hdl.arith.requantise import LATER_STAGE_LEVELS
from hdl.execute.layouts import MULTIPLIER
from hdl.shared import share

PART_BITS = 10
"""Of a chain of carries that is mapped for area, with what chooses in front of it."""


def along(
    m: Module, enter: Value, last: Value, stages: int, *, advance: Value | None = None
) -> tuple[list[Value], list[Value]]:
    """In front of each of so many register stages, and behind the last: whether something stands there, and whether
    that ends a row. `advance`: whether the stages move; always, if left out."""
    valids, lasts = [enter], [last]
    for stage in range(stages):
        valid, ends = Signal(name=f"valid{stage}"), Signal(name=f"last{stage}", reset_less=True)
        with nullcontext() if advance is None else m.If(advance):
            m.d.sync += valid.eq(valids[stage])
            with m.If(valids[stage]):
                m.d.sync += ends.eq(lasts[stage])
        valids.append(valid)
        lasts.append(ends)
    return valids, lasts


class Total(wiring.Component):
    """Sums up the powers of a row; the division of its multiplier is what leaves.

    Parameters
    ----------
    powers: what a beat brings, as a port. keys: the most that a row has. tells: there is `told`.

    Members
    -------
    advance: Out, 1: a beat can be taken. It depends on no input. enter: In, 1, only with `advance`: a beat
    comes; last: In, 1: the last one of its row.
    leave: Out, 1: `multiplier` is to be that of the next row from the next cycle on; multiplier: In, `MULTIPLIER`.
    o: Out, stream of `operands_layout(16, 6)`: mul, the total's top 16 bits or 2^15 for a total of 0, and shift + the
    bits that the total has over 22. told: Out, 1: `total`, Out, is that of a row, in this cycle, in the order of rows.

    Whoever inherits says how beats are added, and the `latency`, of which the division is the last stage.
    """

    def __init__(self, powers: dict[str, wiring.Member], keys: int, *, tells: bool = False):
        self._tells = tells
        self._total_bits = POWER_BITS + keys.bit_length()
        super().__init__(
            {
                "advance": Out(1),
                "enter": In(1),
                **powers,
                "last": In(1),
                "leave": Out(1),
                "multiplier": In(MULTIPLIER),
                "o": Out(stream.Signature(operands_layout(DIVISOR_BITS, SHIFT_BITS))),
                **({"told": Out(1), "total": Out(self._total_bits)} if tells else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        enable, lasts = self._control(m)
        total = self._sum(m, enable, lasts, platform)
        m.d.comb += self.leave.eq(enable[-2] & lasts[-2])
        self._offer(m, enable[-1] & lasts[-1], self._division(m, total))
        if self._tells:
            m.d.comb += [self.told.eq(enable[-1] & lasts[-1]), self.total.eq(total)]
        return m

    def _offer(self, m: Module, comes: Value, division: data.View) -> None:
        """A second place for what comes while the first cannot leave, so that nothing upstream hangs on `o.ready`."""
        spare, held = Signal(division.shape(), reset_less=True), Signal()
        free = Signal()
        payload = Signal(division.shape(), name="offered", reset_less=True)
        m.d.comb += [self.o.payload.eq(payload), self.advance.eq(~held), free.eq(~self.o.valid | self.o.ready)]
        with m.If(free):
            m.d.sync += [self.o.valid.eq(comes | held), held.eq(0)]
            with m.If(comes | held):
                m.d.sync += payload.eq(Mux(held, spare, division))
        with m.Elif(comes):
            m.d.sync += [spare.eq(division), held.eq(1)]

    def _control(self, m: Module) -> tuple[list[Value], list[Value]]:
        """For each register stage: whether it takes what stands in front of it, and whether that ends a row."""
        valids, lasts = along(m, self.enter, self.last, self.latency - 1, advance=self.advance)
        return [self.advance & valid for valid in valids], lasts

    def _division(self, m: Module, total: Value) -> data.View:
        """Without a leading one, which is that of a row without keys, there is nothing over, and the divisor 2^15."""
        leading = Signal(self._total_bits - POWER_BITS)
        low = POWER_BITS + 1 - DIVISOR_BITS
        windows = [
            total[low + n : low + n + DIVISOR_BITS] & one.replicate(DIVISOR_BITS) for n, one in enumerate(leading)
        ]
        m.d.comb += leading.eq(Cat(one_hot_leading(total[POWER_BITS:])))
        divisor = Cat(Cat(window[bit] for window in windows).any() for bit in range(DIVISOR_BITS - 1))
        over = binary(list(leading), (len(leading) - 1).bit_length())
        division = Signal(self.o.payload.shape())
        m.d.comb += [
            division.dividend.eq(self.multiplier.mul),
            division.divisor.eq(Cat(divisor, 1)),
            division.tag.eq(self.multiplier.shift + over),
        ]
        return division


def beat_tree(lanes: int) -> CarrySaveTree:
    """That of the powers of a beat."""
    return CarrySaveTree(
        words=[Word(POWER_BITS + 1)] * lanes,
        bits=POWER_BITS + lanes.bit_length(),
        cuts=cuts(lanes, LATER_STAGE_LEVELS, LATER_STAGE_LEVELS),
    )


def add_beats(m: Module, beat: Value, bits: int, enable: list[Value], lasts: list[Value]) -> Value:
    """The total so far, of `bits`, in two stages: the upper half of a beat, and the carry into it, a cycle after the
    lower. enable, lasts: of both, whether it takes what stands in front of it, and whether that ends a row."""
    half = bits // 2
    slice_bits = -(-half // 2)
    low, low_before, carry = Signal(half, reset_less=True), Signal(half, reset_less=True), Signal(reset_less=True)
    above = Signal(len(beat) - half, reset_less=True)
    high = Signal(bits - half, reset_less=True)
    within = [Signal(name=f"within{stage}") for stage in range(2)]
    with m.If(enable[0]):
        m.d.sync += [
            within[0].eq(~lasts[0]),
            Cat(low, carry).eq(add_in_slices(low & within[0].replicate(half), beat[:half], longest=slice_bits)),
            above.eq(beat[half:]),
        ]
    # The carry enters below the lowest bit, so that there are two words to add.
    so_far = Cat(Const(1, 1), high & within[1].replicate(len(high)))
    more = Cat(carry, above, Const(0, len(high) - len(above)))
    with m.If(enable[1]):
        m.d.sync += [
            within[1].eq(~lasts[1]),
            high.eq(add_in_slices(so_far, more, longest=slice_bits + 1)[1:-1]),
            low_before.eq(low),
        ]
    return Cat(low_before, high)


class RowTotal(Total):
    """That of beats of `lanes` powers.

    Parameters: `lanes`; `keys`. Members: as those of `Total`; powers: In, lanes of 22 bits.
    """

    def __init__(self, lanes: int, keys: int):
        self._tree = beat_tree(lanes)
        super().__init__({"powers": In(data.ArrayLayout(POWER_BITS + 1, lanes))}, keys)

    @property
    def latency(self) -> int:
        """Register stages: the tree's, two for the sum of a beat, two for the total, the division."""
        return self._tree.latency + 5

    def _sum(self, m: Module, enable: list[Value], lasts: list[Value], platform) -> Value:
        tree = self._tree
        m.submodules.tree = share(tree, "total_tree", platform)
        m.d.comb += [tree.i.eq(self.powers), tree.enable.eq(Cat(enable[: tree.latency]))]
        adding = tree.latency + 2
        beat = add_in_two(m, list(tree.o), *enable[tree.latency : adding])
        return add_beats(m, beat, self._total_bits, enable[adding : adding + 2], lasts[adding : adding + 2])


class KeyTotal(Total):
    """That of a power in each beat: parts of the total one after the other, each with the carry of the one below.

    Parameters: `keys`, `tells`. Members: as those of `Total`; power: In, 22.
    """

    def __init__(self, keys: int, *, tells: bool = False):
        super().__init__({"power": In(POWER_BITS + 1)}, keys, tells=tells)

    @property
    def latency(self) -> int:
        """Register stages: one for each part, the division."""
        return -(-self._total_bits // PART_BITS) + 1

    def _sum(self, m: Module, enable: list[Value], lasts: list[Value], platform) -> Value:
        more: Value = Cat(self.power, Const(0, self._total_bits - len(self.power)))
        below, carry = Const(0, 0), Const(0, 1)
        for stage in range(self.latency - 1):
            bits = min(PART_BITS, len(more))
            within = Signal(name=f"within{stage}")
            part, carried = (
                Signal(n, name=f"{name}{stage}", reset_less=True) for name, n in (("part", bits), ("carry", 1))
            )
            known = Signal(len(below), name=f"below{stage}", reset_less=True)
            above = Signal(len(more) - bits, name=f"above{stage}", reset_less=True)
            with m.If(enable[stage]):
                m.d.sync += [
                    within.eq(~lasts[stage]),
                    Cat(part, carried).eq((part & within.replicate(bits)) + more[:bits] + carry),
                    known.eq(below),
                    above.eq(more[bits:]),
                ]
            below, carry, more = Cat(known, part), carried, above
        return below
