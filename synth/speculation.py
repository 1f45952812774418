# SPDX-License-Identifier: Apache-2.0
"""Area, memory bits and clock of a speculation unit, sub-block by sub-block: `synth/hierarchy.py` with its table."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from config.sanger import SangerConfig
from config.spatten import SpattenConfig
from config.speculate import SpeculationConfig
from synth import hierarchy
from synth.liberty import Library

PARTS = {
    "encoders": ("hlog_encoder", "leading_one_encoder", "raw_encoder", "integer_encoder"),
    "array": ("array", "front", "row"),
    "projector": ("predictor_projector", "requantiser"),
    "top-k": ("spls_topk", "spls_counts4", "spls_keeper", "spatten_cut", "spatten_counts", "spatten_choice"),
    "shares": ("spatten_share", "spatten_scales", "spatten_divider"),
    "similarity": ("spls_similar", "spls_distance"),
    "maxima": ("sanger_maxima",),
    "powers": ("sanger_power",),
    "queue": ("spls_queue", "sanger_queue"),
    "sums": ("lapa_accumulate", "lapa_sum_row", "spatten_tokens", "spatten_heads"),
    "threshold unit": ("lapa_measure", "lapa_row_threshold", "sanger_bound", "sanger_verdict"),
    "clip": ("lapa_clip",),
    "lists": ("lapa_lists",),
    "masks": ("lapa_masks",),
    "recorder": ("recorder",),
    "buffers": (
        *("predictor_beat_feed", "predictor_weight_feed", "predictor_tags", "spls_ring"),
        *("sanger_key_feed", "sanger_query_feed", "scorer_tags", "sanger_ring", "sanger_delay"),
    ),
    "control": (
        *("predictor", "selection", "tiles", "predictor_address_feed", "scorer", "sanger_exponents"),
        *("spatten_selection", "spatten_places", "spatten_writer"),
    ),
}
"""Sub-block → its modules, named without the top's name in front; the top itself is control."""

Config = SpeculationConfig | SangerConfig | SpattenConfig
Unit = hierarchy.Unit[Config]


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
    config: Config,
    verilog: Callable[[Config], str],
    folder: Path,
    liberty: Path,
    library: Library,
) -> Unit:
    """Map a unit and, if OpenSTA is at hand, time it; `verilog` gives its text. Raises `Refusal` if a tool fails."""
    work = folder / f"{preset}_{config.name}"
    # SpAtten's codes are softmax's.
    passed = None if isinstance(config, SpattenConfig) else "encoders"
    return Unit(
        preset,
        config,
        hierarchy.measure(verilog(config), config.name, PARTS, work, liberty, library, passed=passed),
    )
