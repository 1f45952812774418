# SPDX-License-Identifier: Apache-2.0
"""The demonstration: from a sentence through the simulated arrays to the files it leaves, and what it refuses."""

import json
import struct
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from config.array import SYSTEMS, number_system
from config.errors import Refusal
from foreshift import demo, pictures
from foreshift.cli import main
from foreshift.demo_results import INDEX, staged
from golden.models import minilm
from golden.speculate import compare
from sim import dot

FILES = {"attention.png", "recall.png", "plans.png", "demo.md", "demo.json", "stimulus.npz"}
TEXT = "She lost the red ball, so he found it for her."


@dataclass
class Product:
    """What a simulation gives back."""

    y: NDArray[np.int64]
    cycles: int = 1000
    seconds: float = 0.5


def golden_in_place_of_rtl(system: str, x: NDArray[Any], w: NDArray[Any]) -> Product:
    """For tests of everything but the simulation."""
    return Product(compare.golden_dot(system, x, w))


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole demonstration, simulated, on arrays that are built sooner than its own."""
    folder = tmp_path_factory.mktemp("demo") / "build" / "demo"
    small = replace(demo.ARRAY, rows=8, lanes=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "ARRAY", small)
        demo.demonstrate(
            TEXT, folder, simulate=lambda system, x, w: dot.run(replace(small, system=number_system(system)), x, w)
        )
    return folder


@pytest.fixture(scope="module")
def figures(output: Path) -> dict[str, Any]:
    return dict(json.loads((output / INDEX).read_text(encoding="utf-8")))


def png_size(path: Path) -> tuple[int, int]:
    """Width and height as the file's header gives them."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_it_leaves_its_files_and_nothing_else(output: Path) -> None:
    assert {path.name for path in output.iterdir()} == FILES
    assert [path.name for path in output.parent.iterdir()] == ["demo"]


def test_both_arrays_multiplied_everything_in_simulation(figures: dict[str, Any]) -> None:
    tokens = len(minilm.tokens(TEXT).pieces)
    shapes = {"Q": (tokens, 384, 32), "K": (tokens, 384, 32), "scores": (tokens, 32, tokens)}
    expected = [(system, product, *shape) for system in ("hlog", "aloc") for product, shape in shapes.items()]
    runs = figures["runs"]
    assert [(r["system"], r["product"], r["rows"], r["depth"], r["columns"]) for r in runs] == expected
    products_per_cycle = figures["array"]["rows"] * figures["array"]["lanes"]
    for run in runs:
        needed = run["rows"] * run["depth"] * run["columns"]
        assert run["cycles"] * products_per_cycle >= needed
        assert run["lanes_busy"] == needed / (run["cycles"] * products_per_cycle)
        assert run["seconds"] > 0


def test_totals_sum_the_runs(figures: dict[str, Any]) -> None:
    for system in ("hlog", "aloc"):
        runs = [run for run in figures["runs"] if run["system"] == system]
        total = figures["totals"][system]
        assert total["cycles"] == sum(run["cycles"] for run in runs)
        assert total["seconds"] == pytest.approx(sum(run["seconds"] for run in runs))
        assert total["cycles_per_second"] == pytest.approx(total["cycles"] / total["seconds"])


def test_recall_is_that_of_the_golden_model(figures: dict[str, Any]) -> None:
    sentence = minilm.tokens(TEXT)
    assert figures["tokens"] == list(sentence.pieces)
    x, weights = minilm.embed(sentence.ids), minilm.attention_weights(0)
    for system in SYSTEMS:
        by_head = [
            [
                compare.topk_recall(
                    minilm.exact_scores(x, weights, head),
                    compare.predict(system, minilm.head_inputs(x, weights, head)).scores,
                    k,
                )
                for k in (2, 4, 8)
            ]
            for head in range(12)
        ]
        assert list(figures["recall"][system].values()) == by_head[figures["head"]]
        assert list(figures["recall_all_heads"][system].values()) == pytest.approx(np.mean(by_head, axis=0))


