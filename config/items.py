# SPDX-License-Identifier: Apache-2.0
"""Configuration of what brings sparse work to the lines of a PE array: items, their queue, the banks of their rows."""

from dataclasses import dataclass

from config.array import require_range
from config.errors import require
from config.speculate import MAX_HEADS, MAX_TOKENS

ALLOCATIONS = ("dynamic", "static")
"""dynamic: an item goes to the next free line. static: to line row mod lines."""
MAX_LINES, MAX_LANES, MAX_BANKS, MAX_QUEUE, MAX_SETS = 64, 256, 128, 4096, 16
PATIENCE = 2
"""Slots without a key, behind each other, after which a line has a bank kept free for it."""


@dataclass(frozen=True)
class ItemsConfig:
    """Sparse items of an array, and the banks from which their rows are gathered.

    Parameters
    ----------
    lines: that take a row a cycle each, 1 to 64. lanes: bytes of a row, 1 to 256.
    banks: memories with a read port each, a power of two from `lines` to 128; twice the lines keep them busy.
    tokens: longest sequence, a multiple of `chunk`, up to 4096. heads: 1 to 128.
    chunk: keys of an item, a power of two, at least `banks`.
    record: keys of a record of the plan, a power of two up to `chunk`.
    sets: heads whose rows are in the banks at a time, a power of two up to 16.
    ports: items that may go to lines in a cycle; divides `lines`. Dynamic allocation only.
    queue: items that wait, over all ports, at least 2 for each.
    allocation: one of `ALLOCATIONS`.

    Raises `Refusal` for anything else.
    """

    lines: int = 16
    lanes: int = 32
    banks: int = 32
    tokens: int = 128
    heads: int = 12
    chunk: int = 128
    record: int = 16
    sets: int = 2
    ports: int = 8
    queue: int = 128
    allocation: str = "dynamic"

    def __post_init__(self) -> None:
        require_range("lines", self.lines, 1, MAX_LINES)
        require_range("lanes", self.lanes, 1, MAX_LANES)
        require_range("heads", self.heads, 1, MAX_HEADS)
        for name, low, high in (
            ("banks", max(self.lines, 2), MAX_BANKS),
            ("chunk", self.banks, MAX_TOKENS),
            ("record", 1, self.chunk),
            ("sets", 1, MAX_SETS),
        ):
            value = getattr(self, name)
            require_range(name, value, low, high)
            require(value & (value - 1) == 0, f"{name} must be a power of two, not {value}; choose the next one.")
        require_range("tokens", self.tokens, self.chunk, MAX_TOKENS)
        require(
            self.tokens % self.chunk == 0,
            f"tokens must be a multiple of chunk = {self.chunk}, not {self.tokens}; round it up.",
        )
        require(
            self.allocation in ALLOCATIONS,
            f"allocation must be one of {', '.join(ALLOCATIONS)}, not {self.allocation!r}; choose one of them.",
        )
        require(
            self.allocation == "dynamic" or self.lines & (self.lines - 1) == 0,
            f"lines must be a power of two in static allocation, not {self.lines}; choose one, or dynamic allocation.",
        )
        require_range("ports", self.ports, 1, self.lines)
        require(
            self.lines % self.ports == 0,
            f"ports must divide lines = {self.lines}, and {self.ports} does not; choose a divisor.",
        )
        require_range("queue", self.queue, 2 * self.queues, MAX_QUEUE)

    @property
    def queues(self) -> int:
        """Of items; each serves a group of lines at a time, or, in static allocation, one line for ever."""
        return self.ports if self.allocation == "dynamic" else self.lines

    @property
    def group(self) -> int:
        """Lines that one queue serves at a time."""
        return self.lines // self.queues

    @property
    def places(self) -> int:
        """Keys of an item that lie in one bank."""
        return self.chunk // self.banks

    @property
    def chunks(self) -> int:
        """Of the longest row."""
        return self.tokens // self.chunk

    @property
    def latency(self) -> int:
        """Cycles from a slot's begin at line 0 until its rows are offered: past the lines, the banks, the crossbar."""
        return self.lines + 2

    @property
    def stride(self) -> int:
        """Banks between those that neighbouring lines may count on in a slot."""
        return self.banks // self.lines
