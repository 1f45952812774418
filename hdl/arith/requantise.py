# SPDX-License-Identifier: Apache-2.0
"""Requantiser: a wide accumulator back to few bits, acc·mul / 2^shift with round half up and saturation.

    acc, mul ─► 16 rows ─┐        ┌──────┐   ┌──────────┐   ┌───────┐       ┌─────────┐
    2^(shift-1) ─────────┼─ CSA ─►│ s, c │──►│ two sums │──►│ total │─ >> ─►│ +7 bits │─ >> ─ clip ─► o
    signs, offset ───────┘        └──────┘   │ a slice  │   └───────┘ by 8s └─────────┘ by 1s
                                             └──────────┘

The rows are acc under each bit of mul. A signed row is its pattern with the top bit inverted, less 2^(width-1); what
has to come off all of them is one constant. The top row of a signed mul counts negative: its complement, and 1. The
rounding term is a word as well, so that one carry chain does for all.
The sum is cut into slices, added both with and without a carry from below; then each carry chooses.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from config.requantise import MAX_SHIFT, MUL_BITS, OUTPUT_BITS, SHIFT_BITS, internal_bits
from hdl.arith.adder import add_in_two
from hdl.arith.compress import CarrySaveTree, Word, cuts
from hdl.behaviour import behavioural
from hdl.delay import delayed
from hdl.shared import share

MIN_ACC_BITS, MAX_ACC_BITS = 2, 46
MAX_OUT_BITS = 24

FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS = 4, 7
"""Carry-save levels that fit a nanosecond in 45 nm, behind the rows and between registers."""

FINE_BITS = 3
"""Bits of `shift` for the last stage; the stage before it shifts by multiples of 2^FINE_BITS."""


class Requantiser(wiring.Component):
    """clip((acc·mul + offset + 2^(shift-1)) >> shift) to `out_bits` bits, one a cycle, `latency` cycles from i to o.

    Parameters
    ----------
    acc_bits: width of the accumulator, 2 to 46. out_bits: of the result, 2 to 24. signed_mul: mul is signed.
    offset_bits: of a signed summand, 2 to 40, or 0 for none. max_shift: largest shift, 40 to 62. Raises `Refusal`
    for anything else.

    Members
    -------
    i: In, stream of signed(acc_bits).
    mul: In, 16. The multiplier, unsigned, or signed by `signed_mul`, taken with each transfer of `i`: one setting per
    result, or held still.
    shift: In, 6. The shift, 1 to `max_shift`, taken likewise. Results of other shifts mean nothing.
    offset: In, signed(offset_bits), taken likewise. Absent without bits.
    o: Out, stream of signed(out_bits), in the order of `i`.

    `o.ready` low holds the whole pipeline; `o.valid` does not depend on it. Empty after reset.
    """

    def __init__(
        self,
        *,
        acc_bits: int,
        out_bits: int = OUTPUT_BITS,
        signed_mul: bool = False,
        offset_bits: int = 0,
        max_shift: int = MAX_SHIFT,
    ):
        require(
            isinstance(acc_bits, int) and MIN_ACC_BITS <= acc_bits <= MAX_ACC_BITS,
            f"acc_bits must be an integer from {MIN_ACC_BITS} to {MAX_ACC_BITS}, not {acc_bits!r}; "
            "set acc_bits to the accumulator's width.",
        )
        require(
            isinstance(out_bits, int) and 2 <= out_bits <= MAX_OUT_BITS,
            f"out_bits must be an integer from 2 to {MAX_OUT_BITS}, not {out_bits!r}; set it to the result's width.",
        )
        require(
            isinstance(offset_bits, int) and (offset_bits == 0 or 2 <= offset_bits <= MAX_SHIFT),
            f"offset_bits must be 0 or an integer from 2 to {MAX_SHIFT}, not {offset_bits!r}; narrow the offset.",
        )
        require(
            isinstance(max_shift, int) and MAX_SHIFT <= max_shift < (1 << SHIFT_BITS) - 1,
            f"max_shift must be an integer from {MAX_SHIFT} to {(1 << SHIFT_BITS) - 2}, not {max_shift!r}; lower it.",
        )
        self._max_shift = max_shift
        self._acc_bits, self._out_bits, self._signed_mul, self._offset_bits = (
            acc_bits,
            out_bits,
            signed_mul,
            offset_bits,
        )
        # An offset is no larger than the largest rounding term, so that with it the sum has at most one bit more.
        bits = internal_bits(acc_bits, max_shift) + bool(offset_bits)
        # The rows, the rounding term, the constant for the rows' signs, and what is not always there.
        words = [*(Word(acc_bits, i) for i in range(MUL_BITS)), Word(max_shift), Word(bits)]
        words += [Word(1, MUL_BITS - 1)] * signed_mul + [Word(offset_bits)] * bool(offset_bits)
        self._tree = CarrySaveTree(
            words=words, bits=bits, cuts=cuts(len(words), FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS)
        )
        offset = {"offset": In(signed(offset_bits))} if offset_bits else {}
        super().__init__(
            {
                "i": In(stream.Signature(signed(acc_bits))),
                "mul": In(signed(MUL_BITS) if signed_mul else MUL_BITS),
                "shift": In(SHIFT_BITS),
                **offset,
                "o": Out(stream.Signature(signed(out_bits))),
            }
        )

    @property
    def acc_bits(self) -> int:
        return self._acc_bits

    @property
    def latency(self) -> int:
        """Register stages from i to o: the tree's, two for the total, the coarse shift, the result."""
        return self._tree.latency + 4

    def elaborate(self, platform):
        m = Module()
        coarse, fine = self.latency - 2, self.latency - 1
        if behavioural(platform, self._tree):
            enable, shifts = self._control(m)
            total = self._behave(m, enable[:coarse])
        else:
            m.submodules.tree = share(self._tree, f"requantiser_{self._kind}_tree", platform)
            enable, shifts = self._control(m)
            total = self._multiply(m, enable[:coarse])

        shifted = self._shift_coarse(total, shifts[coarse])
        # What is wider than this no fine shift brings into the output's range.
        out_bits, near_bits = self._out_bits, self._out_bits + (1 << FINE_BITS) - 1
        near = Signal(signed(near_bits), reset_less=True)
        negative, exceeds = Signal(reset_less=True), Signal(reset_less=True)
        with m.If(enable[coarse]):
            m.d.sync += [near.eq(shifted), negative.eq(total[-1]), exceeds.eq(_exceeds(shifted, near_bits))]

        result = near >> shifts[fine][:FINE_BITS]
        limit = Cat((~negative).replicate(out_bits - 1), negative)
        output = Signal(signed(out_bits), reset_less=True)
        m.d.comb += self.o.payload.eq(output)
        with m.If(enable[fine]):
            m.d.sync += output.eq(Mux(exceeds | _exceeds(result, out_bits), limit, result))
        return m

    @property
    def _kind(self) -> str:
        """A name that only equal trees have."""
        kind = f"{self._acc_bits}_{self._offset_bits}" + "s" * self._signed_mul
        return kind + f"_{self._max_shift}" * (self._max_shift > MAX_SHIFT)

    def _multiply(self, m: Module, enable: list[Value]) -> Value:
        """acc·mul with all that is added to it."""
        tree = self._tree
        m.d.comb += [tree.i.eq(Cat(self._words())), tree.enable.eq(Cat(enable[: tree.latency]))]
        return add_in_two(m, list(tree.o), *enable[tree.latency :]).as_signed()

    def _behave(self, m: Module, enable: list[Value]) -> Value:
        """What `_multiply` comes to."""
        rounding = (Const(1, 1) << self.shift)[1 : self._max_shift + 1]
        found = self.i.payload * self.mul + rounding
        if self._offset_bits:
            found = found + self.offset
        return delayed(m, found[: self._tree.bits].as_signed(), "total", enable)

    def _control(self, m: Module) -> tuple[list[Value], list[Value]]:
        """For each register stage: whether it takes what stands in front of it, and that result's shift."""
        advance = Signal()
        valids, shifts = [self.i.valid], [self.shift]
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        for stage in range(self.latency - 1):
            valid = Signal(name=f"valid{stage}")
            shift = Signal(SHIFT_BITS, name=f"shift{stage}", reset_less=True)
            with m.If(advance):
                m.d.sync += valid.eq(valids[stage])
                with m.If(valids[stage]):
                    m.d.sync += shift.eq(shifts[stage])
            valids.append(valid)
            shifts.append(shift)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valids[-1])
        return [advance & valid for valid in valids], shifts

    def _words(self) -> list[Value]:
        """The words of the sum, as unsigned patterns."""
        acc_bits, bits = self._acc_bits, self._tree.bits
        inverted = 1 << (acc_bits - 1)
        acc = self.i.payload.as_unsigned()
        rows = [(acc & bit.replicate(acc_bits)) ^ inverted for bit in self.mul]
        rounding = Cat(self.shift == k + 1 for k in range(self._max_shift))
        signs = -inverted * ((1 << MUL_BITS) - 1)
        more = []
        if self._signed_mul:
            top = self.mul[-1]
            rows[-1] = (~acc & top.replicate(acc_bits)) ^ inverted
            more.append(top)
        if self._offset_bits:
            top = 1 << (self._offset_bits - 1)
            more.append(self.offset.as_unsigned() ^ top)
            signs -= top
        return [*rows, rounding, Const(signs % (1 << bits), bits), *more]

    @staticmethod
    def _shift_coarse(total: Value, shift: Value) -> Value:
        """`total` moved down by `shift`, but for its lowest `FINE_BITS` bits."""
        for bit in reversed(range(FINE_BITS, SHIFT_BITS)):
            total = Mux(shift[bit], total >> (1 << bit), total)
        return total


def _exceeds(value: Value, bits: int) -> Value:
    """Does the signed `value` need more than `bits` bits?"""
    above = value[bits - 1 :]
    return above.any() & ~above.all()
