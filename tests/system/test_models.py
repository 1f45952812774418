# SPDX-License-Identifier: Apache-2.0
"""Layers of real models through whole accelerators, over AXI, with a memory behind it: equal to the golden layers."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from config.presets import systems
from config.system import TOPS, SystemConfig
from golden.speculate.work import Work
from sim import accelerator, speed_up
from sim.planned import LAYERS, SENTENCES
from sim.speed_up import Layer
from sim.stack import random_steps
from sim.workloads import workload

TEXT = inspect.getdoc(SENTENCES[0]) or ""
CYCLES_OF_PREDICTION = 1000


def narrow(method: str) -> SystemConfig:
    """As wide as MiniLM, for 16 tokens, with two lines in each array: that is built in a minute."""
    whole = systems("minilm")[method]
    items, arrays = whole.attention.items, whole.attention.arrays
    sizes = {"lines": 2, "tokens": 16, "chunk": 16, "record": 8, "banks": 4, "ports": 2, "queue": 8}
    attention = replace(
        whole.attention, items=replace(items, **sizes), arrays=replace(arrays, lines=2, rows=2, keys=16), stores=1
    )
    return replace(whole, speculation=replace(whole.speculation, tokens=16, rows=8, load=4), attention=attention)


def run(config: SystemConfig, model: str, *, layers: int | None = None) -> tuple[accelerator.Ended, float]:
    """All layers behind one doorbell, each one's y compared; how like the float model the last one is."""
    work = workload(config, model, TEXT, layers=layers)
    laid = accelerator.lay_out(config, work.steps, every=True)
    ended = accelerator.run(config, laid, limit=accelerator.limit_of(work.steps))
    accelerator.check(work.steps, laid, ended)
    assert ended.counters["LAYERS"] == len(work.steps)
    last = laid.y[-1]
    assert last is not None
    return ended, work.likeness(last.read(ended.memory))


@pytest.mark.parametrize(("method", "model"), [("spls", "minilm"), ("spls", "language"), ("sanger", "minilm")])
def test_layers_of_a_short_sentence(method: str, model: str) -> None:
    _, likeness = run(narrow(method), model, layers=2)
    assert likeness > 0.9


def test_a_wide_encoder_that_drops_tokens_and_heads() -> None:
    config = narrow("spatten")
    steps = random_steps(config, "post", config.tokens, 3, seed=2)
    assert 1 < np.count_nonzero(steps[-1].plan.alive) < config.tokens
    assert any(np.count_nonzero(step.plan.mask.any(axis=(1, 2))) < config.heads for step in steps)
    laid = accelerator.lay_out(config, steps, every=True)
    accelerator.check(steps, laid, accelerator.run(config, laid, limit=accelerator.limit_of(steps)))


@pytest.mark.long
@pytest.mark.parametrize("method", TOPS)
def test_a_sentence_becomes_its_embedding(method: str) -> None:
    ended, likeness = run(systems("minilm")[method], "minilm")
    assert ended.counters["LAYERS"] == LAYERS
    assert likeness > 0.95
    if method != "dense":
        assert (accelerator.hidden(ended.counters) or 0) >= 0.95


@pytest.mark.long
@pytest.mark.parametrize("method", [method for method in TOPS if not systems("minilm")[method].speculation.prunes])
def test_the_language_model(method: str) -> None:
    run(systems("minilm")[method], "language")


def layer(left: int, cycles: int, hidden: int) -> Layer:
    """A layer with `left` of 100 multiplications, all of the FFN."""
    counters = {f"CYCLES_{phase.upper()}": 1 for phase in speed_up.PHASES} | {"CYCLES_FFN": cycles, "CYCLES": cycles}
    counters |= {"PREDICTION_CYCLES": CYCLES_OF_PREDICTION, "PREDICTION_HIDDEN": hidden}
    whole = Work(q=1, attention=1, projection=1, ffn=97)
    return Layer(replace(whole, ffn=left - 3), whole, counters)


def test_what_is_removed_arrives_as_far_as_cycles_go_down() -> None:
    found = {"dense": [layer(100, 400, 900)] * 2, "spls": [layer(50, 220, 1000), layer(100, 400, 800)]}
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in speed_up.table(found)]
    head, _, *rest = rows
    first, both = (dict(zip(head, row, strict=True)) for row in (rest[3], rest[5]))
    assert (first["left"], first["time"], first["arrives"]) == ("0.500", "0.550", "0.900")
    assert (first["ffn left"], first["ffn time"]) == ("0.485", "0.550")
    assert (both["layer"], both["left"], both["cycles"], both["hidden"]) == ("all", "0.750", "620", "0.900")
    assert first["speed-up · left"] == f"{0.5 / 0.55:.3f}"
