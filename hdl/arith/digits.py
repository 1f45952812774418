# SPDX-License-Identifier: Apache-2.0
"""Digit-by-digit arithmetic, one bit of the result a cycle, in parts that work on different numbers at once.

i ─► begin ─► ┌ part 0 ┐ ─► ┌ part 1 ┐ ─► result ─► o
              │ step ↺ │    │ step ↺ │                   a part takes one cycle a bit and one to be loaded
              └────────┘    └────────┘

Each part holds a state: what the steps need, at the width that it has by then.
"""

from abc import ABC, abstractmethod

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require

State = dict[str, Value]


def numbered(bits: int, tag: int) -> data.StructLayout:
    """A number, and above it a tag of `tag` bits, perhaps none."""
    return data.StructLayout({"number": unsigned(bits), "tag": unsigned(tag)})


class Digits(wiring.Component, ABC):
    """`bits` steps from a number to a result, shared out among `parts`.

    Parameters
    ----------
    bits: steps. parts: how many numbers are worked on at once; a divisor of `bits`. tag: bits of what accompanies a
    number. in_bits, out_bits: of the number that enters and of the one that leaves, from those below.

    Members
    -------
    i: In, stream of `numbered(in_bits, tag)`. o: Out, stream of `numbered(out_bits, tag)`, in the order of `i`.

    `latency` cycles from i to o, a number every `period` cycles. Without numbers nothing toggles. Empty after reset.
    """

    def __init__(self, *, bits: int, parts: int, tag: int, in_bits: int, out_bits: int):
        require(
            isinstance(bits, int) and isinstance(parts, int) and 1 <= parts < bits and bits % parts == 0,
            f"parts must be a divisor of the {bits!r} bits and less than that, not {parts!r}; choose another one.",
        )
        require(isinstance(tag, int) and tag >= 0, f"tag must be an integer from 0, not {tag!r}; raise it.")
        self._bits, self._parts, self._tag = bits, parts, tag
        super().__init__(
            {"i": In(stream.Signature(numbered(in_bits, tag))), "o": Out(stream.Signature(numbered(out_bits, tag)))}
        )

    @property
    def period(self) -> int:
        """Cycles from one number to the next: the steps of a part, and its loading."""
        return self._bits // self._parts + 1

    @property
    def latency(self) -> int:
        """Cycles from a number that enters to its result."""
        return self._parts * self.period

    @abstractmethod
    def _widths(self, first: int, last: int) -> dict[str, int]:
        """Bits of each field of the state in a part that does the steps from `first` to before `last`. Where a field is
        narrower than in the part before, its top bits are handed on."""

    @abstractmethod
    def _begin(self, number: Value) -> State:
        """The state in front of the first step."""

    @abstractmethod
    def _step(self, m: Module, state: State, name: str, platform) -> State:
        """The state after a step, each field as wide as in `state`."""

    @abstractmethod
    def _result(self, state: State) -> Value:
        """What leaves after the last step."""

    def elaborate(self, platform):
        m = Module()
        steps = self._bits // self._parts
        valid, ready, tag = self.i.valid, self.i.ready, self.i.payload.tag
        state = self._begin(self.i.payload.number)
        for part in range(self._parts):
            held = {
                name: Signal(width, name=f"{name}{part}", reset_less=True)
                for name, width in self._widths(part * steps, (part + 1) * steps).items()
            }
            held_tag = Signal(self._tag, name=f"tag{part}", reset_less=True)
            left, full = Signal(range(steps + 1), name=f"left{part}", reset_less=True), Signal(name=f"full{part}")
            taken = Signal(name=f"taken{part}")
            # A register, as all parts may have to know in the same cycle whether the one behind them is done.
            done = Signal(name=f"done{part}", reset_less=True)
            m.d.comb += ready.eq(~full | (done & taken))
            stepped = self._step(m, held, f"step{part}", platform)
            with m.If(full & ~done):
                m.d.sync += [
                    left.eq(left - 1),
                    done.eq(left == 1),
                    *(held[name].eq(stepped[name]) for name in held),
                ]
            with m.If(ready):
                m.d.sync += full.eq(valid)
                with m.If(valid):
                    m.d.sync += [
                        left.eq(steps),
                        done.eq(0),
                        held_tag.eq(tag),
                        *(held[name].eq(state[name][-len(held[name]) :]) for name in held),
                    ]
            valid, ready, tag, state = full & done, taken, held_tag, held
        m.d.comb += [
            self.o.valid.eq(valid),
            ready.eq(self.o.ready),
            self.o.payload.number.eq(self._result(state)),
            self.o.payload.tag.eq(tag),
        ]
        return m
