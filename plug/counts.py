# SPDX-License-Identifier: Apache-2.0
"""What a converted model computes, and what it leaves out, in multiply-accumulates per component."""

from dataclasses import dataclass

from golden.speculate.work import Sizes, Work

_PARTS = {"Q": "q", "K": "k", "V": "v", "attention": "attention", "projection": "projection", "FFN": "ffn"}
COMPONENTS = tuple(_PARTS)
PREDICTION = "prediction"


@dataclass(frozen=True)
class Row:
    """A component's multiply-accumulates: of the dense model, and those left."""

    dense: int
    left: int

    @property
    def share(self) -> float:
        """Left of dense, 0 to 1; 0 where there was nothing."""
        return self.left / self.dense if self.dense else 0.0


@dataclass(frozen=True)
class Report:
    """Summed over layers, sequences and calls, padding left out. rows: by component, `COMPONENTS`. prediction: the
    predictor's own operations, of its number system, that the dense model has none of; they stand apart. tokens:
    that passed a layer, summed over the layers."""

    rows: dict[str, Row]
    prediction: int
    tokens: int

    @property
    def total(self) -> Row:
        """All components, without the prediction."""
        return Row(sum(row.dense for row in self.rows.values()), sum(row.left for row in self.rows.values()))

    @property
    def prediction_share(self) -> float:
        """The prediction's operations against all multiply-accumulates of the dense model."""
        return self.prediction / self.total.dense if self.total.dense else 0.0

    def __str__(self) -> str:
        """A small table."""
        lines = [f"{'':<11} {'dense':>16} {'left':>16} {'share':>8}"]
        for name, row in (*self.rows.items(), ("all", self.total)):
            lines.append(f"{name:<11} {row.dense:>16,} {row.left:>16,} {row.share:>8.1%}")
        lines.append(f"{PREDICTION:<11} {'':>16} {self.prediction:>16,} {self.prediction_share:>8.1%}")
        return "\n".join(lines)


class Counter:
    """Adds up what plans leave."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """From zero again."""
        self._dense, self._left = Work(), Work()
        self._tokens = 0

    def add(self, size: Sizes, left: Work) -> None:
        """What passed a layer, and what its plan left of it."""
        self._dense += size.dense
        self._left += left
        self._tokens += size.tokens

    def report(self) -> Report:
        """What was added so far."""
        rows = {name: Row(getattr(self._dense, part), getattr(self._left, part)) for name, part in _PARTS.items()}
        return Report(rows, self._left.prediction, self._tokens)
