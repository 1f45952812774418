# SPDX-License-Identifier: Apache-2.0
"""The driver: it compiles for bare metal, needs nothing but the two functions that reach registers, and does with the
golden registers what it says."""

import ctypes
import subprocess
from pathlib import Path

import pytest

from config.descriptor import DESCRIPTOR_BYTES, ErrorCode, pack, unpack
from config.presets import systems
from config.registers import COUNTERS, REGISTERS, Access
from config.system import TOPS
from golden.system.registers import RegisterFile
from sim.driver import BRIDGE, DRIVERS, gcc

OK, NO_DEVICE, OTHER_VERSION, BUSY, FAILED, STOPPED = range(6)
BASE = 0x40000000
OFFSET = {register.name: register.offset for register in REGISTERS}
PORTS = {f.port: 0 for r in REGISTERS for f in r.fields if f.access is Access.RO and f.port}
CAPABILITIES = (
    "rounds",
    "bus_bytes",
    "tokens",
    "width",
    "heads",
    "head_width",
    "ffn",
    "lines",
    "lanes",
    "rows",
    "load",
)


class Device(ctypes.Structure):
    _fields_ = (
        ("base", ctypes.c_size_t),
        ("method", ctypes.c_uint32),
        *((name, ctypes.c_uint32) for name in CAPABILITIES),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("driver")
    (folder / "bridge.c").write_text(BRIDGE)
    gcc(
        "-fPIC", "-shared", "-I", str(DRIVERS), "foreshift.c", str(folder / "bridge.c"), "-o", str(folder / "driver.so")
    )
    loaded = ctypes.CDLL(str(folder / "driver.so"))
    loaded.foreshift_count.restype = ctypes.c_uint64
    return loaded


class Bench:
    """The driver in front of golden registers. commands: those that it gave; polled: what happens, once each, when
    STATUS is read."""

    def __init__(self, library: ctypes.CDLL, method: str = "lapa", preset: str = "minilm") -> None:
        self.config = systems(preset)[method]
        self.registers = RegisterFile(self.config, PORTS)
        self.commands: list[str] = []
        self.polled: list[str] = []
        self.library, self.device = library, Device()
        reader = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_size_t, ctypes.c_uint32)
        writer = ctypes.CFUNCTYPE(None, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint32)
        self._kept = reader(self._read), writer(self._write)
        library.connect(*self._kept, None)

    def _read(self, base: int, offset: int) -> int:
        assert base == BASE
        if offset == OFFSET["STATUS"] and self.polled:
            event = self.polled.pop(0)
            if event:
                self.registers.event(event)
                self.registers.ports["busy"] = 0
        word = self.registers.read(offset)
        assert word is not None, f"nothing is at {offset:#x}"
        return word

    def _write(self, base: int, offset: int, value: int) -> None:
        assert base == BASE
        given = self.registers.write(offset, value, 15)
        assert given is not None, f"nothing is at {offset:#x}"
        self.commands += given
        if "start" in given:
            self.registers.ports["busy"] = 1

    def call(self, name: str, *arguments: object) -> int:
        return int(getattr(self.library, f"foreshift_{name}")(ctypes.byref(self.device), *arguments) or 0)

    def opened(self) -> "Bench":
        assert self.call("init", ctypes.c_size_t(BASE)) == OK
        return self


def test_it_needs_nothing_else(tmp_path: Path) -> None:
    gcc("-c", "foreshift.c", "-o", str(tmp_path / "driver.o"))
    listed = subprocess.run(["nm", "-u", str(tmp_path / "driver.o")], capture_output=True, text=True, check=True).stdout
    assert set(listed.split()) - {"U"} == {"foreshift_read32", "foreshift_write32"}


def test_registers_may_be_reached_by_macros(tmp_path: Path) -> None:
    reach = "(*(volatile uint32_t *)((base) + (offset)))"
    macros = [f"-Dforeshift_read32(base,offset)={reach}", f"-Dforeshift_write32(base,offset,value)={reach}=(value)"]
    gcc("-c", *macros, "foreshift.c", "-o", str(tmp_path / "driver.o"))
    listed = subprocess.run(["nm", "-u", str(tmp_path / "driver.o")], capture_output=True, text=True, check=True).stdout
    assert listed.split() == []


