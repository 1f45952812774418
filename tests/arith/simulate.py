# SPDX-License-Identifier: Apache-2.0
"""Components in Amaranth's own simulator, with NumPy arrays in and out."""

import gc
import random
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Fragment, Shape, UnusedElaboratable, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator
from numpy.typing import NDArray

from config.errors import Refusal


def patterns(columns: Iterable[Iterable[int]], widths: Iterable[int]) -> list[int]:
    """Rows of integers as one number each: the columns' two's complement beside each other, the first one lowest."""
    packed: list[int] = []
    for row in zip(*columns, strict=True):
        number, low = 0, 0
        for value, width in zip(row, widths, strict=False):
            number |= (int(value) & ((1 << width) - 1)) << low
            low += width
        packed.append(number)
    return packed


def run(dut: wiring.Component, bench: Callable[[Any], Awaitable[None]]) -> None:
    """Runs a testbench beside a clocked component, until it ends."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


class Sink:
    """Takes what a component offers on `stream`: `seen`, payloads as patterns. Fails if what is offered changes before
    it is taken."""

    def __init__(self, stream: Any) -> None:
        self.seen: list[int] = []
        self._ready, self._valid, self._payload = stream.ready, stream.valid, Value.cast(stream.payload)
        self._held: int | None = None

    def sample(self, context: Any) -> None:
        """Look at the stream, once in each cycle, when everything is driven."""
        ready, valid, payload = (context.get(signal) for signal in (self._ready, self._valid, self._payload))
        assert self._held is None or (valid and payload == self._held), "the payload must be held until it is taken"
        self._held = payload if valid and not ready else None
        if valid and ready:
            self.seen.append(payload)


def evaluate(dut: wiring.Component, out: str = "o", **inputs: Iterable[int]) -> NDArray[np.int64]:
    """Drives the ports of a combinational component with each row of `inputs`; returns what `out` shows for each."""
    ports = [Value.cast(getattr(dut, name)) for name in inputs]
    rows = patterns(inputs.values(), [len(port) for port in ports])
    output = Value.cast(getattr(dut, out))
    seen: list[int] = []

    async def bench(context):
        for row in rows:
            context.set(Cat(ports), row)
            seen.append(context.get(output))

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(seen, dtype=np.int64)


def signed_values(codes: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Unsigned patterns of `bits` bits read as two's complement."""
    return codes - ((codes >> (bits - 1) & 1) << bits)


def operands(bits: int) -> NDArray[np.int64]:
    """Every two's complement integer of `bits` bits."""
    return np.arange(-(1 << (bits - 1)), 1 << (bits - 1))


def pairs(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every element of `a` beside every element of `b`."""
    first, second = np.meshgrid(a, b, indexing="ij")
    return first.ravel(), second.ravel()


def refusal_of(call: Callable[[], object]) -> str:
    """The sentence with which `call` is refused; the component that it began is thrown away without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        try:
            call()
        except Refusal as refusal:
            sentence = str(refusal)
        else:
            raise AssertionError("not refused")
        # Components refer to themselves, so it is not gone, and has not complained, before a collection.
        gc.collect()
    return sentence


def ports(component: wiring.Component) -> dict[str, Shape]:
    """Width and signedness of each port; the parts of its path are joined by two underscores. Elaborates it as well."""
    Fragment.get(component, None)
    members = component.signature.flatten(component)
    return {"__".join(map(str, path)): Value.cast(port).shape() for path, _, port in members}


def stream_through(
    dut: wiring.Component,
    transfers: Sequence[int],
    settings: Sequence[Value] = (),
    *,
    latency: int,
    idle: bool,
    stall: bool,
) -> list[int]:
    """Sends `transfers` through a component with one stream in, `i`, and one out, `o`; returns the payloads that leave.

    A transfer is the pattern of the payload and, above it, of the ports `settings`. With `idle` the source pauses at
    random, with `stall` the sink does; without either, everything must be through in a cycle each and the latency.
    Noise is on the inputs while nothing is offered. Fails if what is offered changes before it is taken.
    """
    rng = random.Random(len(transfers))
    inputs, sink = Cat(dut.i.payload, *settings), Sink(dut.o)
    controls = Cat(inputs, dut.i.valid, dut.o.ready)

    async def bench(context):
        queue, offered = deque(transfers), False
        for _ in range(4 * len(transfers) + 100 if idle or stall else len(transfers) + latency):
            offered = bool(queue) and (offered or not idle or rng.random() < 0.5)
            ready = not stall or rng.random() < 0.5
            shown = queue[0] if offered else rng.getrandbits(len(inputs))
            context.set(controls, shown | (offered | ready << 1) << len(inputs))
            sink.sample(context)
            if offered and context.get(dut.i.ready):
                queue.popleft()
                offered = False
            await context.tick()

    run(dut, bench)
    return sink.seen
