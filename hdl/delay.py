# SPDX-License-Identifier: Apache-2.0
"""Values that wait for others which take longer."""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal, Value


def delayed(m: Module, value, name: str, enable: Sequence[Value]):
    """The value behind a register for each enable, which lets it in; they are called by `name` and their number."""
    for stage, enters in enumerate(enable):
        after = Signal.like(value, name=f"{name}{stage}", reset_less=True)
        with m.If(enters):
            m.d.sync += after.eq(value)
        value = after
    return value
