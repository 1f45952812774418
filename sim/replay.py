# SPDX-License-Identifier: Apache-2.0
"""A unit's streams from files and into files, at the simulator's own speed: Python sleeps while the clock runs.

stream.in ─► Source ─► unit ─► Sink ─► stream.out: cycle and payload of each

Where a bench in Python costs more than the unit's own simulation, as with whole layers, this takes its place.
"""

import pickle
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from hdl.emit import ports_of, verilog
from sim import runner

Words = Sequence[int]
FULL = 256
"""What chances of a pause are out of."""

_MODULES = """
module replay_source #(parameter WIDTH = 1, parameter FILE = "") (
    input clk, input rst, input go, input [8:0] idle, input [31:0] now,
    output reg valid, input ready, output reg [WIDTH-1:0] payload, output reg over, output reg [31:0] first
);
    integer file;
    reg [WIDTH-1:0] word;
    initial file = $fopen(FILE, "r");
    always @(posedge clk)
        if (rst) begin
            valid <= 0;
            over <= file == 0;
            first <= ~0;
        end else begin
            if (valid && ready && first == ~0) first <= now;
            if (!valid || ready) begin
            valid <= 0;
            if (go && !over && ($urandom & 255) >= {23'b0, idle}) begin
                if ($fscanf(file, "%h\\n", word) == 1) begin
                    payload <= word;
                    valid <= 1;
                end else over <= 1;
            end
            end
        end
endmodule

module replay_sink #(parameter WIDTH = 1, parameter FILE = "") (
    input clk, input rst, input [8:0] stall, input [31:0] due, input [31:0] now,
    input valid, output reg ready, input [WIDTH-1:0] payload, output full
);
    integer file;
    reg [31:0] count;
    initial file = $fopen(FILE, "w");
    assign full = count >= due;
    always @(posedge clk) begin
        ready <= ($urandom & 255) >= {23'b0, stall};
        if (rst) begin
            count <= 0;
            ready <= 0;
        end else if (valid && ready) begin
            count <= count + 1;
            $fwrite(file, "%0d %h\\n", now, payload);
        end
    end
endmodule
"""


@dataclass(frozen=True)
class Streams:
    """Names of a unit's streams, in and out, each with the bits of its payload, and of its other ports."""

    sources: dict[str, int]
    sinks: dict[str, int]
    inputs: dict[str, int]
    outputs: dict[str, int]


def streams_of(unit: wiring.Component) -> Streams:
    ports = {name: (len(value), direction) for name, (value, direction) in ports_of(unit).items()}
    found = Streams({}, {}, {}, {})
    names = {name.removesuffix("__payload") for name in ports if name.endswith("__payload")}
    # What cannot wait for anybody is no stream, but left open.
    streams = {name for name in names if f"{name}__ready" in ports}
    for name, (bits, direction) in ports.items():
        stream = name.rpartition("__")[0]
        if stream not in streams:
            (found.inputs if direction.value == "input" else found.outputs)[name] = bits
        elif name == f"{stream}__payload":
            (found.sources if direction.value == "input" else found.sinks)[stream] = bits
    return found


