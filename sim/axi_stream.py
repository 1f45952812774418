# SPDX-License-Identifier: Apache-2.0
"""Units with AXI4-Stream ports (`hdl.system.axi_stream`) in Verilator, between sources and sinks of cocotbext-axi.

payloads of a stream ─► frames: bytes of tdata, cut behind `last` ─► AxiStreamSource ─► unit ─► AxiStreamSink
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from amaranth.lib import data, wiring

from hdl.system.axi_stream import BYTE, LAST, tdata_layout
from sim import runner

BENCH = "sim.axi_stream_bench"


@dataclass(frozen=True)
class Frame:
    """tdata as bytes, whole beats; tuser of each of these bytes, or none."""

    tdata: bytes
    tuser: list[int] | None = None


@dataclass(frozen=True)
class Job:
    """What a unit is given and what is due, by stream.

    ports: values of plain inputs. answers: streams in, each with the stream out of whose frames every one asks for
    another of its own. pauses: share of cycles in which a source or sink rests. interrupted: cycles after which the
    unit is reset, everything is forgotten and given once more; 0: never.
    """

    given: dict[str, list[Frame]]
    due: dict[str, list[bytes]]
    ports: dict[str, int] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    pauses: float = 0.0
    seed: int = 0
    interrupted: int = 0


def beats(shape: Any, payloads: Sequence[int]) -> list[tuple[bytes, bool]]:
    """tdata of each payload of this shape, and whether it ends a frame; without tlast, each does."""
    size = tdata_layout(shape).size // BYTE
    fields = dict(shape) if isinstance(shape, data.StructLayout) else {}
    found = []
    for payload in payloads:
        tdata, at, last = (0, 0, LAST not in fields) if fields else (payload, 0, True)
        for name, place in fields.items():
            value = payload >> place.offset & (1 << place.width) - 1
            if name == LAST:
                last = bool(value)
            else:
                tdata |= value << at
                at += place.width
        found.append((tdata.to_bytes(size, "little"), last))
    return found


def frames(shape: Any, payloads: Sequence[int], tuser: Sequence[int] | None = None) -> list[Frame]:
    """Payloads of a stream, and what stands beside each, as frames."""
    made, tdata, users = [], b"", []
    for (beat, last), user in zip(beats(shape, payloads), tuser or repeat(0), strict=False):
        tdata += beat
        users += [user] * len(beat)
        if last:
            made.append(Frame(tdata, users if tuser else None))
            tdata, users = b"", []
    assert not tdata, "the last frame has no end"
    return made


def job_of(
    unit: wiring.Component,
    given: Mapping[str, Sequence[int]],
    due: Mapping[str, Sequence[int]],
    beside: Mapping[str, tuple[str, Sequence[int]]] | None = None,
    **others: Any,
) -> Job:
    """Payloads of a unit's streams. beside: plain input → its stream, and a value for each payload. others: as of
    `Job`."""
    users = dict((beside or {}).values())
    shapes = {name: unit.signature.members[name].signature.members["payload"].shape for name in (*given, *due)}
    return Job(
        {name: frames(shapes[name], payloads, users.get(name)) for name, payloads in given.items()},
        {name: [frame.tdata for frame in frames(shapes[name], payloads)] for name, payloads in due.items()},
        **others,
    )


def run(text: str, name: str, jobs: Sequence[Job]) -> None:
    """One after the other on a top's Verilog, without a reset between them. Raises `SimulationError` at the first frame
    that is not due."""
    runner.run_jobs(runner.build(text, name), name, BENCH, list(jobs))
