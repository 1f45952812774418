# SPDX-License-Identifier: Apache-2.0
"""Which rows of a window are alike: distances while a row streams by, then a decision, without division.

chunk ─┬──────────────► |a - 0| ─► Σ ─► size N ─► s·N ─┐
       ├─► row store 0 ─► |a - b| ─► Σ ─► D(0) ────────┤
       ├─► …                                           ├─► one earlier row a step: 256·D ≤ s·(N + N')? smallest D ─► o
       └─► row store w-2 ─► |a - b| ─► Σ ─► D(w-2) ────┘
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.speculate import UNITY
from hdl.arith.compare import less
from hdl.arith.compress import CarrySaveTree, Word, levels
from hdl.shared import share
from hdl.speculate.spls.layouts import tag_layout
from hdl.speculate.spls.scan import Scanner
from hdl.store import Store


class DistanceLane(wiring.Component):
    """Sum of absolute differences of two rows that come chunk by chunk.

    Parameters
    ----------
    rows: values of a chunk. score_bits: of each, signed. bits: of the sum, which must hold it.

    Members
    -------
    enable: In, 1: there is a chunk; first: In, 1: it is the row's first. a, b: In, `rows` values.
    total: Out, bits: with all chunks up to the one `latency` cycles ago.
    """

    latency = 4

    def __init__(self, *, rows: int, score_bits: int, bits: int):
        self._rows, self._score_bits = rows, score_bits
        values = data.ArrayLayout(signed(score_bits), rows)
        super().__init__({"enable": In(1), "first": In(1), "a": In(values), "b": In(values), "total": Out(bits)})

    def elaborate(self, platform):
        m = Module()
        bits, rows = self._score_bits, self._rows
        enables, firsts = [self.enable], [self.first]
        for i in range(3):
            enables.append(Signal(name=f"enable{i}"))
            firsts.append(Signal(name=f"first{i}", reset_less=True))
            m.d.sync += enables[i + 1].eq(enables[i])
            with m.If(enables[i]):
                m.d.sync += firsts[i + 1].eq(firsts[i])
        # |a - b| is the difference with its bits inverted if it is negative, and then one more.
        words = [Word(bits)] * rows + [Word(1)] * rows
        sum_bits = bits + (rows - 1).bit_length()
        tree = CarrySaveTree(words=words, bits=sum_bits, cuts=(levels(len(words)) // 2,))
        m.submodules.tree = share(tree, "spls_distance_tree", platform)
        for i, (a, b) in enumerate(zip(self.a, self.b, strict=True)):
            difference = Signal(signed(bits + 1), name=f"difference{i}")
            magnitude, negative = (Signal(n, name=f"{name}{i}", reset_less=True) for n, name in ((bits, "m"), (1, "n")))
            m.d.comb += [difference.eq(a - b), tree.i[str(i)].eq(magnitude), tree.i[str(rows + i)].eq(negative)]
            with m.If(enables[0]):
                sign = difference[-1]
                m.d.sync += [magnitude.eq(difference[:-1] ^ sign.replicate(bits)), negative.eq(sign)]
        chunk = Signal(sum_bits, reset_less=True)
        total = Signal(len(self.total), reset_less=True)
        m.d.comb += [tree.enable.eq(enables[1]), self.total.eq(total)]
        with m.If(enables[2]):
            m.d.sync += chunk.eq(tree.o[0] + tree.o[1])
        with m.If(enables[3]):
            m.d.sync += total.eq(Mux(firsts[3], 0, total) + chunk)
        return m


def distance_bits(tokens: int, score_bits: int) -> int:
    """Bits of the largest distance of two rows: tokens · (2^score_bits - 1)."""
    return (tokens * ((1 << score_bits) - 1)).bit_length()


def longest_pace(chunks: int) -> int:
    """Cycles that may be between rows without holding up the scores of any sequence, causal or not.

    Rows of few chunks come faster than that. The ring of 2·`chunks` chunks takes what waits, and between heads there
    is time, at least as much as K̂ and Q̂ take, twice the sequence.
    """
    return 4 if chunks >= 4 else 3


class Similarity(wiring.Component):
    """Decides for each row whether it is similar to an earlier critical row of its window.

    Parameters
    ----------
    rows: values of a chunk. chunks: of the longest row. score_bits: of a value. window: rows of a window, 2 or more, at
    most `rows`.

    Members
    -------
    s: In, 0 to 256, still while there are rows.
    early: In, `tag_layout`: that of the chunk in the next cycle. tag: In, `tag_layout`; values: In, `rows` values.
    Rows of a window come in order, all with the same number of chunks, from last chunk to last chunk at
    least `pace` cycles.
    decided: Out, 1; reference: Out: its place in the window, or of the row itself if it is critical; rows in order.
    """

    def __init__(self, *, rows: int, chunks: int, score_bits: int, window: int):
        self._shape = {"rows": rows, "chunks": chunks, "score_bits": score_bits}
        self._rows, self._window, self._score_bits = rows, window, score_bits
        self._bits = distance_bits(rows * chunks, score_bits)
        width = -(-(window - 1) // longest_pace(chunks))
        self._scanner = Scanner(window=window, bits=self._bits, width=width)
        tag = tag_layout(rows, chunks)
        super().__init__(
            {
                "s": In(range(UNITY + 1)),
                "early": In(tag),
                "tag": In(tag),
                "values": In(data.ArrayLayout(signed(score_bits), rows)),
                "decided": Out(1),
                "reference": Out(range(window)),
            }
        )

    @property
    def pace(self) -> int:
        """Least number of cycles from the last chunk of a row to that of the next."""
        # A row is read in the cycle behind that in which the one before it was written.
        return max(2, self._scanner.steps)

    @property
    def latency(self) -> int:
        """Cycles from a row's last chunk to its decision, at most."""
        return DistanceLane.latency + self._scanner.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.scanner = scanner = self._scanner
        place = self.tag.place[: len(self.reference)]
        distances = []
        for c in range(self._window - 1):
            store = Store(self._shape["chunks"], self.values.shape())
            m.submodules[f"store{c}"] = share(store, store.name, platform)
            m.d.comb += [
                store.write.eq(self.tag.valid & (place == c)),
                store.write_at.eq(self.tag.chunk),
                store.word.eq(self.values),
                store.read.eq(self.early.valid & less(c, self.early.place[: len(place)])),
                store.read_at.eq(self.early.chunk),
            ]
            lane = self._lane(m, f"lane{c}", self.tag.valid & less(c, place), platform)
            m.d.comb += lane.b.eq(store.stored)
            distances.append(lane.total)
        size = self._lane(m, "size", self.tag.valid, platform)
        done, places = self.tag.valid & self.tag.last, place
        for i in range(DistanceLane.latency):
            later, held = Signal(name=f"done{i}"), Signal(len(place), name=f"place{i}", reset_less=True)
            m.d.sync += later.eq(done)
            with m.If(done):
                m.d.sync += held.eq(places)
            done, places = later, held
        m.d.comb += [
            scanner.s.eq(self.s),
            scanner.start.eq(done),
            scanner.place.eq(places),
            scanner.size.eq(size.total),
            scanner.distance.as_value().eq(Cat(distances)),
            self.decided.eq(scanner.decided),
            self.reference.eq(scanner.reference),
        ]
        return m

    def _lane(self, m: Module, name: str, enable, platform) -> DistanceLane:
        lane = DistanceLane(rows=self._rows, score_bits=self._score_bits, bits=self._bits)
        m.submodules[name] = share(lane, "spls_distance", platform)
        m.d.comb += [lane.enable.eq(enable), lane.first.eq(self.tag.first), lane.a.eq(self.values)]
        return lane
