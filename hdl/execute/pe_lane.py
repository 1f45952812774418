# SPDX-License-Identifier: Apache-2.0
"""A lane of a PE line: a scalar times its own operand each cycle, added to a sum; and where a finished sum waits.

digits of a ─────────────────┐
                             ▼
b ─► b register ─► Booth's partial products ─┐       ┌──────┐         ┌──────┐
                             ┌───────────────┴─ CSA ─┤ s, c ├─ keep ─►│ held ├─► sum, carry
                             └────────────────────── ┤      │         │      │
                             (nothing, if first)     └─ 2 bits ─► + ─►│ high │
                                                                      └──────┘
A product is 17 bits of unsigned words and a constant too large (`BIAS`): only these columns are added in every cycle,
with a carry chain of a few bits. What leaves them, at most 2, is counted above them a cycle later. The constants are
the same in all lanes, so the line subtracts them once.
"""

from amaranth.hdl import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.execute import PROBABILITY_BITS
from config.formats import OPERAND_BITS
from config.pe_arrays import PLACE_BITS
from hdl.arith.columns import ColumnTree
from hdl.arith.compress import Word
from hdl.shared import share

SCALAR_BITS = PROBABILITY_BITS + 1
"""Of a, signed: -128 to 127, or a code of 0 to 255."""
DIGITS = OPERAND_BITS // 2
"""Of a without its topmost one, -2 to 2 each."""

DIGITS_LAYOUT = data.StructLayout({"one": DIGITS, "two": DIGITS, "negative": DIGITS, "top": 1})
"""a = Σ ±(one, two)·4^i + top·4^4: of each digit whether it is 1 or -1, 2 or -2, and below 0; nothing is set for 0."""

WORDS = (
    *(Word(OPERAND_BITS + 1, 2 * digit) for digit in range(DIGITS)),
    Word(OPERAND_BITS, 2 * DIGITS),
    *(Word(1, 2 * digit) for digit in range(DIGITS)),
)
"""Of a product: the digits' partial products, that of the topmost one, and 1 for each negative digit's complement."""

BIAS = sum(1 << (word.end - 1) for word in WORDS[: DIGITS + 1])
"""A product's words are so much more than it, as the top bits of the signed ones are inverted."""
BIAS_SHIFT = (BIAS & -BIAS).bit_length() - 1
"""Columns below have no part in it."""

SLICE = 4
"""Columns that a carry passes in a cycle."""
CARRIES = tuple(Word(1, column) for column in range(SLICE, PLACE_BITS, SLICE))
"""Carries that wait for the next cycle, each in its column."""

assert sum(((1 << word.bits) - 1) << word.column for word in WORDS) < 1 << PLACE_BITS

CONTROL = data.StructLayout({"take": 1, "update": 1, "settle": 1, "settle_first": 1, "keep": 1, "keep_high": 1})
"""take: b enters its register. update: the product joins the sum. settle, settle_first: that, and whether it was the
sum's first one, a cycle later. keep: the sum goes to where it is held; keep_high: that, a cycle later."""

BUNDLE = 2
"""Lanes that have the digits of their scalar, and whether it is the first one, in registers of their own: more could
not be reached in time."""


def sum_layout(acc_bits: int) -> data.StructLayout:
    """A sum as two words, modulo 2^acc_bits: bit i of `carry` lies in column (i + 1)·SLICE."""
    return data.StructLayout({"sum": acc_bits, "carry": len(CARRIES)})


def recode(a: Value) -> Value:
    """`DIGITS_LAYOUT` of a, signed(SCALAR_BITS), from -128 to 255."""
    padded = Cat(Const(0, 1), a)
    triples = [padded[2 * i : 2 * i + 3] for i in range(DIGITS)]
    ones = Cat(t[0] ^ t[1] for t in triples)
    twos = Cat((t[2] ^ t[1]) & ~(t[0] ^ t[1]) for t in triples)
    negatives = Cat(t[2] & ~(t[1] & t[0]) for t in triples)
    return Cat(ones, twos, negatives, a[OPERAND_BITS - 1] & ~a[OPERAND_BITS])


def partials(b: Value, digits: data.View) -> list[Value]:
    """The words of a·b + BIAS, as `WORDS` places them."""
    once, twice = Cat(b, b[-1]), Cat(Const(0, 1), b)
    width, inverted = len(once), 1 << OPERAND_BITS
    words = []
    for one, two, negative in zip(digits.one, digits.two, digits.negative, strict=True):
        multiple = (once & one.replicate(width)) | (twice & two.replicate(width))
        words.append(multiple ^ negative.replicate(width) ^ inverted)
    words.append((b.as_unsigned() & digits.top.replicate(OPERAND_BITS)) ^ (inverted >> 1))
    return [*words, *digits.negative]


