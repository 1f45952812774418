# SPDX-License-Identifier: Apache-2.0
"""What a whole model costs at a length: prediction, execution, what overlaps, and at which lengths it pays.

prediction  ├ head 0 ┤├ head 1 ┤├ … ┤├ head H-1 ┤
execution        ├ attention of head 0 ┤├ … ┤├ of head H-1 ┤├ projection, FFN ┤
                 ▲ first records
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from config import presets
from config.array import MAX_ROWS
from config.errors import require
from config.pe_arrays import PeArraysConfig
from config.speculate import MAX_TOKENS, METHODS, SpeculationConfig
from golden.cycles.execution import Execution, Operations, execute, operations, outputs
from golden.cycles.prediction import Prediction, predict
from golden.cycles.shapes import ModelShape
from golden.cycles.statistics import Statistics
from golden.cycles.traffic import Buffers, Memory, buffers, memory

DENSE = Statistics()
WIDER = (1, 2, 4)
EXAMPLES = {
    # Every layer of MiniLM with few critical rows, no FFN copied.
    "spls": Statistics(queries=0.36, keys=0.9, scores=0.12),
    # η of a half in both rounds; of a hundred queries side by side, one or the other wants every key.
    "lapa": Statistics(keys=0.98, scores=0.59, visited=(1.0,)),
    "dense": DENSE,
    # A little over a quarter of the keys of each row.
    "fact": Statistics(keys=0.97, scores=0.28),
}
"""What a plan leaves if nothing else is said. They are examples, not promises of what a model's plans leave."""


@dataclass(frozen=True)
class Hardware:
    """A speculation unit, none if nothing is predicted, and the PE arrays."""

    unit: SpeculationConfig | None
    arrays: PeArraysConfig


@dataclass(frozen=True)
class Answer:
    """One layer of `shape` at `tokens` tokens; a model takes `shape.layers` times as much.

    prediction: none if nothing is predicted. dense, sparse: execution without and with the plan. dense_memory, memory,
    dense_buffers, buffers, dense_operations, operations: likewise, prediction included.
    """

    hardware: Hardware
    shape: ModelShape
    tokens: int
    statistics: Statistics
    prediction: Prediction | None
    dense: Execution
    sparse: Execution
    dense_operations: Operations
    operations: Operations
    dense_memory: Memory
    memory: Memory
    dense_buffers: Buffers
    buffers: Buffers

    @property
    def overlapped(self) -> int:
        """Cycles of prediction and sparse execution, side by side; the memory can be slower than both."""
        found = self.prediction
        busy = self.sparse.total
        if found:
            heads, blocks = self.shape.heads, self._blocks
            head = self.sparse.attention / heads
            busy = self.sparse.dense + round(
                max(
                    found.first + self.sparse.attention,
                    (heads - 1) * found.head + found.first + head,
                    found.layer + head / blocks,
                )
            )
        return max(busy, self._transfer(self.memory))

    @property
    def dense_total(self) -> int:
        """Cycles without prediction."""
        return max(self.dense.total, self._transfer(self.dense_memory))

    @property
    def speed_up(self) -> float:
        return self.dense_total / self.overlapped

    @cached_property
    def products(self) -> int:
        """Of the predictor, in its own number system: of Q̂ and K̂, and of scores, lanes without a term included."""
        unit = self.hardware.unit
        return self.prediction.busy * unit.rows * unit.lanes if self.prediction and unit else 0

    @property
    def _blocks(self) -> int:
        unit = self.hardware.unit
        return -(-self.tokens // unit.rows) if unit else 1

    def _transfer(self, moved: Memory) -> int:
        return -(-moved.total // self.hardware.arrays.memory_bytes)


def hardware(shape: ModelShape, tokens: int, method: str, preset: str = "paper", wider: int = 1) -> Hardware:
    """The preset's arrays, the speculation unit built for the model and the length. wider: it has so many times the
    preset's products a cycle: 1, 2 or 4. Raises `Refusal` for an unknown method or preset, another number, and a
    length beyond what units can be built for."""
    require(wider in WIDER, f"wider must be one of 1, 2 and 4, not {wider!r}; choose one of them.")
    require(method in METHODS, f"The method must be one of {', '.join(METHODS)}, not {method!r}; choose one of them.")
    require(
        isinstance(tokens, int) and 1 <= tokens <= MAX_TOKENS,
        f"tokens must be an integer from 1 to {MAX_TOKENS}, not {tokens!r}; choose a length in that range.",
    )
    arrays, base = presets.pe_arrays(preset), presets.speculation(preset)[method]
    if method == "dense":
        return Hardware(None, arrays)
    # As many queries side by side as can be, then longer rows.
    rows = min(base.rows * wider, MAX_ROWS)
    base = replace(base, rows=rows, lanes=base.lanes * wider * base.rows // rows)
    sizes: dict[str, Any] = {"width": shape.width, "heads": shape.heads, "head_width": shape.head_width}
    unit = replace(base, tokens=-(-tokens // base.rows) * base.rows, **sizes)
    return Hardware(unit, arrays)


def answer(shape: ModelShape, tokens: int, chosen: Hardware, statistics: Statistics) -> Answer:
    """What a layer takes. Raises `Refusal` for a length that the unit is not built for."""
    unit, arrays = chosen.unit, chosen.arrays
    all_, left = outputs(shape, tokens, DENSE), outputs(shape, tokens, statistics)
    work, rest = operations(shape, all_), operations(shape, left)
    return Answer(
        hardware=chosen,
        shape=shape,
        tokens=tokens,
        statistics=statistics,
        prediction=predict(unit, tokens, statistics, shape.causal) if unit else None,
        dense=execute(arrays, shape, all_),
        sparse=execute(arrays, shape, left),
        dense_operations=work,
        operations=rest,
        dense_memory=memory(shape, tokens, all_, None),
        memory=memory(shape, tokens, left, unit),
        dense_buffers=buffers(arrays, shape, tokens, all_, work, None, DENSE),
        buffers=buffers(arrays, shape, tokens, left, rest, unit, statistics),
    )


def sweep(
    shape: ModelShape,
    method: str,
    statistics: Statistics,
    preset: str = "paper",
    also: Sequence[int] = (),
    wider: int = 1,
) -> list[Answer]:
    """At lengths from 16 to the longest of any unit, eight to each doubling, and at those in `also`; rising."""
    lengths = sorted({round(16 * 2 ** (step / 8)) for step in range(8 * (MAX_TOKENS // 16).bit_length() - 7)} | {*also})
    return [answer(shape, tokens, hardware(shape, tokens, method, preset, wider), statistics) for tokens in lengths]


def pays(answers: list[Answer]) -> tuple[int, int] | None:
    """The least and the greatest length of a sweep between which prediction makes the model faster at every one: its
    longest run of such lengths, the first of equal ones; none if it is never faster."""
    runs: list[list[int]] = [[]]
    for each in answers:
        if each.overlapped < each.dense_total:
            runs[-1].append(each.tokens)
        elif runs[-1]:
            runs.append([])
    longest = max(runs, key=len)
    return (longest[0], longest[-1]) if longest else None
