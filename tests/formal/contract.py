# SPDX-License-Identifier: Apache-2.0
"""The contract of a stream component, as logic to be put beside it in a claim.

no loss, no duplication   results that leave are never more than those owed, and while the sink takes what it is
                          offered, one that is owed leaves within a bounded time
order kept                a transfer that the solver picks leaves behind just those that were owed before it
payload held              valid and payload stay as they are until they are taken
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from amaranth.hdl import Assert, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member

OWED_BITS = 4
"""Enough to count the results that can be owed at once in a small component."""


def fires(stream) -> Value:
    """A transfer takes place at the end of this cycle."""
    return stream.valid & stream.ready


def held(m: Module, stream) -> Value:
    """Valid and payload are what they were if they had to wait in the cycle before."""
    payload = Value.cast(stream.payload)
    waiting, before = Signal(), Signal(payload.shape())
    m.d.sync += [waiting.eq(stream.valid & ~stream.ready), before.eq(payload)]
    return ~waiting | (stream.valid & (payload == before))


def claim_balance(m: Module, *, enters: Value, leaves: Value) -> Value:
    """Claims that nothing leaves that is not owed. Returns how many results are owed.

    `enters`: a result is owed from the end of this cycle on. `leaves`: one leaves at the end of this cycle.
    """
    owed = Signal(OWED_BITS)
    m.d.sync += owed.eq(owed + enters - leaves)
    m.d.comb += Assert(~leaves | (owed != 0))
    return owed


def claim_order(m: Module, *, enters: Value, expected: Value, leaves: Value, result: Value, picked: Value) -> None:
    """Claims that results leave in the order in which they came to be owed, each with the value then `expected`.

    `result` is the value of what leaves. `picked` is free: one transfer of all is watched, whichever the solver likes.
    """
    owed = claim_balance(m, enters=enters, leaves=leaves)
    ahead, value = Signal(OWED_BITS), Signal(expected.shape())
    watching, done = Signal(), Signal()
    with m.If(enters & picked & ~watching & ~done):
        m.d.sync += [watching.eq(1), value.eq(expected), ahead.eq(owed - leaves)]
    with m.If(watching & leaves):
        m.d.sync += ahead.eq(ahead - 1)
        with m.If(ahead == 0):
            m.d.comb += Assert(result == value)
            m.d.sync += [watching.eq(0), done.eq(1)]


def claim_progress(m: Module, *, owed: Value, leaves: Value, can_leave: Value, bound: int) -> None:
    """Claims that no more than `bound` cycles pass in which something is owed, `can_leave` and does not leave."""
    waited = Signal(range(bound + 1))
    waits = Signal()
    m.d.comb += [waits.eq((owed != 0) & can_leave & ~leaves), Assert(~waits | (waited < bound))]
    with m.If(leaves):
        m.d.sync += waited.eq(0)
    with m.Elif(waits):
        m.d.sync += waited.eq(waited + 1)


def inputs_of(component: wiring.Component) -> dict[str, Value]:
    """The inputs of a component by name, the parts of their paths joined by two underscores."""
    members = component.signature.flatten(component)
    return {"__".join(map(str, path)): Value.cast(port) for path, member, port in members if member.flow == wiring.In}


class Claim(wiring.Component, ABC):
    """Drives every input of a component with what the solver likes; what is claimed is added by `claim` of those below.

    Members are the inputs of `dut`, named as `inputs_of` does, and those in `free`, which the solver chooses as well.
    """

    def __init__(self, dut: wiring.Component, free: Mapping[str, Member] | None = None):
        self._dut = dut
        super().__init__({name: In(len(port)) for name, port in inputs_of(dut).items()} | dict(free or {}))

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self._dut
        self._drive(m, self._dut)
        self.claim(m, self._dut)
        return m

    def _drive(self, m: Module, dut: wiring.Component) -> None:
        m.d.comb += [port.eq(getattr(self, name)) for name, port in inputs_of(dut).items()]

    @abstractmethod
    def claim(self, m: Module, dut: wiring.Component) -> None:
        """Adds what is claimed of `dut`."""


class OfferClaim(Claim):
    """What a component offers on its streams `names` stays as it is until it is taken, whatever comes in."""

    def __init__(self, dut: wiring.Component, *names: str):
        self._names = names
        super().__init__(dut)

    def claim(self, m: Module, dut: wiring.Component) -> None:
        m.d.comb += [Assert(held(m, getattr(dut, name))) for name in self._names]


class IndependenceClaim(Claim):
    """The valid of stream `o` does not depend on its ready.

    Of two equal components with equal inputs, one is shown another `o.ready` in one cycle: in that cycle both offer a
    result or neither does.
    """

    def __init__(self, one: wiring.Component, other: wiring.Component):
        self._other = other
        super().__init__(one, {"differs": In(1)})

    def claim(self, m: Module, dut: wiring.Component) -> None:
        m.submodules.other = other = self._other
        self._drive(m, other)
        differed = Signal()
        m.d.sync += differed.eq(differed | self.differs)
        m.d.comb += [
            other.o.ready.eq(self.o__ready ^ self.differs),
            Assert(differed | (dut.o.valid == other.o.valid)),
        ]
