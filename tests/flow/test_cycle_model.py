# SPDX-License-Identifier: Apache-2.0
"""`foreshift cycles`: table, JSON and picture of the cycle model."""

import json
from pathlib import Path

import pytest

from foreshift import cycle_model
from foreshift.cli import main
from golden.cycles import answer
from golden.cycles.shapes import MODELS
from golden.cycles.statistics import SHARES


def test_table_and_json_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["cycles", "--model", "opt-1.3b", "--tokens", "512", "--queries", "0.5", "--wider", "2"]
    assert main(given) == 0
    table = capsys.readouterr().out
    assert main([*given, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert table.startswith("opt-1.3b, 512 tokens, SPLS, paper ")
    layers = MODELS["opt-1.3b"].layers
    for cycles in (
        figures["prediction"]["layer"],
        figures["dense"]["attention"] + figures["dense"]["dense"],
        figures["sparse"]["attention"] + figures["sparse"]["dense"],
        figures["overlapped"],
        figures["dense_total"],
    ):
        assert f" {cycles:,} " in table
        assert f" {cycles * layers:,}\n" in table
    assert f" {figures['speed_up']:.2f}\n" in table
    assert "from {} to {} tokens".format(*figures["pays"]) in table
    assert figures["statistics"]["queries"] == 0.5
    assert figures["statistics"]["scores"] == answer.EXAMPLES["spls"].scores
    assert [each["speed_up"] for each in figures["sweep"] if each["tokens"] == 512] == [figures["speed_up"]]


@pytest.mark.parametrize("method", ["lapa", "dense", "fact"])
def test_other_methods(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cycles", "--model", "minilm-l6", "--method", method, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["preset"], figures["tokens"]) == ("minilm", 128)
    assert (figures["prediction"] is None) == (method == "dense")
    assert (figures["pays"] is None) >= (method == "dense")


def test_shares_of_the_command_are_those_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    options = [word for name in SHARES for word in (f"--{name}", "0.25")]
    assert main(["cycles", "--json", "--method", "lapa", "--visited", "0.5", *options]) == 0
    statistics = json.loads(capsys.readouterr().out)["statistics"]
    assert all(statistics[name] == 0.25 for name in SHARES)
    assert statistics["visited"] == [0.5]


def test_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cycle_model, "OUTPUT", tmp_path / "cycles")
    assert main(["cycles", "--plot"]) == 0
    path = tmp_path / "cycles" / "bert-base-spls.png"
    assert capsys.readouterr().out.endswith(f"{path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--model", "gpt-5"], "The model must be one of "),
        (["--tokens", "0"], "tokens must be an integer from 1 to 4096, not 0"),
        (["--method", "sanger"], "The method must be one of spls, lapa, dense, fact, not 'sanger'"),
        (["--preset", "huge"], "The preset must be one of tiny, minilm, paper, not 'huge'"),
        (["--ffn", "1.5"], "ffn must be a share from 0 to 1, not 1.5"),
        (["--wider", "3"], "wider must be one of 1, 2 and 4, not 3"),
    ],
)
def test_refusals(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cycles", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"foreshift: {sentence}")
    assert err.count("\n") == 1
