# SPDX-License-Identifier: Apache-2.0
"""Area, memory bits and clock of a speculation unit, sub-block by sub-block: `synth/hierarchy.py` with its table."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from config.speculate import SpeculationConfig
from synth import hierarchy
from synth.liberty import Library

PARTS = {
    "encoders": ("hlog_encoder", "leading_one_encoder", "raw_encoder"),
    "array": ("array", "front", "row"),
    "projector": ("predictor_projector", "requantiser"),
    "top-k": ("spls_topk", "spls_counts4", "spls_keeper"),
    "similarity": ("spls_similar", "spls_distance"),
    "queue": ("spls_queue",),
    "sums": ("lapa_accumulate", "lapa_sum_row"),
    "threshold unit": ("lapa_measure", "lapa_row_threshold"),
    "clip": ("lapa_clip",),
    "lists": ("lapa_lists",),
    "masks": ("lapa_masks",),
    "recorder": ("recorder",),
    "buffers": ("predictor_beat_feed", "predictor_weight_feed", "predictor_tags", "spls_ring"),
    "control": ("predictor", "selection", "tiles", "predictor_address_feed"),
}
"""Sub-block → its modules, named without the top's name in front; the top itself is control."""

Unit = hierarchy.Unit[SpeculationConfig]


def as_json(units: list[Unit], conditions: Mapping[str, object]) -> dict[str, object]:
    """All figures, and the conditions under which they hold."""
    rows = [
        {"preset": unit.preset, "method": unit.config.method, "config": asdict(unit.config)}
        | {"parts": unit.parts_as_json()}
        for unit in units
    ]
    return {"conditions": dict(conditions), "units": rows}


def measure(
    preset: str,
    config: SpeculationConfig,
    verilog: Callable[[SpeculationConfig], str],
    folder: Path,
    liberty: Path,
    library: Library,
) -> Unit:
    """Map a unit and, if OpenSTA is at hand, time it; `verilog` gives its text. Raises `Refusal` if a tool fails."""
    work = folder / f"{preset}_{config.name}"
    return Unit(
        preset,
        config,
        hierarchy.measure(verilog(config), config.name, PARTS, work, liberty, library, passed="encoders"),
    )
