# SPDX-License-Identifier: Apache-2.0
"""Sparse items on plans of real sentences: how busy the lines are, in the model and in RTL simulation, which agree."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from config import presets
from config.items import PATIENCE, ItemsConfig
from golden.cycles.gather import Gather, Item, Token, items_of
from sim import gather, minilm, speculation
from tests.execute.gathering import plan_mask

CONFIG = ItemsConfig()
CHOSEN = {
    "spls": {"k": 45, "k_similarity": 13, "s": 100, "f": 8},
    "lapa": {"eta": (128, 128)},
}


def plan(method: str, number: int) -> np.ndarray:
    """The mask of a layer of MiniLM on a real sentence of 128 tokens."""
    config = presets.speculation("minilm")[method]
    ids = minilm.token_ids(config)
    return np.asarray(speculation.golden_plan(config, minilm.layer(config, ids, number, **CHOSEN[method])).mask)


def test_a_bank_s_row_for_all_lines_that_want_it_is_what_saves_columns_that_all_keep() -> None:
    """Every row keeps the same two keys: alone at a bank, lines would take turns."""
    mask = np.zeros((12, 128, 128), dtype=bool)
    mask[:, :, [3, 35]] = True
    items = items_of(mask, CONFIG)
    together, alone = Gather(CONFIG).run(items), Gather(CONFIG, share=False).run(items)
    assert together.cycles * 2 < alone.cycles
    assert together.reads < len(together.taken) == alone.reads


def test_every_key_is_taken_once() -> None:
    mask = np.random.default_rng(1).random((2, 128, 128)) < 0.05
    run = Gather(replace(CONFIG, chunk=32)).run(items_of(mask, replace(CONFIG, chunk=32)))
    found = np.zeros_like(mask)
    for each in run.taken:
        assert not found[each.item.head, each.item.row, each.key]
        found[each.item.head, each.item.row, each.key] = True
    assert np.array_equal(found, mask)


class Waits(Gather):
    """Counts how many slots behind each other each line has had a key and taken none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.longest, self.now = 0, [0] * self.config.lines

    def _pass(self, number: int, token: Token) -> Token:
        had, before = self.lines[number].current, len(self.taken)
        after = super()._pass(number, token)
        self.now[number] = self.now[number] + 1 if had and len(self.taken) == before else 0
        self.longest = max(self.longest, self.now[number])
        return after


def contended(config: ItemsConfig) -> list[Item]:
    """Heads in turn, each row with all keys of one bank: lines of different heads want it, and not the same row."""
    keys = sum(1 << place * config.banks for place in range(config.places))
    return [Item(head, row, 0, keys) for row in range(config.tokens) for head in range(config.heads)]


@pytest.mark.parametrize("lines", [4, 16])
def test_a_line_waits_no_longer_than_it_is_said_to(lines: int, monkeypatch) -> None:
    """And longer, if no bank were ever kept for it."""
    config = replace(CONFIG, lines=lines, ports=4, sets=16, chunk=128)
    bound = PATIENCE + config.lines + config.banks
    model = Waits(config)
    model.run(contended(config))
    assert model.longest <= bound
    monkeypatch.setattr("golden.cycles.gather.PATIENCE", 1 << 20)
    unfair = Waits(config)
    unfair.run(contended(config))
    assert unfair.longest > bound


ROWS = {
    "**built: 32 banks, 8 ports**": CONFIG,
    "4 ports": replace(CONFIG, ports=4),
    "4 ports, 16 banks": replace(CONFIG, ports=4, banks=16),
    "static allocation": replace(CONFIG, allocation="static"),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_page_has_the_model_s_figures(row: str) -> None:
    """Of random plans, whose seed is not that of the page."""
    page = (Path(__file__).resolve().parents[2] / "docs/items.md").read_text(encoding="utf-8")
    cells = next(line for line in page.splitlines() if line.startswith((f"| {row} |", f"| *model:* {row} |")))
    said = [float(cell) for cell in cells.split("|")[3:6]]
    masks = [plan_mask(CONFIG, density, heads=6) for density in (0.05, 0.1, 0.2)]
    found = [Gather(ROWS[row]).run(items_of(mask, ROWS[row])).use(CONFIG.lines) for mask in masks]
    assert found == pytest.approx(said, abs=0.02)


@pytest.mark.long
@pytest.mark.parametrize("method", CHOSEN)
def test_real_plans_keep_the_lines_busy(method: str) -> None:
    """All heads of three layers, in RTL simulation, row by row as the model has it; printed: docs/items.md."""
    static = replace(CONFIG, allocation="static")
    items = [items_of(plan(method, number), CONFIG) for number in (0, 2, 4)]
    dynamic = gather.run(CONFIG, items)
    fixed = [Gather(static).run(each) for each in items]
    for number, one, other in zip((0, 2, 4), dynamic, fixed, strict=True):
        print(f"{method} layer {number}: dynamic {one.use(16):.3f}, {one.cycles} cycles; static {other.use(16):.3f}")
        assert other.use(16) < one.use(16)
    assert sum(len(one.taken) for one in dynamic) / (16 * sum(one.cycles for one in dynamic)) >= 0.9
