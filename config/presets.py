# SPDX-License-Identifier: Apache-2.0
"""Named configurations, from the smallest that shows everything to the scale that the papers report."""

from dataclasses import replace
from typing import Any

from config.array import SYSTEMS, ArrayConfig, number_system, signed_bits
from config.attention import AttentionConfig
from config.errors import require
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from config.sanger import SangerConfig
from config.settings import build
from config.spatten import SpattenConfig
from config.speculate import CASCADES, LATE, METHODS, SpeculationConfig
from config.system import SystemConfig
from config.units import GeluConfig, LayerNormConfig, ResidualConfig, SoftmaxConfig, UnitConfig

_SHAPES = {
    # Formal proofs and smoke tests: small enough to be read as a waveform.
    "tiny": ArrayConfig(rows=4, lanes=4, depth=4, terms=16),
    # all-MiniLM-L6-v2: 384 wide, heads of 32, up to 128 tokens.
    "minilm": ArrayConfig(rows=16, lanes=64, depth=128, terms=384),
    # The scale of the papers' arrays: 128 queries side by side, 4096 wide, up to 2048 tokens.
    "paper": ArrayConfig(rows=128, lanes=32, depth=2048, terms=4096),
}

_UNITS = {
    "tiny": SpeculationConfig(
        rows=4, lanes=4, load=2, tokens=16, width=16, heads=2, head_width=4, window=4, score_bits=8
    ),
    # One head's row is one beat.
    "minilm": SpeculationConfig(rows=16, lanes=32, load=4, tokens=128, width=384, heads=12, head_width=32),
    # Heads of 128, as in the 7 B models. LAPA's array is one of 128 queries by 32 lanes; this one has as many lanes.
    "paper": SpeculationConfig(rows=32, lanes=128, load=8, tokens=2048, width=4096, heads=32, head_width=128),
}

_PE_ARRAYS = {
    "tiny": PeArraysConfig(lines=4, lanes=4, rows=4, memory_bytes=4, terms=64, keys=16),
    # 1024 products a cycle, twice those of the speculation unit.
    "minilm": PeArraysConfig(lines=16, lanes=32, memory_bytes=16, scalers=2),
    # 8192 products a cycle, likewise.
    "paper": PeArraysConfig(lines=64, lanes=64, rows=64, memory_bytes=128, terms=16384, keys=2048, scalers=8),
}

_LANES = {
    # Of softmax; of LayerNorm and residual sums; of GELU. Why so many: docs/architecture.md.
    "tiny": (4, 2, 2),
    "minilm": (16, 8, 4),
    "paper": (64, 32, 16),
}

_ITEMS = {
    "tiny": ItemsConfig(lines=4, lanes=4, banks=4, tokens=16, heads=2, chunk=16, record=4, sets=2, ports=2, queue=8),
    # All heads at once: Q, K and V of a layer are generated before attention begins.
    "minilm": ItemsConfig(lines=16, lanes=32, banks=32, tokens=128, heads=12, chunk=128, record=16, sets=16),
}
"""A row of `paper` has 2048 keys: too many for a line to choose among."""
_QUERY_STORES = {"tiny": 1, "minilm": 4}

_LAYERS = {"tiny": 4, "minilm": 6, "paper": 32}
"""Of a model; `paper`: of those of 7 B."""

PRESETS = tuple(_SHAPES)


def arrays(preset: str) -> dict[str, ArrayConfig]:
    """Array configurations of a preset by number system. Raises `Refusal` for a name not in `PRESETS`."""
    _require_preset(preset)
    return {system: replace(_SHAPES[preset], system=number_system(system)) for system in SYSTEMS}


def speculation(preset: str) -> dict[str, SpeculationConfig]:
    """Configurations of the speculation units of a preset by method. Raises `Refusal` for a name not in `PRESETS`."""
    _require_preset(preset)
    units = {method: replace(_UNITS[preset], method=method, **_built(preset, method)) for method in METHODS}
    if preset == "paper":
        units["lapa"] = replace(units["lapa"], rows=128, lanes=32)
    return units


def _built(preset: str, method: str) -> dict[str, Any]:
    """What the tuned settings say about how a unit is built; `tiny` is too small for their window."""
    if preset == "tiny":
        return {}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in build(method).items()}


def sanger(preset: str) -> SangerConfig:
    """Sanger's predictor of a preset. Raises `Refusal` for a name not in `PRESETS`."""
    _require_preset(preset)
    return SangerConfig.within(_UNITS[preset])


def spatten(preset: str) -> SpattenConfig:
    """SpAtten's pruning of a preset. Raises `Refusal` for a name not in `PRESETS`."""
    _require_preset(preset)
    unit = _UNITS[preset]
    return SpattenConfig(unit.rows, unit.lanes, unit.tokens, unit.heads, unit.head_width, _LAYERS[preset])


def pe_arrays(preset: str) -> PeArraysConfig:
    """PE arrays of a preset. Raises `Refusal` for a name not in `PRESETS`."""
    _require_preset(preset)
    return _PE_ARRAYS[preset]


def attention(preset: str) -> AttentionConfig | None:
    """Both arrays of a preset with what brings kept pairs to them; none of `paper`. Raises `Refusal` for a name not in
    `PRESETS`."""
    _require_preset(preset)
    if preset not in _ITEMS:
        return None
    return AttentionConfig(_ITEMS[preset], _PE_ARRAYS[preset], _QUERY_STORES[preset])


def systems(preset: str) -> dict[str, SystemConfig]:
    """Accelerators of a preset by method of speculation; none of `paper`, whose activations would not fit on chip.
    Raises `Refusal` for a name not in `PRESETS`."""
    whole = attention(preset)
    if whole is None:
        return {}
    (values, *_), units = _LANES[preset][1:], speculation(preset)
    units |= {method: replace(_UNITS[preset], method=method) for method in LATE + CASCADES}
    if preset == "tiny":
        rest = {"ffn": 64, "values": values, "weight_words": 128}
    else:
        # As many products a cycle as both arrays: with fewer, prediction takes longer than what it saves.
        units = {method: replace(unit, rows=2 * unit.rows, load=2 * unit.load) for method, unit in units.items()}
        rest = {"ffn": 1536, "values": values, "weight_words": 3072}
    items = replace(whole.items, record=units["dense"].rows)
    return {method: SystemConfig(unit, replace(whole, items=items), **rest) for method, unit in units.items()}


def execution(preset: str) -> dict[str, UnitConfig]:
    """Units beside the PE arrays of a preset, by name, for the layers that its speculation units are built for. Raises
    `Refusal` for a name not in `PRESETS`."""
    _require_preset(preset)
    layer, (scores, values, operands) = _UNITS[preset], _LANES[preset]
    # Exact for a head.
    score_bits = signed_bits(layer.head_width * number_system("int8").product_magnitude)
    return {
        "softmax": SoftmaxConfig(scores, layer.tokens, score_bits),
        "layer_norm": LayerNormConfig(values, layer.width),
        "gelu": GeluConfig(operands),
        "residual": ResidualConfig(values),
    }


def _require_preset(preset: str) -> None:
    require(preset in PRESETS, f"The preset must be one of {', '.join(PRESETS)}, not {preset!r}; choose one of them.")
