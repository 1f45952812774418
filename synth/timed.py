# SPDX-License-Identifier: Apache-2.0
"""Simulates a mapped netlist with the delays of its cells, and counts what glitches too: `synth.gatesim` in real time.

    netlist ─► flat Verilog ─┐
    delays  ─► SDF ──────────┼─► Icarus Verilog ─► what every net did, change by change ─► toggles, time at one
    the library's Verilog ───┘

A cycle begins with the rising clock edge; `ARRIVAL_NS` later inputs change, as if they came from registers. All starts
from zero, as in `synth.gatesim`, and the clock falls in the middle of a cycle. A pulse shorter than a cell's delay does
not leave it. Streams run one after the other.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal
from synth import delays as delays_of
from synth import gatesim
from synth.activity import Activity
from synth.boolean import ONE, ZERO
from synth.delays import Delays
from synth.gatesim import Bits, Run
from synth.liberty import Library
from synth.netlist import Netlist

ARRIVAL_NS = 0.1
"""As for the clock in `synth.timing`."""
SETTLED_PS = 100_000
"""For so long nothing happens at first, until all logic shows what follows from zeros."""
MISSING = (
    "Icarus Verilog is missing, so glitches cannot be seen: install it (as root: make system-glitch) and run again."
)

_BENCH = """
`timescale 1ps/1ps
module bench;
  reg clk = 0;
  reg [{width}-1:0] in = 0;
  reg [{width}-1:0] stimulus [0:{cycles}-1];
  wire [{observed}-1:0] out = {{{outputs}}};
  integer cycle, file;
  flat d ({ports});
  initial begin
    $sdf_annotate("delays.sdf", d);
    $readmemb("stimulus.txt", stimulus);
    $dumpfile("activity.vcd");
    file = $fopen("outputs.txt", "w");
    #{settled};
    for (cycle = 0; cycle < {cycles}; cycle = cycle + 1) begin
      clk = cycle > 0;
      #{arrival} in = stimulus[cycle];
      #{high} clk = 0;
      #{low} $fwrite(file, "%b\\n", out);
      if (cycle == {start} - 1) $dumpvars(1, d);
      #1;
    end
    $finish;
  end
endmodule
"""


def available() -> bool:
    """Is Icarus Verilog on the path?"""
    return shutil.which("iverilog") is not None and shutil.which("vvp") is not None


class Simulator(gatesim.Simulator):
    """A netlist, its cells' Verilog and their delays, ready to run on `streams` stimuli, one after the other.

    cells: the Verilog of the library; work: a folder for the tool's files, which is made. Takes stimuli, and gives
    outputs as they stand at the end of each cycle, like the one without delays. Raises `Refusal` if Icarus Verilog is
    not there, and for what the other one does not take either.
    """

    def __init__(
        self,
        netlist: Netlist,
        library: Library,
        streams: int,
        *,
        cells: Path,
        delays: Delays,
        period_ns: float,
        work: Path,
    ) -> None:
        super().__init__(netlist, library, streams)
        self.library = library
        if not available():
            raise Refusal(MISSING)
        self._period = round(period_ns * 1e3)
        if self._period < 4e3 * ARRIVAL_NS:
            raise Refusal(f"The clock period must be at least {4 * ARRIVAL_NS} ns, not {period_ns} ns.")
        self._cells, self._delays, self._work = cells, delays, work
        self._flat = delays_of.flat(netlist, library, inside="bench.d")
        work.mkdir(parents=True, exist_ok=True)
        (work / "flat.v").write_text(self._flat.text, encoding="utf-8")
        (work / "delays.sdf").write_text(delays_of.to_sdf(delays, netlist, library), encoding="utf-8")
        (work / "cells.v").write_text("`timescale 1ns/1ps\n" + _from_zero(cells), encoding="utf-8")

    def run(self, stimulus: Mapping[str, NDArray[np.integer]], *, start: int = 1, stop: int | None = None) -> Run:
        """As of `synth.gatesim`. Raises `Refusal` if Icarus Verilog fails, leaves a cell without its delay, or finds a
        net that is neither zero nor one."""
        bits = self._bits(stimulus)
        cycles = len(bits)
        stop = cycles if stop is None else stop
        if not 1 <= start < stop <= cycles:
            raise Refusal(f"The counted cycles must lie within 1..{cycles} and be at least one, not {start}..{stop}.")
        self._compile(cycles, start)
        toggles, high = np.zeros(self.netlist.nets), np.zeros(self.netlist.nets)
        taken = []
        for stream in range(self.streams):
            np.savetxt(self._work / "stimulus.txt", bits[:, stream, ::-1], fmt="%d", delimiter="")
            self._tool("vvp", "bench.vvp")
            taken.append(self._outputs(cycles))
            window = SETTLED_PS + self._period * start, SETTLED_PS + self._period * stop
            for net, (count, time) in self._counts(*window).items():
                toggles[net] += count
                high[net] += time
        high[1] = 1.0
        self._check(toggles, high)
        samples = (stop - start) * self.streams
        high[2:] /= samples * self._period
        activity = Activity(toggles / samples, high, np.ones(self.netlist.nets, dtype=bool))
        return Run(self._ports(np.stack(taken, axis=1)), activity)

    def _check(self, toggles: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        """Refuse a cell that passed something on without a delay: one that has none of a way through it which what
        stood still did not block."""
        for kind, group in self.netlist.groups.items():
            cell = self.library.cells[kind]
            missing = [
                (output, start, at)
                for output in cell.outputs
                for start in delays_of.starts(cell, output)
                for at in np.flatnonzero(group.pins[start] > 1)
                if (int(group.cells[at]), start, output.name) not in self._delays
            ]
            for output, start, at in missing:
                nets = {pin: int(of[at]) for pin, of in group.pins.items()}
                still = {pin: ONE if high[net] else ZERO for pin, net in nets.items() if not toggles[net]}
                function = output.function
                if start in still or (function and not function.substitute(still).difference(start).table.any()):
                    continue
                raise Refusal(f"Every cell of {self.netlist.name} must have its delays, but a {kind} has none.")

    def _bits(self, stimulus: Mapping[str, NDArray[np.integer]]) -> Bits:
        """Of all inputs beside each other, [cycles, streams, bits]."""
        self._pack(stimulus)
        return np.concatenate([self._port_bits(port, np.asarray(stimulus[port.name])) for port in self.inputs], axis=2)

    def _compile(self, cycles: int, start: int) -> None:
        place = {int(net): at for at, net in enumerate(net for port in self.inputs for net in port.nets)}
        observed = [int(net) for port in self.outputs for net in port.nets]
        arrival, half = round(ARRIVAL_NS * 1e3), self._period // 2
        text = _BENCH.format(
            width=len(place),
            cycles=cycles,
            start=start,
            settled=SETTLED_PS,
            observed=len(observed),
            outputs=", ".join(f"1'b{net}" if net < 2 else f"d.n{net}" for net in reversed(observed)),
            ports=", ".join(f".n{net}({f'in[{place[net]}]' if net in place else 'clk'})" for net in self._flat.inputs),
            arrival=arrival,
            high=half - arrival,
            low=self._period - half - 1,
        )
        (self._work / "bench.v").write_text(text, encoding="utf-8")
        self._tool("iverilog", "-g2005", "-gspecify", "-Ttyp", "-o", "bench.vvp", "cells.v", "flat.v", "bench.v")

    def _tool(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self._work, capture_output=True, text=True, check=False)
        said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("VCD info")]
        # What Icarus cannot annotate it only mentions.
        if done.returncode or any("SDF" in line for line in said):
            last = next((line for line in said if "SDF" in line), (said or ["nothing"])[-1])
            raise Refusal(f"{command[0]} must simulate {self.netlist.name}, but said '{last}'; see {self._work}.")

    def _outputs(self, cycles: int) -> Bits:
        text = (self._work / "outputs.txt").read_text(encoding="ascii")
        if set(text) - set("01\n"):
            raise Refusal(f"Every output of {self.netlist.name} must be known at the end of every cycle; one is not.")
        bits = np.frombuffer(text.replace("\n", "").encode("ascii"), np.uint8).reshape(cycles, -1) - ord("0")
        return bits[:, ::-1]

    def _ports(self, bits: Bits) -> dict[str, Bits]:
        ends = np.cumsum([len(port.nets) for port in self.outputs])
        return {port.name: bits[:, :, end - len(port.nets) : end] for port, end in zip(self.outputs, ends, strict=True)}

    def _counts(self, begin: int, end: int) -> dict[int, tuple[int, int]]:
        """Changes of each net, and ps at one, between two times."""
        with (self._work / "activity.vcd").open(encoding="ascii") as file:
            found = counts(file, begin, end)
        nets = {int(name[1:]): count for name, count in found.items() if name.startswith("n")}
        silent = self._flat.nets - set(nets)
        if silent:
            raise Refusal(f"Every net of {self.netlist.name} must be observed; {len(silent)} were not.")
        return nets


