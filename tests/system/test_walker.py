# SPDX-License-Identifier: Apache-2.0
"""Lists of descriptors: every sound layer is offered as it is written, everything else is named and ends its list."""

import random
import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Const

from config.descriptor import DESCRIPTOR_BYTES, FIELDS, ErrorCode, Flag, pack, values
from config.presets import systems
from config.requantise import MAX_SHIFT
from config.system import SystemConfig
from golden.system.descriptor import judge
from hdl.emit import verilog_of
from hdl.system.counters import Counters
from hdl.system.registers import Registers
from hdl.system.walker import DescriptorWalker
from sim import walk
from sim.runner import SimulationError
from tests.planted import Planted

TINY = systems("tiny")
METHODS = tuple(TINY)
SIZES = ("tokens", "width", "heads", "head_width", "ffn")
WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"


def faulty(config: SystemConfig) -> dict[str, tuple[ErrorCode, dict[str, int]]]:
    """By name, values with which a layer that is not the first is refused, and why."""
    unit, misaligned = config.speculation, 1 << 40 | config.bus_bytes // 2
    found = {
        "magic": (ErrorCode.BAD_MAGIC, {"magic": 0x59414C52}),
        "magic and all else": (ErrorCode.BAD_MAGIC, {"magic": 0, "version": 9, "tokens": 0, "norm1_shift": 0}),
        "version": (ErrorCode.BAD_VERSION, {"version": 2}),
        "flag": (ErrorCode.RESERVED, {"flags": 1 << len(Flag)}),
        "last flag": (ErrorCode.RESERVED, {"flags": 1 << 15}),
        "eps": (ErrorCode.RESERVED, {"norm2_eps": 1 << 40}),
        "high shift": (ErrorCode.RESERVED, {"norm1_shift": 64 + 20}),
        **{
            f"no {name}": (ErrorCode.BAD_SHAPE, {name: 0}) for name in ("tokens", "width", "heads", "head_width", "ffn")
        },
        "tokens": (ErrorCode.BAD_SHAPE, {"tokens": config.tokens + 1}),
        "many tokens": (ErrorCode.BAD_SHAPE, {"tokens": 1 << 15}),
        "heads": (ErrorCode.BAD_SHAPE, {"heads": config.heads + 1}),
        "head_width": (ErrorCode.BAD_SHAPE, {"head_width": unit.head_width + 1}),
        "width": (ErrorCode.BAD_SHAPE, {"width": unit.width + config.lanes}),
        "width of no words": (ErrorCode.BAD_SHAPE, {"width": unit.width - 1}),
        "width of a word": (ErrorCode.BAD_SHAPE, {"width": config.lanes}),
        "ffn": (ErrorCode.BAD_SHAPE, {"ffn": config.ffn + config.lanes}),
        "ffn of no words": (ErrorCode.BAD_SHAPE, {"ffn": config.ffn - config.lanes + 1}),
        "largest ffn": (ErrorCode.BAD_SHAPE, {"ffn": (1 << 16) - config.lanes}),
        "ffn of a word": (ErrorCode.BAD_SHAPE, {"ffn": config.lanes}),
        **{f"norm{n} {s}": (ErrorCode.BAD_SETTINGS, {f"norm{n}_shift": s}) for n in (1, 2) for s in (0, 41, 63)},
        "chain of tokens": (ErrorCode.BAD_CHAIN, {"flags": Flag.CHAINED, "tokens": config.tokens - 1}),
        "chain of widths": (ErrorCode.BAD_CHAIN, {"flags": Flag.CHAINED, "width": config.lanes * 2}),
        "chain of orders": (ErrorCode.BAD_CHAIN, {"flags": Flag.CHAINED | Flag.PRE}),
        **{
            name: (ErrorCode.MISALIGNED, {name: misaligned})
            for name in ("x", "y", "parameters", "weights1", "weights2")
        },
        "x_stride": (ErrorCode.MISALIGNED, {"x_stride": config.bus_bytes + 1}),
        "y_stride": (ErrorCode.MISALIGNED, {"y_stride": config.bus_bytes - 1}),
        "key_mask": (ErrorCode.MISALIGNED, {"flags": Flag.MASK, "key_mask": misaligned}),
    }
    if unit.coded:
        found["predictor"] = (ErrorCode.MISALIGNED, {"predictor": misaligned})
    if unit.top_k:
        found |= {f"k {k}": (ErrorCode.BAD_SETTINGS, {"k": k}) for k in (0, config.tokens + 1)}
    if unit.method == "spls":
        found |= {
            f"{name} {value}": (ErrorCode.BAD_SETTINGS, {name: value})
            for name, value in (("k_similarity", 0), ("s", 257), ("f", 0))
        }
        found["k below k_similarity"] = (ErrorCode.BAD_SETTINGS, {"k": 3, "k_similarity": 4})
        found["f"] = (ErrorCode.BAD_SETTINGS, {"f": config.heads + 2})
    if unit.method == "lapa":
        found |= {f"eta{n}": (ErrorCode.BAD_SETTINGS, {f"eta{n}": 257}) for n in range(unit.rounds)}
    if unit.prunes:
        found["causal"] = (ErrorCode.BAD_SETTINGS, {"flags": Flag.CAUSAL})
        found["chain of heads"] = (ErrorCode.BAD_CHAIN, {"flags": Flag.CHAINED, "heads": config.heads - 1})
    return found


