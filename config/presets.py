# SPDX-License-Identifier: Apache-2.0
"""Named configurations, from the smallest that shows everything to the scale that the papers report."""

from dataclasses import replace

from config.array import SYSTEMS, ArrayConfig, number_system
from config.errors import require

_SHAPES = {
    # Formal proofs and smoke tests: small enough to be read as a waveform.
    "tiny": ArrayConfig(rows=4, lanes=4, depth=4, terms=16),
    # all-MiniLM-L6-v2: 384 wide, heads of 32, up to 128 tokens.
    "minilm": ArrayConfig(rows=16, lanes=64, depth=128, terms=384),
    # The scale of the papers' arrays: 128 queries side by side, 4096 wide, up to 2048 tokens.
    "paper": ArrayConfig(rows=128, lanes=32, depth=2048, terms=4096),
}

PRESETS = tuple(_SHAPES)


def arrays(preset: str) -> dict[str, ArrayConfig]:
    """Array configurations of a preset by number system. Raises `Refusal` for a name not in `PRESETS`."""
    require(preset in PRESETS, f"The preset must be one of {', '.join(PRESETS)}, not {preset!r}; choose one of them.")
    return {system: replace(_SHAPES[preset], system=number_system(system)) for system in SYSTEMS}
