# SPDX-License-Identifier: Apache-2.0
"""Reads switching activity from a SAIF file, such as Verilator writes with `--trace-saif --trace-underscore`.

A file from Verilator counts a net that is one at its start as one toggle more; over a long run that does not show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config.errors import Refusal
from synth.activity import Activity
from synth.netlist import SEPARATOR, Netlist, Port

TOKEN = re.compile(r'//[^\n]*|[()]|"[^"]*"|[^\s()"]+')
FIELDS = ("T0", "T1", "TC")


@dataclass(frozen=True)
class Record:
    """Time at zero, time at one, toggles."""

    low: float
    high: float
    toggles: float


def records(text: str) -> dict[str, Record]:
    """Every signal in the file by its full name: instances and signal joined by `.`, escapes taken out."""
    return dict(_walk(text))


def _walk(text: str) -> Iterator[tuple[str, Record]]:
    # One entry per open bracket: its first word, and for an instance or a net its name.
    stack: list[list[str]] = []
    values: dict[str, float] = {}
    path: list[str] = []
    for match in TOKEN.finditer(text):
        token = match.group()
        if token.startswith("//"):
            continue
        if token == "(":
            stack.append([])
        elif token != ")":
            if not stack:
                raise Refusal(f"A SAIF file must consist of bracketed groups; {token[:40]!r} stands outside of any.")
            stack[-1].append(token)
            if len(stack[-1]) == 2 and stack[-1][0] == "INSTANCE":
                path.append(_plain(token))
        else:
            if not stack:
                raise Refusal("A SAIF file must close every bracket once; this one closes one too many.")
            words = stack.pop()
            if words and words[0] == "INSTANCE" and len(words) > 1:
                path.pop()
            elif len(words) == 2 and words[0] in FIELDS:
                values[words[0]] = float(words[1])
            elif stack and stack[-1] and stack[-1][0] == "NET" and words:
                if len(values) == len(FIELDS):
                    yield SEPARATOR.join([*path, _plain(words[0])]), Record(values["T0"], values["T1"], values["TC"])
                values = {}
    if stack:
        raise Refusal("A SAIF file must close every bracket; this one ends too early: run the simulation to its end.")


def _plain(name: str) -> str:
    return name.strip('"').replace("\\", "")


def from_text(text: str, netlist: Netlist, cycles: float, scope: str | None = None) -> Activity:
    """Activity of the netlist's nets from the text of a SAIF file that covers `cycles` clock cycles.

    scope: the instance that holds the netlist, levels joined by `.`; by default the innermost one named like the top
    module. A net is looked up at every cell pin on it and under all of its own names. Raises Refusal where there is no
    such scope.
    """
    if cycles <= 0:
        raise Refusal(f"A SAIF file must cover a positive number of clock cycles, not {cycles}.")
    found = records(text)
    prefix = _prefix(found, netlist, scope)
    inside = {name[len(prefix) :]: record for name, record in found.items() if name.startswith(prefix)}
    toggles, high = np.zeros(netlist.nets), np.zeros(netlist.nets)
    known = np.zeros(netlist.nets, dtype=bool)
    for name, net in (*netlist.net_by_name.items(), *netlist.pin_nets()):
        record = inside.get(name)
        if record is not None:
            toggles[net], known[net] = record.toggles / cycles, True
            high[net] = record.high / max(record.low + record.high, 1.0)
    toggles[:2], high[:2], known[:2] = 0.0, (0.0, 1.0), True
    return Activity(toggles, high, known)


def to_text(netlist: Netlist, activity: Activity, cycles: int, period_ps: int = 1000) -> str:
    """A SAIF file with this activity over `cycles` clock cycles, for other tools: ports and all cell pins."""

    def record(name: str, net: int) -> str:
        toggles, high = round(activity.toggles[net] * cycles), round(activity.high[net] * cycles * period_ps)
        return f"({name} (T0 {cycles * period_ps - high}) (T1 {high}) (TX 0) (TC {toggles}) (IG 0))"

    def escape(name: str) -> str:
        return re.sub(r"([^\w])", r"\\\1", name)

    def bit(port: Port, index: int) -> str:
        return port.name if len(port.nets) == 1 else escape(f"{port.name}[{index}]")

    lines = ['(SAIFILE (SAIFVERSION "2.0") (DIRECTION "backward") (DIVIDER / ) (TIMESCALE 1 ps)']
    lines += [f"(DURATION {cycles * period_ps})", f"(INSTANCE {escape(netlist.name)}", "(NET"]
    lines += [record(bit(port, at), net) for port in netlist.ports.values() for at, net in enumerate(port.nets)]
    lines.append(")")
    for group in netlist.groups.values():
        for at, cell in enumerate(group.cells):
            pins = " ".join(record(pin, nets[at]) for pin, nets in group.pins.items())
            lines.append(f"(INSTANCE {escape(netlist.cell_names[cell])} (NET {pins}))")
    return "\n".join([*lines, "))", ""])


def _prefix(found: dict[str, Record], netlist: Netlist, scope: str | None) -> str:
    wanted = netlist.name if scope is None else scope
    prefixes = {name[: name.rindex(SEPARATOR) + 1] for name in found if SEPARATOR in name}
    fitting = [prefix for prefix in prefixes if f"{SEPARATOR}{prefix}".endswith(f"{SEPARATOR}{wanted}{SEPARATOR}")]
    if not fitting:
        raise Refusal(f"The SAIF file must hold an instance {wanted!r}; it holds no net in any such: name the scope.")
    return max(fitting, key=len)


def read(path: Path, netlist: Netlist, cycles: float, scope: str | None = None) -> Activity:
    """`from_text` of a file."""
    try:
        return from_text(path.read_text(encoding="utf-8"), netlist, cycles, scope)
    except OSError as error:
        raise Refusal(
            f"The SAIF file {path} must be readable, but: {error.strerror}; simulate with tracing on."
        ) from error
