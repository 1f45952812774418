# SPDX-License-Identifier: Apache-2.0
"""Cycles of the speculation units: the order of hdl/speculate/tiles.py, walked tile by tile.

    K̂, Q̂ of a head:  2 · groups · width slices tiles of T beats
    scores:           for each block of queries, its keys, once per slice of the head; LAPA: once more per round,
                      the keys that some row of the block still wants
    records:          of the last block, behind the array

All heads but the last take the same time; the layer ends with the records of the last one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from config.errors import require
from config.speculate import UNITY, SpeculationConfig
from golden.cycles.statistics import Statistics

PROJECTION = 8
"""From the sums of a row of Q̂ until its codes can be read as weights: bias, requantiser, store."""
COLUMN = 10
"""SPLS, FACT: from sums to a column in the ring, and from a decided row to its record."""
SELECTION = 14
"""LAPA: from a round's last sums to the first key of its walk, without the steps of its threshold."""
CLIP_PACE = 2
"""LAPA: keys in a cycle of the walk behind a block's first round."""
MASKS = 2
"""LAPA: from the last key of a block's walk to its first record."""
MAX_DIGIT, MAX_STEPS = 4, 4
"""SPLS, FACT: bits of a digit of the top k. SPLS: steps of a search for a similar row."""
DENSE = 4
"""Dense: from the last beat of X to the first record."""


@dataclass(frozen=True)
class Prediction:
    """Cycles of a layer's prediction. head: of any head but the last; first: from the first beat of X to the first
    records; layer: to the last record. busy: those of the layer in which the array takes a beat."""

    head: int
    first: int
    layer: int
    busy: int


def predict(config: SpeculationConfig, tokens: int, statistics: Statistics, causal: bool = False) -> Prediction:
    """Of one layer of `tokens` tokens, and of as many heads and as much width as the unit is built for; a layer of less
    takes what it takes a unit built for it. Raises `Refusal` for a length that the unit is not built for."""
    require(
        isinstance(tokens, int) and 1 <= tokens <= config.tokens,
        f"tokens must be an integer from 1 to {config.tokens}, what the unit is built for, not {tokens!r}; "
        "shorten the sequence or build a larger unit.",
    )
    layer = _Layer(config, tokens, statistics, causal)
    return layer.dense() if config.method == "dense" else layer.predicted()


