# SPDX-License-Identifier: Apache-2.0
"""Proofs about the whole back end of SPLS, from columns of sums to rows, for all sums, settings and pauses.

the solver ─► columns ─► SplsSelection ─► rows ─► what is claimed of them
                 └────── scores of the row that is watched ──┘
"""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from config.speculate import UNITY, SpeculationConfig
from hdl.speculate.socket import row_layout
from hdl.speculate.spls.selection import SplsSelection
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Fault, Planted
from tests.speculate.selection_proofs import SelectionClaim, narrow, one_for_every_change, still

pytestmark = pytest.mark.formal

CLAIMS = "abcdgh"


class SplsClaim(SelectionClaim):
    """a) just min(k, valid) keys are kept for the critical row that is watched, all of them valid, b) each with a score
    no smaller than that of any that is dropped, c) and on equal scores a lower key; d) every row is critical, or names
    an earlier critical row of its window; g) rows come in order, chunk by chunk, and stand until they are taken; h) the
    last one has left by `deadline`. The solver chooses the row that is watched, and the shift of the scores.
    """

    def __init__(self, dut: wiring.Component, config: SpeculationConfig, **options):
        super().__init__(dut, config, {"shift": In(2), "watched": In(range(config.tokens))}, **options)

    def follow(self, m: Module, dut: wiring.Component) -> tuple[Value, list[Value]]:
        settings, most = self.settings, self._config.tokens
        still(m, self.shift, self.watched)
        m.d.comb += [
            Assume((settings.tokens >= 1) & (settings.tokens <= most) & (self.watched < settings.tokens)),
            Assume((settings.k >= 1) & (settings.k <= most) & (settings.s <= UNITY)),
            Assume((settings.k_similarity >= 1) & (settings.k_similarity <= settings.k)),
        ]
        valid, scores, sent = self._send(m, dut)
        kept, done = self._rows(m, dut)
        self._judge(m, dut, (valid, scores), kept)
        return done, [self.comes | sent]

    @property
    def _final(self) -> Value:
        """The sequence's last token."""
        return (self.settings.tokens - 1)[: len(self.watched)]

    def _send(self, m: Module, dut: wiring.Component) -> tuple[Signal, list[Signal], Signal]:
        """The columns of a head; returns what is known of the watched row's keys, and that there are no more."""
        config, column = self._config, dut.columns.payload
        key, block, sent = Signal(range(config.tokens)), Signal(range(config.blocks)), Signal()
        ends = block == self._final[config.row_bits :]
        upto = Mux(self.settings.causal & ~ends, Cat(Const(-1, config.row_bits), block), self._final)
        m.d.comb += [
            dut.columns.valid.eq(self.comes & ~sent),
            column.sum.as_value().eq(self.sums),
            column.valid.eq(self.may),
            column.key.eq(key),
            column.block.eq(block),
            column.last.eq(key == upto[: len(key)]),
            column.shift.eq(self.shift),
        ]
        fires = contract.fires(dut.columns)
        with m.If(fires):
            m.d.sync += key.eq(key + 1)
            with m.If(column.last):
                m.d.sync += [key.eq(0), block.eq(block + 1), sent.eq(ends)]
        place, mine = self.watched[: config.row_bits], block == self.watched[config.row_bits :]
        valid = Signal(config.tokens)
        scores = [Signal(signed(config.score_bits), name=f"score{i}") for i in range(config.tokens)]
        score = self._score(m, self.sums.word_select(place, config.sum_bits).as_signed())
        for i, known in enumerate(scores):
            with m.If(fires & mine & (key == i)):
                m.d.sync += [known.eq(score), valid[i].eq(self.may.bit_select(place, 1))]
        return valid, scores, sent

    def _score(self, m: Module, total: Value) -> Value:
        """Shifted, and saturated."""
        most = (1 << self._config.score_bits - 1) - 1
        shifted, score = Signal(signed(self._config.sum_bits)), Signal(signed(self._config.score_bits))
        m.d.comb += [
            shifted.eq(total >> self.shift),
            score.eq(Mux(shifted > most, most, Mux(shifted < ~most, ~most, shifted))),
        ]
        return score

    def _rows(self, m: Module, dut: wiring.Component) -> tuple[Signal, Value]:
        """The rows as they come: d and g. Returns the keys of the row up to this beat, and that all rows have left."""
        config, o = self._config, dut.rows.payload
        row, chunk = Signal(range(config.tokens + 1)), Signal(range(config.blocks + 1))
        critical, before, kept = Signal(config.tokens), Signal(config.tokens), Signal(config.tokens)
        places = (config.window - 1).bit_length()
        done, itself = row == self.settings.tokens, o.reference == o.row
        same_window = o.reference[places:] == o.row[places:]
        earlier = (o.reference < o.row) & same_window & critical.bit_select(o.reference, 1)
        last_chunk = Mux(self.settings.causal, row[config.row_bits :], self._final[config.row_bits :])
        sound = Mux(itself, (o.chunk == chunk) & (o.last == (chunk == last_chunk)), o.last)
        m.d.comb += kept.eq(before | o["keys"] << (chunk << config.row_bits))
        with m.If(contract.fires(dut.rows)):
            m.d.sync += [before.eq(kept), chunk.eq(chunk + 1)]
            with m.If(o.last):
                m.d.sync += [before.eq(0), chunk.eq(0), row.eq(row + 1), critical.bit_select(row, 1).eq(itself)]
        claims = {"d": itself | earlier, "g": ~done & (o.row == row) & sound}
        m.d.comb += [Assert(~dut.rows.valid | claim) for name, claim in claims.items() if name in self._claims]
        if "g" in self._claims:
            m.d.comb += Assert(contract.held(m, dut.rows))
        return kept, done

    def _judge(self, m: Module, dut: wiring.Component, known: tuple[Signal, list[Signal]], kept: Signal) -> None:
        """Of the watched row, when the last of its keys are there: a, b and c."""
        o, k, (valid, scores) = dut.rows.payload, self.settings.k, known
        whole = dut.rows.valid & o.last & (o.reference == o.row) & (o.row == self.watched)
        least, lower = Const(1), Const(1)
        for i, score in enumerate(scores):
            for j, other in enumerate(scores):
                if i != j:
                    preferred = kept[i] & valid[j] & ~kept[j]
                    least &= ~preferred | (score >= other)
                    lower &= ~preferred | (score != other) | (i < j)
        exact = (sum(kept) == Mux(sum(valid) < k, sum(valid), k)) & ~(kept & ~valid).any()
        for name, claim in {"a": exact, "b": least, "c": lower}.items():
            if name in self._claims:
                m.d.comb += Assert(~whole | claim)