def test_stimulus_holds_the_operands_of_every_product(output: Path, figures: dict[str, Any]) -> None:
    sentence = minilm.tokens(TEXT)
    inputs = minilm.head_inputs(minilm.embed(sentence.ids), minilm.attention_weights(0), figures["head"])
    with np.load(output / "stimulus.npz") as stimulus:
        assert set(stimulus.files) == {"x", "wq", "wk"} | {f"{s}_{which}" for s in SYSTEMS for which in "qk"}
        assert all(stimulus[name].dtype == np.int8 for name in stimulus.files)
        for name in ("x", "wq", "wk"):
            np.testing.assert_array_equal(stimulus[name], getattr(inputs, name))
        for system in SYSTEMS:
            prediction = compare.predict(system, inputs)
            np.testing.assert_array_equal(stimulus[f"{system}_q"], prediction.q)
            np.testing.assert_array_equal(stimulus[f"{system}_k"], prediction.k)


def test_pictures_have_their_size_and_something_on_them(output: Path) -> None:
    tokens = minilm.tokens(TEXT).pieces
    assert png_size(output / "attention.png") == pictures.attention_pixels(tokens)
    assert png_size(output / "recall.png") == (1584, 691)
    for name in ("attention.png", "recall.png"):
        image = matplotlib.image.imread(output / name)[..., :3]
        assert len(np.unique(image.sum(axis=2))) > 50
        blank = (image == 1.0).all(axis=2)
        assert 0.2 < blank.mean() < 0.9


def test_the_map_shows_the_weights(tmp_path: Path) -> None:
    """The darkest cells of a drawn map lie where its weights are, first row on top."""
    none = np.zeros((3, 3), dtype=np.bool_)
    weights = np.zeros((3, 3))
    weights[0, 2] = weights[1, 0] = 1.0
    panel = pictures.Panel("map", "note", weights, none, none)
    pictures.draw_attention(tmp_path / "map.png", "heading", "a b c", ["a", "b", "c"], [panel])
    image = matplotlib.image.imread(tmp_path / "map.png")[..., :3]
    darkest = image.sum(axis=2) < 1.0  # the end of the colour map; the text is thinner than the rows asked for below
    rows, columns = np.nonzero(darkest[:, : image.shape[1] - 144])
    counts, _, _ = np.histogram2d(
        rows, columns, bins=3, range=[[rows.min(), rows.max()], [columns.min(), columns.max()]]
    )
    assert counts[0, 2] > 10000
    assert counts[1, 0] > 10000


def test_the_page_names_what_it_shows(output: Path, figures: dict[str, Any]) -> None:
    page = (output / "demo.md").read_text(encoding="utf-8")
    assert f'"{TEXT}"' in page
    assert "(attention.png)" in page
    assert "(recall.png)" in page
    assert "(plans.png)" in page
    assert "| SPLS (ESACT)" in page
    for system, name in pictures.SYSTEM_NAMES.items():
        shares = [*figures["recall"][system].values(), *figures["recall_all_heads"][system].values()]
        cells = [
            cell.strip() for line in page.splitlines() if line.startswith(f"| {name} ") for cell in line.split("|")
        ]
        assert [f"{100 * share:.1f} %" for share in shares] == cells[2:8]
    for run in figures["runs"]:
        assert f"| {run['cycles']} |" in " ".join(page.split())


def test_the_same_sentence_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        demo.demonstrate(TEXT, tmp_path / name, simulate=golden_in_place_of_rtl)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


@pytest.mark.parametrize("text", ["Hi", 'say "$5",\nor $x_1$ & <b>|', "中文 🤖 word"])
def test_odd_sentences_are_shown(tmp_path: Path, text: str) -> None:
    """One word, formulas and markup, characters that no font here has, line ends: drawn without a warning."""
    demo.demonstrate(text, tmp_path / "demo", simulate=golden_in_place_of_rtl)
    assert {path.name for path in (tmp_path / "demo").iterdir()} == FILES
    assert json.loads((tmp_path / "demo" / INDEX).read_text(encoding="utf-8"))["text"] == text


