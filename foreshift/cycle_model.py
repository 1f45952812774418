# SPDX-License-Identifier: Apache-2.0
"""The subcommand `cycles`: a model by the cycle model, as a table, as JSON and as a picture, all from one function."""

import json
from argparse import Namespace
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from golden.cycles import answer as cycles
from golden.cycles import shapes
from golden.cycles.answer import Answer
from golden.cycles.statistics import SHARES

OUTPUT = Path("build/cycles")

_PARTS = ("dense", "sparse", "dense_operations", "operations", "dense_memory", "memory", "dense_buffers", "buffers")


@dataclass(frozen=True)
class Found:
    """One length of a model, and the sweep over all lengths with the same statistics and hardware."""

    method: str
    preset: str
    chosen: Answer
    sweep: list[Answer]

    @property
    def pays(self) -> tuple[int, int] | None:
        return cycles.pays(self.sweep)


def find(args: Namespace) -> Found:
    """What table, JSON and picture show. Raises `Refusal` for whatever the model cannot answer."""
    shape = shapes.model(args.model)
    preset = args.preset or ("minilm" if args.model == "minilm-l6" else "paper")
    tokens = shape.typical if args.tokens is None else args.tokens
    hardware = cycles.hardware(shape, tokens, args.method, preset, args.wider)
    given: dict[str, Any] = {name: getattr(args, name) for name in SHARES if getattr(args, name) is not None}
    if args.visited is not None:
        given["visited"] = tuple(args.visited)
    statistics = replace(cycles.EXAMPLES[args.method], **given)
    chosen = cycles.answer(shape, tokens, hardware, statistics)
    sweep = cycles.sweep(shape, args.method, statistics, preset, [tokens], args.wider)
    return Found(args.method, preset, chosen, sweep)


def run(args: Namespace) -> None:
    """Print what a model costs at a length."""
    found = find(args)
    print(json.dumps(as_json(found), indent=2) if args.json else text(found))
    if args.plot:
        path = OUTPUT / f"{found.chosen.shape.name}-{found.method}.png"
        draw(path, found)
        if not args.json:
            print(path)


def as_json(found: Found) -> dict[str, Any]:
    """All figures of a layer, and the speed-up at each length."""
    chosen = found.chosen
    return {
        "model": asdict(chosen.shape),
        "method": found.method,
        "preset": found.preset,
        "tokens": chosen.tokens,
        "statistics": asdict(chosen.statistics),
        "prediction": asdict(chosen.prediction) if chosen.prediction else None,
        "prediction_products": chosen.products,
        **{name: asdict(getattr(chosen, name)) for name in _PARTS},
        "dense_total": chosen.dense_total,
        "overlapped": chosen.overlapped,
        "speed_up": chosen.speed_up,
        "pays": found.pays,
        "sweep": [{"tokens": each.tokens, "speed_up": each.speed_up} for each in found.sweep],
    }


def text(found: Found) -> str:
    """A table for a terminal."""
    each, layers = found.chosen, found.chosen.shape.layers
    predicted = each.prediction.layer if each.prediction else 0
    rows = [
        ("prediction", predicted, predicted),
        ("execution, dense", each.dense.total, each.dense.total),
        ("execution, sparse", each.sparse.total, each.sparse.total),
        ("all, dense", each.dense_total, each.dense_total),
        ("all, predicted, overlapped", each.overlapped, each.overlapped),
    ]
    heading = f"{each.shape.name}, {each.tokens} tokens, {found.method.upper()}, {found.preset}"
    lines = [f"{heading:46}  {'a layer':>13}  {f'{layers} layers':>15}"]
    lines += [f"{f'cycles of {name}':46}  {one:>13,}  {all_ * layers:>15,}" for name, one, all_ in rows]
    for name, before, after in (
        ("multiplications", each.dense_operations.total, each.operations.total),
        ("bytes from and to memory", each.dense_memory.total, each.memory.total),
        ("bytes from and to buffers", each.dense_buffers.total, each.buffers.total),
    ):
        lines.append(f"{f'{name}, dense':46}  {before:>13,}  {before * layers:>15,}")
        lines.append(f"{f'{name}, predicted':46}  {after:>13,}  {after * layers:>15,}")
    lines.append(f"{'speed-up':46}  {each.speed_up:>13.2f}")
    return "\n".join([*lines, f"{'prediction pays':46}  {range_text(found.pays):>13}"])


def range_text(pays: tuple[int, int] | None) -> str:
    """Lengths in words."""
    return "at no length" if pays is None else f"from {pays[0]} to {pays[1]} tokens"


def draw(path: Path, found: Found) -> None:
    """Write the speed-up against the length as PNG."""
    # The table must not wait for the drawing library.
    from matplotlib.figure import Figure

    from foreshift.pictures import DPI, GRID, INK, QUIET, SYSTEM_COLOURS, save

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(8.0, 4.5), dpi=DPI, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    lengths = [each.tokens for each in found.sweep]
    axes.plot(lengths, [each.speed_up for each in found.sweep], color=SYSTEM_COLOURS["hlog"], linewidth=2, zorder=3)
    axes.axhline(1, color=INK, linestyle=":", linewidth=1.2)
    axes.plot(found.chosen.tokens, found.chosen.speed_up, "o", color=SYSTEM_COLOURS["aloc"], zorder=4)
    axes.set_xscale("log", base=2)
    ticks = [16 << n for n in range(9)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("tokens", color=QUIET)
    axes.set_ylabel("cycles dense / cycles predicted", color=QUIET)
    title = f"{found.chosen.shape.name}, {found.method.upper()}, {found.preset}: pays {range_text(found.pays)}"
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    save(figure, path)