SIMILAR = {"tokens": 2, "window": 2}
CHUNKS = {"tokens": 4}


def proof(
    tmp_path: Path,
    shape: dict,
    depth: int,
    faults: dict[str, Fault] | None = None,
    *,
    pause: int | None = None,
    deadline: int = 0,
    claims: str = CLAIMS,
):
    config = narrow("spls", **shape)
    dut = SplsSelection(config)
    wrong = Planted(dut, **faults) if faults else dut
    claim = SplsClaim(wrong, config, pause=pause, deadline=deadline, claims=claims)
    return check(claim, folder=tmp_path, depth=depth, gates=True)


def test_two_rows_are_proved(tmp_path: Path) -> None:
    """Rows that are compared; columns that come, and rows that are taken, with pauses of up to a cycle: 39 cycles."""
    assert proof(tmp_path, SIMILAR, 41, pause=1, deadline=39)


@pytest.mark.long
def test_two_rows_are_proved_under_any_flow(tmp_path: Path) -> None:
    """All but h, of which nothing can be said: in 30 cycles, of which 28 are enough."""
    assert proof(tmp_path, SIMILAR, 30, claims="abcdg")


@pytest.mark.long
def test_two_chunks_are_proved(tmp_path: Path) -> None:
    """Rows of two chunks, from two blocks."""
    assert proof(tmp_path, CHUNKS, 48, pause=0, deadline=46)


def bits_of(name: str) -> int:
    """Where a field is in a beat of rows."""
    layout = row_layout(narrow("spls", **SIMILAR))[name]
    return ((1 << layout.width) - 1) << layout.offset


def exchanged(beat: Value) -> Value:
    """Two keys in each other's place."""
    layout = row_layout(narrow("spls", **SIMILAR))["keys"]
    at = layout.offset
    return Cat(beat[:at], beat[at + 1], beat[at], beat[at + 2 :])


FAULTS: dict[str, tuple[str, dict[str, Fault]]] = {
    "all keys kept": ("a", {"rows__payload": lambda beat: beat | bits_of("keys")}),
    "the smallest kept": ("b", {"rows__payload": exchanged}),
    "ties to the higher key": ("c", {"rows__payload": exchanged}),
    "reference to a later row": ("d", {"rows__payload": lambda beat: beat | bits_of("reference")}),
    "offers withdrawn": ("g", {"rows__ready": lambda ready: Const(1)}),
    "never taken": ("h", {"rows__ready": lambda ready: Const(0)}),
}


@pytest.mark.parametrize("name", one_for_every_change(FAULTS, "ties to the higher key"))
def test_wrong_rows_are_refuted(name: str, tmp_path: Path) -> None:
    """Each claim alone finds the fault that is meant for it."""
    claims, faults = FAULTS[name]
    assert not proof(tmp_path, SIMILAR, 41, faults, pause=1, deadline=39, claims=claims)
