# SPDX-License-Identifier: Apache-2.0
"""Jobs for an array's tiles: one behind the other in memory, as many as the sequencer will ask for."""

import pytest

from config.presets import systems
from hdl.system.axi import TRANSFER
from hdl.system.blobs import TileJobs, tile_bytes
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
    jobs = [fields_of(TRANSFER, job) for job in through(dut, {}, {"o": len(due)}, stall=0.5, each=each)["o"]]
    assert [(job["address"], job["bytes"], job["rows"]) for job in jobs] == due
    assert all(job["stride"] == job["bytes"] for job in jobs)


def test_a_tile_fills_whole_words_of_the_bus():
    assert tile_bytes(CONFIG, 1) == 4 * 8 + 16
    assert tile_bytes(systems("minilm")["spls"], 12) == 32 * 8 + 384 * 32
