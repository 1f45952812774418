# SPDX-License-Identifier: Apache-2.0
"""Energy of a layer, from accounts that are made up: tables, figures, pictures."""

import json
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest

from config.presets import systems
from foreshift import power, power_results, provenance
from sim.stack import random_steps
from synth import dram, ledger, liberty, library
from synth.layers import Account, Size, Spent

CYCLES = {"load": 10, "generation": 400, "attention": 200, "projection": 100, "ffn": 290}


def made_up(method, array):
    """Two layers of 1000 cycles in all: a prediction array takes `array` fJ in a cycle, PE lines ten times the number
    of their phase, and their memories 6."""
    spent = {
        phase: {
            "array": Spent(array / 2, array / 4, array / 4, 1.0, 0.0, 0.0),
            "pe_line": Spent(0.0, 10.0 * number, 0.0, 0.0, 5.0, 1.0),
        }
        for number, phase in enumerate(CYCLES)
    }
    sizes = {"array": Size(1, 10, 2e6, 0.0), "pe_line": Size(4, 100, 3e6, 1e6)}
    counters = {"CYCLES": 1000, "BYTES_READ": 3000, "BYTES_WRITTEN": 1000}
    return Account(method, method, 2.0, 2, 10**6, CYCLES, dict.fromkeys(CYCLES, 3), spent, sizes, 0.0, 1.0, counters)


@pytest.fixture(scope="module")
def cells():
    return liberty.read(library.liberty())


@pytest.fixture(scope="module")
def found(cells):
    accounts = {"spls": 8.0, "sanger": 24.0, "dense": 0.0}
    return [ledger.ledger(made_up(method, array), cells) for method, array in accounts.items()]


OF_PHASES = (10 * 6 + 400 * 16 + 200 * 26 + 100 * 36 + 290 * 46) / 2 * 1e-6
ATTENTION = 200 * 26 / 2 * 1e-6
"""nJ of a layer in the PE lines: of all phases, of attention."""


def test_a_ledger_adds_up(found):
    for each, array in zip(found, (8.0, 24.0, 0.0), strict=True):
        predicted = 1000 * array / 2 * 1e-6
        assert each.chip == pytest.approx(OF_PHASES + predicted)
        assert each.attention == pytest.approx(ATTENTION + predicted)
        assert sum(each.phases.values()) == pytest.approx(OF_PHASES)
        assert each.phases["attention"] == pytest.approx(ATTENTION)
        assert each.prediction == pytest.approx(predicted / each.chip)
        assert each.lines["DRAM"].total == pytest.approx(dram.energy_fj(4000) / 2 * 1e-6)
        assert each.tops_per_watt == pytest.approx(10**6 / 2 / each.chip * 1e-3)


def test_a_phase_without_a_window_takes_what_the_others_do(cells):
    account = made_up("spls", 8.0)
    spent = {phase: of for phase, of in account.spent.items() if phase != "ffn"}
    less = ledger.ledger(replace(account, spent=spent), cells)
    known = (10 * 6 + 400 * 16 + 200 * 26 + 100 * 36) / 710 * 1000 / 2 * 1e-6
    assert sum(less.phases.values()) == pytest.approx(known)


def test_ratios_stand_beside_the_claims(found):
    head, *rows = power_results.ratios(found)
    assert head == ("attention energy", "measured", "claimed", "chip energy")
    sanger, spls = ATTENTION + 12e-3, ATTENTION + 4e-3
    assert rows == [
        ("Sanger : ESACT", f"{sanger / spls:.2f}", "2.26", f"{(OF_PHASES + 12e-3) / (OF_PHASES + 4e-3):.2f}")
    ]


def test_the_page_and_the_figures_have_every_accelerator(found, tmp_path):
    left = {each.account.method: {"ffn": 0.5} for each in found}
    clocks = {each.account.method: {"array 1": 600.0} for each in found} | {"spls": {"array 1": 700.0, "GELU": 900.0}}
    page = power_results.markdown(found, clocks, {"clock": "500 MHz"})
    assert "| array 1 | 700 | 600 | 600 |" in page
    assert "| GELU | 900 | – | – |" in page
    assert "Clock by block" not in power_results.markdown(found, {key: {} for key in clocks}, {})
    assert "- clock: 500 MHz" in page
    for name in ("ESACT", "Sanger", "dense"):
        assert f"| {name} | 500 |" in page
    figures = json.loads(json.dumps(power_results.as_json(found, left, clocks, {})))
    assert figures["accelerators"]["spls"]["chip_nj"] == found[0].chip
    assert figures["accelerators"]["sanger"]["left"] == {"ffn": 0.5}
    assert figures["accelerators"]["dense"]["clocks_mhz"] == {"array 1": 600.0}
    assert figures["accelerators"]["dense"]["phases_nj"] == found[2].phases
    power_results.plot(found, tmp_path / "power.png")
    assert (tmp_path / "power.png").stat().st_size > 10_000


def test_what_plans_leave():
    config = systems("tiny")["spls"]
    steps = random_steps(config, "post", config.tokens, 2, seed=3)
    left = power.left_of(steps)
    kept = np.mean([step.plan.counts.scores / (config.heads * config.tokens**2) for step in steps])
    values = np.mean([step.plan.counts.values / (config.heads * config.tokens**2) for step in steps])
    assert left["attention"] == pytest.approx((kept + values) / 2)
    assert left["ffn"] == pytest.approx(np.mean([step.plan.counts.ffn for step in steps]) / config.tokens)


def test_prediction_has_a_share_of_area_and_energy(found):
    rows = power_results.shares(found)
    assert [row[0] for row in rows[1:]] == ["ESACT", "Sanger"]
    # 2 mm² of 5, of 6 with memories.
    assert rows[1][1:3] == ("40.0 %", "33.3 %")
    assert rows[1][3] == f"{100 * found[0].prediction:.1f} %"
    assert rows[1][4:] == ("–", "–")
    lapa = replace(found[0], account=replace(found[0].account, method="lapa"))
    assert power_results.shares([lapa])[1][4:] == ("52 %", "46 %")


def test_the_command_leaves_its_pages(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    power.OUTPUT.mkdir(parents=True)
    arrays = {"spls": 8.0, "dense": 0.0}

    def measured(config, *_):
        method = config.speculation.method
        return power.Measured(made_up(method, arrays[method]), {"total": 0.5}, {"array 2": 700.0})

    monkeypatch.setattr(power, "measured", measured)
    power.run(Namespace(preset="tiny", methods=list(arrays), layers=None, json=False))
    figures = json.loads((power.OUTPUT / "power.json").read_text())
    assert figures["preset"] == "tiny"
    assert set(figures["accelerators"]) == set(arrays)
    assert figures["conditions"]["commit"] == provenance.commit()
    page = (power.OUTPUT / "power.md").read_text()
    assert "## Prediction's share" in page
    assert "| array 2 | 700 | 700 |" in page
    assert (power.OUTPUT / "power.png").read_bytes().startswith(b"\x89PNG")
    assert "ESACT" in capsys.readouterr().out
