# SPDX-License-Identifier: Apache-2.0
"""Work of the tasks' models: the sizes of their layers, and what is left of it as shares."""

from collections.abc import Iterable

from config.errors import require
from golden.cycles.statistics import allowed_pairs
from golden.models.transformer import Architecture
from golden.speculate.work import Sizes, Work


def sizes(tokens: int, width: int, hidden: int, shape: Architecture) -> Sizes:
    """Of one sequence in a layer of that architecture."""
    return Sizes(
        tokens=tokens,
        pairs=allowed_pairs(tokens, shape.causal),
        width=width,
        heads=shape.heads,
        key_heads=shape.heads,
        head_width=width // shape.heads,
        projection=width**2,
        ffn=2 * width * hidden,
    )


def shares(done: Work, dense: Work) -> dict[str, float]:
    """Each part, and `total`, as a share of its own dense amount; `prediction` as a share of the whole."""
    require(dense.total > 0, "The dense amount of work must be above 0; measure at least one sequence.")
    parts: Iterable[str] = ("qkv", "attention", "projection", "ffn", "total")
    found = {part: getattr(done, part) / getattr(dense, part) for part in parts}
    return found | {"prediction": done.prediction / dense.total}
