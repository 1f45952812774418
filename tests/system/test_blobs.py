# SPDX-License-Identifier: Apache-2.0
"""Jobs for an array's tiles: one behind the other in memory, as many as the sequencer will ask for."""

import pytest

from config.presets import systems
from hdl.system.axi import TRANSFER
from hdl.system.blobs import TileJobs, tile_bytes
from hdl.system.dense_layouts import load_layout
from tests.system.streams import fields_of, through

CONFIG = systems("tiny")["spls"]
ADDRESS = 0x1234_5678_9000


def expected(number: int, heads: int, width: int, ffn: int) -> list[tuple[int, int, int]]:
    """Address, bytes, tiles."""
    parts = [(width, 2 if head % 2 == number else 1) for head in range(heads)]
    parts += [(words, (tiles + 1 - number) // 2) for words, tiles in ((heads, width), (width, ffn), (ffn, width))]
    jobs, address = [], ADDRESS
    for words, tiles in parts:
        size = tile_bytes(CONFIG, words)
        jobs.append((address, size, tiles))
        address += size * tiles
    return jobs


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("shape", [(2, 4, 16), (1, 2, 2), (2, 3, 5)])
def test_tiles_of_a_layer(number, shape):
    heads, width, ffn = shape
    dut = TileJobs(CONFIG, number)

    def each(context, now):
        for name, value in (("heads", heads), ("width_words", width), ("ffn_words", ffn), ("address", ADDRESS)):
            context.set(getattr(dut, name), value)
        context.set(dut.start, now == 1)

    due = expected(number, heads, width, ffn)
    found = through(dut, {}, {"o": len(due), "loads": len(due)}, stall=0.5, each=each)
    jobs = [fields_of(TRANSFER, job) for job in found["o"]]
    loads = [fields_of(load_layout(CONFIG), load) for load in found["loads"]]
    assert [load["tiles"] for load in loads] == [tiles for _, _, tiles in due]
    assert [tile_bytes(CONFIG, load["words"]) for load in loads] == [size for _, size, _ in due]
    # Of rows that take more than half of the room, a product's jobs have one tile; a head's have two, or one.
    most = CONFIG.weight_words // (2 * CONFIG.lanes)
    assert [load["single"] for load in loads] == [*[0] * heads, *(load["words"] > most for load in loads[heads:])]
    assert [(job["address"], job["bytes"], job["rows"]) for job in jobs] == due
    assert all(job["stride"] == job["bytes"] for job in jobs)


def test_a_tile_fills_whole_words_of_the_bus():
    assert tile_bytes(CONFIG, 1) == 4 * 8 + 16
    assert tile_bytes(systems("minilm")["spls"], 12) == 32 * 8 + 384 * 32
