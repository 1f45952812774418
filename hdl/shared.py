# SPDX-License-Identifier: Apache-2.0
"""Equal components become one module with many instances, and are elaborated once.

A component that occurs many times hangs its copies into its parent through `share`. In simulation by Amaranth they are
ordinary submodules. When Verilog is written (`hdl/emit.py`), the first of each kind is converted to a module of its own
and all of them become instances of it.
"""

from typing import Protocol

from amaranth.hdl import Elaboratable
from amaranth.lib import wiring


class Sharing(Protocol):
    """A platform under which equal components are one module."""

    def instance(self, component: wiring.Component, name: str) -> Elaboratable:
        """An instance of the module called `name` that `component` stands for, wired to the component's ports."""


def share(component: wiring.Component, name: str, platform) -> Elaboratable:
    """What to add as submodule for `component`: itself, or an instance of the module `name` of all its equals.

    Components given the same name under one top must be equal: same class, same parameters.
    """
    if hasattr(platform, "instance"):
        return platform.instance(component, name)
    return component


def mark_used(component: wiring.Component) -> None:
    """Amaranth warns of components that were made and never elaborated; for this one and its parts, something else
    was."""
    component._MustUse__used = True
    for part in vars(component).values():
        for each in part if isinstance(part, list | tuple) else [part]:
            if isinstance(each, Elaboratable) and not each._MustUse__used:
                mark_used(each)
