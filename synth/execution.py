# SPDX-License-Identifier: Apache-2.0
"""Area, memory bits and clock of the units that compute a layer, sub-block by sub-block: `synth/hierarchy.py` with
their table."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from config.units import UnitConfig
from synth import hierarchy
from synth.liberty import Library

PRESET = "minilm"

TITLES = {"softmax": "softmax", "layer_norm": "LayerNorm", "gelu": "GELU", "residual": "residual sums"}
"""The units in the order of the table, by what `config.presets.execution` calls them."""

PARTS = {
    "lanes": ("power", "norm_lane", "norm_scaler", "residual_scaler", "tables"),
    "row sums": ("norm_sums", "total"),
    "root, reciprocal": ("norm_root", "norm_reciprocal"),
    "divider": ("divider",),
    "waiting rows": ("waiting", "norm_store"),
    "control": (),
}
"""Sub-block → its modules, named without the top's name in front; the top itself is control."""

Unit = hierarchy.Unit[UnitConfig]


def as_json(units: Mapping[str, Unit], conditions: Mapping[str, object]) -> dict[str, object]:
    """All figures, and the conditions under which they hold."""
    rows = [
        {"name": name, "preset": unit.preset, "config": asdict(unit.config), "parts": unit.parts_as_json()}
        for name, unit in units.items()
    ]
    return {"conditions": dict(conditions), "units": rows}


def measure(
    preset: str,
    config: UnitConfig,
    verilog: Callable[[UnitConfig], str],
    folder: Path,
    liberty: Path,
    library: Library,
) -> Unit:
    """Map a unit and, if OpenSTA is at hand, time it; `verilog` gives its text. Raises `Refusal` if a tool fails."""
    work = folder / f"{preset}_{config.name}"
    return Unit(preset, config, hierarchy.measure(verilog(config), config.name, PARTS, work, liberty, library))
