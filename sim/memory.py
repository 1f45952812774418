# SPDX-License-Identifier: Apache-2.0
"""An accelerator with a memory and a host at the simulator's own speed: Python sleeps while the clock runs.

host.in ─► axi_host ─ s_axi_ctrl ─► top ◄─ m_axi ─► axi_memory ─► memory.out
             │ interrupt ◄───────────┘   │    ▲
host.out ◄───┘                axi_checker┴    └─ memory.in

Both ports are followed by `axi_checker`, whose rules are those of `sim.axi`; a breach ends the run.
"""

import pickle
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from config.errors import require
from sim import runner
from sim.axi import PAYLOADS, RULES
from sim.windows import SETTINGS, Probe, Record, Windows

RTL = Path(__file__).resolve().parent / "rtl"
CONTROL, MEMORY = "s_axi_ctrl", "m_axi"
_RESET = "power | reset"
"""Of all but the host, who has one of them."""
CLOCKS = ({"aclk": "clk", "aresetn": f"~({_RESET})"}, {"clk": "clk", "rst": _RESET})
"""How a top may be clocked and reset."""
_FAILS = ("fails", "fails_read", "fails_write")
"""By which the host has the memory fail."""
INTERRUPTS = ("interrupt", "irq")
FULL = 256
"""What shares of cycles are out of."""
NEVER = (1 << 32) - 1
BREACH = {"broken": 1, "rule": 8, "channel": 8, "cycle": 32}
"""Outputs of a checker with their bits."""


@dataclass(frozen=True)
class Step:
    """What the host does next: a line of its file."""

    what: str
    numbers: tuple[int, ...]

    @property
    def line(self) -> str:
        return " ".join([self.what, *(f"{number:x}" for number in (*self.numbers, 0, 0, 0, 0)[:4])])


def write(address: int, value: int) -> Step:
    """A register."""
    return Step("w", (address, value))


def read(address: int) -> Step:
    """A register, into `Run.values`."""
    return Step("r", (address,))


def interrupt(limit: int = NEVER) -> Step:
    """Waits until the interrupt is high, for so many cycles at the most."""
    return Step("i", (limit,))


def poll(address: int, mask: int, value: int, limit: int = NEVER) -> Step:
    """Reads a register until its bits in `mask` are `value`, for so many cycles at the most."""
    return Step("p", (address, mask, value, limit))


def rest(cycles: int) -> Step:
    """Nothing, for so many cycles."""
    return Step("n", (cycles,))


def reset(cycles: int) -> Step:
    """The top, its memory, whose content stays, and the checkers are reset, for so many cycles."""
    return Step("x", (cycles,))


def fail(word: int | None, burst: int | None) -> Step:
    """The memory answers that word read, and that burst written, with an error: numbers from now on; instead of any
    that was to fail."""
    return Step("e", tuple(NEVER if each is None else each for each in (word, burst)))


@dataclass(frozen=True)
class Pace:
    """How often the memory rests. ar, r, aw, w, b: share of the cycles of a channel. naps: share of those rests that
    take `nap` cycles more. latency: cycles from a request to its first data, or from the last data to the answer."""

    ar: float = 0.0
    r: float = 0.0
    aw: float = 0.0
    w: float = 0.0
    b: float = 0.0
    naps: float = 0.0
    nap: int = 0
    latency: int = 0


@dataclass(frozen=True)
class Job:
    """What a run is given.

    image: content of the memory from `base` on; what lies behind it is zeros. steps: of the host. bad_read, bad_write:
    numbers of the word read, and of the burst written, that the memory answers with an error. patience: cycles that an
    offer at the memory's port may wait, if there is a limit. settled: nothing may be under way when the host has done
    its last step. limit: cycles. windows: in which the signals of the model's probe are recorded; it has to have one.
    """

    image: bytes
    steps: Sequence[Step]
    base: int = 0
    pace: Pace = field(default_factory=Pace)
    bad_read: int | None = None
    bad_write: int | None = None
    patience: int | None = None
    settled: bool = True
    seed: int = 1
    limit: int = 10_000_000
    windows: Windows | None = None


