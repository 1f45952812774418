# SPDX-License-Identifier: Apache-2.0
"""Search among the earlier rows of a window for the critical one that is nearest, if one is near enough.

N ─► s·N ─┬─────────────────┐
          └─► kept per row ─┴─► s·(N + N') ─► ≥ 256·D? ─► critical, and nearer than the best so far? ─► reference
D ─► held ─► the step's ────────────────────────┘
"""

from itertools import pairwise

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import UNITY
from hdl.arith.compare import less
from hdl.arith.compress import CarrySaveTree, Word, levels
from hdl.cover import corner
from hdl.shared import share


class Fraction(wiring.Component):
    """s times a size, 2 cycles, one a cycle: the products of the bits of s through carry-save adders.

    Members: `s`: In, 0 to 256; `enable`: In, 1; `size`: In; `o`: Out, exact, from the second cycle on until the next.
    """

    def __init__(self, *, bits: int):
        self._bits = bits
        super().__init__({"s": In(range(UNITY + 1)), "enable": In(1), "size": In(bits), "o": Out(bits + 8)})

    def elaborate(self, platform):
        m = Module()
        words = [Word(self._bits, i) for i in range(len(self.s))]
        bits = self._bits + len(self.s)
        tree = CarrySaveTree(words=words, bits=bits, cuts=(levels(len(words)) - 1,))
        m.submodules.tree = share(tree, "spls_fraction_tree", platform)
        m.d.comb += [tree.i[str(i)].eq(self.size & bit.replicate(self._bits)) for i, bit in enumerate(self.s)]
        m.d.comb += tree.enable.eq(self.enable)
        summed, product = Signal(), Signal(len(self.o), reset_less=True)
        m.d.sync += summed.eq(self.enable)
        with m.If(summed):
            m.d.sync += product.eq(tree.o[0] + tree.o[1])
        m.d.comb += self.o.eq(product)
        return m


