# SPDX-License-Identifier: Apache-2.0
"""Sparse items on the lines of a PE array, cycle by cycle: what hdl/execute/gather.py does, to the cycle.

A *slot* is what all banks do in one cycle. Its reservations pass the lines one after the other, a line a cycle, so a
line decides of slot t in cycle t + its number, and knows what it took in all slots before.

    slot t:  free banks ─► line 0 ─► line 1 ─► … ─► banks read          in cycle t, t + 1, …, t + lines
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from config.items import PATIENCE, ItemsConfig


@dataclass(frozen=True)
class Item:
    """The kept keys of a critical row that lie in one chunk. Bit n of `keys` is key chunk·`config.chunk` + n."""

    head: int
    row: int
    chunk: int
    keys: int

    @property
    def count(self) -> int:
        return self.keys.bit_count()


@dataclass(frozen=True)
class Taken:
    """A key that a line takes in a slot."""

    slot: int
    line: int
    item: Item
    key: int
    first: bool
    last: bool


@dataclass
class Held:
    """An item at a line: the keys that are still open, per bank, bit p is place p."""

    item: Item
    open: list[int]
    left: int
    fresh: bool = True


@dataclass
class Line:
    current: Held | None = None
    next: Held | None = None
    failed: int = 0


@dataclass
class Token:
    """What is known of the banks of a slot: free ones, and what those that are taken will read: set, chunk, place."""

    free: list[bool]
    reads: list[tuple[int, int, int] | None]


@dataclass(frozen=True)
class Run:
    """taken: in the order of slots, lines rising in each. cycles: slots up to the last in which a key was taken. reads:
    of the banks."""

    taken: list[Taken]
    cycles: int
    reads: int

    def use(self, lines: int) -> float:
        """Share of the lines' cycles in which they get a row."""
        return len(self.taken) / (lines * self.cycles)


def items_of(mask: NDArray[np.bool_], config: ItemsConfig) -> list[Item]:
    """The items of a plan's mask [H, T, T], heads in turn, rows in turn, chunks in turn; none without keys."""
    heads, tokens = mask.shape[:2]
    found = []
    for head in range(heads):
        for row in range(tokens):
            kept = int.from_bytes(np.packbits(mask[head, row], bitorder="little").tobytes(), "little")
            for chunk in range(config.chunks):
                keys = kept >> chunk * config.chunk & ((1 << config.chunk) - 1)
                found += [Item(head, row, chunk, keys)] if keys else []
    return found


@dataclass
class Gather:
    """The lines, their dispatcher and the slots under way. `share`: a bank's row goes to all lines that want it."""

    config: ItemsConfig
    share: bool = True
    cycle: int = 0
    taken: list[Taken] = field(default_factory=list)
    reads: int = 0

    def __post_init__(self) -> None:
        config = self.config
        self.lines = [Line() for _ in range(config.lines)]
        self.queues: list[deque[Item]] = [deque() for _ in range(config.queues)]
        # In front of each line; the first one is of a slot that has no reservations yet.
        self.tokens = [self._token([]) for _ in range(config.lines)]

    def run(self, items: Iterable[Item]) -> Run:
        """All items, which wait in the queues from the beginning."""
        queue = list(items)
        for number, item in enumerate(queue):
            self.queues[self.queue_of(number, item)].append(item)
        total = sum(item.count for item in queue)
        while len(self.taken) < total:
            self.step()
        taken = sorted(self.taken, key=lambda each: (each.slot, each.line))
        return Run(taken, taken[-1].slot - taken[0].slot + 1 if taken else 0, self.reads)

    def queue_of(self, number: int, item: Item) -> int:
        """Where an item waits: items in turn, or those of a line."""
        config = self.config
        return (number if config.allocation == "dynamic" else item.row) % config.queues

    def step(self) -> None:
        """One cycle. Everything that is decided sees what was there at its beginning."""
        given = self._dispatch()
        waiting = [number for number, line in enumerate(self.lines) if line.failed >= PATIENCE]
        after = [self._pass(number, token) for number, token in enumerate(self.tokens)]
        self.reads += sum(read is not None for read in after[-1].reads)
        self.cycle += 1
        self.tokens = [self._token(waiting), *after[:-1]]
        for number, item in given.items():
            self.lines[number].next = self._held(item)

    def own(self, line: int, slot: int) -> int:
        """The bank that a line may count on in a slot."""
        return (line * self.config.stride + slot) % self.config.banks

    def _token(self, waiting: list[int]) -> Token:
        """Of the slot of this cycle, with the banks of waiting lines reserved."""
        banks = range(self.config.banks)
        reserved = {self.own(line, self.cycle) for line in waiting}
        return Token([bank not in reserved for bank in banks], [None for _ in banks])

    def _held(self, item: Item) -> Held:
        config = self.config
        keys = [[place for place in range(config.places) if item.keys >> place * config.banks + bank & 1]
                for bank in range(config.banks)]  # fmt: skip
        return Held(item, [sum(1 << place for place in places) for places in keys], item.count)

    def _dispatch(self) -> dict[int, Item]:
        """Each queue gives an item to a line of the group that it looks at: one without work, else one with room."""
        config, given = self.config, {}
        for number, queue in enumerate(self.queues):
            first = (number + self.cycle) % config.queues if config.allocation == "dynamic" else number
            lines = range(first * config.group, (first + 1) * config.group)
            room = [n for n in lines if self.lines[n].next is None]
            idle = [n for n in room if self.lines[n].current is None]
            if queue and room:
                given[(idle or room)[0]] = queue.popleft()
        return given

    def _pass(self, number: int, token: Token) -> Token:
        """A line decides of the slot that passes it."""
        line, slot = self.lines[number], self.cycle - number
        free, reads = list(token.free), list(token.reads)
        own = self.own(number, slot)
        free[own] = reads[own] is None
        held = line.current
        if held is not None:
            bank = self._choose(held, free, reads, number)
            line.failed = min(line.failed + 1, PATIENCE) if bank is None else 0
            if bank is not None:
                self._take(held, bank, free, reads, number, slot)
        if held is None or not held.left:
            line.current, line.next = line.next, None
        return Token(free, reads)

    def _choose(self, held: Held, free: list[bool], reads: list[tuple[int, int, int] | None], line: int) -> int | None:
        """A bank that already reads a row that the item wants, else a free one that has one; the next one in a ring
        that begins at another bank for each line."""
        config = self.config
        here = self._address(held)
        ring = [(line * config.stride + n) % config.banks for n in range(config.banks)]
        joins = [b for b in ring if (read := reads[b]) and read[:2] == here and held.open[b] >> read[2] & 1]
        opens = [b for b in ring if free[b] and held.open[b]]
        return next(iter((joins if self.share else []) + opens), None)

    def _address(self, held: Held) -> tuple[int, int]:
        return held.item.head % self.config.sets, held.item.chunk

    def _take(
        self, held: Held, bank: int, free: list[bool], reads: list[tuple[int, int, int] | None], line: int, slot: int
    ) -> None:
        """The lowest open place of a free bank, or the one that is read anyway."""
        read = reads[bank]
        if read is None:
            lowest = (held.open[bank] & -held.open[bank]).bit_length() - 1
            reads[bank] = read = (*self._address(held), lowest)
            free[bank] = False
        held.open[bank] &= ~(1 << read[2])
        held.left -= 1
        key = (held.item.chunk * self.config.places + read[2]) * self.config.banks + bank
        self.taken.append(Taken(slot, line, held.item, key, held.fresh, not held.left))
        held.fresh = False
