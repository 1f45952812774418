# SPDX-License-Identifier: Apache-2.0
"""A plan as the sequence of records in which a speculation unit sends it, and back.

Plan ─► records: per head, per row   KEYS KEYS … or COPY
                 in the last head, behind each window of rows   LEADER LEADER …   ─► Plan
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from config.errors import require
from config.speculate import METHODS, Kind
from golden.speculate.plan import Plan


@dataclass(frozen=True)
class Record:
    """A record of the plan; the fields are those of `record_layout` in `hdl/speculate/socket.py`, where they are
    described. Bit n of `keys` and `fresh` is key chunk·rows + n."""

    kind: Kind
    head: int
    row: int
    reference: int
    chunk: int = 0
    keys: int = 0
    fresh: int = 0
    agreed: bool = False
    end: bool = True
    last: bool = False


def records(plan: Plan, rows: int, window: int, causal: bool) -> list[Record]:
    """What a unit of `rows` rows that seeks similar rows in windows of `window` sends for a plan.

    Raises `Refusal` if a causal plan keeps a key behind its row's block of `rows`, or if a plan drops tokens or values:
    no record tells of it.
    """
    require(
        plan.alive is None and not plan.value_share,
        f"a plan in records must drop no tokens and no values, and this one does; take a plan of {', '.join(METHODS)}.",
    )
    mask, reference = np.asarray(plan.mask), np.asarray(plan.reference)
    heads, tokens = reference.shape
    found: list[Record] = []
    for head in range(heads):
        needed = 0
        for row in range(tokens):
            source = int(reference[head, row])
            if source == row:
                kept = _bitmap(mask[head, row])
                found += _keys(head, row, kept, needed, rows, _chunks(row, tokens, rows, causal))
                needed |= kept
            else:
                found.append(Record(Kind.COPY, head, row, source))
            if head == heads - 1 and (row + 1 == tokens or (row + 1) % window == 0):
                found += [
                    Record(Kind.LEADER, head, token, int(plan.leader[token]), agreed=bool(plan.agreed[token]))
                    for token in range(row // window * window, row + 1)
                ]
    return [*found[:-1], replace(found[-1], last=True)]


def _chunks(row: int, tokens: int, rows: int, causal: bool) -> int:
    """Chunks of keys that a critical row is told of."""
    return row // rows + 1 if causal else -(-tokens // rows)


def _bitmap(bits: NDArray[np.bool_]) -> int:
    """Bit n is bits[n]."""
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def _keys(head: int, row: int, kept: int, needed: int, rows: int, chunks: int) -> list[Record]:
    """The records of a critical row; bitmaps of all keys: `kept` for it, `needed` by earlier rows."""
    require(
        not kept >> chunks * rows,
        f"the keys kept for row {row} of head {head} must lie below {chunks * rows}, in its own block of {rows} or "
        "before it, not beyond; take the records of a plan that is causal.",
    )
    return [
        Record(
            Kind.KEYS,
            head,
            row,
            row,
            chunk=chunk,
            keys=(kept >> chunk * rows) % (1 << rows),
            fresh=(kept & ~needed) >> chunk * rows & ((1 << rows) - 1),
            end=chunk == chunks - 1,
        )
        for chunk in range(chunks)
    ]


def plan_of(records: Sequence[Record], heads: int, tokens: int, rows: int) -> Plan:
    """The plan, in NumPy arrays, that the records of a layer of `heads` heads and `tokens` tokens tell of. Window and
    causality are read from the records.

    Raises `Refusal`, a ValueError, that names the first record that breaks the rules.
    """
    return _Reader(records, heads, tokens, rows).plan()


class _Reader:
    """Reads records one by one, and knows what may come next."""

    def __init__(self, records: Sequence[Record], heads: int, tokens: int, rows: int) -> None:
        self._records = records
        self._heads, self._tokens, self._rows = heads, tokens, rows
        self._next = 0
        self._causal = {False, True}
        self._window = 0
        self._mask = np.zeros((heads, tokens, tokens), dtype=np.bool_)
        self._reference = np.zeros((heads, tokens), dtype=np.int64)
        self._leader = np.zeros(tokens, dtype=np.int64)
        self._agreed = np.zeros(tokens, dtype=np.bool_)

    def plan(self) -> Plan:
        led = 0
        for head in range(self._heads):
            needed = 0
            for row in range(self._tokens):
                needed |= self._row(head, row, needed)
                if head == self._heads - 1 and (self._leads() or row + 1 == self._tokens):
                    self._window_of(led, row)
                    led = row + 1
        extra = len(self._records) - self._next
        require(not extra, f"the layer ends with record {self._next - 1}, but {extra} more follow; send one layer.")
        return Plan(self._mask, self._reference, self._mask.any(axis=1), self._leader, self._agreed)

    def _check(self, holds: bool, rule: str) -> None:
        """`rule`: what the record just read must do."""
        at = self._next - 1
        require(holds, f"record {at} {rule}, not {self._records[at]}; send what a plan's `records` are.")

    def _leads(self) -> bool:
        return self._next < len(self._records) and self._records[self._next].kind == Kind.LEADER

    def _take(self, head: int, row: int) -> Record:
        """The next record, which must be of this row."""
        missing = f"record {self._next} must be of head {head}, row {row}, but there are only {self._next}; send all."
        require(self._next < len(self._records), missing)
        record = self._records[self._next]
        self._next += 1
        self._check((record.head, record.row) == (head, row), f"must be of head {head}, row {row}")
        final = record.kind == Kind.LEADER and row == self._tokens - 1
        self._check(bool(record.last) == final, "must be marked last if it is the layer's last, and else must not be")
        if record.kind != Kind.KEYS:
            empty = (record.chunk, record.keys, record.fresh) == (0, 0, 0)
            self._check(empty and bool(record.end), "must hold no chunk, no keys, and the mark of a row's end")
        if record.kind != Kind.LEADER:
            self._check(not record.agreed, "must not be marked agreed: only LEADER is")
        return record

    def _row(self, head: int, row: int, needed: int) -> int:
        """A row's records; returns the bitmap of the keys kept for it. needed: those that earlier rows keep."""
        record = self._take(head, row)
        self._check(record.kind != Kind.LEADER, "must tell of a row: leaders come behind a window of the last head")
        self._reference[head, row] = record.reference
        if record.kind == Kind.COPY:
            self._check(
                0 <= record.reference < row and self._reference[head, record.reference] == record.reference,
                "must refer to an earlier critical row of its head",
            )
            return 0
        kept, chunk = self._chunk(record, 0, needed), 0
        while not record.end:
            record, chunk = self._take(head, row), chunk + 1
            self._check(record.kind == Kind.KEYS, f"must hold chunk {chunk} of its row")
            kept |= self._chunk(record, chunk, needed)
        self._causal = {c for c in self._causal if _chunks(row, self._tokens, self._rows, c) == chunk + 1}
        self._check(bool(self._causal), "must end its row behind its own block, or all rows behind the last key")
        self._mask[head, row] = [bool(kept >> key & 1) for key in range(self._tokens)]
        return kept

    def _chunk(self, record: Record, chunk: int, needed: int) -> int:
        """The bitmap, of all keys, of those kept of a chunk."""
        self._check(record.reference == record.row, "must refer to its own row: it is critical")
        self._check(record.chunk == chunk, f"must hold chunk {chunk} of its row")
        exist = min(self._rows, self._tokens - chunk * self._rows)
        self._check(exist > 0 and 0 <= record.keys < 1 << exist, f"must keep keys below {self._tokens} only")
        kept = record.keys << chunk * self._rows
        fresh = (kept & ~needed) >> chunk * self._rows
        self._check(
            record.fresh == fresh, f"must be fresh in {fresh:#x}, the keys that no earlier row of the head kept"
        )
        return kept

    def _window_of(self, first: int, end: int) -> None:
        """The leaders of the window of rows `first` to `end`, which are all there."""
        self._window = self._window or end + 1
        whole = end + 1 - first
        right = whole == self._window or (end + 1 == self._tokens and whole < self._window)
        rule = f"must not come before its window of {self._window} rows is complete, nor later"
        for token in range(first, end + 1):
            record = self._take(self._heads - 1, token)
            self._check(record.kind == Kind.LEADER and right, rule)
            self._check(first <= record.reference <= token, "must name a row of its window, not a later one")
            self._voted(record, first)

    def _voted(self, record: Record, first: int) -> None:
        """Checks a leader against what the heads name."""
        token, leader = record.row, record.reference
        named = self._reference[:, token]
        self._check(
            bool((named >= first).all()), f"must not tell of a window from row {first} on: a head names another"
        )
        votes = np.bincount(named[named != token] - first, minlength=1)
        self._check(
            bool(record.agreed) == (votes.max() == self._heads), "must be agreed if all heads name one other row"
        )
        if leader != token:
            voted = votes.max() > 0 and leader == first + votes.argmax() and self._leader[leader] == leader
            self._check(bool(voted), "must name itself, or the row that most heads name, whose FFN is computed")
        self._leader[token], self._agreed[token] = leader, record.agreed