@dataclass(frozen=True)
class Run:
    """memory: content afterwards, as long as the image. values: what each step read, 0 if it does not. answers: of
    each step, 0, or 2 or 3, an error. ends: the cycle of the run in which each step was over. words_read,
    words_written: of the memory, since the last reset. cycles: of the whole run. rate: cycles simulated in a second.
    waves: the file of waveforms, if they were asked for. record: of the windows that were asked for."""

    memory: bytes
    values: list[int]
    answers: list[int]
    ends: list[int]
    words_read: int
    words_written: int
    cycles: int
    rate: float
    waves: Path | None
    record: Record | None = None


@dataclass(frozen=True)
class Model:
    """A top between memory and host: the folder of its simulation, and the probe that is
    in it, if there is one."""

    top: str
    bus_bytes: int
    memory_bytes: int
    folder: Path
    probe: Probe | None = None


def build(
    text: str,
    top: str,
    *,
    memory_bytes: int = 1 << 20,
    brief: bool = False,
    probe: Probe | None = None,
) -> Model:
    """Built if need be.

    text: Verilog of module `top`, which has an AXI4 master m_axi_… of whole words, an AXI4-Lite slave s_axi_ctrl_… of
    32 bits, an interrupt (`interrupt` or `irq`), and aclk and aresetn, or clk and rst. memory_bytes: of the memory, a
    power of two. brief: as of `runner.build`. probe: of what windows of a run
    are recorded. Raises `Refusal` for a top with other ports.
    """
    require(
        memory_bytes >= 256 and not memory_bytes & (memory_bytes - 1),
        f"memory_bytes must be a power of two from 256 on, not {memory_bytes}; choose the next one.",
    )
    ports = ports_of(text, top)
    clocks = next((each for each in CLOCKS if each.keys() <= ports.keys()), None)
    irq = next((name for name in INTERRUPTS if name in ports), None)
    kinds = (f"{CONTROL}_", f"{MEMORY}_")
    rest_of = {name for name in ports if not name.startswith(kinds) and name != irq and name not in (clocks or {})}
    wanted = [f"{prefix}_{name}" for prefix, name in ((CONTROL, "rdata"), (CONTROL, "awaddr"), (MEMORY, "rdata"))]
    missing = [name for name in wanted if name not in ports]
    require(
        clocks is not None and irq is not None and not rest_of and not missing,
        f"{top} must have ports {CONTROL}_…, {MEMORY}_…, an interrupt, a clock and a reset and no others, but has "
        f"{', '.join(sorted(ports))}; wrap it.",
    )
    assert clocks is not None
    assert irq is not None
    bus_bytes = ports[f"{MEMORY}_rdata"] // 8
    sources = "".join((RTL / f"axi_{part}.sv").read_text(encoding="utf-8") for part in ("memory", "checker", "host"))
    links = {**{name: f"{name}" for name in ports if name.startswith(kinds)}, **clocks, irq: "irq"}
    harness = _harness(top, ports, links, memory_bytes // bus_bytes, probe)
    folder = runner.build(f"{text}\n{sources}\n{harness}", f"{top}_memory", brief=brief)
    return Model(top, bus_bytes, memory_bytes, folder, probe)


def ports_of(text: str, top: str) -> dict[str, int]:
    """Ports of module `top` of a Verilog text, with their bits."""
    body = re.search(rf"^module {top} ?\(.*?^endmodule", text, re.MULTILINE | re.DOTALL)
    require(body is not None, f"The Verilog must have a module {top}, and has none; give the name of its top.")
    assert body is not None
    found = re.findall(r"^ +(?:input|output) (?:reg |wire )?(?:\[(\d+):0\] )?(\w+);$", body[0], re.MULTILINE)
    return {name: int(top_bit or 0) + 1 for top_bit, name in found}


_SETTINGS = {
    "seed": 32,
    "base": 64,
    **{f"pace_{letters}": 9 for letters in PAYLOADS},
    "naps": 9,
    "nap_length": 16,
    "latency": 16,
    "bad_read": 32,
    "bad_write": 32,
    "dump": 1,
    "dump_first": 32,
    "dump_last": 32,
}
"""Inputs of the memory with their bits."""


def _harness(top: str, ports: dict[str, int], links: dict[str, str], words: int, probe: Probe | None) -> str:
    given = {**_SETTINGS, "patience": 32, "ends": 1} | (SETTINGS if probe else {})
    inputs = [f"input {_range(bits)}{name}" for name, bits in given.items()]
    outputs = [f"output [31:0] {name}" for name in ("words_read", "words_written")]
    outputs += [f"output {_range(bits)}{port}_{name}" for port in (MEMORY, CONTROL) for name, bits in BREACH.items()]
    outputs += ["output stops", "output over", "output unserved", "output reg [31:0] now"]
    lines = [f"module {top}_memory (input clk, input rst, {', '.join([*inputs, *outputs])});"]
    # What hangs on an input of this module is computed twice a cycle, in a wide top all that is reset.
    lines += ["reg power = 1; always @(posedge clk) power <= rst;", "always @(posedge clk) now <= power ? 0 : now + 1;"]
    lines += [f"wire {_range(bits)}{name};" for name, bits in ports.items() if name == links[name]]
    lines += [f"wire irq; assign stops = over | unserved | {MEMORY}_broken | {CONTROL}_broken;"]
    lines += ["wire reset, fails; wire [31:0] fails_read, fails_write;", f"{top} top ({_joined(links)});"]
    memory = {name: name for name in (*_SETTINGS, *_FAILS, "words_read", "words_written")} | {"broken": "unserved"}
    memory |= _channels(ports, MEMORY, without=("awlen", "lock", "cache", "prot"))
    bus, ids = ports[f"{MEMORY}_rdata"] // 8, ports.get(f"{MEMORY}_arid", 1)
    lines += [f"axi_memory #(.BYTES({bus}), .IDS({ids}), .WORDS({words})) memory (.clk(clk), .rst({_RESET}), "]
    lines += [f"    {_joined(memory)});"]
    host = _channels(ports, CONTROL) | {name: name for name in ("irq", "now", "over", "reset", *_FAILS)}
    lines += [f"axi_host #(.ADDRESS({ports[f'{CONTROL}_awaddr']})) host (.clk(clk), .rst(power), {_joined(host)});"]
    lines += [_checker(ports, MEMORY, lite=False), _checker(ports, CONTROL, lite=True)]
    return "\n".join([*lines, *([probe.text("top")] if probe else []), "endmodule", ""])


def _checker(ports: dict[str, int], prefix: str, *, lite: bool) -> str:
    wires = {letters + name: "0" for letters in PAYLOADS for name in ("valid", "ready", *PAYLOADS[letters])}
    wires |= _channels(ports, prefix)
    wires |= {"lite": str(int(lite)), "data_first": str(int(lite)), "patience": "0" if lite else "patience"}
    wires |= {"ends": "ends"} | {name: f"{prefix}_{name}" for name in BREACH}
    sizes = f".BYTES({ports[f'{prefix}_rdata'] // 8}), .IDS({ports.get(f'{prefix}_arid', 1)})"
    name = "control" if lite else "port"
    return f"axi_checker #({sizes}) {name}_checker (.clk(clk), .rst({_RESET}), {_joined(wires)});"


def _channels(ports: dict[str, int], prefix: str, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Names of the port's signals without the prefix, with the wires that carry them."""
    found = {name.removeprefix(f"{prefix}_"): name for name in ports if name.startswith(f"{prefix}_")}
    return {short: name for short, name in found.items() if not short.endswith(without)} if without else found


def _range(bits: int) -> str:
    return f"[{bits - 1}:0] " if bits > 1 else ""


def _joined(links: dict[str, str]) -> str:
    return ", ".join(f".{port}({wire})" for port, wire in links.items())


def run(model: Model, job: Job) -> Run:
    """Raises `SimulationError` where the protocol is broken, the memory is asked for what it does not serve, a step of
    the host has reached its limit, or the run its own."""
    require(
        job.windows is None or model.probe is not None,
        "Windows can be recorded of a model with a probe only; build it with one.",
    )
    require(
        len(job.image) <= model.memory_bytes,
        f"The image must be no longer than the memory of {model.memory_bytes} bytes, not {len(job.image)}; build a "
        "larger one.",
    )
    runner.WORK.mkdir(parents=True, exist_ok=True)
    # A failed run leaves its folder.
    work = Path(tempfile.mkdtemp(prefix=f"{model.top}-", dir=runner.WORK)).resolve()
    (work / "memory.in").write_text(_to_hex(job.image, model.bus_bytes), encoding="ascii")
    (work / "host.in").write_text("".join(f"{step.line}\n" for step in job.steps), encoding="ascii")
    (work / "jobs.pickle").write_bytes(pickle.dumps((_settings(model, job), job.settled, job.limit)))
    # Of registers that are always equal a netlist has one: before anything is in them as well.
    settings, name = {runner.JOB: str(work)}, f"{model.top}_memory"
    runner.run(model.folder, name, "sim.memory_bench", work, settings, from_zeros=job.windows is not None)
    counts, rate = pickle.loads((work / "results.pickle").read_bytes())
    steps = [line.split() for line in (work / "host.out").read_text(encoding="ascii").splitlines()]
    memory = _from_hex((work / "memory.out").read_text(encoding="ascii"), model.bus_bytes)
    record = Record(work, model.probe.signals, job.windows) if model.probe and job.windows else None
    if not runner.waves_wanted():
        shutil.rmtree(work)
    words_read, words_written, cycles = counts
    return Run(
        memory[: len(job.image)],
        [int(value, 16) for _, value, _ in steps],
        [int(answer) for _, _, answer in steps],
        [int(now) for now, _, _ in steps],
        words_read,
        words_written,
        cycles,
        rate,
        work / runner.DUMP if runner.waves_wanted() else None,
        record,
    )


def _settings(model: Model, job: Job) -> dict[str, int]:
    """Values of the harness' inputs."""
    last = max(-(-len(job.image) // model.bus_bytes), 1) - 1
    bad = {name: NEVER if at is None else at for name, at in (("bad_read", job.bad_read), ("bad_write", job.bad_write))}
    return {
        **{f"pace_{letters}": round(FULL * getattr(job.pace, letters)) for letters in PAYLOADS},
        **bad,
        "seed": job.seed,
        "base": job.base,
        "naps": round(FULL * job.pace.naps),
        "nap_length": job.pace.nap,
        "latency": job.pace.latency,
        "dump_first": 0,
        "dump_last": last,
        "patience": job.patience or 0,
        **(job.windows.settings if job.windows else {}),
    }


def _to_hex(image: bytes, width: int) -> str:
    """A word a line; its lowest address has the lowest bits."""
    padded = image + bytes(-len(image) % width)
    words = np.frombuffer(padded, np.uint8).reshape(-1, width)[:, ::-1].tobytes()
    return words.hex("\n", width) + "\n"


def _from_hex(text: str, width: int) -> bytes:
    lines = [line for line in text.splitlines() if line and not line.startswith(("@", "//"))]
    words = np.frombuffer(bytes.fromhex("".join(lines)), np.uint8)
    return bytes(words.reshape(-1, width)[:, ::-1].tobytes())


def breach(rule: int, channel: int) -> str:
    """What `axi_checker` says by its numbers."""
    name = list(RULES)[rule]
    return f"channel {list(PAYLOADS)[channel]}: {RULES[name]} ({name})"
