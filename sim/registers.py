# SPDX-License-Identifier: Apache-2.0
"""The register block in RTL simulation, behind a master of AXI4-Lite."""

from pathlib import Path
from typing import Any

from config.system import SystemConfig
from hdl.emit import verilog
from hdl.system.registers import Registers
from sim import runner

NAME = "registers"


def build(config: SystemConfig, registers: Any = None) -> Path:
    """Folder of the model of the block, or of another one that is given, built if need be."""
    return runner.build(verilog(registers or Registers(config), NAME), NAME)


def run(
    config: SystemConfig, *, rest: float, steps: int, seed: int, folder: Path | None = None
) -> tuple[list[str], dict[str, int]]:
    """Random reads, writes, events, and words that the accelerator tells, in `steps` steps, every one compared with the
    golden registers. rest: share of cycles in which each channel of the master does. Returns the commands that were
    given, and how many answers there were of each kind. Raises `SimulationError` at the first difference."""
    job = {"config": config, "rest": rest, "steps": steps, "seed": seed}
    found = runner.run_jobs(folder or build(config), NAME, "sim.registers_bench", job)
    return found["commands"], found["answers"]
