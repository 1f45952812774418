# SPDX-License-Identifier: Apache-2.0
"""`foreshift simulate`, `foreshift run-model`, and the class behind both: what they run, print and refuse."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from config.errors import Refusal
from config.registers import COUNTERS
from foreshift.accelerator import Accelerator, Result
from foreshift.cli import main
from foreshift.progress import Progress
from sim import accelerator, runner, workloads
from sim.stack import Step, random_steps

NO_ACCELERATORS = "The preset must be one that has accelerators, tiny or minilm, not 'paper'; choose one of them."
NO_FILE = "The file of waveforms must be one that can be written, and {} cannot; choose another one."
TOO_SMALL = "Real models need the preset minilm, and tiny is too small for them; leave --preset out."
COUNTED = {counter.name: number for number, counter in enumerate(COUNTERS, 1000)}
FAKED = Result(np.zeros((5, 16), np.int64), 4321, COUNTED, 9876.5)


@pytest.fixture(scope="module")
def unit() -> Accelerator:
    """`dense`, whose simulation other tests need as well."""
    return Accelerator("tiny", "dense")


@pytest.fixture(scope="module")
def steps(unit: Accelerator) -> list[Step]:
    return random_steps(unit.config, "post", 7, 2, 5)


# The class


def test_golden_is_what_the_rtl_gives(unit: Accelerator, steps: list[Step]) -> None:
    result = unit.simulate(steps)
    np.testing.assert_array_equal(result.y, unit.golden(steps))
    assert result.counters["LAYERS"] == 2
    assert result.cycles == result.counters["CYCLES"] > 0
    assert result.hidden == result.counters["PREDICTION_HIDDEN"] / result.counters["PREDICTION_CYCLES"]
    assert result.rate > 0
    assert result.waves is None
    waiting = unit.simulate(steps, overlap=False, eager=False)
    assert waiting.hidden is not None
    assert waiting.hidden < result.hidden


def test_another_value_is_told_with_its_place(unit: Accelerator, steps: list[Step]) -> None:
    wrong = steps[-1].y.copy()
    wrong[3, 5] += 1
    with pytest.raises(AssertionError, match=r"layer 1: token 3, channel 5 is -?\d+, not -?\d+; 1 of 112 differ"):
        unit.simulate([steps[0], replace(steps[1], y=wrong)])


def test_nothing_is_hidden_where_nothing_is_predicted() -> None:
    assert replace(FAKED, counters=COUNTED | {"PREDICTION_CYCLES": 0}).hidden is None


def test_verilog_and_report(unit: Accelerator, tmp_path: Path) -> None:
    unit.verilog(tmp_path / "top.v")
    assert re.search(r"^module dense_top_4x4\(", (tmp_path / "top.v").read_text(), re.MULTILINE)
    sidecar = json.loads((tmp_path / "top.json").read_text())
    report = unit.report()
    assert report == {name: sidecar[name] for name in ("name", "ports", "memory_bits", "memories")}
    assert report["memory_bits"] == sum(m["words"] * m["bits"] * m["instances"] for m in report["memories"])
    assert {port["name"] for port in report["ports"]} > {"aclk", "aresetn", "interrupt", "m_axi_araddr"}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("huge",), "The preset must be one of tiny, minilm, paper, not 'huge'; choose one of them."),
        (("paper",), NO_ACCELERATORS),
        (
            ("tiny", "topk"),
            "The method must be one of spls, lapa, dense, fact, sanger, spatten, not 'topk'; choose one of them.",
        ),
    ],
)
def test_what_is_none_is_refused(given: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(Refusal, match=f"^{re.escape(sentence)}$"):
        Accelerator(*given)


# simulate

GIVEN = ["simulate", "--method", "dense", "--tokens", "6", "--layers", "2", "--order", "pre", "--seed", "8", "--causal"]


def test_table_and_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GIVEN, "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    rate = found.pop("cycles_per_second")
    assert {name: found[name] for name in ("preset", "method", "tokens", "layers", "order", "causal", "seed")} == {
        "preset": "tiny", "method": "dense", "tokens": 6, "layers": 2, "order": "pre", "causal": True, "seed": 8
    }  # fmt: skip
    assert rate > 0
    assert found["overlap"]
    assert found["counters"].keys() == {counter.name for counter in COUNTERS}
    assert [re.sub(r"^\[ *\d+\.\d s\] ", "", line) for line in err.splitlines()] == [
        "2 random layers, 6 tokens: integers, plans, every tensor",
        "building the simulation of dense_top_4x4, which is kept: minutes, the first time",
        "simulating dense_top_4x4",
        "equal to the golden model in all 96 values of the last layer",
    ]
    assert main(GIVEN) == 0
    assert capsys.readouterr().out.splitlines() == [
        "dense, tiny: 2 layers (pre, causal), 6 tokens",
        *(
            f"  {text:20}{value:>12}"
            for text, value in (
                ("cycles", found["cycles"]),
                ("array 1 works", found["counters"]["BUSY_ARRAY1"]),
                ("array 2 works", found["counters"]["BUSY_ARRAY2"]),
                ("waits for weights", found["counters"]["STALL_WEIGHTS"]),
                ("waits for rows", found["counters"]["STALL_ROWS"]),
                ("waits for the plan", found["counters"]["STALL_PLAN"]),
                ("prediction works", found["counters"]["PREDICTION_CYCLES"]),
                ("bytes read", found["counters"]["BYTES_READ"]),
                ("bytes written", found["counters"]["BYTES_WRITTEN"]),
                ("of prediction hidden", f"{100 * found['prediction_hidden']:.1f} %"),
            )
        ),
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--preset", "paper"], NO_ACCELERATORS),
        (["--tokens", "17"], "tokens must be 1 to 16, not 17; the hardware has no more."),
        (["--tokens", "0"], "tokens must be 1 to 16, not 0; the hardware has no more."),
        (["--layers", "0"], "layers must be 1 or more, not 0; raise it."),
        (["--seed", "-1"], "seed must be 0 or more, not -1; choose another one."),
        (["--order", "mid"], "order must be post or pre, where the norms stand, not 'mid'; choose one of them."),
        (["--waves", "/"], NO_FILE.format("/")),
        (["--waves", "/none/x"], NO_FILE.format("/none/x")),
    ],
)
def test_simulate_refuses(given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *given]) == 2
    assert capsys.readouterr() == ("", f"foreshift: {sentence}\n")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Runs of the hardware, which are not made: the switches that each was given."""
    seen: list[dict[str, Any]] = []

    def simulate(self: Accelerator, steps: list[Step], **switches: Any) -> Result:
        seen.append(switches)
        return FAKED

    monkeypatch.setattr(Accelerator, "simulate", simulate)
    monkeypatch.setattr(Accelerator, "build", lambda self: None)
    return seen


