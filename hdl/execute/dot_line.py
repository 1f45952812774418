# SPDX-License-Identifier: Apache-2.0
"""A dot line: a row of operands times another, lane by lane, and all products to one sum.

a ─► digits ─┤reg├─┐
b ───────────┤reg├─┴─► partial products, all lanes ─► adders ─┤reg├─► … ─┤pair├─► + sum ─┤sum├─► o
                                                                                    ▲       │
                                                                      nothing, if first ◄───┘
"""

from amaranth.hdl import Cat, Const, Module, Mux, ShapeLike, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.array import require_range
from config.formats import OPERAND_BITS
from config.pe_arrays import PeArraysConfig
from hdl.arith.adder import IncrementingAdder
from hdl.arith.columns import ColumnTree
from hdl.arith.compress import CarrySaveTree, Word, cuts_of, words_layout
from hdl.behaviour import behavioural, total
from hdl.delay import delayed
from hdl.execute.line import MAX_TAG_BITS, row_layout
from hdl.execute.pe_lane import DIGITS, DIGITS_LAYOUT, WORDS, partials, recode
from hdl.shared import share

PRODUCT_WORDS = (*WORDS[:DIGITS], *WORDS[DIGITS + 1 :])
"""Of a product of int8: as those of a scalar of 9 bits, but that its topmost digit is always 0."""
PRODUCT_BIAS = sum(1 << (word.end - 1) for word in WORDS[:DIGITS])
"""A product's words are so much more than it, as the top bits of the signed ones are inverted."""

FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS = 7, 7
"""Levels of adders that fit a nanosecond in 45 nm: behind the partial products, and alone."""


def untimed(payload: ShapeLike) -> wiring.Signature:
    """A stream that is taken in every cycle: `valid` and `payload`, and nothing that could make it wait."""
    return wiring.Signature({"valid": Out(1), "payload": Out(payload)})


def beat_layout(config: PeArraysConfig, tag_bits: int) -> data.StructLayout:
    """Rows `a` and `b`, whose dot product joins the sum; `first` and `last` of an item; `tag`, taken with its last
    beat; `hold`: not this `a`, but that of the beat before once more."""
    row = row_layout(config.lanes)
    return data.StructLayout({"a": row, "b": row, "first": 1, "last": 1, "tag": tag_bits, "hold": 1})


def sum_layout(config: PeArraysConfig, tag_bits: int) -> data.StructLayout:
    """An item's sum and tag."""
    return data.StructLayout({"sum": signed(config.acc_bits), "tag": tag_bits})


class DotProduct(wiring.Component):
    """A lane: operands in registers, and the words of their product.

    Members: `a`, `b`: In, signed(8); `enter_a`, `enter_b`: In, 1: each enters its register. `o`: Out, `PRODUCT_WORDS`:
    a·b + `PRODUCT_BIAS`, a cycle later.
    """

    def __init__(self):
        operand = signed(OPERAND_BITS)
        enter = {"enter_a": In(1), "enter_b": In(1)}
        super().__init__({"a": In(operand), "b": In(operand), **enter, "o": Out(words_layout(PRODUCT_WORDS))})

    def elaborate(self, platform):
        m = Module()
        digits, shown = Signal(3 * DIGITS, reset_less=True), Signal(DIGITS_LAYOUT)
        b = Signal(self.b.shape(), reset_less=True)
        with m.If(self.enter_a):
            m.d.sync += digits.eq(recode(Cat(self.a, self.a[-1])))
        with m.If(self.enter_b):
            m.d.sync += b.eq(self.b)
        m.d.comb += shown.as_value().eq(digits)
        words = partials(b, shown)
        m.d.comb += self.o.eq(Cat(words[:DIGITS], words[DIGITS + 1 :]))
        return m


