# SPDX-License-Identifier: Apache-2.0
"""`foreshift power`: what layers of MiniLM take in each accelerator, from the activity of its own netlist."""

import hashlib
import inspect
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

from tqdm import tqdm

from config import presets
from config.errors import require
from config.system import SystemConfig
from foreshift import power_results, provenance
from foreshift.demo_results import staged
from golden.speculate.work import Work
from hdl.system.accelerator import Accelerator
from sim import workloads
from sim.emitted import emitted, sources
from sim.planned import SENTENCES
from sim.speed_up import sizes_of
from sim.stack import Step, random_steps
from sim.windows import Windows
from synth import dram, layers, ledger, liberty, library, pieces, system, timing, whole
from tasks.work import shares

WORK = Path("build/power")
OUTPUT = Path("build/report")
CLOCK_MHZ = 500
WINDOWS = {
    "minilm": Windows(every=16 * 503, length=33, first=1000, closer=503),
    "tiny": Windows(every=2 * 53, length=33, first=20, closer=53),
}
"""Parts of prime distances: no loop of the hardware is always met at the same place. The first cycle of a window only
says where its toggles begin."""
WORK_OF = {
    "minilm": "{count} layers of MiniLM on a text of 128 tokens, under the settings that lose 1 % or less; every "
    "output golden",
    "tiny": "random layers, every output golden",
}
SOURCES = ("config", "golden", "sim", "synth")
"""Packages that decide what is measured; what describes hardware is known by the Verilog."""

Say = Callable[[str], None]


def run(args: Namespace) -> None:
    """Measure what has not been measured yet; print the table, write build/report/power.*."""
    started = time.monotonic()

    def say(words: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {words}", file=sys.stderr, flush=True)

    systems = presets.systems(args.preset)
    require(bool(systems), f"The preset must be one that has accelerators, not {args.preset!r}; choose minilm or tiny.")
    methods = args.methods or list(systems)
    for method in methods:
        require(
            method in systems, f"The method must be one of {', '.join(systems)}, not {method!r}; choose one of them."
        )
    path = library.liberty()
    say("reading the cell library")
    cells = liberty.read(path)
    found = [measured(systems[method], args.preset, args.layers, path, cells, say) for method in methods]
    ledgers = [ledger.ledger(each.account, cells) for each in found]
    conditions = _conditions(args, cells, path)
    clocks = {each.account.method: each.clocks for each in found}
    left = {each.account.method: each.left for each in found}
    figures = {"preset": args.preset} | power_results.as_json(ledgers, left, clocks, conditions)
    with staged(OUTPUT) as folder:
        power_results.plot(ledgers, folder / "power.png")
        (folder / "power.md").write_text(power_results.markdown(ledgers, clocks, conditions), encoding="utf-8")
        (folder / "power.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    say(f"written to {OUTPUT}")
    print(json.dumps(figures, indent=2) if args.json else power_results.text(ledgers))


@dataclass(frozen=True)
class Measured:
    """Of an accelerator. left: shares of the layers' dense work that their plans leave, by part. clocks: MHz by block,
    see `synth.whole`; none without OpenSTA."""

    account: layers.Account
    left: dict[str, float]
    clocks: dict[str, float]


def measured(
    config: SystemConfig, preset: str, count: int | None, path: Path, cells: liberty.Library, say: Say
) -> Measured:
    """Layers of MiniLM through an accelerator, measured or as they were before. count: the first few; none for all.

    Raises AssertionError where hardware, netlist or golden model differ.
    """
    say(f"{config.name}: Verilog")
    text = emitted(lambda: Accelerator(config), config.name, config)
    facts = (text, path.read_bytes(), sources(*SOURCES), count, CLOCK_MHZ, WINDOWS[preset], timing.available())
    kept = WORK / f"{config.name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}.json"
    if kept.is_file():
        say(f"{config.name}: as it was measured before")
        before = json.loads(kept.read_text(encoding="utf-8"))
        return Measured(**{**before, "account": layers.from_json(before["account"])})
    design = pieces.Design(text, config.name, pieces.shares(system.BLOCKS))
    say(f"{config.name}: mapping {len(design.counts)} pieces, {len(design.instances)} with all their copies")
    with _bar("piece") as progress:
        (mapped,) = pieces.map_all([design], path, progress)
    found = _measure(config, preset, count, layers.Probed(text, design, mapped, cells), say)
    if timing.available():
        say(f"{config.name}: timing")
        found = replace(found, clocks=whole.clocks(mapped, pieces.shares(system.BLOCKS), WORK / "timing", path))
    part = kept.with_suffix(".part")
    part.write_text(json.dumps({**vars(found), "account": found.account.as_json()}), encoding="utf-8")
    part.replace(kept)
    return found


def _measure(config: SystemConfig, preset: str, count: int | None, probed: layers.Probed, say: Say) -> Measured:
    say(f"{config.name}: building the simulation, with a probe of {sum(probed.signals.values())} bits")
    probed.model  # noqa: B018
    say(f"{config.name}: layers, in integers and in simulation")
    with _bar("netlist") as progress:
        steps = _steps(config, preset, count)
        account = layers.measure(probed, config, steps, WINDOWS[preset], 1e3 / CLOCK_MHZ, progress)
    WORK.mkdir(parents=True, exist_ok=True)
    return Measured(account, left_of(steps), {})


def left_of(steps: Sequence[Step]) -> dict[str, float]:
    """Shares of the layers' dense work that their plans leave, by part."""
    sizes = [sizes_of(step) for step in steps]
    left = (size.left(step.plan.counts) for size, step in zip(sizes, steps, strict=True))
    return shares(reduce(Work.__add__, left), reduce(Work.__add__, (size.dense for size in sizes)))


def _steps(config: SystemConfig, preset: str, count: int | None) -> list[Step]:
    """Layers of MiniLM; on hardware that is too small for it, random ones."""
    if preset == "tiny":
        return random_steps(config, "post", config.tokens, count or 1, seed=0)
    return workloads.workload(config, "minilm", inspect.getdoc(SENTENCES[0]) or "", layers=count).steps


@contextmanager
def _bar(unit: str) -> Iterator[layers.Progress]:
    """A progress bar, as a function of what is done, how much of it, and how much there is."""
    with tqdm(unit=unit, file=sys.stderr, disable=None) as bar:

        def progress(name: str, done: int, of: int) -> None:
            bar.total, bar.n = of, done
            bar.set_postfix_str(name)

        yield progress


def _conditions(args: Namespace, cells: liberty.Library, path: Path) -> dict[str, object]:
    windows = WINDOWS[args.preset]
    return {
        "library": f"{cells.name} ({path.name}), {cells.corner}, {cells.voltage} V",
        "clock": f"{CLOCK_MHZ} MHz",
        "work": WORK_OF[args.preset].format(count=args.layers or "all"),
        "activity": f"{windows.length} of every {windows.every} cycles, in attention of {windows.closer}; each piece's "
        "netlist does them again from the registers of the RTL, and its outputs are those of the RTL in every cycle",
        "netlists": "zero-delay; a flip-flop's QN is the complement of its Q",
        "memories": "synth/sram.py: accesses counted in the same windows, leakage",
        "clock tree": "synth/clock_tree.py: an estimate from the pins that it drives",
        "DRAM": f"{dram.PJ_PER_BIT[dram.DEFAULT]} pJ a bit ({dram.DEFAULT}), bytes counted by the accelerator",
        "not included": "wires, glitches",
        "tools": provenance.said(),
        "commit": provenance.commit(),
    }
