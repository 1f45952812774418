# SPDX-License-Identifier: Apache-2.0
"""Streams of a component in Amaranth's own simulator: payloads in and out, at random pauses."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amaranth.hdl import Value
from amaranth.lib import wiring

from tests.arith import simulate

Each = Callable[[Any, int], None]


def through(
    dut: wiring.Component,
    sources: Mapping[str, Sequence[int]],
    due: Mapping[str, int],
    *,
    seed: int = 0,
    idle: float = 0.0,
    stall: float = 0.0,
    each: Each | None = None,
    until: Callable[[], bool] = lambda: True,
    limit: int = 20_000,
) -> dict[str, list[int]]:
    """Payloads of each stream of `due`, when so many have left of it, all of `sources` have been taken, and `until`
    says yes. each: called in every cycle with the context and its number, to drive and look at other ports. Fails if
    that does not come about.
    """
    rng = random.Random(seed)
    sinks = {name: simulate.Sink(getattr(dut, name)) for name in due}
    left = {name: list(payloads) for name, payloads in sources.items()}

    async def bench(context: Any) -> None:
        offered = dict.fromkeys(sources, False)
        for now in range(limit):
            for name, payloads in left.items():
                stream = getattr(dut, name)
                offered[name] = bool(payloads) and (offered[name] or rng.random() >= idle)
                payload = Value.cast(stream.payload)
                context.set(stream.valid, offered[name])
                context.set(payload, payloads[0] if offered[name] else rng.getrandbits(len(payload)))
            for name in due:
                context.set(getattr(dut, name).ready, rng.random() >= stall)
            if each is not None:
                each(context, now)
            for sink in sinks.values():
                sink.sample(context)
            for name, payloads in left.items():
                if offered[name] and context.get(getattr(dut, name).ready):
                    del payloads[0]
                    offered[name] = False
            await context.tick()
            if until() and not any(left.values()) and all(len(sink.seen) >= due[name] for name, sink in sinks.items()):
                return
        raise AssertionError(f"left to give: {left}; seen: { {name: len(s.seen) for name, s in sinks.items()} }")

    simulate.run(dut, bench)
    found = {name: sink.seen for name, sink in sinks.items()}
    assert {name: len(seen) for name, seen in found.items()} == dict(due)
    return found


def bits_of(layout: Any, fields: Mapping[str, Any]) -> int:
    """A payload of a layout."""
    return int(layout.const(dict(fields)).as_bits())


def fields_of(layout: Any, payload: int) -> dict[str, int]:
    """The plain fields of a payload, as unsigned numbers."""
    return {name: payload >> place.offset & (1 << place.width) - 1 for name, place in layout}