def test_the_longest_sentence_fits(tmp_path: Path) -> None:
    words = "word " * 126
    demo.demonstrate(words, tmp_path / "demo", simulate=golden_in_place_of_rtl)
    assert png_size(tmp_path / "demo" / "attention.png") == pictures.attention_pixels(minilm.tokens(words).pieces)


def test_progress_goes_to_stderr_and_the_tables_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.demonstrate(TEXT, tmp_path / "demo", simulate=golden_in_place_of_rtl)
    out, err = capsys.readouterr()
    said = [line.split("] ", 1)[1] for line in err.splitlines()]
    assert said[0] == "15 tokens; embedding them and quantising layer 0, head 4"
    assert said[1] == "simulating the HLog array, Q: 15 × 384 by 384 × 32"
    assert said[2] == "  equal to the golden model; 1000 cycles in 0.50 s"
    assert said[-1] == f"done: {tmp_path / 'demo' / 'demo.md'}"
    assert out.startswith("| prediction ")


@pytest.mark.parametrize(("system", "product"), [("hlog", 0), ("hlog", 2), ("aloc", 1), ("aloc", 2)])
def test_one_wrong_entry_ends_it_and_is_named(tmp_path: Path, system: str, product: int) -> None:
    calls = dict.fromkeys(SYSTEMS, 0)

    def faulty(which: str, x: NDArray[Any], w: NDArray[Any]) -> Product:
        y = compare.golden_dot(which, x, w)
        if which == system and calls[which] == product:
            y[3, 5] += 1
            y[4, 0] -= 1
        calls[which] += 1
        return Product(y)

    with pytest.raises(demo.MismatchError) as error:
        demo.demonstrate(TEXT, tmp_path / "demo", simulate=faulty)
    what = f"{pictures.SYSTEM_NAMES[system]} array, {('Q', 'K', 'scores')[product]}"
    assert str(error.value).startswith(
        f"{what}: 2 of {15 * (15 if product == 2 else 32)} entries differ, the first at [3, 5]: "
    )
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(demo.MismatchError) as error:
        demo.check_equal("it", np.zeros((2, 3), dtype=np.int64), np.zeros((3, 2), dtype=np.int64))
    assert str(error.value) == "it: the simulation gives shape (2, 3), the golden model (3, 2)"


def test_a_refused_sentence_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^The sentence must hold at least one word, and \" \" holds none; give one, "):
        demo.demonstrate(" ", tmp_path / "build" / "demo")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(Refusal) as refusal:
        demo.demonstrate(TEXT, tmp_path / "demo")
    assert str(refusal.value) == (
        f"The folder {tmp_path / 'demo'} must be writable, and it is not (Not a directory); "
        "make room for it or make it writable."
    )
    assert (tmp_path / "demo").read_text() == "mine"
    with pytest.raises(Refusal):
        demo.demonstrate(TEXT, tmp_path / "demo" / "below")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere, so the question is answered
    with pytest.raises(Refusal, match=r"must be writable, and it is not \(Permission denied\)"):
        demo.demonstrate(TEXT, tmp_path / "demo")
    assert list((tmp_path / "demo").iterdir()) == []


def test_results_replace_those_of_an_earlier_run_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    for name in (INDEX, "attention.png", "mine.txt"):
        (tmp_path / "demo" / name).write_text("old")
    with staged(tmp_path / "demo") as folder:
        for name in (INDEX, "attention.png"):
            (folder / name).write_text("new")
    assert {path.name: path.read_text() for path in (tmp_path / "demo").iterdir()} == {
        INDEX: "new",
        "attention.png": "new",
        "mine.txt": "old",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_failure_leaves_the_earlier_run_whole(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / INDEX).write_text("old")

    def interrupted() -> None:
        with staged(tmp_path / "demo") as folder:
            (folder / INDEX).write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "demo" / INDEX).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_without_a_sentence_it_takes_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(demo, "demonstrate", taken.append)
    demo.run(Namespace(text=None))
    demo.run(Namespace(text=""))
    assert taken == [demo.DEFAULT_TEXT, ""]


def test_the_command_refuses_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--text", ""]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        'foreshift: The sentence must hold at least one word, and "" holds none; '
        'give one, for example TEXT="The cat saw the mouse.".\n'
    )