class Scanner(wiring.Component):
    """Decides one row behind the other; the next may start `steps` cycles later.

    Parameters
    ----------
    window: rows of a window, 2 or more. bits: of sizes and distances. width: earlier rows looked at in a step.

    Members
    -------
    s: In, 0 to 256. start: In, 1: a row is complete: place: In, in the window; size: In, its N; distance: In, its D to
    each place but the last, those from `place` on of no account.
    decided: Out, 1, at most `latency` cycles later; reference: Out, place of the critical row it is similar to, of
    itself if it is critical. Similar: 256·D ≤ s·(N + N'); the smallest D wins, then the lower place.
    """

    def __init__(self, *, window: int, bits: int, width: int):
        self._window, self._bits, self._width = window, bits, width
        super().__init__(
            {
                "s": In(range(UNITY + 1)),
                "start": In(1),
                "place": In(range(window)),
                "size": In(bits),
                "distance": In(data.ArrayLayout(bits, window - 1)),
                "decided": Out(1),
                "reference": Out(range(window)),
            }
        )

    @property
    def steps(self) -> int:
        """Steps that the last row of a window takes."""
        return -(-(self._window - 1) // self._width)

    @property
    def latency(self) -> int:
        """Cycles from `start` to `decided`, at most."""
        return self.steps + 4

    def elaborate(self, platform):
        m = Module()
        fraction = Fraction(bits=self._bits)
        m.submodules.fraction = fraction
        m.d.comb += [fraction.s.eq(self.s), fraction.size.eq(self.size), fraction.enable.eq(self.start)]
        step, looks = self._step(m)
        stored = self._keep_fractions(m, fraction)
        near, distances = self._look(m, step, looks, stored, fraction)
        self._decide(m, step, near, distances, platform)
        return m

    def _step(self, m: Module) -> tuple[list[data.View], list[Signal]]:
        """step[0] is the step that is chosen, step[i] what register stage i holds; and the distances of the row."""
        layout = data.StructLayout(
            {"valid": 1, "first": 1, "last": 1, "place": self.place.shape(), "base": range(self._window + 1)}
        )
        held = [Signal(self._bits, name=f"held{c}", reset_less=True) for c in range(self._window - 1)]
        step = [Signal(layout, name=f"step{i}") for i in range(4)]
        place, base, busy = Signal.like(self.place, reset_less=True), Signal(layout["base"].shape), Signal()
        m.d.comb += [
            step[0].valid.eq(busy),
            step[0].first.eq(base == 0),
            step[0].last.eq(~less(base + self._width, place)),
            step[0].place.eq(place),
            step[0].base.eq(base),
        ]
        with m.If(busy):
            m.d.sync += [base.eq(base + self._width), busy.eq(~step[0].last)]
        with m.If(self.start):
            m.d.sync += [busy.eq(1), base.eq(0), place.eq(self.place)]
            for c, (register, distance) in enumerate(zip(held, self.distance, strict=True)):
                with m.If(less(c, self.place)):
                    m.d.sync += register.eq(distance)
        for before, after in pairwise(step):
            m.d.sync += after.valid.eq(before.valid)
            with m.If(before.valid):
                m.d.sync += [after[name].eq(before[name]) for name in ("first", "last", "place", "base")]
        return step, held

    def _keep_fractions(self, m: Module, fraction: Fraction) -> list[Signal]:
        """s·N of the window's rows, each from the third cycle behind its start on."""
        kept = [Signal(len(fraction.o), name=f"fraction{c}", reset_less=True) for c in range(self._window - 1)]
        arriving, places = self.start, self.place
        for i in range(2):
            later, place = (
                Signal(name=f"arriving{i}"),
                Signal.like(self.place, name=f"arriving_place{i}", reset_less=True),
            )
            m.d.sync += later.eq(arriving)
            with m.If(arriving):
                m.d.sync += place.eq(places)
            arriving, places = later, place
        for c, register in enumerate(kept):
            with m.If(arriving & (places == c)):
                m.d.sync += register.eq(fraction.o)
        return kept

    def _look(
        self, m: Module, step: list[data.View], held: list[Signal], kept: list[Signal], fraction: Fraction
    ) -> tuple[list[Signal], list[Signal]]:
        """Of each place of the step: whether it is near enough, and its distance, in register stage 3."""
        nears, distances = [], []
        for g in range(self._width):
            other = Signal(len(fraction.o), name=f"other{g}", reset_less=True)
            bound = Signal(len(fraction.o) + 1, name=f"bound{g}", reset_less=True)
            passed = [Signal(self._bits, name=f"distance{g}_{i}", reset_less=True) for i in range(3)]
            near = Signal(name=f"near{g}", reset_less=True)
            places = range(g, self._window - 1, self._width)
            chosen = [step[0].base == c - g for c in places]
            with m.If(step[0].valid):
                m.d.sync += [
                    passed[0].eq(_selected(chosen, [held[c] for c in places])),
                    other.eq(_selected(chosen, [kept[c] for c in places])),
                ]
            with m.If(step[1].valid):
                m.d.sync += [bound.eq(fraction.o + other), passed[1].eq(passed[0])]
            with m.If(step[2].valid):
                earlier = less(step[2].base + g, step[2].place)
                m.d.sync += [near.eq(earlier & ~less(bound >> 8, passed[1])), passed[2].eq(passed[1])]
            nears.append(near)
            distances.append(passed[2])
        return nears, distances

    def _decide(self, m: Module, step: list[data.View], nears: list[Signal], distances: list[Signal], platform) -> None:
        """Takes the step's places into the search, and ends it."""
        now, critical = step[3], Signal(self._window - 1, reset_less=True)
        found, best, where = Signal(reset_less=True), Signal(self._bits, reset_less=True), Signal.like(self.place)
        candidates = []
        for g in range(self._width):
            places = range(g, self._window - 1, self._width)
            sound = _selected([now.base == c - g for c in places], [critical[c] for c in places])
            candidates.append((nears[g] & sound, distances[g], (now.base + g)[: len(self.place)]))
        while len(candidates) > 1:
            pairs = zip(candidates[::2], candidates[1::2], strict=False)
            candidates = [_nearer(*pair) for pair in pairs] + candidates[len(candidates) // 2 * 2 :]
        taken, distance, place = candidates[0]
        better, known, reference = Signal(), Signal(), Signal.like(self.place)
        m.d.comb += [
            better.eq(taken & (now.first | ~found | less(distance, best))),
            known.eq(better | (found & ~now.first)),
            reference.eq(Mux(better, place, where)),
        ]
        m.d.sync += self.decided.eq(now.valid & now.last)
        tie = taken & found & ~now.first & (distance == best)
        corner(m, platform, "similar_row", now.valid & now.last & known)
        corner(m, platform, "tie_of_distances", now.valid & tie)
        with m.If(now.valid):
            m.d.sync += [found.eq(known), where.eq(reference)]
            with m.If(better):
                m.d.sync += best.eq(distance)
            with m.If(now.last):
                m.d.sync += self.reference.eq(Mux(known, reference, now.place))
                for c in range(self._window - 1):
                    with m.If(now.place == c):
                        m.d.sync += critical[c].eq(~known)


def _nearer(first: tuple, second: tuple) -> tuple:
    """Of two candidates (there is one, its distance, its place), the nearer one, or the first."""
    (one, distance, place), (other, other_distance, other_place) = first, second
    turns = other & (~one | less(other_distance, distance))
    return one | other, Mux(turns, other_distance, distance), Mux(turns, other_place, place)


def _selected(chosen: list, values: list):
    """The value that is chosen; zero if none is."""
    found = 0
    for bit, value in zip(chosen, values, strict=True):
        found |= value & bit.replicate(len(value))
    return found
