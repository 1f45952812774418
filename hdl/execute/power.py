# SPDX-License-Identifier: Apache-2.0
"""One key's share of a softmax: how far its score is below the row's largest, to a power of two.

    largest ─┐       ┌─────────────┐          ┌────────────┐     ┌── n & 63 ─► table ─┐
             ├─ − ──►│ · mul       │─► sum ──►│ >> shift   │─► n ┤                    ├─ >> ─► power
    score ───┘       │ rows, CSA   │          │ by 8s, 1s  │     └── n >> 6 ──────────┘
                     └─────────────┘          └────────────┘

`mul` is the same in all lanes, and so is the rounding term. What is not kept clears its power, and nothing else moves.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.execute import ENTRY_BITS, FRACTION_BITS, POWER_BITS, PROBABILITY_BITS
from config.requantise import MAX_SHIFT, MUL_BITS, SHIFT_BITS
from hdl.arith.adder import add_in_slices, add_in_two
from hdl.arith.compress import CarrySaveTree, Word, cuts
from hdl.arith.requantise import FINE_BITS, FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS
from hdl.behaviour import behavioural
from hdl.delay import delayed
from hdl.shared import share

WHOLE_BITS = POWER_BITS.bit_length()
"""Of an exponent's whole part; powers are 0 long before it reaches 2^WHOLE_BITS."""
STEP_BITS = FRACTION_BITS + WHOLE_BITS
NEAR_BITS = STEP_BITS + (1 << FINE_BITS) - 1
"""What is wider than this no fine shift brings into `STEP_BITS`."""
TABLE = [round(2 ** (ENTRY_BITS - n / (1 << FRACTION_BITS))) for n in range(1 << FRACTION_BITS)]


def rounding(shift: Value) -> Value:
    """2^(shift-1), for shifts from 1."""
    return Cat(shift == k + 1 for k in range(MAX_SHIFT))


def common_settings(m: Module, power: "Power", enable: list[Value], exponent: data.View) -> dict[str, Value]:
    """What all powers of a beat are given beside their scores, of `exponent`, a `MULTIPLIER` in front of stage 1:
    each in front of the stage that has a use for it. `enable`: of the stages."""
    muls, shifts = {1: exponent.mul}, {1: exponent.shift}
    for values, end in ((muls, power.multiply), (shifts, power.coarse + 1)):
        for stage in range(1, end):
            values[stage + 1] = after = Signal.like(values[1], name=f"exponent{end}_{stage}", reset_less=True)
            with m.If(enable[stage]):
                m.d.sync += after.eq(values[stage])
    round_by = Signal(MAX_SHIFT, reset_less=True)
    with m.If(enable[power.multiply - 1]):
        m.d.sync += round_by.eq(rounding(shifts[power.multiply - 1]))
    return {
        "mul": muls[power.multiply],
        "rounding": round_by,
        "shift": shifts[power.coarse],
        "fine": shifts[power.coarse + 1][:FINE_BITS],
    }


