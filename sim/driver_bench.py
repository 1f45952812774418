# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of an accelerator under its driver: C runs in a thread, and the simulation while it waits."""

import ctypes
import mmap
import os
import pickle
from pathlib import Path
from typing import Any

import cocotb
from cocotb.task import bridge, resume
from cocotb.triggers import RisingEdge, with_timeout

from sim.accelerator import LIMIT, MEMORY_BYTES, OFFSETS
from sim.accelerator_bench import PERIOD, Host, start
from sim.driver import Outcome, Program
from sim.runner import JOB

BASE = 0x40000000
"""Where the program sees the registers."""
POLLS = 20_000


class End(ctypes.Structure):
    """`struct example_end`."""

    _fields_ = (
        ("error", ctypes.c_uint32),
        ("layer", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("cycles", "layers", "bytes_read", "bytes_written")),
    )


class Port:
    """What a program in a thread of `bridge` reaches. failures: of its calls, which C cannot be told of. reads: of
    STATUS."""

    def __init__(self, dut: Any, host: Host):
        self._dut, self._host = dut, host
        self.failures: list[Exception] = []
        self.reads = 0
        reader = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_size_t, ctypes.c_uint32)
        writer = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint32)
        # C keeps no references.
        self.functions = reader(self._read), writer(self._write), ctypes.CFUNCTYPE(None)(self._sleep)

    def _guarded(self, function: Any, *arguments: int) -> Any:
        try:
            return resume(function)(*arguments)
        except Exception as failure:
            self.failures.append(failure)
            return 0

    def _read(self, base: int, offset: int) -> int:
        self.reads += offset == OFFSETS["STATUS"]
        return int(self._guarded(self._host.read_at, base - BASE + offset))

    def _write(self, base: int, offset: int, value: int) -> None:
        self._guarded(self._host.write_at, base - BASE + offset, value)

    def _sleep(self) -> None:
        self._guarded(self._interrupted)

    async def _interrupted(self) -> None:
        if not self._dut.interrupt.value:
            await with_timeout(RisingEdge(self._dut.interrupt), LIMIT * PERIOD, "ns")


@cocotb.test  # type: ignore[untyped-decorator]
async def programs(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    content, given = pickle.loads((folder / "jobs.pickle").read_bytes())
    memory = mmap.mmap(-1, MEMORY_BYTES)
    memory[: len(content)] = content
    host, _ = await start(dut, memory)
    results = []
    for program in given:
        port = Port(dut, host)
        result, end = await bridge(_run)(program, port, memory)
        assert not port.failures, port.failures[0]
        results.append(Outcome(result, end, port.reads, memory[: len(content)]))
    (folder / "results.pickle").write_bytes(pickle.dumps(results))


def _run(program: Program, port: Port, memory: mmap.mmap) -> tuple[int, dict[str, int]]:
    """In a thread of its own."""
    library, end = ctypes.CDLL(str(program.library)), End()
    library.connect(*port.functions)
    place = ctypes.addressof(ctypes.c_uint8.from_buffer(memory, program.descriptors))
    result = library.example_run(
        ctypes.c_size_t(BASE),
        ctypes.c_void_p(place),
        ctypes.c_uint64(program.descriptors),
        ctypes.c_uint32(program.count),
        int(program.sleep),
        ctypes.c_uint32(POLLS),
        ctypes.byref(end),
    )
    return int(result), {name: int(getattr(end, name)) for name, *_ in End._fields_}
