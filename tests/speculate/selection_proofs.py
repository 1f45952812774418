# SPDX-License-Identifier: Apache-2.0
"""What claims about whole selections share: sizes small enough to be decided, choices that stay, pauses with an end."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import pytest
from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member

from config.speculate import SpeculationConfig
from hdl.speculate.socket import settings_layout


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


class SelectionClaim(wiring.Component, ABC):
    """Claims about a whole selection, `dut`, and one head.

    The solver chooses `settings`, the sums of each column and for which rows it is valid, when columns come (`comes`)
    and rows are taken (`taken`), and what is in `free`. A stream waits `pause` cycles at most, or any number. `claims`:
    which are made, by their letters; `deadline`: by when the last row has left.
    """

    def __init__(
        self,
        dut: wiring.Component,
        config: SpeculationConfig,
        free: Mapping[str, Member],
        *,
        pause: int | None,
        deadline: int,
        claims: str,
    ):
        self._dut, self._config, self._claims = dut, config, claims
        self._pause, self._deadline = pause, deadline
        super().__init__(
            {
                "settings": In(settings_layout(config)),
                "comes": In(1),
                "sums": In(config.rows * config.sum_bits),
                "may": In(config.rows),
                "taken": In(1),
            }
            | dict(free)
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._dut
        m.d.comb += [dut.settings.eq(self.settings), dut.rows.ready.eq(self.taken)]
        still(m, self.settings)
        done, willing = self.follow(m, dut)
        if self._pause is not None:
            for stream in (self.taken, *willing):
                fair(m, stream, self._pause)
        if "h" in self._claims:
            claim_by(m, done, self._deadline)
        return m

    @abstractmethod
    def follow(self, m: Module, dut: wiring.Component) -> tuple[Value, list[Value]]:
        """Sends columns, follows what comes of them, and adds all claims but h. Returns that all rows have left, and,
        but for the rows, when each stream does not pause."""


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