def _from_zero(cells: Path) -> str:
    """The library's Verilog, whose state elements begin at zero."""
    state = re.compile(r"^(\s*primitive\b.*?^\s*reg (\w+);)", re.MULTILINE | re.DOTALL)
    return state.sub(r"\1 initial \2 = 1'b0;", cells.read_text(encoding="utf-8"))


@dataclass
class _Net:
    value: str = ""
    since: int = 0
    changes: int = 0
    high: int = 0


def counts(vcd: Iterator[str], begin: int, end: int) -> dict[str, tuple[int, int]]:
    """Of every one-bit variable of a VCD file, by name: changes within begin ≤ time < end, and time at one there, in
    the file's unit. Raises `Refusal` where one has another value than 0 and 1."""
    names: dict[str, list[str]] = {}
    for line in vcd:
        words = line.split()
        if words[:1] == ["$var"]:
            names.setdefault(words[3], []).append(words[4])
        elif words[:1] == ["$enddefinitions"]:
            break
    nets = {code: _Net() for code in names}
    time = 0
    for line in vcd:
        kind = line[0]
        if kind in "01":
            net = nets[line[1:-1]]
            at = min(max(time, begin), end)
            if net.value == "1":
                net.high += at - net.since
            # What goes there and back in no time is written down, and has not changed.
            net.changes += net.value not in ("", kind) and begin <= time < end
            net.value, net.since = kind, at
        elif kind == "#":
            time = int(line[1:])
        elif kind in "xz":
            raise Refusal(f"Every net must be known while it is counted; {names[line[1:-1]][0]} is {kind} at {time}.")
    for net in nets.values():
        if net.value == "1":
            net.high += end - net.since
    return {name: (nets[code].changes, nets[code].high) for code, known in names.items() for name in known}
