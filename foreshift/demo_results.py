# SPDX-License-Identifier: Apache-2.0
"""What the demonstration leaves behind: two pictures, a page, the figures as JSON, and the stimulus."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal
from foreshift.pictures import SYSTEM_NAMES, Panel, draw_attention, draw_recall
from golden.models import minilm
from golden.speculate import compare

PLANS = "plans.png"
INDEX = "demo.json"  # moved last: where it lies, the other files are whole and of the same run
KEPT = 4  # entries of a row that are marked in the maps

Shares = dict[str, dict[int, float]]  # system to k to a share of the exact top-k, 0 to 1


@dataclass(frozen=True)
class Run:
    """One product x [rows, depth] times w [columns, depth], simulated; `lanes_busy` is a share, 0 to 1."""

    system: str
    product: str
    rows: int
    depth: int
    columns: int
    cycles: int
    seconds: float
    lanes_busy: float


@dataclass(frozen=True)
class Findings:
    """All that the demonstration shows. `exact` [T, T] is QKᵀ / √32 of the unquantised model."""

    text: str
    tokens: tuple[str, ...]
    layer: int
    head: int
    array_rows: int
    array_lanes: int
    inputs: minilm.HeadInputs
    exact: NDArray[np.float64]
    predictions: dict[str, compare.Prediction]
    recall: Shares
    recall_all_heads: Shares
    runs: tuple[Run, ...]


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """A temporary folder beside `output`, whose files move there when the block ends well and vanish when it fails.

    The index of an earlier run goes first and that of this one comes last, so an index never lies beside files of
    another run. Files of other names in `output` are left alone. Raises Refusal when `output` cannot be written.
    """
    try:
        folder = _temporary(output)
    except OSError as error:
        raise Refusal(
            f"The folder {output} must be writable, and it is not ({error.strerror}); "
            "make room for it or make it writable."
        ) from error
    try:
        yield folder
        output.mkdir(exist_ok=True)
        (output / INDEX).unlink(missing_ok=True)
        for file in sorted(folder.iterdir(), key=lambda file: file.name == INDEX):
            file.replace(output / file.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary(output: Path) -> Path:
    if output.exists() and not output.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if output.exists() and not os.access(output, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    output.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))


def write(findings: Findings, work: str, folder: Path) -> None:
    """Write all files but the plans' picture to `folder`; `work` is the table of what the plans leave."""
    where = f"MiniLM-L6, layer {findings.layer}, head {findings.head}"
    draw_attention(folder / "attention.png", f"Attention of {where}", findings.text, findings.tokens, _panels(findings))
    draw_recall(
        folder / "recall.png",
        "Share of the exact top-k that each prediction finds",
        {
            f"layer {findings.layer}, head {findings.head}": findings.recall,
            f"layer {findings.layer}, mean of all {minilm.HEADS} heads": findings.recall_all_heads,
        },
        len(findings.tokens),
    )
    np.savez(folder / "stimulus.npz", allow_pickle=False, **_stimulus(findings))
    (folder / "demo.md").write_text(_page(findings, work), encoding="utf-8")
    (folder / INDEX).write_text(json.dumps(_figures(findings), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _panels(findings: Findings) -> list[Panel]:
    """The exact map, and a map per simulated system."""
    kept = min(KEPT, len(findings.tokens))
    truth = compare.topk(findings.exact, kept)
    panels = [Panel("Exact", "float32 weights, no quantisation", compare.softmax(findings.exact), truth, truth)]
    for system in _simulated(findings):
        one = findings.predictions[system]
        share = compare.topk_recall(findings.exact, one.scores, kept)
        note = f"simulated RTL; finds {100 * share:.0f} % of the exact top {kept}"
        weights = compare.softmax(one.scores * one.score_unit)
        panels.append(Panel(f"{SYSTEM_NAMES[system]} prediction", note, weights, compare.topk(one.scores, kept), truth))
    return panels


def _simulated(findings: Findings) -> list[str]:
    return list(dict.fromkeys(run.system for run in findings.runs))


def _stimulus(findings: Findings) -> dict[str, NDArray[np.int8]]:
    """Both operands of every product: x, wq, wk of the projections, and each system's Q̂ and K̂ of the scores."""
    arrays = {"x": findings.inputs.x, "wq": findings.inputs.wq, "wk": findings.inputs.wk}
    for system, one in findings.predictions.items():
        arrays[f"{system}_q"], arrays[f"{system}_k"] = one.q.astype(np.int8), one.k.astype(np.int8)
    return arrays


def _total(findings: Findings, system: str) -> dict[str, float]:
    runs = [run for run in findings.runs if run.system == system]
    cycles, seconds = sum(run.cycles for run in runs), sum(run.seconds for run in runs)
    terms = sum(run.rows * run.depth * run.columns for run in runs)
    return {
        "cycles": cycles,
        "seconds": seconds,
        "cycles_per_second": cycles / seconds,
        "lanes_busy": terms / (cycles * findings.array_rows * findings.array_lanes),
    }


def _figures(findings: Findings) -> dict[str, Any]:
    """Every figure of the page and the pictures, for programs."""
    tokens = len(findings.tokens)
    return {
        "text": findings.text,
        "tokens": findings.tokens,
        "model": minilm.DISTRIBUTION,
        "layer": findings.layer,
        "head": findings.head,
        "array": {"rows": findings.array_rows, "lanes": findings.array_lanes},
        "equal_to_golden": True,  # a difference ends the demonstration before anything is written
        "runs": [asdict(run) for run in findings.runs],
        "totals": {system: _total(findings, system) for system in _simulated(findings)},
        "recall": findings.recall,
        "recall_all_heads": findings.recall_all_heads,
        "blind_guess": {k: k / tokens for k in next(iter(findings.recall.values()))},
        "requantise": {
            system: {"q": asdict(one.q_multiplier), "k": asdict(one.k_multiplier)}
            for system, one in findings.predictions.items()
        },
    }


def summary(findings: Findings) -> str:
    """The shares found and the simulations' cycles as two Markdown tables that are also readable as they are."""
    return "\n\n".join((_recall_table(findings), _run_table(findings)))


def _recall_table(findings: Findings) -> str:
    kept = list(next(iter(findings.recall.values())))
    heads = [f"head {findings.head}, top {k}" for k in kept] + [f"all heads, top {k}" for k in kept]
    rows = [
        [SYSTEM_NAMES[system]]
        + [f"{100 * by[system][k]:.1f} %" for by in (findings.recall, findings.recall_all_heads) for k in kept]
        for system in findings.recall
    ]
    rows.append(["blind guess"] + 2 * [f"{100 * k / len(findings.tokens):.1f} %" for k in kept])
    return _table(["prediction", *heads], rows)


def _run_table(findings: Findings) -> str:
    rows = [
        [
            SYSTEM_NAMES[run.system],
            run.product,
            f"{run.rows} × {run.depth} × {run.columns}",
            str(run.cycles),
            f"{100 * run.lanes_busy:.1f} %",
            f"{run.cycles / run.seconds:,.0f}",
        ]
        for run in findings.runs
    ]
    for system in _simulated(findings):
        total = _total(findings, system)
        busy, speed = f"{100 * total['lanes_busy']:.1f} %", f"{total['cycles_per_second']:,.0f}"
        rows.append([SYSTEM_NAMES[system], "all", "", f"{total['cycles']:.0f}", busy, speed])
    return _table(["array", "product", "rows × depth × columns", "cycles", "lanes busy", "simulated cycles/s"], rows)


def _table(heads: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns line up, the first one to the left and the others to the right."""
    first, *others = (max(map(len, column)) for column in zip(heads, *rows, strict=True))

    def line(cells: list[str]) -> str:
        return (
            " | ".join([f"| {cells[0]:<{first}}", *(f"{c:>{w}}" for c, w in zip(cells[1:], others, strict=True))])
            + " |"
        )

    rule = line(["-" * first, *("-" * (width - 1) + ":" for width in others)])
    return "\n".join([line(heads), rule, *map(line, rows)])


def _page(findings: Findings, work: str) -> str:
    """The page `demo.md`."""
    quoted = json.dumps(findings.text, ensure_ascii=False)
    where = f"layer {findings.layer}, head {findings.head} of {minilm.DISTRIBUTION}"
    size = f"{findings.array_rows} rows of {findings.array_lanes} lanes"
    return f"""# One head's attention, predicted in simulated hardware

    {quoted}

{len(findings.tokens)} tokens, [CLS] and [SEP] among them; {where}.
X, W_Q and W_K are quantised to int8, each as one tensor. The HLog and the ALOC array, {size}, computed the
products behind the predicted Q, K and scores in RTL simulation, and every entry equalled the golden model's.
Biases and requantisation between the products are the golden model's.

![Exact and predicted attention](attention.png)

Filled marks are entries of the exact top {KEPT} of a row; hollow marks were kept by the prediction only. ALOC's map is
paler than the truth, as its code rounds magnitudes down; the order of a row's entries is what a predictor needs.

## Share of the exact top-k found

![Share of the exact top-k found](recall.png)

{_recall_table(findings)}

## Plans of the layer

What the speculation units would leave to compute, all heads, by their golden models (the RTL equals them: `make test`).

![Plans of both units]({PLANS})

{work}

The truth is QKᵀ/√32 of the unquantised model. HLog and ALOC of head {findings.head} are the simulated results, the
others the golden model's.
The requantisers are calibrated per system and head on this sentence: the largest accumulator becomes 127.

## Simulation

{_run_table(findings)}

Lanes busy: products needed, over products that the array could have computed in those cycles. Cycles per second are
this machine's, of the simulation alone.
"""