@dataclass(frozen=True)
class Step:
    """inputs: values of ports that are no streams, from here on. sources: those that begin now; the next step comes
    when they are over."""

    sources: Sequence[str]
    inputs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a run is given.

    words: of each source that has any. due: of each sink, how many payloads end the run. steps: in which order sources
    begin; all at once if there are none. idle, stall: share of cycles in which sources and sinks rest. limit: cycles.
    """

    words: Mapping[str, Words]
    due: Mapping[str, int]
    steps: Sequence[Step] = ()
    idle: float = 0.0
    stall: float = 0.0
    limit: int = 1_000_000


@dataclass(frozen=True)
class Record:
    """Of a sink: cycles int64 [N], counted from reset, and payloads."""

    cycles: NDArray[np.int64]
    payloads: list[int]


@dataclass(frozen=True)
class Run:
    """sinks: what left. first: the cycle in which the first word of each source was taken. cycles: until everything due
    had left. rate: cycles simulated in a second."""

    sinks: dict[str, Record]
    first: dict[str, int]
    cycles: int
    rate: float


@dataclass(frozen=True)
class Model:
    """A unit between its files: the folder of its simulation."""

    name: str
    streams: Streams
    folder: Path


def build(unit: wiring.Component, name: str, *, behavioural: bool = False) -> Model:
    """Built if need be. behavioural: as of `hdl.emit`."""
    streams = streams_of(unit)
    text = f"{verilog(unit, name, behavioural=behavioural)}{_MODULES}{_top(streams, name)}"
    folder = runner.build(text, f"{name}_replay")
    return Model(name, streams, folder)


def run(model: Model, job: Job) -> Run:
    """Raises `SimulationError` where something that is due has not come within the limit."""
    name, streams = model.name, model.streams
    runner.WORK.mkdir(parents=True, exist_ok=True)
    # A failed run leaves its folder.
    work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=runner.WORK)).resolve()
    for source, words in job.words.items():
        assert source in streams.sources, f"{name} has no input stream {source}"
        (work / f"{source}.in").write_text("".join(f"{word:x}\n" for word in words), encoding="ascii")
    for sink in streams.sinks:
        assert sink in job.due, f"nothing is said of how much leaves at {sink}"
    steps = job.steps or [Step(list(job.words))]
    orders = {"steps": [(list(step.sources), dict(step.inputs)) for step in steps], "limit": job.limit}
    orders |= {
        "streams": streams,
        "due": dict(job.due),
        "idle": round(FULL * job.idle),
        "stall": round(FULL * job.stall),
    }
    (work / "jobs.pickle").write_bytes(pickle.dumps(orders))
    runner.run(model.folder, f"{name}_replay", "sim.replay_bench", work, {runner.JOB: str(work)})
    first, cycles, rate = pickle.loads((work / "results.pickle").read_bytes())
    result = Run({sink: _record(work / f"{sink}.out") for sink in streams.sinks}, first, cycles, rate)
    shutil.rmtree(work)
    return result


def _record(path: Path) -> Record:
    lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    return Record(np.array([int(now) for now, _ in lines], np.int64), [int(payload, 16) for _, payload in lines])


def _top(streams: Streams, name: str) -> str:
    """The unit, a source or sink for each stream, and ports for all the rest."""
    ports = ["input clk", "input rst", "input [8:0] idle", "input [8:0] stall", "output full", "output reg [31:0] now"]
    ports += [f"input go_{source}, output over_{source}, output [31:0] first_{source}" for source in streams.sources]
    ports += [f"input [31:0] due_{sink}" for sink in streams.sinks]
    ports += [f"input [{bits - 1}:0] {port}" for port, bits in streams.inputs.items()]
    ports += [f"output [{bits - 1}:0] {port}" for port, bits in streams.outputs.items()]
    lines = [f"module {name}_replay (", ",\n".join(f"    {port}" for port in ports), ");"]
    # What hangs on an input of the top is computed twice a cycle, in a wide unit all that is reset.
    lines += ["reg reset = 1; always @(posedge clk) reset <= rst;", "always @(posedge clk) now <= reset ? 0 : now + 1;"]
    full = [f"full_{sink}" for sink in streams.sinks]
    links = [f".{port}({port})" for port in (*streams.inputs, *streams.outputs)]
    for stream, bits in (streams.sources | streams.sinks).items():
        lines += [f"wire {stream}_valid, {stream}_ready; wire [{bits - 1}:0] {stream}_payload;"]
        wires = [f".{end}({stream}_{end})" for end in ("valid", "ready", "payload")]
        links += [f".{stream}__{end}({stream}_{end})" for end in ("valid", "ready", "payload")]
        if stream in streams.sources:
            kind, end = "source", [".idle(idle)", *(f".{port}({port}_{stream})" for port in ("go", "over", "first"))]
        else:
            lines += [f"wire full_{stream};"]
            kind, end = "sink", [".stall(stall)", f".due(due_{stream})", f".full(full_{stream})"]
        path = f"{stream}.{'in' if kind == 'source' else 'out'}"
        given = ", ".join([".clk(clk)", ".rst(reset)", ".now(now)", *wires, *end])
        lines += [f'replay_{kind} #(.WIDTH({bits}), .FILE("{path}")) at_{stream} ({given});']
    lines += [f"assign full = {' & '.join(full)};", f"{name} unit (.clk(clk), .rst(reset), {', '.join(links)});"]
    return "\n".join([*lines, "endmodule", ""])
