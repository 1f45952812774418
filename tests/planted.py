# SPDX-License-Identifier: Apache-2.0
"""Components with a fault planted in them, by which the tests and the proofs are themselves tested."""

from collections.abc import Callable

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


def without_top_bit(value: Value) -> Value:
    """The value with a top bit of 0: a log code without its sign."""
    return value[:-1]
