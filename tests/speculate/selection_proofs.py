# SPDX-License-Identifier: Apache-2.0
"""What claims about whole selections share: sizes small enough to be decided, choices that stay, pauses with an end."""

from collections.abc import Iterable

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value, ValueLike

from config.speculate import SpeculationConfig


class Narrow(SpeculationConfig):
    """A unit with fewer bits than are on offer: ties, saturation and both signs need no more."""

    sum_bits = 3

    def __post_init__(self) -> None:
        """Whatever it is, it is meant."""


def narrow(method: str, *, tokens: int, window: int = 1) -> Narrow:
    """Blocks of two rows; scores of 2 bits, made of sums of 3."""
    return Narrow(
        method,
        rows=2,
        lanes=1,
        load=1,
        tokens=tokens,
        width=1,
        heads=1,
        head_width=1,
        window=window,
        score_bits=2,
        slices=(4, 4),
    )


def still(m: Module, *values: ValueLike) -> None:
    """What the solver chooses here, it chooses once."""
    begun = Signal()
    m.d.sync += begun.eq(1)
    for value in map(Value.cast, values):
        before = Signal(len(value))
        m.d.sync += before.eq(value)
        m.d.comb += Assume(~begun | (before == value))


def fair(m: Module, willing: Value, pause: int) -> None:
    """No more than `pause` cycles in a row pass in which it is not `willing`."""
    waited = Signal(range(pause + 1))
    m.d.sync += waited.eq(Mux(willing, 0, waited + 1))
    m.d.comb += Assume(willing | (waited != pause))


def claim_by(m: Module, done: Value, deadline: int) -> None:
    """`done` once so many cycles have passed."""
    now = Signal(range(deadline + 1))
    m.d.sync += now.eq(Mux(now == deadline, deadline, now + 1))
    m.d.comb += Assert((now != deadline) | done)


def one_for_every_change(faults: Iterable[str], chosen: str) -> list:
    """Parameters: the fault `chosen`, and the others where there is time."""
    return [name if name == chosen else pytest.param(name, marks=pytest.mark.long) for name in faults]
