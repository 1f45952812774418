# SPDX-License-Identifier: Apache-2.0
"""Lists of descriptors in RTL simulation: what a walker is given, and what is due.

starts ─► Verilator, sim/walk_bench.py ─► layers, jobs, how each start ended ◄─ equal ─► expected
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.descriptor import DESCRIPTOR_BYTES, ErrorCode, Flag, pack, unpack
from config.system import SystemConfig
from golden.system.descriptor import judge
from hdl.emit import verilog
from hdl.system.descriptor import ADDRESSES, layer_layout
from hdl.system.walker import DescriptorWalker
from sim import runner

NAME = "walker"
LONGEST = 60
"""Cycles that the bench takes for a layer, and within which memory comes to rest, at the most."""


@dataclass(frozen=True)
class Start:
    """A list of descriptors at `address`. unreadable: number of one of which memory gives only some words, and then an
    error. broken: number of a layer → the error with which it ends. left: cycles until a soft reset, or none."""

    address: int
    descriptors: Sequence[bytes]
    unreadable: int | None = None
    broken: Mapping[int, ErrorCode] = field(default_factory=dict)
    left: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a start ended: done, error, or neither; code and index that are then told; payloads of the layers that were
    offered, and where descriptors were asked for."""

    done: bool
    error: bool
    code: int
    index: int
    layers: list[int]
    asked: list[int]


def sound(config: SystemConfig, **given: int) -> dict[str, int]:
    """Values of a descriptor that is accepted, the largest layer, but for those that are given."""
    unit = config.speculation
    usual = {
        "flags": int(Flag.WRITE),
        "tokens": config.tokens,
        "width": unit.width,
        "heads": config.heads,
        "head_width": unit.head_width,
        "ffn": config.ffn,
        "norm1_shift": 20,
        "norm2_shift": 40,
        "k": config.tokens,
        "k_similarity": 1,
        "s": 256,
        "threshold": 0xFFFF,
        "drop_tokens": 255,
        "drop_heads": 127,
        "f": config.heads + 1,
        **{f"eta{n}": 256 for n in range(3)},
        **{name: config.bus_bytes * (1 + n) << 32 for n, name in enumerate(ADDRESSES)},
        "x_stride": 4 * config.bus_bytes,
        "y_stride": 8 * config.bus_bytes,
    }
    return usual | given


def layer_payload(config: SystemConfig, descriptor: bytes) -> int:
    """What an accepted descriptor is offered as."""
    given = unpack(descriptor)
    flags = Flag(given["flags"])
    settings: dict[str, Any] = {"causal": Flag.CAUSAL in flags}
    if config.speculation.top_k:
        settings["k"] = given["k"]
    if config.speculation.method == "spls":
        settings |= {name: given[name] for name in ("k_similarity", "s", "f")}
    if config.speculation.method == "lapa":
        settings["eta"] = [given[f"eta{n}"] for n in range(config.speculation.rounds)]
    if config.speculation.method == "sanger":
        settings["threshold"] = given["threshold"]
    if config.speculation.prunes:
        settings |= {name: given[name] for name in ("drop_tokens", "drop_heads")}
    task = {
        "tokens": given["tokens"],
        "heads": given["heads"],
        "width_words": given["width"] // config.lanes,
        "ffn_words": given["ffn"] // config.lanes,
        "pre": Flag.PRE in flags,
        "chained": Flag.CHAINED in flags,
        "send": Flag.WRITE in flags,
    }
    fields = {
        "task": task,
        "masked": Flag.MASK in flags,
        "settings": settings,
        "norms": [{"eps": given[f"norm{n}_eps"], "shift": given[f"norm{n}_shift"]} for n in (1, 2)],
        **{name: given[name] for name in ("width", "head_width", "x_stride", "y_stride", *ADDRESSES)},
    }
    return int(layer_layout(config).const(fields).as_bits())


def expected(config: SystemConfig, start: Start) -> Ended:
    """How a start that no soft reset ends must end."""
    layers: list[int] = []
    asked: list[int] = []
    code, index, before = ErrorCode.NONE, 0, None
    if start.descriptors and start.address % config.bus_bytes:
        code = ErrorCode.MISALIGNED
    for number, descriptor in enumerate(() if code else start.descriptors):
        index = number
        asked.append((start.address + number * DESCRIPTOR_BYTES) % (1 << 64))
        code = ErrorCode.BUS_READ if number == start.unreadable else judge(config, descriptor, before)
        if code == ErrorCode.NONE:
            layers.append(layer_payload(config, descriptor))
            code, before = start.broken.get(number, ErrorCode.NONE), descriptor
        if code != ErrorCode.NONE:
            break
    return Ended(code == ErrorCode.NONE, code != ErrorCode.NONE, int(code), index, layers, asked)


def build(config: SystemConfig, walker: Any = None) -> Path:
    """Folder of the model of the walker, or of another one that is given, built if need be."""
    return runner.build(verilog(walker or DescriptorWalker(config), NAME), NAME)


def run(
    config: SystemConfig, starts: Sequence[Start], *, idle: float, stall: float, seed: int, folder: Path | None = None
) -> list[Ended]:
    """One start behind the other, without a reset in between. idle, stall: share of cycles in which memory's words, and
    whoever takes jobs, rest."""
    jobs = {
        "starts": [
            {
                "address": start.address,
                "words": [_words(config, descriptor) for descriptor in start.descriptors],
                "unreadable": start.unreadable,
                "broken": {number: int(code) for number, code in start.broken.items()},
                "left": start.left,
            }
            for start in starts
        ],
        "idle": idle,
        "stall": stall,
        "seed": seed,
        "longest": LONGEST,
        "read_error": int(ErrorCode.BUS_READ),
    }
    return [Ended(**each) for each in runner.run_jobs(folder or build(config), NAME, "sim.walk_bench", jobs)]


def _words(config: SystemConfig, descriptor: bytes) -> list[int]:
    size = config.bus_bytes
    return [int.from_bytes(descriptor[at : at + size], "little") for at in range(0, len(descriptor), size)]


def descriptors(config: SystemConfig, *given: Mapping[str, int]) -> list[bytes]:
    """Accepted descriptors but for these values of each."""
    return [pack(sound(config, **each)) for each in given]
