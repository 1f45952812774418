# SPDX-License-Identifier: Apache-2.0
"""A layer under its plan as what two PE arrays multiply densely, phase by phase, each half with what is due of it.

generation: of each head, Q of critical rows, K and V of needed ones; heads in turn to the arrays
projection, up, down: of rows that are no copies; half of the columns to each array
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.execute.linear import Linear
from golden.speculate.plan import Plan
from sim.dense import Product, columns_of
from sim.planned import Planned

Int64 = NDArray[np.int64]
ARRAYS = 2


@dataclass(frozen=True)
class Part:
    """A product of some tokens' rows. due: golden values [n, N]. name: its place, for a difference."""

    product: Product
    rows: Int64
    due: Int64
    name: str


@dataclass(frozen=True)
class Phase:
    """arrays: parts for each."""

    name: str
    arrays: tuple[list[Part], ...]


def phases(planned: Planned) -> list[Phase]:
    """In the order in which they are run; attention comes between the first two."""
    layer, plan, tensors = planned.layer, planned.plan, planned.tensors
    computed = np.flatnonzero(plan.leader == np.arange(len(plan.leader)))
    return [
        _generation(planned),
        _halves("projection", tensors["context"], layer.o, np.flatnonzero(~plan.agreed), tensors["projected"]),
        _halves("up", tensors["norm1"], layer.up, computed, tensors["hidden"]),
        _halves("down", tensors["active"], layer.down, computed, tensors["fed"]),
    ]


def context_rows(plan: Plan) -> NDArray[np.bool_]:
    """bool [H, T]: rows whose attention is computed."""
    return np.asarray(plan.mask.any(-1))


def _generation(planned: Planned) -> Phase:
    layer, plan, tensors = planned.layer, planned.plan, planned.tensors
    heads, width = len(plan.columns), tensors["q"].shape[-1]
    arrays: tuple[list[Part], ...] = tuple([] for _ in range(ARRAYS))
    queries = context_rows(plan)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        needed, critical = np.flatnonzero(plan.columns[head]), np.flatnonzero(queries[head])
        keys = _joined(columns_of(layer.k, own), columns_of(layer.v, own))
        due = np.concatenate([tensors["k"][head], tensors["v"][head]], axis=-1)
        for rows, linear, whole, name in (
            (needed, keys, due, f"K and V of head {head}"),
            (critical, columns_of(layer.q, own), tensors["q"][head], f"Q of head {head}"),
        ):
            if len(rows):
                part = Part(Product(tensors["x"][rows], linear), rows, whole[rows], name)
                arrays[head % ARRAYS].append(part)
    return Phase("generation", arrays)


def _joined(*layers: Linear) -> Linear:
    """Columns of several beside each other."""
    parts = {name: np.concatenate([getattr(each, name) for each in layers]) for name in ("w", "bias", "mul", "shift")}
    return Linear(**parts, bits=layers[0].bits)


def _halves(name: str, x: Int64, layer: Linear, rows: Int64, due: Int64) -> Phase:
    columns = np.array_split(np.arange(len(layer.w)), ARRAYS)
    parts = [
        Part(Product(x[rows], columns_of(layer, part)), rows, due[rows][:, part], f"{name}, columns from {part[0]}")
        for part in columns
    ]
    return Phase(name, tuple([part] for part in parts))


def check(part: Part, found: Int64) -> None:
    """Raises AssertionError at the first difference, and says where it is."""
    wrong = np.argwhere(found != part.due)
    if len(wrong):
        row, column = wrong[0]
        raise AssertionError(
            f"{part.name}: token {part.rows[row]}, column {column} is {found[row, column]}, "
            f"not {part.due[row, column]}; {len(wrong)} of {found.size} differ"
        )