class DotLine(wiring.Component):
    """Σ over lanes and beats of a·b: a beat a cycle, whatever the lengths of items, and a sum for each item.

    Parameters
    ----------
    config: `lanes`, and the width of a sum. tag_bits: of what accompanies an item, 1 to 64.

    Members
    -------
    i: In, `untimed(beat_layout(config, tag_bits))`. Items may follow each other without a gap, and have one beat.
    o: Out, `untimed(sum_layout(config, tag_bits))`: an item's sum, for a cycle, `latency` cycles behind its last beat.

    One accumulator, and no place where a sum could wait: whoever gives beats has room for what they come to. Without
    beats nothing toggles. Empty after reset.
    """

    def __init__(self, config: PeArraysConfig, *, tag_bits: int = 1):
        require_range("tag_bits", tag_bits, 1, MAX_TAG_BITS)
        self._config, self._tag_bits = config, tag_bits
        largest = config.lanes * sum(((1 << word.bits) - 1) << word.column for word in PRODUCT_WORDS)
        self._tree = ColumnTree(
            words=PRODUCT_WORDS * config.lanes,
            bits=largest.bit_length(),
            cuts=lambda levels: cuts_of(levels, FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS),
        )
        super().__init__(
            {
                "i": In(untimed(beat_layout(config, tag_bits))),
                "o": Out(untimed(sum_layout(config, tag_bits))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from an item's last beat to its sum: operands, the tree's stages, the sum."""
        return self._tree.latency + 2

    def elaborate(self, platform):
        m = Module()
        if behavioural(platform, self._tree):
            enable, marks = self._control(m)
            self._behave(m, enable, marks.first)
        else:
            words = self._multiply(m, platform)
            enable, marks = self._control(m)
            m.d.comb += [self._tree.i.eq(Cat(words)), self._tree.enable.eq(Cat(enable[1:-1]))]
            self._accumulate(m, enable[-1], marks.first, platform)
        tag = Signal(self._tag_bits, reset_less=True)
        m.d.comb += self.o.payload.tag.eq(tag)
        m.d.sync += self.o.valid.eq(enable[-1] & marks.last)
        with m.If(enable[-1] & marks.last):
            m.d.sync += tag.eq(marks.tag)
        return m

    def _multiply(self, m: Module, platform) -> list[Value]:
        """The words of all products, to be summed by the tree."""
        beat, words = self.i.payload, []
        m.submodules.tree = share(self._tree, "dot_tree", platform)
        for number in range(self._config.lanes):
            product = DotProduct()
            m.submodules[f"product{number}"] = share(product, "dot_product", platform)
            m.d.comb += [
                product.a.eq(beat.a[number]),
                product.b.eq(beat.b[number]),
                product.enter_a.eq(self.i.valid & ~beat.hold),
                product.enter_b.eq(self.i.valid),
            ]
            words.append(product.o)
        return words

    def _behave(self, m: Module, enable: list[Value], first: Value) -> None:
        """What the products, the tree and the accumulation come to."""
        beat = self.i.payload
        a, b = (Signal(row.shape(), name=name, reset_less=True) for name, row in (("a", beat.a), ("b", beat.b)))
        with m.If(enable[0]):
            m.d.sync += b.eq(beat.b)
            with m.If(~beat.hold):
                m.d.sync += a.eq(beat.a)
        found = delayed(m, total([x * y for x, y in zip(a, b, strict=True)]), "found", enable[1:-1])
        result = Signal.like(self.o.payload.sum, name="total", reset_less=True)
        m.d.comb += self.o.payload.sum.eq(result)
        with m.If(enable[-1]):
            m.d.sync += result.eq(found + Mux(first, 0, result))

    def _control(self, m: Module) -> tuple[list[Value], data.View]:
        """For each register stage whether it takes what stands in front of it, and the marks of the last one's beat."""
        layout = data.StructLayout({"first": 1, "last": 1, "tag": self._tag_bits})
        given = Signal(layout)
        m.d.comb += [given[name].eq(self.i.payload[name]) for name in layout.members]
        enable, marks = [self.i.valid], given
        for stage in range(self.latency - 1):
            valid = Signal(name=f"valid{stage}")
            later = Signal(layout, name=f"marks{stage}", reset_less=True)
            m.d.sync += valid.eq(enable[-1])
            with m.If(enable[-1]):
                m.d.sync += [later.first.eq(marks.first), later.last.eq(marks.last)]
            with m.If(enable[-1] & marks.last):
                m.d.sync += later.tag.eq(marks.tag)
            enable, marks = [*enable, valid], later
        return enable, marks

    def _accumulate(self, m: Module, update: Value, first: Value, platform) -> None:
        """sum = s + c - bias + (sum, unless it is the first), as the adder adds 1 beside."""
        bits = self._config.acc_bits
        pair = [word[:bits] for word in self._tree.o]
        bias = -(self._config.lanes * PRODUCT_BIAS + 1)
        total = Signal(signed(bits), reset_less=True)
        merge = CarrySaveTree(words=[*(Word(len(word)) for word in pair), Word(bits), Word(bits)], bits=bits)
        m.submodules.merge = share(merge, "dot_merge", platform)
        adder = IncrementingAdder(bits)
        m.submodules.adder = share(adder, "dot_adder", platform)
        m.d.comb += [
            merge.i.eq(Cat(pair, Const(bias % (1 << bits), bits), Mux(first, 0, total.as_unsigned()))),
            adder.a.eq(merge.o[0]),
            adder.b.eq(merge.o[1]),
            self.o.payload.sum.eq(total),
        ]
        with m.If(update):
            m.d.sync += total.eq(adder.o)