class _Layer:
    def __init__(self, config: SpeculationConfig, tokens: int, statistics: Statistics, causal: bool) -> None:
        self._config, self._tokens, self._statistics = config, tokens, statistics
        self._blocks = -(-tokens // config.rows)
        # Queries of each block, and the keys that they may attend to.
        self._rows = [min(config.rows, tokens - b * config.rows) for b in range(self._blocks)]
        self._keys = [min((b + 1) * config.rows, tokens) if causal else tokens for b in range(self._blocks)]
        transfers = config.rows // config.load
        self._array = 3 + -(-max(0, _levels(config.lanes) - 5) // 7)
        # One transfer is followed by a pause.
        self._load = transfers + (transfers == 1)

    @property
    def _tiles(self) -> int:
        return 2 * self._config.groups * self._config.width_slices

    def dense(self) -> Prediction:
        """X goes by, then a record for each chunk."""
        read = self._tokens * self._config.width_slices
        rows = sum(self._records())
        head = sum(rows * -(-keys // self._config.rows) for rows, keys in zip(self._rows, self._keys, strict=True))
        layer = read + (self._config.heads - 1) * head + rows + DENSE
        return Prediction(head, read + DENSE, layer, 0)

    def predicted(self) -> Prediction:
        projected = self._tiles * (self._tokens + self._load)
        ends, beats = self._scores(projected)
        heads = self._config.heads
        last = self._leave(ends)
        busy = heads * (self._tiles * self._tokens + beats)
        first = ends[0] + self._behind(0)
        return Prediction(ends[-1], first, (heads - 1) * ends[-1] + last, busy)

    def _scores(self, projected: int) -> tuple[list[int], int]:
        """When each block's last beat goes in, counted from the start of its head, and beats of all."""
        if self._config.method == "lapa" and self._statistics.visited:
            return self._rounds(projected)
        at, ends, beats, slices = projected, [], 0, self._config.head_slices
        for block, keys in enumerate(self._keys):
            at = max(at, self._queries(projected, block)) + slices * (keys + self._load)
            beats += slices * keys
            ends.append(at)
        return ends, beats

    def _queries(self, projected: int, block: int) -> int:
        """When the queries of a block are stored."""
        later = max(0, self._tokens - (block + 1) * self._config.rows)
        return projected - later + self._array + PROJECTION

    def _rounds(self, projected: int) -> tuple[list[int], int]:
        """The same of LAPA: blocks in pairs, round by round."""
        at, beats, slices = float(projected), 0.0, self._config.head_slices
        ends = [0.0] * self._blocks
        for pair in self._pairs():
            starts: dict[int, float] = {}
            counts = {block: float(self._keys[block]) for block in pair}
            for block in pair:
                at = max(at, self._queries(projected, block)) + slices * (self._keys[block] + self._load)
                beats += slices * self._keys[block]
                starts[block] = at + self._decided(0)
            for number, share in enumerate(self._statistics.visited, 1):
                for block in pair:
                    count = max(1.0, share * self._keys[block])
                    begin = max(at + self._load, starts[block])
                    listed = starts[block] + counts[block]
                    if number == 1:
                        listed = self._walked(starts[block], begin, self._keys[block], share)
                    at = max(begin + count, listed) + (slices - 1) * (self._load + count)
                    beats += slices * count
                    starts[block], counts[block] = at + self._decided(number), count
                    ends[block] = at
        return [round(end) for end in ends], round(beats)

    def _pairs(self) -> Iterator[range]:
        for first in range(0, self._blocks, 2):
            yield range(first, min(first + 2, self._blocks))

    @staticmethod
    def _walked(start: float, begin: float, keys: int, share: float) -> float:
        """LAPA: end of the walk behind a block's first round: two keys in a cycle, but in those in which the next round
        reads the same sums one; that round begins at `begin`, with `share` of the keys."""
        left = keys - CLIP_PACE * (begin - start)
        return start + keys / CLIP_PACE if left <= 0 else begin + left / (CLIP_PACE - share)

    def _decided(self, number: int) -> int:
        """LAPA: from a round's last beat to the first key of the walk; a bit of η takes a cycle, from its lowest on."""
        eta = self._statistics.eta[number]
        steps = UNITY.bit_length() - 1 - ((eta & -eta).bit_length() - 1) if eta else 0
        return self._array + SELECTION + steps

    def _behind(self, block: int) -> int:
        """From a block's last beat to its first record."""
        config = self._config
        if config.method == "lapa":
            visited = self._statistics.visited
            last = visited[-1] if visited else 1.0
            return self._decided(len(visited)) + round(last * self._keys[block]) + MASKS
        digits = -(-config.score_bits // MAX_DIGIT)
        topk = 1 + digits * (config.blocks + 3) + 4
        similar = 8 + self._pace if config.similarity_window > 1 else 0
        return self._array + COLUMN + topk + similar

    @property
    def _pace(self) -> int:
        """SPLS: least number of cycles from row to row: steps of the search among the earlier rows of a window."""
        earlier = self._config.similarity_window - 1
        return -(-earlier // -(-earlier // MAX_STEPS)) if earlier else 1

    def _records(self) -> list[int]:
        """Cycles that each block of the last head takes to leave: its records and its tokens' leaders; in SPLS at least
        those in which its rows stream by."""
        config, share = self._config, self._statistics.queries
        window = config.similarity_window
        found = []
        for rows, keys in zip(self._rows, self._keys, strict=True):
            chunks = -(-keys // config.rows)
            critical = share * rows if window > 1 else rows
            leaders = rows + -(-rows // window) * max(window - 2, 0).bit_length()
            streams = rows * max(chunks, self._pace)
            found.append(max(streams, round(critical * chunks + (rows - critical)) + leaders))
        return found

    def _leave(self, ends: list[int]) -> int:
        """When the last head's last record leaves: blocks leave one behind the other, in order."""
        at = 0
        for block, records in enumerate(self._records()):
            at = max(at, ends[block] + self._behind(block)) + records
        return at


def _levels(words: int) -> int:
    """Carry-save levels that take so many words to two."""
    done = 0
    while words > 2:
        words, done = words - words // 3, done + 1
    return done
