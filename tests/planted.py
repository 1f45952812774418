# SPDX-License-Identifier: Apache-2.0
"""Components with a fault planted in them, by which the tests and the proofs are themselves tested."""

from collections.abc import Callable, Mapping, Sequence

from amaranth.hdl import Module, Value
from amaranth.lib import wiring

Fault = Callable[[Value], Value]


class Planted(wiring.Component):
    """A sound component behind the same ports, with faults on their wires.

    `faults` names ports, the parts of their paths joined by two underscores (`o`, `x__valid`), and gives for each what
    becomes of its value on the way.
    """

    def __init__(self, sound: wiring.Component, **faults: Fault):
        self._sound = sound
        self._faults = faults
        super().__init__(sound.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.sound = self._sound
        inner = self._sound.signature.flatten(self._sound)
        unused = dict(self._faults)
        for (path, member, sound), (_, _, port) in zip(inner, self.signature.flatten(self), strict=True):
            fault = unused.pop("__".join(map(str, path)), lambda value: value)
            source, sink = (port, sound) if member.flow == wiring.In else (sound, port)
            m.d.comb += Value.cast(sink).eq(fault(Value.cast(source)))
        assert not unused, f"no such port: {', '.join(unused)}"
        return m


class Switched(wiring.Component):
    """As `Planted`, with a choice of faults: that at place n of `faults`, each as of `Planted`, while the port `fault`
    is n + 1, none while it is 0. So one model has all of them."""

    def __init__(self, sound: wiring.Component, faults: Sequence[Mapping[str, Fault]]):
        self._sound, self._faults = sound, faults
        members = dict(sound.signature.members.items())
        super().__init__(members | {"fault": wiring.In(range(len(faults) + 1))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.sound = self._sound
        inner = self._sound.signature
        unused = {name for fault in self._faults for name in fault}
        for path, member, sound in inner.flatten(self._sound):
            name, port = "__".join(map(str, path)), self
            for step in path:
                port = getattr(port, step)
            source, sink = (port, sound) if member.flow == wiring.In else (sound, port)
            unused.discard(name)
            m.d.comb += Value.cast(sink).eq(source)
            for number, fault in enumerate(self._faults):
                if name in fault:
                    with m.If(self.fault == number + 1):
                        m.d.comb += Value.cast(sink).eq(fault[name](Value.cast(source)))
        assert not unused, f"no such port: {', '.join(sorted(unused))}"
        return m


def without_top_bit(value: Value) -> Value:
    """The value with a top bit of 0: a log code without its sign."""
    return value[:-1]