@pytest.mark.parametrize("method", TOPS)
def test_it_finds_out_what_is_built(library: ctypes.CDLL, method: str) -> None:
    bench = Bench(library, method).opened()
    config, unit, arrays = bench.config, bench.config.speculation, bench.config.attention.arrays
    assert list(TOPS)[bench.device.method] == method
    assert [getattr(bench.device, name) for name in CAPABILITIES] == [
        unit.rounds, config.bus_bytes, config.tokens, unit.width, config.heads, unit.head_width, config.ffn,
        arrays.lines, arrays.lanes, unit.rows, unit.load,
    ]  # fmt: skip


@pytest.mark.parametrize(("offset", "word", "result"), [("ID", 0, NO_DEVICE), ("VERSION", 2 << 16, OTHER_VERSION)])
def test_it_leaves_other_devices_alone(library: ctypes.CDLL, offset: str, word: int, result: int) -> None:
    bench = Bench(library)
    there = bench.registers.read
    bench.registers.read = lambda at: word if at == OFFSET[offset] else there(at)  # type: ignore[method-assign]
    assert bench.call("init", ctypes.c_size_t(BASE)) == result


def test_a_descriptor(library: ctypes.CDLL) -> None:
    memory = ctypes.create_string_buffer(b"\xff" * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES)
    library.foreshift_describe(memory)
    assert memory.raw == pack({})
    assert unpack(memory.raw)["version"] == 1


@pytest.mark.parametrize(("event", "result"), [("done", OK), ("error", FAILED)])
def test_a_list_ends(library: ctypes.CDLL, event: str, result: int) -> None:
    bench = Bench(library).opened()
    for _ in range(2):
        bench.commands.clear()
        assert bench.call("start", ctypes.c_uint64(0x123456789ABCDEF0), 7) == OK
        assert bench.commands == ["start"]
        told = bench.registers.outputs()
        assert (told["descriptors"], told["descriptor_count"]) == (0x123456789ABCDEF0, 7)
        # What the list before has left is gone.
        assert bench.call("poll") == BUSY
        assert bench.call("start", ctypes.c_uint64(0), 1) == BUSY
        assert bench.commands == ["start"]
        bench.polled = ["", "", "", event]
        assert bench.call("wait", 3) == BUSY
        assert bench.polled == [event]
        bench.polled = ["", "", event]
        assert bench.call("wait", 0) == result
        assert bench.polled == []


def test_why_a_list_was_given_up(library: ctypes.CDLL) -> None:
    bench, index = Bench(library).opened(), ctypes.c_uint32()
    bench.registers.ports |= {"error_code": ErrorCode.MISALIGNED, "error_index": 300}
    assert bench.call("error", ctypes.byref(index)) == ErrorCode.MISALIGNED
    assert index.value == 300


def test_stopping(library: ctypes.CDLL) -> None:
    bench = Bench(library).opened()
    assert bench.call("poll") == STOPPED
    bench.call("start", ctypes.c_uint64(0), 1)
    bench.call("stop")
    assert bench.commands == ["start", "soft_reset"]
    assert bench.call("wait", 5) == BUSY
    bench.registers.ports["busy"] = 0
    assert bench.call("wait", 0) == STOPPED


def test_interrupts(library: ctypes.CDLL) -> None:
    bench = Bench(library).opened()
    bench.call("interrupts", 3)
    assert bench.call("acknowledge") == 0
    bench.registers.event("error")
    assert bench.registers.irq
    assert bench.call("acknowledge") == 2
    assert not bench.registers.irq
    bench.call("interrupts", 0)
    bench.registers.event("done")
    assert not bench.registers.irq


@pytest.mark.parametrize(("overlap", "eager"), [(0, 0), (0, 1), (1, 0), (5, 9)])
def test_modes(library: ctypes.CDLL, overlap: int, eager: int) -> None:
    bench = Bench(library).opened()
    bench.call("mode", overlap, eager)
    told = bench.registers.outputs()
    assert (told["overlap"], told["eager"]) == (int(overlap > 0), int(eager > 0))


def test_counters(library: ctypes.CDLL) -> None:
    bench = Bench(library).opened()
    bench.registers.ports |= {counter.port: (n + 1) << 32 | 0xFFFFFFFF - n for n, counter in enumerate(COUNTERS)}
    for counter in COUNTERS:
        assert bench.call("count", OFFSET[f"{counter.name}_LOW"]) == bench.registers.ports[counter.port]
    bench.call("clear_counters")
    assert bench.commands == ["clear_counters"]
