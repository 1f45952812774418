# SPDX-License-Identifier: Apache-2.0
"""Valid/ready streams in a cocotb bench: sources that may idle, sinks that may push back, both of them monitors.

A bench moves all of them together, cycle by cycle: `drive` before the clock edge, `sample` when everything has settled.
"""

from collections.abc import Sequence
from typing import Any, Protocol


class Chance(Protocol):
    """What decides about pauses: `random.Random`, or what takes its place."""

    def random(self) -> float:
        """A number from 0 to 1."""


class Stepping(Protocol):
    """What takes part in a bench's cycles."""

    def drive(self) -> None:
        """Before the edge."""

    def sample(self) -> None:
        """When everything has settled."""


class Source:
    """Offers `items`, integers as wide as the payload, in order; `seen` holds those that were taken.

    idle: share of cycles in which nothing is offered though there is something to offer.
    """

    def __init__(self, dut: Any, name: str, items: Sequence[int], *, idle: float, rng: Chance) -> None:
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self.items = items
        self._idle, self._rng = idle, rng
        self._offered = False
        self.seen: list[int] = []
        self._valid.value = 0

    @property
    def done(self) -> bool:
        return len(self.seen) == len(self.items)

    def drive(self) -> None:
        # An offer stands until it is taken.
        if not self._offered and not self.done and not (self._idle and self._rng.random() < self._idle):
            self._offered = True
            self._payload.value = self.items[len(self.seen)]
            self._valid.value = 1

    def sample(self) -> None:
        if self._offered and self._ready.value:
            self.seen.append(self.items[len(self.seen)])
            self._offered = False

    def after_edge(self) -> None:
        if not self._offered:
            self._valid.value = 0


class Sink:
    """Takes what comes; `seen` holds it. Checks that an offer stands, unchanged, until it is taken.

    stall: share of cycles in which nothing is taken.
    """

    def __init__(self, dut: Any, name: str, *, stall: float, rng: Chance) -> None:
        self._name = name
        self._valid = getattr(dut, f"{name}__valid")
        self._ready = getattr(dut, f"{name}__ready")
        self._payload = getattr(dut, f"{name}__payload")
        self._stall, self._rng = stall, rng
        self._takes = False
        self._standing: int | None = None
        self.seen: list[int] = []

    def drive(self) -> None:
        self._takes = not (self._stall and self._rng.random() < self._stall)
        self._ready.value = int(self._takes)

    def sample(self) -> None:
        if not self._valid.value:
            assert self._standing is None, f"{self._name}: an offer was withdrawn before it was taken"
            return
        # A payload of one bit is a Logic, which has no `to_unsigned`.
        payload = int(self._payload.value)
        assert self._standing in (None, payload), f"{self._name}: the payload changed before it was taken"
        self._standing = None if self._takes else payload
        if self._takes:
            self.seen.append(payload)
