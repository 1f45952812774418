# SPDX-License-Identifier: Apache-2.0
"""What a predicted score costs in each number system, beside how much of the truth it finds; and what a whole unit
takes in a layer, where that was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foreshift.power_results import NAMES, Table
from synth import system
from synth.report import lines_of

TOKENS, WIDTH, HEADS = 128, 384, 12
"""A layer of MiniLM's."""
HEAD_WIDTH = WIDTH // HEADS
FROM_X = 2 * WIDTH * HEAD_WIDTH / TOKENS
"""Products for Q̂ and K̂, per score: each row of either serves as many scores as there are tokens."""
ARRAYS = {"hlog": "hlog", "aloc": "aloc", "pot": "pot", "int8": "int8_booth", "int4": "int4_booth"}
"""Number system → the array that computes it at least cost."""
TITLES = {
    "hlog": "HLog × HLog (ESACT)",
    "aloc": "ALOC (LAPA)",
    "pot": "power of two, both (FACT)",
    "int8": "int8, Booth",
    "int4": "int4, Booth (Sanger)",
}


@dataclass(frozen=True)
class Cost:
    """pJ: of a predicted score's own products; of it with its share of Q̂ and K̂. layer: µJ, with that share. recall:
    of the exact top k, by k."""

    system: str
    score: float
    from_x: float
    layer: float
    recall: dict[str, float]


def terms(arrays: Mapping[str, Any]) -> dict[str, float]:
    """fJ of a term in each number system, from the figures of `make synth` (arrays.json)."""
    energy = {each["name"]: each["energy"] for each in arrays["arrays"]}
    return {name: sum(energy[array][part] for part in ("encode", "front", "rows")) for name, array in ARRAYS.items()}


def costs(arrays: Mapping[str, Any], demo: Mapping[str, Any]) -> list[Cost]:
    """The same arrays beside the figures of `make demo` (demo.json)."""
    found = []
    for name, energy in terms(arrays).items():
        term = energy * 1e-3
        from_x = term * (FROM_X + HEAD_WIDTH)
        layer = from_x * HEADS * TOKENS**2 * 1e-6
        found.append(Cost(name, term * HEAD_WIDTH, from_x, layer, demo["recall_all_heads"][name]))
    return found


def table(found: Sequence[Cost]) -> Table:
    """Head first."""
    kept = list(found[0].recall)
    heads = ("predictor", "pJ a score", "with Q̂, K̂: pJ a score", "µJ a layer", *(f"finds of top {k}" for k in kept))
    rows: Table = [heads]
    for each in found:
        shares = (f"{100 * each.recall[k]:.1f} %" for k in kept)
        rows.append((TITLES[each.system], f"{each.score:.2f}", f"{each.from_x:.1f}", f"{each.layer:.2f}", *shares))
    return rows


def units(power: Mapping[str, Any]) -> Table:
    """Whole units in a layer, as `make power` found them: µJ, and pJ for each pair of tokens."""
    rows: Table = [("unit", "µJ a layer", "pJ a pair of tokens", "of the chip", "area mm², cells", "memories")]
    speculating = {method: each for method, each in power["accelerators"].items() if method != "dense"}
    for method, each in speculating.items():
        own = {name: line for name, line in each["blocks_nj"].items() if name.startswith(system.PREDICTION)}
        energy = sum(line["cells"] + line["memories"] for line in own.values())
        cells, memories = (sum(each["area_mm2"][name][part] for name in own) for part in ("cells", "memories"))
        rows.append(
            (
                NAMES[method],
                f"{energy * 1e-3:.2f}",
                f"{energy * 1e3 / (HEADS * TOKENS**2):.1f}",
                f"{100 * each['prediction']:.1f} %",
                f"{cells:.3f}",
                f"{memories:.3f}",
            )
        )
    return rows


def markdown(found: Sequence[Cost], power: Mapping[str, Any] | None) -> str:
    """A page. power: the figures of `make power`, if there are any."""
    lines = [
        "# What a prediction costs",
        "",
        f"A layer of MiniLM's, {TOKENS} tokens, {HEADS} heads of {HEAD_WIDTH}. Energy of a term from the arrays' "
        f"mapped netlists (`make synth`); a score has {HEAD_WIDTH} of its own, and {FROM_X:.0f} if Q̂ and K̂ are "
        "predicted from X as well, as ESACT, LAPA and FACT do; Sanger is given the exact Q and K. What is found: share "
        "of the exact top k of each query, mean of the heads of the sentence of `make demo`, each system predicting "
        "from X.",
        "",
        *lines_of(table(found)),
        "",
    ]
    if power and len(units(power)) > 1:
        lines += ["Whole units, selection, buffers and feeds included, in the measured layers (`make power`):", ""]
        lines += [*lines_of(units(power)), ""]
    return "\n".join(lines)
