# SPDX-License-Identifier: Apache-2.0
"""Area, memory bits and clock of the units that compute a layer, sub-block by sub-block: `synth/hierarchy.py` with
their table."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from config import presets
from config.attention import AttentionConfig
from config.units import UnitConfig
from synth import hierarchy, lines
from synth.liberty import Library

PRESETS = ("tiny", "minilm")
"""`paper` has no attention: `config.presets`."""
CLOCK_MHZ = 500
"""Clock that every unit is meant to reach, and at which energies are taken."""
PERIOD_NS = 1e3 / CLOCK_MHZ

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

ATTENTION_BLOCKS = {
    "array 1, dot lines": (
        "array 1: lines",
        "array 1: rows of tiles",
        "array 1: results",
        "array 1: control",
    ),
    "array 2, PE lines": (
        "array 2: lines",
        "array 2: rows of tiles",
        "array 2: results",
        "array 2: contexts",
        "array 2: control",
    ),
    "dispatcher": ("dispatcher",),
    "items, rows of K and V to lines": ("items, choice of a bank", "crossbars", "picks on their way, rows"),
    "softmax at lines": ("softmax at lines: powers, scales", "softmax at lines: scores, codes"),
    "buffers of Q, K, V": ("banks of K and V", "rows of Q"),
    "control": ("control",),
}
"""Block → its sub-blocks; each is in one of them."""

LINES = {"dot line": ("array 1: lines", "dot_line"), "PE line": ("array 2: lines", "pe_line")}
"""Line → the sub-block of all of them, and its module."""

Config = UnitConfig | AttentionConfig
Unit = hierarchy.Unit[Config]


def configurations(preset: str) -> dict[str, Config]:
    """The units of a preset by name, the largest first."""
    attention = presets.attention(preset)
    return ({"attention": attention} if attention else {}) | presets.execution(preset)


def blocks(unit: Unit) -> tuple[hierarchy.Part, ...]:
    """Of attention: a line of each array, alone, and the blocks; of other units none."""
    if not isinstance(unit.config, AttentionConfig):
        return ()
    parts = {part.name: part for part in unit.parts}
    count = unit.config.arrays.lines
    return (
        *(parts[name].shared(line, count) for line, (name, _) in LINES.items()),
        *(hierarchy.joined(block, [parts[name] for name in names]) for block, names in ATTENTION_BLOCKS.items()),
    )


def slow(units: Iterable[Unit]) -> list[str]:
    """Sub-blocks that do not reach `CLOCK_MHZ`, with the clock that they reach."""
    return [
        f"{unit.preset} {unit.config.name}, {part.name}: {part.fmax_mhz:.0f} MHz"
        for unit in units
        for part in unit.parts
        if part.fmax_mhz is not None and part.fmax_mhz < CLOCK_MHZ
    ]


def shape(config: Config) -> str:
    """What a unit is built for, in a line."""
    if isinstance(config, AttentionConfig):
        arrays, items = config.arrays, config.items
        return f"2 × {arrays.lines} lines × {arrays.lanes} lanes, {items.tokens} keys, {items.sets} heads at a time"
    return ", ".join(f"{value} {parameter}" for parameter, value in asdict(config).items())


def as_json(
    units: Mapping[tuple[str, str], Unit],
    energies: Mapping[str, Mapping[str, lines.Energy]],
    conditions: Mapping[str, object],
) -> dict[str, object]:
    """All figures, and the conditions under which they hold. units: by preset and name; energies: of the lines, by
    preset and module."""
    rows = [
        {"name": name, "preset": preset, "config": asdict(unit.config), "parts": unit.parts_as_json()}
        | {"blocks": [block.as_json() for block in blocks(unit)]}
        for (preset, name), unit in units.items()
    ]
    spent = {
        preset: {line: asdict(energy) | {"total": energy.total} for line, energy in found.items()}
        for preset, found in energies.items()
    }
    return {"conditions": dict(conditions), "units": rows, "energy of a product, fJ": spent}


def work(preset: str, config: Config, folder: Path) -> Path:
    """Where `measure` puts a unit's netlist, `netlist.json`."""
    return folder / f"{preset}_{config.name}"


def measure(
    preset: str,
    config: Config,
    verilog: Callable[[Config], str],
    folder: Path,
    liberty: Path,
    library: Library,
) -> Unit:
    """Map a unit and, if OpenSTA is at hand, time it; `verilog` gives its text. Raises `Refusal` if a tool fails."""
    parts = ATTENTION_PARTS if isinstance(config, AttentionConfig) else PARTS
    return Unit(
        preset,
        config,
        hierarchy.measure(verilog(config), config.name, parts, work(preset, config, folder), liberty, library),
    )
