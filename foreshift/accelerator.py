# SPDX-License-Identifier: Apache-2.0
"""An accelerator for users: one object that is a golden model, a simulation, Verilog, and what it costs.

config ─► Accelerator ─┬─► golden: what each layer has to give
                       ├─► simulate: the same through the RTL in Verilator, checked, with cycles and counters
                       ├─► verilog: the text, and a sidecar
                       └─► report: memories, ports
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config import presets
from config.errors import require
from config.system import SystemConfig
from sim import accelerator, workloads
from sim.stack import Step

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Result:
    """Layers that came out of the RTL as the golden model has them. y: int64 [T, D], the last one's output. counters:
    by the names of docs/registers.md. rate: cycles simulated in a second. waves: the file of waveforms, if WAVES asked
    for them."""

    y: Int64
    cycles: int
    counters: dict[str, int]
    rate: float
    waves: Path | None = None

    @property
    def hidden(self) -> float | None:
        """As of `sim.accelerator.hidden`."""
        return accelerator.hidden(self.counters)


class Accelerator:
    """`esact`, `lapa`, `fact`, `dense`, `sanger` or `spatten`.

    Parameters
    ----------
    config: a `SystemConfig`, or the name of a preset that has accelerators. method: of a preset: spls, lapa, fact,
    dense, sanger or spatten.

    Raises `Refusal` for anything else.
    """

    def __init__(self, config: SystemConfig | str = "tiny", method: str = "spls"):
        if isinstance(config, str):
            config = _of_preset(config, method)
        self.config = config

    def workload(self, model: str, text: str, **limits: Any) -> workloads.Workload:
        """A real model on a text; see `sim.workloads.workload`."""
        return workloads.workload(self.config, model, text, **limits)

    def golden(self, steps: list[Step]) -> Int64:
        """What the last layer has to give, int64 [T, D]."""
        return steps[-1].y

    def build(self) -> None:
        """The model that `simulate` runs, built once and kept: seconds at `tiny`, many minutes at `minilm`."""
        accelerator.build(self.config)

    def simulate(self, steps: list[Step], **switches: Any) -> Result:
        """Layers through the RTL, over AXI, with a memory behind it, on the model of `build`. switches:
        `overlap`, `eager`, `pace`, as of `sim.accelerator.run`.

        Raises AssertionError for an output that is not golden, `SimulationError` if the hardware stands still.
        """
        laid = accelerator.lay_out(self.config, steps)
        ended = accelerator.run(self.config, laid, limit=accelerator.limit_of(steps), **switches)
        accelerator.check(steps, laid, ended)
        last = laid.y[-1]
        assert last is not None
        return Result(last.read(ended.memory), ended.cycles, ended.counters, ended.rate, ended.waves)

    def verilog(self, path: Path | str) -> None:
        """Writes the top's Verilog, and beside it NAME.json: parameters, ports, memories."""
        path, (text, sidecar) = Path(path), self._written
        path.write_text(text, encoding="utf-8")
        path.with_suffix(".json").write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")

    def report(self) -> dict[str, Any]:
        """What the top asks of those who build it in: `name`, `ports`, `memory_bits`, `memories`, as its sidecar has
        them. Areas and clocks are measured by `foreshift synth`."""
        _, sidecar = self._written
        return {name: sidecar[name] for name in ("name", "ports", "memory_bits", "memories")}

    @cached_property
    def _written(self) -> tuple[str, dict[str, Any]]:
        """Verilog and sidecar."""
        from hdl.catalogue import describe, system_unit
        from hdl.emit import verilog

        unit = system_unit(self.config)
        component = unit.make()
        text = verilog(component, unit.name)
        return text, describe(unit, component, text)


def _of_preset(preset: str, method: str) -> SystemConfig:
    built = presets.systems(preset)
    able = [name for name in presets.PRESETS if presets.systems(name)]
    require(
        bool(built),
        f"The preset must be one that has accelerators, {' or '.join(able)}, not {preset!r}; choose one of them.",
    )
    require(method in built, f"The method must be one of {', '.join(built)}, not {method!r}; choose one of them.")
    return built[method]
