# SPDX-License-Identifier: Apache-2.0
"""Tiles from words of the bus to the halves of the stores: parameters, weights, nothing of what fills words up."""

import random
from dataclasses import replace

import pytest
from amaranth.hdl import Const

from config.presets import systems
from config.system import SystemConfig
from hdl.system.dense_layouts import HALVES, load_layout
from hdl.system.weight_store import WeightLoader
from tests.planted import Planted
from tests.system.engine_runs import other, tiny
from tests.system.streams import bits_of, through

SHAPES = {
    "tiny": tiny(),
    "bus is shorter": other(),
    "bus is as long": replace(tiny(), bus_bytes=4),
    "bus is longer than parameters": replace(tiny(), bus_bytes=128),
    "minilm": systems("minilm")["dense"],
}


def tiles(config: SystemConfig, seed: int) -> tuple[list[int], list[int], dict[str, list[int]]]:
    """Loads, words of the bus, and what is to come of them at each stream."""
    rng, lanes, loads, content = random.Random(seed), config.lanes, [], b""
    due: dict[str, list[int]] = {f"{kind}__{half}": [] for kind in ("parameters", "tiles") for half in range(HALVES)}
    for _ in range(6):
        single, count, words = rng.random() < 0.5, rng.randint(1, 3), rng.randint(1, 2)
        loads.append(bits_of(load_layout(config), {"single": single, "tiles": count, "words": words}))
        for tile in range(count):
            parts = [rng.randbytes(lanes) for _ in range(8 + words * lanes)]
            for number, part in enumerate(parts):
                kind = "parameters" if number < 8 else "tiles"
                due[f"{kind}__{0 if single else tile % 2}"].append(int.from_bytes(part, "little"))
            tile_content = b"".join(parts)
            content += tile_content + rng.randbytes(-len(tile_content) % config.bus_bytes)
    size = config.bus_bytes
    return loads, [int.from_bytes(content[n : n + size], "little") for n in range(0, len(content), size)], due


class Loader(WeightLoader):
    """Streams of the halves by name."""

    def __getattr__(self, name: str):
        kind, _, half = name.rpartition("__")
        if kind not in ("parameters", "tiles"):
            raise AttributeError(name)
        return getattr(self, kind)[int(half)]


def check(config: SystemConfig, dut, seed: int, **how) -> None:
    loads, words, due = tiles(config, seed)
    found = through(
        dut, {"loads": loads, "weights": words}, {n: len(each) for n, each in due.items()}, seed=seed, **how
    )
    assert found == due


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.4, 0.4)])
@pytest.mark.parametrize("shape", SHAPES)
def test_tiles_go_to_their_places(shape: str, idle: float, stall: float) -> None:
    for seed in range(2):
        check(SHAPES[shape], Loader(SHAPES[shape]), seed, idle=idle, stall=stall)


@pytest.mark.parametrize(
    "fault",
    [
        {"loads__payload": lambda payload: payload | 1 << len(payload) - 1},
        {"loads__payload": lambda payload: payload & (1 << len(payload) - 1) - 1},
        {"tiles__0__ready": lambda ready: Const(1)},
        {"parameters__1__payload": lambda payload: payload ^ 1},
        {"weights__ready": lambda ready: Const(1)},
    ],
    ids=["all single", "none single", "a word lost", "a bit", "a word of the bus lost"],
)
def test_a_fault_is_caught(fault) -> None:
    class Faulty(Planted):
        __getattr__ = Loader.__getattr__

    with pytest.raises(AssertionError):
        check(tiny(), Faulty(WeightLoader(tiny()), **fault), 1, stall=0.4, limit=4000)