class Power(wiring.Component):
    """table[n & 63] << 6 >> (n >> 6), with n = ((largest - score)·mul + rounding) >> shift; 0 for what is not kept.

    Parameters: `score_bits` of a score, unsigned. `coded`: there is a code. `max_shift`: the largest that comes.

    Members
    -------
    enable: In, `latency`. Bit s lets register stage s take what stands in front of it.
    kept: In, 1, and score: In, score_bits: in front of stage 0. A score that is kept is not above `largest`.
    largest: In, score_bits: in front of stage 1.
    mul: In, 16, and rounding: In, max_shift, 2^(shift-1): in front of stage `multiply`.
    shift: In, 6: in front of stage `coarse`. fine: In, 3, its lowest bits: in front of the stage behind that.
    power: Out, 22, 0 to 2^21, and, if `coded`, code: Out, 8, that of it: behind the last stage.
    """

    def __init__(self, score_bits: int, *, coded: bool = True, max_shift: int = MAX_SHIFT):
        self._score_bits, self._coded = score_bits, coded
        words = [*(Word(score_bits, i) for i in range(MUL_BITS)), Word(max_shift)]
        bits = max(score_bits + MUL_BITS, max_shift) + 1
        self._tree = CarrySaveTree(
            words=words, bits=bits, cuts=cuts(len(words), FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS)
        )
        super().__init__(
            {
                "enable": In(self.latency),
                "kept": In(1),
                "score": In(score_bits),
                "largest": In(score_bits),
                "mul": In(MUL_BITS),
                "rounding": In(max_shift),
                "shift": In(SHIFT_BITS),
                "fine": In(FINE_BITS),
                "power": Out(POWER_BITS + 1),
                **({"code": Out(PROBABILITY_BITS)} if coded else {}),
            }
        )

    multiply = 3
    """Stages in front of this one: the score, and two for how far it is below the largest."""

    @property
    def coarse(self) -> int:
        """The stage that shifts by multiples of 8: behind the tree's, and two for the sum."""
        return self.multiply + self._tree.latency + 2

    @property
    def latency(self) -> int:
        """Register stages: as above; the fine shift, the table's entry, the power."""
        return self.coarse + 4

    def elaborate(self, platform):
        m = Module()
        enable = self._enables(m)
        score = Signal(self._score_bits, name="score0", reset_less=True)
        with m.If(enable[0]):
            m.d.sync += score.eq(self.score)
        # largest - score = ~(~largest + score)
        below = ~add_in_two(m, [~self.largest, score], *enable[1:3])
        total = self._multiply(m, below, enable[self.multiply : self.coarse], platform)
        self._raise(m, self._shifted(m, total, enable), enable)
        if self._coded:
            code = Code()
            m.submodules.code = share(code, "code", platform)
            m.d.comb += [code.power.eq(self.power), self.code.eq(code.o)]
        return m

    def _multiply(self, m: Module, below: Value, enable: list[Value], platform) -> Value:
        """below·mul + rounding."""
        tree = self._tree
        if behavioural(platform, tree):
            return delayed(m, (below * self.mul + self.rounding)[: tree.bits], "total", enable)
        # With and without a code there are trees of two sizes in a top.
        m.submodules.tree = share(tree, "power_tree" if self._coded else "bare_power_tree", platform)
        rows = [below & bit.replicate(self._score_bits) for bit in self.mul]
        m.d.comb += [tree.i.eq(Cat(*rows, self.rounding)), tree.enable.eq(Cat(enable[: tree.latency]))]
        return add_in_two(m, list(tree.o), *enable[tree.latency :])

    def _enables(self, m: Module) -> list[Value]:
        """Of each stage for a score that is kept; of the last one, whether it is."""
        kept, enable = self.kept, []
        for stage in range(self.latency - 1):
            enable.append(self.enable[stage] & kept)
            after = Signal(name=f"kept{stage}", reset_less=True)
            with m.If(self.enable[stage]):
                m.d.sync += after.eq(kept)
            kept = after
        return [*enable, kept]

    def _shifted(self, m: Module, total: Value, enable: list[Value]) -> tuple[Signal, Signal]:
        """n, and whether it is beyond its bits."""
        for bit in reversed(range(FINE_BITS, SHIFT_BITS)):
            total = Mux(self.shift[bit], total >> (1 << bit), total)
        near, beyond = Signal(NEAR_BITS, reset_less=True), Signal(reset_less=True)
        steps, far = Signal(STEP_BITS, reset_less=True), Signal(reset_less=True)
        fine = near >> self.fine
        with m.If(enable[self.coarse]):
            m.d.sync += [near.eq(total), beyond.eq(total[NEAR_BITS:].any())]
        with m.If(enable[self.coarse + 1]):
            m.d.sync += [steps.eq(fine), far.eq(beyond | fine[STEP_BITS:].any())]
        return steps, far

    def _raise(self, m: Module, exponent: tuple[Signal, Signal], enable: list[Value]) -> None:
        """The power of an exponent."""
        steps, far = exponent
        entry, whole = Signal(ENTRY_BITS + 1, reset_less=True), Signal(WHOLE_BITS, reset_less=True)
        gone, power = Signal(reset_less=True), Signal(POWER_BITS + 1, reset_less=True)
        with m.If(enable[-2]):
            m.d.sync += [
                entry.eq(_entry(steps)),
                whole.eq(steps[FRACTION_BITS:]),
                gone.eq(far),
            ]
        raised = Cat(Const(0, POWER_BITS - ENTRY_BITS), entry) >> whole
        with m.If(self.enable[-1]):
            m.d.sync += power.eq(Mux(enable[-1] & ~gone, raised, 0))
        m.d.comb += self.power.eq(power)


def _entry(steps: Value) -> Value:
    """The table as multiplexers of constants, which is what logic is made of best."""
    entries: list[Value] = [Const(value, ENTRY_BITS + 1) for value in TABLE]
    for bit in steps[:FRACTION_BITS]:
        entries = [Mux(bit, odd, even) for even, odd in zip(entries[::2], entries[1::2], strict=True)]
    return entries[0]


class Code(wiring.Component):
    """o = (255·power + 2^20) >> 21, as 256·power - power. Combinational.

    Members: `power`: In, 22, to 2^21; `o`: Out, 8.
    """

    def __init__(self):
        super().__init__({"power": In(POWER_BITS + 1), "o": Out(PROBABILITY_BITS)})

    def elaborate(self, platform):
        m = Module()
        bits = POWER_BITS + 1 + PROBABILITY_BITS
        a = Cat(Const(0, PROBABILITY_BITS), self.power)
        b = Cat(~self.power, Const(-1, PROBABILITY_BITS))
        c = Const(1 << (POWER_BITS - 1), bits)
        sums, carries = Signal(bits), Signal(bits)
        m.d.comb += [
            sums.eq(a ^ b ^ c),
            carries.eq(Cat(0, (a & b) | (a & c) | (b & c))),
            self.o.eq(add_in_slices(sums, carries, 1)[POWER_BITS:]),
        ]
        return m
