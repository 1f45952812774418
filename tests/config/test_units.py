# SPDX-License-Identifier: Apache-2.0
"""The units beside the PE arrays keep up with them at every model that a preset is wide enough for; the numbers are in
docs/architecture.md."""

import pytest

from config import presets
from config.execute import ROOT_BITS
from golden.cycles.shapes import MODELS, ModelShape
from hdl.execute.layer_norm import PARTS

CASES = [
    pytest.param(preset, shape, id=f"{preset}-{shape.name}")
    for preset in ("minilm", "paper")
    for shape in MODELS.values()
    if (shape.name == "minilm-l6") == (preset == "minilm")
    and shape.width <= presets.execution(preset)["layer_norm"].width
]


@pytest.mark.parametrize(("preset", "shape"), CASES)
def test_softmax_takes_scores_as_fast_as_they_come(preset: str, shape: ModelShape) -> None:
    """A line ends a score in as many cycles as the head has slices, at least one. A row that is too short to fill its
    cycles has come with a row of Q, which took the array longer."""
    arrays, unit = presets.pe_arrays(preset), presets.execution(preset)["softmax"]
    assert arrays.lines / -(-shape.head_width // arrays.lanes) <= unit.lanes
    assert unit.shortest <= shape.head_width * -(-shape.width // arrays.lanes) / arrays.lines


@pytest.mark.parametrize(("preset", "shape"), CASES)
def test_results_are_taken_as_fast_as_they_come(preset: str, shape: ModelShape) -> None:
    """GELU takes what is computed; residual sums and LayerNorm take copied rows as well: as long as a third of the
    projections and a 24th of the FFN is left, the arrays set the pace."""
    units, products = presets.execution(preset), presets.pe_arrays(preset).products
    assert products / shape.width <= units["gelu"].lanes
    for name in ("residual", "layer_norm"):
        row = -(-shape.width // units[name].lanes)
        inner = shape.heads * shape.head_width
        assert row <= inner * shape.width / products * 0.34
        assert row <= shape.matrices * shape.width * shape.hidden / products / 23.9


@pytest.mark.parametrize(("preset", "shape"), CASES)
def test_rows_are_long_enough_for_a_beat_a_cycle(preset: str, shape: ModelShape) -> None:
    assert shape.width / presets.execution(preset)["layer_norm"].lanes >= ROOT_BITS // PARTS + 1


@pytest.mark.parametrize("preset", ["minilm", "paper"])
def test_scores_of_a_head_fit(preset: str) -> None:
    head_width, bits = presets.speculation(preset)["dense"].head_width, presets.execution(preset)["softmax"].score_bits
    assert 2 ** (bits - 2) <= head_width * 128**2 < 2 ** (bits - 1)
