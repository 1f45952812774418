# SPDX-License-Identifier: Apache-2.0
"""Area, memory bits and clock of the units that compute a layer, sub-block by sub-block: `synth/hierarchy.py` with
their table."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from config import presets
from config.attention import AttentionConfig
from config.units import UnitConfig
from synth import hierarchy
from synth.liberty import Library

PRESET = "minilm"

TITLES = {
    "attention": "both PE arrays, attention",
    "softmax": "softmax",
    "layer_norm": "LayerNorm",
    "gelu": "GELU",
    "residual": "residual sums",
}
"""The units in the order of the table."""

PARTS = {
    "lanes": ("power", "norm_lane", "norm_scaler", "residual_scaler", "tables"),
    "row sums": ("norm_sums", "total"),
    "root, reciprocal": ("norm_root", "norm_reciprocal"),
    "divider": ("divider",),
    "waiting rows": ("waiting", "norm_store"),
    "control": (),
}
"""Sub-block → its modules, named without the top's name in front; the top itself is control."""

ATTENTION_PARTS = {
    "array 1: lines": ("dot_line", "dot_product"),
    "array 1: rows of tiles": ("dot_tiles",),
    "array 1: results": ("dot_reader",),
    "array 1: control": ("dot_array",),
    "array 2: lines": ("pe_line", "pe_bundle2"),
    "array 2: rows of tiles": ("row_stores",),
    "array 2: results": ("dense_reader",),
    "array 2: contexts": ("context_reader",),
    "array 2: control": ("pe_array",),
    "dispatcher": ("dispatch", "item_queue"),
    "items, choice of a bank": ("line",),
    "banks of K and V": ("banks",),
    "crossbars": ("select",),
    "picks on their way, rows": ("lines",),
    "rows of Q": ("query_feed",),
    "softmax at lines: powers, scales": ("powers",),
    "softmax at lines: scores, codes": ("softmax", "queue", "codes", "ahead"),
    "control": (),
}
"""Of both arrays with what brings kept pairs to them."""

Config = UnitConfig | AttentionConfig
Unit = hierarchy.Unit[Config]


def configurations() -> dict[str, Config]:
    """The units of the preset by name. Without attention: where a line's choice of a row of Q has as few inputs as it
    has there, ABC ends without a result."""
    return dict(presets.execution(PRESET))


def shape(config: Config) -> str:
    """What a unit is built for, in a line."""
    if isinstance(config, AttentionConfig):
        arrays, items = config.arrays, config.items
        return f"2 × {arrays.lines} lines × {arrays.lanes} lanes, {items.tokens} keys, {items.sets} heads at a time"
    return ", ".join(f"{value} {parameter}" for parameter, value in asdict(config).items())


def as_json(units: Mapping[str, Unit], conditions: Mapping[str, object]) -> dict[str, object]:
    """All figures, and the conditions under which they hold."""
    rows = [
        {"name": name, "preset": unit.preset, "config": asdict(unit.config), "parts": unit.parts_as_json()}
        for name, unit in units.items()
    ]
    return {"conditions": dict(conditions), "units": rows}


def measure(
    preset: str,
    config: Config,
    verilog: Callable[[Config], str],
    folder: Path,
    liberty: Path,
    library: Library,
) -> Unit:
    """Map a unit and, if OpenSTA is at hand, time it; `verilog` gives its text. Raises `Refusal` if a tool fails."""
    work = folder / f"{preset}_{config.name}"
    parts = ATTENTION_PARTS if isinstance(config, AttentionConfig) else PARTS
    return Unit(preset, config, hierarchy.measure(verilog(config), config.name, parts, work, liberty, library))