def accepted(config: SystemConfig) -> list[dict[str, int]]:
    """Values of layers, one behind the other, with everything in them once at each end of its range."""
    lanes, bus = config.lanes, config.bus_bytes
    least = {"tokens": 1, "heads": 1, "head_width": 1, "width": 2 * lanes, "ffn": 2 * lanes, "norm1_shift": 1}
    least |= {"k": 1, "s": 0, "f": 1, "eta0": 0, "eta1": 0, "eta2": 0, "threshold": 0}
    causal = Flag(0) if config.speculation.prunes else Flag.CAUSAL
    odd = {"x": bus + 1, "x_stride": 3, "y": 5, "y_stride": 7, "key_mask": 9}
    # What the unit is not built with does not count.
    foreign = {
        "spls": {"eta0": 999},
        "lapa": {"k": 0, "f": 999, "eta2": 999},
        "dense": {"k": 0, "predictor": 1},
        "fact": {"k_similarity": 0, "s": 999, "f": 0, "eta0": 999},
        "sanger": {"k": 0, "s": 999, "eta0": 999, "predictor": 1},
        "spatten": {"k": 0, "s": 999, "eta0": 999, "threshold": 1, "predictor": 1},
    }
    return [
        {},
        {"flags": Flag.CHAINED, "x": bus - 1, "x_stride": 1},
        {"flags": Flag.CHAINED | causal | Flag.WRITE | Flag.MASK, **{k: odd[k] for k in ("x", "x_stride")}},
        {"flags": Flag.PRE, **{name: odd[name] for name in ("y", "y_stride", "key_mask")}},
        {"flags": Flag.PRE | Flag.CHAINED, **odd, "norm1_eps": (1 << 40) - 1, "norm2_eps": 1 << 39},
        least,
        least | {"flags": Flag.CHAINED | Flag.WRITE, "heads": 1 if config.speculation.prunes else config.heads},
        foreign[config.speculation.method],
        {"x": (1 << 64) - bus, "x_stride": (1 << 32) - bus, "weights2": 1 << 63},
    ]


@pytest.mark.parametrize("method", METHODS)
def test_the_golden_judge(method: str) -> None:
    config = TINY[method]
    first = pack(walk.sound(config))
    assert judge(config, first, None) == ErrorCode.NONE
    for name, (code, given) in faulty(config).items():
        assert judge(config, pack(walk.sound(config, **given)), first) == code, name
    assert judge(config, pack(walk.sound(config, flags=Flag.CHAINED)), first) == ErrorCode.NONE
    assert judge(config, pack(walk.sound(config, flags=Flag.CHAINED)), None) == ErrorCode.BAD_CHAIN


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.6, 0.6)])
@pytest.mark.parametrize("method", METHODS)
def test_lists(method: str, idle: float, stall: float) -> None:
    """Sound ones, then each fault at some place of a list that is sound before and behind it, then sound ones again."""
    config, rng = TINY[method], random.Random(7)
    good = walk.descriptors(config, *accepted(config))
    starts = [walk.Start(0x1000, good)]
    for number, (code, given) in enumerate(faulty(config).values()):
        before = rng.randrange(1, 3)
        middle = pack(walk.sound(config, **given))
        assert judge(config, middle, pack(walk.sound(config))) == code
        sound = pack(walk.sound(config))
        starts.append(walk.Start(config.bus_bytes * number, [sound] * before + [middle, sound]))
        if number % 4 == 0:
            starts.append(walk.Start(rng.getrandbits(50) << 7, good[: rng.randrange(1, len(good) + 1)]))
    check(config, starts, idle, stall)


@pytest.mark.parametrize("method", METHODS)
def test_random_descriptors(method: str) -> None:
    """Values at random, many of them at the ends of their ranges, and what is no field as well."""
    config, rng = TINY[method], random.Random(method)
    starts, codes = [], set()
    for _ in range(250):
        listed = [scrambled(config, rng) for _ in range(rng.randrange(1, 4))]
        starts.append(walk.Start(rng.getrandbits(40) * config.bus_bytes, listed))
        codes.add(walk.expected(config, starts[-1]).code)
    assert codes == {code for code in ErrorCode if code < ErrorCode.BUS_READ}
    check(config, starts, 0.2, 0.2)