class PeLane(wiring.Component):
    """A sum of products modulo 2^acc_bits, and one that is held.

    Parameters: `acc_bits` of a sum, at least `PLACE_BITS` + 1.

    Members
    -------
    b: In, signed(8). digits: In, `DIGITS_LAYOUT`, of the scalar that b is to meet, a cycle behind it; first: In, 1,
    likewise: the product begins a sum. control: In, `CONTROL`.
    held: Out, `sum_layout(acc_bits)`: Σ (a·b + BIAS), whole two cycles behind `keep`.
    """

    def __init__(self, acc_bits: int):
        self._acc_bits = acc_bits
        self._tree = ColumnTree(words=[*WORDS, Word(PLACE_BITS), *CARRIES], bits=PLACE_BITS + 1)
        super().__init__(
            {
                "b": In(signed(OPERAND_BITS)),
                "digits": In(DIGITS_LAYOUT),
                "first": In(1),
                "control": In(CONTROL),
                "held": Out(sum_layout(acc_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.tree = share(self._tree, "pe_lane_tree", platform)
        tree, control = self._tree, self.control
        b = Signal(self.b.shape(), reset_less=True)
        low = Signal(data.StructLayout({"sum": PLACE_BITS, "carry": len(CARRIES)}), reset_less=True)
        # How often the columns of a product have been full, at most twice a cycle: it is counted a cycle later.
        out = Signal(2, reset_less=True)
        high = Signal(self._acc_bits - PLACE_BITS, reset_less=True)
        held_low, held_high = Signal.like(low, name="held_low"), Signal.like(high, name="held_high")
        with m.If(control.take):
            m.d.sync += b.eq(self.b)
        again = ~self.first
        words = [*partials(b, self.digits), low.sum & again.replicate(PLACE_BITS)]
        m.d.comb += tree.i.eq(Cat(words, low.carry & again.replicate(len(CARRIES))))
        sums, carries, over = _add_slices(*tree.o)
        with m.If(control.update):
            m.d.sync += [low.sum.eq(Cat(sums)), low.carry.eq(Cat(carries)), out.eq(over)]
        with m.If(control.settle):
            m.d.sync += high.eq((high & (~control.settle_first).replicate(len(high))) + out)
        with m.If(control.keep):
            m.d.sync += held_low.eq(low)
        with m.If(control.keep_high):
            m.d.sync += held_high.eq(high)
        m.d.comb += [self.held.sum.eq(Cat(held_low.sum, held_high)), self.held.carry.eq(held_low.carry)]
        return m


class PeBundle(wiring.Component):
    """Lanes beside each other, and the digits that they share.

    Parameters: `lanes`; `acc_bits` as in a lane.
    Members: `b`: In, a signed(8) for each lane. `digits`, `first`: In, in step with b, taken where `enter`, In, 1.
    `control`: In, `CONTROL`. `held`: Out, of each lane.
    """

    def __init__(self, lanes: int, acc_bits: int):
        self._lanes = [PeLane(acc_bits) for _ in range(lanes)]
        super().__init__(
            {
                "b": In(data.ArrayLayout(signed(OPERAND_BITS), lanes)),
                "digits": In(DIGITS_LAYOUT),
                "first": In(1),
                "enter": In(1),
                "control": In(CONTROL),
                "held": Out(data.ArrayLayout(sum_layout(acc_bits), lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        digits, first = Signal(DIGITS_LAYOUT, reset_less=True), Signal(reset_less=True)
        with m.If(self.enter):
            m.d.sync += [digits.eq(self.digits), first.eq(self.first)]
        for number, lane in enumerate(self._lanes):
            m.submodules[f"lane{number}"] = share(lane, "pe_lane", platform)
            m.d.comb += [
                lane.b.eq(self.b[number]),
                lane.digits.eq(digits),
                lane.first.eq(first),
                lane.control.eq(self.control),
                self.held[number].eq(lane.held),
            ]
        return m


def _add_slices(a: Value, b: Value) -> tuple[list[Value], list[Value], Value]:
    """Of a pair of words, PLACE_BITS + 1 each: the sums of all slices, the carries between them, and what is above."""
    sums, carries = [], []
    for low in range(0, SLICE * len(CARRIES), SLICE):
        total = a[low : low + SLICE] + b[low : low + SLICE]
        sums.append(total[:SLICE])
        carries.append(total[SLICE])
    low = SLICE * len(sums)
    total = a[low:] + b[low:]
    return [*sums, total[: PLACE_BITS - low]], carries, total[PLACE_BITS - low :]
