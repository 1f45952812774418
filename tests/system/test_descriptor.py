# SPDX-License-Identifier: Apache-2.0
"""The reader of descriptors alone: words in, layer or code out, one behind the other without a reset."""

import random

import pytest

from config.descriptor import DESCRIPTOR_BYTES, ErrorCode, Flag, pack
from config.presets import systems
from golden.system.descriptor import judge
from hdl.system.descriptor import DescriptorReader
from sim import walk
from tests.arith import simulate

TINY = systems("tiny")


@pytest.mark.parametrize("method", TINY)
@pytest.mark.parametrize("pauses", [False, True])
def test_a_fault_leaves_nothing_behind(method: str, pauses: bool) -> None:
    config, rng = TINY[method], random.Random(2)
    given = [{}, {"flags": 1 << 9}, {}, {"flags": Flag.CHAINED}, {"tokens": 0}, {"norm1_shift": 1}, {"magic": 1}, {}]
    descriptors = [pack(walk.sound(config, **each)) for each in given]
    size, dut = config.bus_bytes, DescriptorReader(config)
    starts = range(0, DESCRIPTOR_BYTES, size)
    words = [int.from_bytes(each[at : at + size], "little") for each in descriptors for at in starts]
    sink = simulate.Sink(dut.o)

    async def bench(context) -> None:
        offered, cycles = False, 0
        while len(sink.seen) < len(descriptors):
            offered = bool(words) and (offered or not pauses or rng.random() < 0.5)
            context.set(dut.i.valid, offered)
            context.set(dut.i.payload, words[0] if offered else rng.getrandbits(8 * size))
            context.set(dut.o.ready, not pauses or rng.random() < 0.3)
            context.set(dut.first, not sink.seen)
            sink.sample(context)
            if offered and context.get(dut.i.ready):
                words.pop(0)
                offered = False
            await context.tick()
            cycles += 1
            assert cycles < 3000

    simulate.run(dut, bench)
    before = [None, *descriptors]
    for number, (payload, each) in enumerate(zip(sink.seen, descriptors, strict=True)):
        code = payload & 0xFF
        assert code == judge(config, each, before[number])
        assert code or payload >> 8 == walk.layer_payload(config, each)
    assert [payload & 0xFF for payload in sink.seen] == [
        0, ErrorCode.RESERVED, 0, 0, ErrorCode.BAD_SHAPE, 0, ErrorCode.BAD_MAGIC, 0
    ]  # fmt: skip
