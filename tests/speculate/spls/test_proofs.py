# SPDX-License-Identifier: Apache-2.0
"""Proofs about the selection of keys and of critical rows, for all scores of tiny units."""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hdl.speculate.spls import keep, search
from hdl.speculate.spls.layouts import tag_layout, word_layout
from hdl.speculate.spls.select import TopK
from hdl.speculate.spls.similar import Similarity
from tests.formal.prove import check
from tests.planted import Planted

SHAPE = {"rows": 2, "chunks": 2, "score_bits": 2}
KEYS = SHAPE["rows"] * SHAPE["chunks"]


class TopClaim(wiring.Component):
    """Of one row among others, the first or the second, as the solver likes: of its keys, exactly min(k, valid) are
    kept, each of them before each that is dropped, by its score, or on equal scores by its place.

    Rows come in every cycle in which they can, each with one chunk or two.
    """

    def __init__(self, topk: wiring.Component):
        self._topk = topk
        super().__init__(
            {
                "k": In(range(KEYS + 1)),
                "watched": In(1),
                "last_chunk": In(1),
                "words": In(data.ArrayLayout(word_layout(SHAPE["score_bits"]), SHAPE["rows"])),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.topk = dut = self._topk
        start = Signal(init=1)
        k, watched = Signal.like(self.k), Signal.like(self.watched)
        m.d.sync += start.eq(0)
        with m.If(start):
            m.d.sync += [k.eq(self.k), watched.eq(self.watched)]
        m.d.comb += [
            Assume((self.k >= 1) & (self.k <= KEYS)),
            dut.k[0].eq(k),
            dut.available.eq(~start),
            dut.ticket.last_chunk.eq(self.last_chunk),
            dut.room.eq(1),
            dut.words.eq(self.words),
        ]
        row = self._record(m, dut, watched)
        self._claim(m, dut, watched, k, row)
        return m

    def _record(self, m, dut, watched) -> list[tuple[Signal, Signal]]:
        """(valid, score) of the keys of the row that is watched; those of a chunk that it has not are not valid."""
        place, chunk, reading = Signal(3), Signal(), Signal()
        # The words stand in the cycle behind the one in which they were asked for.
        m.d.sync += reading.eq(dut.step)
        with m.If(dut.step):
            m.d.sync += chunk.eq(chunk + 1)
        with m.If(dut.start):
            m.d.sync += [place.eq(Mux(place == 4, 4, place + 1)), chunk.eq(0), reading.eq(1)]
        keys = [(Signal(name=f"valid{i}"), Signal.like(self.words[0].score, name=f"score{i}")) for i in range(KEYS)]
        with m.If(reading & (place == watched + 1)):
            for i, (valid, score) in enumerate(keys):
                c, word = divmod(i, SHAPE["rows"])
                with m.If(chunk == c):
                    m.d.sync += [valid.eq(self.words[word].valid), score.eq(self.words[word].score)]
        return keys

    def _claim(self, m, dut, watched, k, row) -> None:
        place, kept, tag = Signal(3), Signal(KEYS), dut.o.tag
        now = Signal(KEYS)
        m.d.comb += now.eq(Mux(tag.chunk, Cat(kept[: SHAPE["rows"]], dut.o.kept[0]), dut.o.kept[0]))
        with m.If(tag.valid):
            m.d.sync += kept.eq(now)
            with m.If(tag.last):
                m.d.sync += place.eq(Mux(place == 4, 4, place + 1))
        valids, kepts = sum(valid for valid, _ in row), sum(now)
        sound = (kepts == Mux(valids < k, valids, k)) & ~(now & ~Cat(valid for valid, _ in row)).any()
        for i, (_, score) in enumerate(row):
            for j, (valid, other) in enumerate(row):
                if i != j:
                    above = score >= other if i < j else score > other
                    sound &= ~now[i] | now[j] | ~valid | above
        m.d.comb += Assert(~(tag.valid & tag.last & (place == watched)) | sound)


def proof_of_top(folder: Path):
    """For so many cycles that the second row has left."""
    topk = TopK(**SHAPE, selections=1)
    return check(TopClaim(topk), folder=folder, depth=2 * SHAPE["chunks"] + topk.latency + 2, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize("most", [1, 2], ids=["a bit at a time", "both bits"])
def test_top_is_proved(most: int, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(search, "MAX_DIGIT", most)
    assert proof_of_top(tmp_path)


@pytest.mark.formal
def test_tie_to_the_higher_column_is_refuted(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(keep, "_running", lambda flags, right=keep._running: [n + 1 for n in right(flags)[:-1]] + [0])
    assert not proof_of_top(tmp_path)


class CriticalClaim(wiring.Component):
    """Every row is critical, or refers to an earlier critical row of its window.

    Rows of one chunk come as often as they may, with any values, under any s.
    """

    def __init__(self, similar: wiring.Component, pace: int):
        self._similar, self._pace = similar, pace
        super().__init__({"s": In(9), "comes": In(1), "values": In(similar.values.shape())})

    def elaborate(self, platform):
        m = Module()
        m.submodules.similar = dut = self._similar
        pause, place, s = Signal(4), Signal(2), Signal(9)
        start = Signal(init=1)
        early, tag = Signal(tag_layout(4, 1)), Signal(tag_layout(4, 1))
        m.d.sync += [start.eq(0), tag.eq(early), pause.eq(Mux(early.valid, self._pace - 1, Mux(pause, pause - 1, 0)))]
        with m.If(start):
            m.d.sync += s.eq(self.s)
        with m.If(early.valid):
            m.d.sync += place.eq(place + 1)
        m.d.comb += [
            Assume(self.s <= 256),
            early.valid.eq(self.comes & (pause == 0) & ~start),
            Cat(early.first, early.last).eq(3),
            early.place.eq(place),
            dut.s.eq(s),
            dut.early.eq(early),
            dut.tag.eq(tag),
            dut.values.eq(self.values),
        ]
        decided, critical = Signal(2), Signal(4)
        itself = dut.reference == decided
        with m.If(dut.decided):
            m.d.sync += [decided.eq(decided + 1), critical.bit_select(decided, 1).eq(itself)]
            earlier = (dut.reference < decided) & critical.bit_select(dut.reference, 1)
            m.d.comb += Assert(itself | earlier)
        return m


SIMILAR = {"rows": 4, "chunks": 1, "score_bits": 2, "window": 4}


def similarity() -> tuple[Similarity, int, int]:
    """A unit, its pace, and cycles in which a whole window can be decided."""
    similar = Similarity(**SIMILAR)
    return similar, similar.pace, 3 * similar.pace + similar.latency + 4


@pytest.mark.formal
def test_references_are_proved_critical(tmp_path: Path) -> None:
    similar, pace, depth = similarity()
    assert check(CriticalClaim(similar, pace), folder=tmp_path, depth=depth, gates=True)


@pytest.mark.formal
def test_reference_to_any_row_is_refuted(tmp_path: Path) -> None:
    similar, pace, depth = similarity()
    wrong = Planted(similar, reference=lambda reference: reference | 1)
    assert not check(CriticalClaim(wrong, pace), folder=tmp_path, depth=depth, gates=True)
