# SPDX-License-Identifier: Apache-2.0
"""Arithmetic described by what it computes, `*` and `+`, not by the adders that are to be built: for simulation that is
to be quick, and for FPGAs, which have multipliers of their own. Absent from all other Verilog.

A component that has both descriptions asks `behavioural` for one of them. Its ports show the same under both, in every
cycle; what lies between them has the same registers, but not the same words in them.
"""

from collections.abc import Sequence

from amaranth.hdl import Value
from amaranth.lib import wiring

from hdl.shared import mark_used


def behavioural(platform, *unused: wiring.Component) -> bool:
    """Does `platform` want what is computed, instead of how? Then the parts that are `unused` will not be missed."""
    wanted = getattr(platform, "behavioural", False)
    if wanted:
        for part in unused:
            mark_used(part)
    return wanted


def total(values: Sequence[Value]) -> Value:
    """Their exact sum, two by two, so that no word is wider than it has to be."""
    while len(values) > 1:
        values = [sum(values[at : at + 2]) for at in range(0, len(values), 2)]
    return values[0]
