# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the descriptor walker: memory and whoever executes layers, both at random pace and with errors."""

import os
import pickle
from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.triggers import Timer

from sim.runner import JOB

HALF_PERIOD = Timer(1, "ns")
LIMIT = 20_000
"""Cycles of a start."""


@cocotb.test  # type: ignore[untyped-decorator]
async def walk(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    job = pickle.loads((folder / "jobs.pickle").read_bytes())
    bench = Bench(dut, job)
    dut.clk.value, dut.rst.value = 0, 1
    await bench.clock()
    dut.rst.value = 0
    results = [await bench.start(start) for start in job["starts"]]
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


class Bench:
    """Drives the ports, cycle by cycle."""

    def __init__(self, dut: Any, job: Any) -> None:
        self._dut, self._job, self._chance = dut, job, Random(job["seed"])
        self._holds = False
        for port in ("start", "soft_reset", "failed", "idle", "i__valid", "job__ready", "layer__ready"):
            getattr(dut, port).value = 0

    def _rests(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    def _read(self, port: str) -> int:
        return int(getattr(self._dut, port).value)

    async def clock(self) -> None:
        """What is driven settles before, and is taken at its end."""
        self._dut.clk.value = 1
        await HALF_PERIOD
        self._dut.clk.value = 0

    async def start(self, start: Any) -> dict[str, Any]:
        """A list, from its start to when the walker is not busy."""
        dut = self._dut
        self._new(start)
        dut.descriptors.value, dut.count.value, dut.start.value = start["address"], len(start["words"]), 1
        await HALF_PERIOD
        assert not self._read("busy"), "the walker must be free before a start"
        await self.clock()
        # While it is busy, another start and another list make no difference.
        dut.descriptors.value, dut.count.value = self._chance.getrandbits(64), self._chance.getrandbits(16)
        for cycle in range(LIMIT):
            dut.start.value = int(start["left"] is None and self._chance.random() < 0.1)
            dut.soft_reset.value = int(cycle == start["left"])
            self._drive(start)
            await HALF_PERIOD
            if not self._read("busy") and (start["left"] is None or cycle > start["left"] + 2):
                dut.start.value = 0
                await HALF_PERIOD
                return self._seen | {"code": self._read("error_code"), "index": self._read("error_index")}
            self._sample(start)
            await self.clock()
        raise AssertionError(f"the walker is busy after {LIMIT} cycles")

    def _new(self, start: Any) -> None:
        self._seen: dict[str, Any] = {"done": False, "error": False, "layers": [], "asked": []}
        self._words: list[int] = []
        self._read_error = False
        self._offered: int | None = None
        self._patience, self._resting = 0, 0

    def _drive(self, start: Any) -> None:
        dut, job = self._dut, self._job
        dut.job__ready.value = int(not self._rests(job["stall"]))
        offers = bool(self._words) and (self._holds or not self._rests(job["idle"]))
        dut.i__valid.value = int(offers)
        if offers:
            dut.i__payload.value = self._words[0]
        number = len(self._seen["layers"]) - 1
        ends = self._offered is not None and self._patience == 0
        broken = start["broken"].get(number) if ends else None
        fails = self._read_error and not self._words
        dut.layer__ready.value = int(ends and broken is None)
        dut.failed.value = int(fails or broken is not None)
        dut.code.value = job["read_error"] if fails else (broken or self._chance.getrandbits(8))
        dut.idle.value = int(self._resting == 0)
        self._ends, self._fails = ends, fails

    def _sample(self, start: Any) -> None:
        self._sample_end()
        self._sample_memory(start)
        self._sample_layer()

    def _sample_end(self) -> None:
        done, error, stop, clear = (self._read(port) for port in ("done", "error", "stop", "clear"))
        assert not (done and error), "a list either is done or has an error"
        assert not clear or (stop and self._resting == 0), "nothing may be cleared before memory is at rest"
        assert not error or clear, "an error is told when all is cleared"
        for name, event in (("done", done), ("error", error)):
            assert not (event and self._seen[name]), f"{name} is told once"
            self._seen[name] |= bool(event)
        if stop and self._resting:
            self._resting -= 1
        if clear:
            self._words, self._read_error, self._offered = [], False, None

    def _sample_memory(self, start: Any) -> None:
        reads = self._read("reads")
        if self._read("job__valid"):
            assert reads, "the walker reads when it offers a job"
            if self._read("job__ready"):
                self._take_job(start)
                return
        offers = self._read("i__valid")
        taken = offers and self._read("i__ready")
        self._holds = bool(offers and not taken)
        if taken:
            assert reads, "the walker reads when it takes a word"
            self._words.pop(0)
        if self._fails:
            self._read_error = False

    def _take_job(self, start: Any) -> None:
        job = self._read("job__payload")
        address, size, rows = job & (1 << 64) - 1, job >> 64 & (1 << 32) - 1, job >> 96 & (1 << 32) - 1
        assert (size, rows) == (128, 1), "a descriptor is a row of 128 bytes"
        number = len(self._seen["asked"])
        self._seen["asked"].append(address)
        words = list(start["words"][number])
        self._resting = self._chance.randrange(self._job["longest"])
        if number == start["unreadable"]:
            words = words[: self._chance.randrange(len(words))]
            self._read_error = True
        self._words = words

    def _sample_layer(self) -> None:
        if not self._read("layer__valid"):
            assert self._offered is None or self._read("stop"), "a layer stands until it is taken"
            return
        payload = self._read("layer__payload")
        if self._offered is None:
            self._seen["layers"].append(payload)
            self._offered, self._patience = payload, self._chance.randrange(self._job["longest"])
            self._resting = self._chance.randrange(self._job["longest"])
            return
        assert payload == self._offered, "a layer's payload must not change before it is taken"
        if self._ends:
            self._offered = None
        else:
            self._patience -= 1
