# SPDX-License-Identifier: Apache-2.0
"""Many streams of a component at a time, in Amaranth's simulator, each with its own pauses."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from amaranth.hdl import Value

from tests.arith import simulate


class Streams:
    """Sources that offer payloads, sinks that take them, of a component's streams by name.

    idle, stall: share of cycles in which a source offers nothing more, in which a sink takes nothing. Noise is on what
    is not offered. taken: cycles in which each source's payloads were taken, since `run` began; seen: of each sink.
    """

    def __init__(self, dut: Any, sources: Sequence[str], sinks: Sequence[str], *, idle: float, stall: float, seed: int):
        self._sources = {name: getattr(dut, name) for name in sources}
        self._sinks = {name: simulate.Sink(getattr(dut, name)) for name in sinks}
        self._ready = {name: getattr(dut, name).ready for name in sinks}
        self._idle, self._stall, self._rng = idle, stall, random.Random(seed)
        self.taken: dict[str, list[int]] = {}
        self.seen = {name: sink.seen for name, sink in self._sinks.items()}

    async def run(
        self, context: Any, given: Mapping[str, Sequence[int]], due: Mapping[str, int], *, limit: int = 4_000
    ) -> int:
        """Until all that is given has been taken, and each sink has seen as many as are due, from now on; how many
        cycles that took. Sinks without a due take nothing. Fails where it does not end, and where more comes."""
        rng, left = self._rng, {name: list(reversed(given.get(name, ()))) for name in self._sources}
        offered = dict.fromkeys(left, False)
        self.taken = {name: [] for name in left}
        for name in self._sinks:
            self.seen[name].clear()
        for now in range(limit):
            if not any(left.values()) and all(len(self.seen[name]) == count for name, count in due.items()):
                self._still(context)
                return now
            for name, source in self._sources.items():
                if offered[name]:
                    continue
                payload = Value.cast(source.payload)
                offered[name] = bool(left[name]) and rng.random() >= self._idle
                context.set(source.valid, offered[name])
                if offered[name]:
                    context.set(payload, left[name][-1])
                elif self.taken[name][-1:] == [now - 1]:
                    context.set(payload, rng.getrandbits(len(payload)))
            for name, ready in self._ready.items():
                context.set(ready, name in due and rng.random() >= self._stall)
            for sink in self._sinks.values():
                sink.sample(context)
            for name, source in self._sources.items():
                if offered[name] and context.get(source.ready):
                    left[name].pop()
                    offered[name] = False
                    self.taken[name].append(now)
            await context.tick()
        waiting = {name: len(words) for name, words in left.items() if words}
        raise AssertionError(f"it stands still: {waiting} are not taken, {self.counts()} have come, not {dict(due)}")

    def _still(self, context: Any) -> None:
        """Nothing is offered, nothing taken."""
        for each in self._sources.values():
            context.set(each.valid, 0)
        for ready in self._ready.values():
            context.set(ready, 0)

    def counts(self) -> dict[str, int]:
        """How many each sink has seen."""
        return {name: len(seen) for name, seen in self.seen.items()}

    async def rest(self, context: Any, cycles: int) -> None:
        """Nothing is offered, everything would be taken; nothing may come."""
        self._still(context)
        for name, ready in self._ready.items():
            context.set(ready, 1)
            self.seen[name].clear()
        for _ in range(cycles):
            for sink in self._sinks.values():
                sink.sample(context)
            await context.tick()
        assert not any(self.counts().values()), f"nothing is due, and {self.counts()} came"