def test_waveforms_go_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(runner.WAVES, "")
    left, wanted = tmp_path / runner.DUMP, tmp_path / "wanted.vcd"

    def simulate(self: Accelerator, steps: list[Step], **switches: Any) -> Result:
        assert runner.waves_wanted()
        left.write_text("$end")
        return replace(FAKED, waves=left)

    monkeypatch.setattr(Accelerator, "simulate", simulate)
    monkeypatch.setattr(Accelerator, "build", lambda self: None)
    assert main(["simulate", "--waves", str(wanted)]) == 0
    assert f"waveforms: {wanted}\n" in capsys.readouterr().err
    assert (wanted.read_text(), left.exists()) == ("$end", False)
    assert main(["simulate"]) == 0
    assert f"waveforms: {left}\n" in capsys.readouterr().err


def test_a_long_step_is_heard_of(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().during("thinking", every=0.01):
        time.sleep(0.2)
    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith(" s] thinking")
    assert {line.partition("] ")[2] for line in others} == {"  still at it"}
    with pytest.raises(ValueError, match="no"), Progress().during("failing", every=0.01):
        raise ValueError("no")


# run-model


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What `workload` is asked for; it gives three layers of five tokens."""
    seen: list[tuple[Any, ...]] = []

    def workload(config: Any, model: str, text: str, **limits: Any) -> Any:
        seen.append((config.name, model, text, limits))
        step = SimpleNamespace(x=np.zeros((5, 16)))
        return SimpleNamespace(steps=[step] * 3, likeness=lambda y: 0.98765)

    monkeypatch.setattr(workloads, "workload", workload)
    return seen


def test_a_model_as_a_table(
    asked: list[tuple[Any, ...]], runs: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run-model", "--text", "", "--no-overlap"]) == 0
    assert asked == [("esact_top_16x32", "minilm", "", {"tokens": None, "layers": None})]
    assert runs == [{"overlap": False, "eager": False}]
    share = f"{100 * COUNTED['PREDICTION_HIDDEN'] / COUNTED['PREDICTION_CYCLES']:.1f} %"
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["minilm, spls: 3 layers, 5 tokens", f"  {'cycles':20}{4321:>12}"]
    assert lines[-2:] == [f"  {'of prediction hidden':20}{share:>12}", f"  {'cosine to float':20}{'0.9877':>12}"]


def test_a_model_as_json(
    asked: list[tuple[Any, ...]], runs: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["run-model", "--model", "language", "--method", "lapa", "--tokens", "9", "--layers", "4", "--json"]
    assert main(given) == 0
    ((name, model, _, limits),) = asked
    assert (name, model, limits) == ("lapa_top_16x32", "language", {"tokens": 9, "layers": 4})
    assert runs == [{"overlap": True, "eager": True}]
    assert json.loads(capsys.readouterr().out) == {
        "model": "language", "method": "lapa", "preset": "minilm", "tokens": 5, "layers": 3, "overlap": True,
        "cosine_to_float": 0.98765, "cycles": 4321, "prediction_hidden": FAKED.hidden, "counters": COUNTED,
        "cycles_per_second": 9876.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--preset", "tiny"], TOO_SMALL),
        (["--preset", "paper"], NO_ACCELERATORS),
        (
            ["--method", "topk"],
            "The method must be one of spls, lapa, dense, fact, sanger, spatten, not 'topk'; choose one of them.",
        ),
        (["--layers", "0"], "layers must be 1 or more, not 0; leave it out for all."),
        (["--model", "bert"], "The model must be one of minilm, language, not 'bert'; choose one of them."),
        (
            ["--model", "language", "--method", "spatten"],
            "causal must be False, not True, as the unit has one sum for each token and a causal row needs sums of its "
            "own; prune a causal model by the golden model.",
        ),
        (["--tokens", "129"], "tokens must be 1 to 128, not 129; the hardware has no more."),
        (["--model", "language", "--text", ""], "The text must have at least one token, and has none; give it a word."),
    ],
)
def test_run_model_refuses(given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run-model", *given]) == 2
    out, err = capsys.readouterr()
    assert (out, err.splitlines()[-1]) == ("", f"foreshift: {sentence}")


@pytest.mark.parametrize(
    ("model", "method", "layers"),
    [
        ("minilm", "spls", 6),
        ("language", "lapa", 4),
        ("minilm", "fact", 6),
        ("minilm", "sanger", 6),
        ("minilm", "spatten", 6),
    ],
)
def test_whole_models_fit_into_the_memory(model: str, method: str, layers: int) -> None:
    unit = Accelerator("minilm", method)
    found = unit.workload(model, "The king gave his daughter a crown. " * 30)
    assert [step.x.shape[0] for step in found.steps] == [unit.config.tokens] * layers
    assert len(accelerator.lay_out(unit.config, found.steps).memory.content) <= accelerator.MEMORY_BYTES
    assert found.likeness(unit.golden(found.steps)) > 0.9