def scrambled(config: SystemConfig, rng: random.Random) -> bytes:
    given = walk.sound(config)
    for name in rng.sample(sorted(values()), rng.choice((0, 0, 1, 2))):
        offset, field = values()[name]
        usual = int.from_bytes(pack(given)[offset : offset + field.size], "little")
        most = (1 << 8 * field.size) - 1
        given[name] = rng.choice(
            (rng.getrandbits(field.bits), usual ^ 1 << rng.randrange(8 * field.size), max(usual - 1, 0), most)
        )
    # The only setting of those who have none of their own.
    if rng.random() < 0.03:
        given["norm1_shift"] = rng.choice((0, MAX_SHIFT + 1))
    given["flags"] = given["flags"] if rng.random() < 0.5 else rng.getrandbits(5)
    descriptor = bytearray(pack(given))
    if rng.random() < 0.1:
        holes = set(range(DESCRIPTOR_BYTES)) - {f.offset + n for f in FIELDS for n in range(f.size * f.count)}
        descriptor[rng.choice(sorted(holes))] ^= 1 << rng.randrange(8)
    return bytes(descriptor)


def check(config: SystemConfig, starts: list[walk.Start], idle: float, stall: float) -> None:
    ended = walk.run(config, starts, idle=idle, stall=stall, seed=len(starts))
    assert len(ended) == len(starts)
    for start, found in zip(starts, ended, strict=True):
        assert found == walk.expected(config, start)


@pytest.mark.parametrize("idle", [0.0, 0.5])
def test_errors_on_the_way(idle: float) -> None:
    """Of memory, in the middle of a descriptor; of whoever executes; of the list's address; and a list of nothing."""
    config = TINY["spls"]
    good = walk.descriptors(config, {}, {"flags": Flag.CHAINED}, {"tokens": 3})
    chained = walk.descriptors(config, {"flags": Flag.CHAINED})
    starts = [walk.Start(0, good)]
    for number in range(3):
        starts += [
            walk.Start(1 << 40, good, unreadable=number),
            walk.Start(1 << 40, good),
            *(walk.Start(0, good, broken={number: code}) for code in list(ErrorCode)[ErrorCode.BUS_READ :]),
            # What is left on chip by a list before is not there for the next one.
            walk.Start(1 << 30, chained),
            walk.Start(4, good),
            walk.Start(4, []),
            walk.Start(0, []),
        ]
    starts.append(walk.Start((1 << 64) - DESCRIPTOR_BYTES, good))
    check(config, starts, idle, idle)


@pytest.mark.parametrize("pace", [0.0, 0.5])
def test_a_soft_reset_ends_a_list_without_a_word(pace: float) -> None:
    """At every time of it; and the next start works."""
    config = TINY["lapa"]
    good = walk.descriptors(config, {}, {"flags": Flag.CHAINED})
    reset = [walk.Start(0x80, good, left=cycle) for cycle in range(120)]
    starts = [each for start in reset for each in (start, walk.Start(0x80, good))]
    ended = walk.run(config, starts, idle=pace, stall=pace, seed=1)
    whole = walk.expected(config, starts[1])
    assert all(found == whole for found in ended[1::2])
    cut = [found for found in ended[::2] if not found.done]
    assert len(cut) > 30
    for found in ended[::2]:
        assert not found.error
        assert found.layers == whole.layers[: len(found.layers)]
        assert found.asked == whole.asked[: len(found.asked)]


@pytest.mark.parametrize(
    "fault",
    [
        {"error_code": lambda code: code ^ (code == ErrorCode.MISALIGNED)},
        {"failed": lambda failed: Const(0)},
        {"clear": lambda clear: Const(0)},
        {"i__payload": lambda payload: payload | 1 << 127},
    ],
    ids=["code", "deaf", "never cleared", "word"],
)
def test_a_wrong_walker_is_found(fault) -> None:
    config = TINY["spls"]
    folder = walk.build(config, Planted(DescriptorWalker(config), **fault))
    good = walk.descriptors(config, {}, {"x": 1}, {})
    starts = [walk.Start(0, good[::2] * 3, broken={4: ErrorCode.BAD_PLAN}), walk.Start(0, good)]
    try:
        ended = walk.run(config, starts, idle=0.0, stall=0.0, seed=1, folder=folder)
    except SimulationError:
        return
    assert ended != [walk.expected(config, start) for start in starts]


@pytest.mark.parametrize("preset", ["tiny", "minilm"])
@pytest.mark.parametrize("method", METHODS)
def test_verilog_is_lint_clean(preset: str, method: str, tmp_path: Path) -> None:
    config = systems(preset)[method]
    units = {"walker": DescriptorWalker(config), "registers": Registers(config), "counters": Counters(config)}
    for name, text in verilog_of(units).items():
        assert "initial" not in text, "what starts with a content is no SRAM"
        path = tmp_path / f"{name}.v"
        path.write_text(text)
        command = ["verilator", "--lint-only", "-Wall", str(WAIVERS), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
