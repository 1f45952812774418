# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of the register block: a master of cocotbext-axi, which rests at random on every channel, against the
golden registers."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from config.registers import ADDRESS_BITS, REGISTERS, Access
from golden.system.registers import BY_OFFSET, RegisterFile
from sim.runner import JOB

PERIOD = 2
"""Of the clock, in ns."""
PREFIX = "s_axi_ctrl"


def ports(*access: Access) -> dict[str, int]:
    """Name → bits of the ports of fields with such access."""
    found: dict[str, int] = {}
    for field in (field for register in REGISTERS for field in register.fields):
        if field.port and field.access in access:
            found[field.port] = max(found.get(field.port, 0), field.part + field.bits)
    return found


OFFSET = {register.name: register.offset for register in REGISTERS}
CONTROL = [r.offset for r in REGISTERS if any(field.access is not Access.RO for field in r.fields)]
TOLD, EVENTS, COMMANDS = ports(Access.RO), ports(Access.W1C), ports(Access.W1P)


@cocotb.test  # type: ignore[untyped-decorator]
async def registers(dut: Any) -> None:
    folder = Path(os.environ[JOB])
    job = pickle.loads((folder / "jobs.pickle").read_bytes())
    bench = Bench(dut, job)
    await bench.reset()
    await bench.behind_reset()
    for _ in range(job["steps"]):
        await bench.step()
    await bench.at_once()
    (folder / "results.pickle").write_bytes(pickle.dumps({"commands": bench.commanded, "answers": bench.answers}))


class Bench:
    """The block, its master, and what it must hold."""

    def __init__(self, dut: Any, job: Any) -> None:
        self._dut, self._job, self._chance = dut, job, Random(job["seed"])
        self._golden = RegisterFile(job["config"], dict.fromkeys(TOLD, 0))
        for port in (*TOLD, *EVENTS):
            getattr(dut, port).value = 0
        self.commanded: list[str] = []
        self._seen: list[str] = []
        self.answers = {"OKAY": 0, "SLVERR": 0}

    async def reset(self) -> None:
        dut = self._dut
        dut.rst.value = 1
        Clock(dut.clk, PERIOD, unit="ns").start()
        self._master = master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, PREFIX), dut.clk, dut.rst)
        await ClockCycles(dut.clk, 5)
        dut.rst.value = 0
        writes, reads = master.write_if, master.read_if
        for channel in (writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel):
            if self._job["rest"]:
                channel.set_pause_generator(self._pauses())
        cocotb.start_soon(self._watch())

    def _pauses(self) -> Iterator[bool]:
        while True:
            yield self._chance.random() < self._job["rest"]

    async def _watch(self) -> None:
        """In every cycle: commands, and answers that stand until they are taken."""
        dut, standing = self._dut, {"b": None, "r": None}
        payloads = {"b": ("bresp",), "r": ("rresp", "rdata")}
        while True:
            await FallingEdge(dut.clk)
            self._seen += [name for name in COMMANDS if getattr(dut, name).value]
            for letter, names in payloads.items():
                valid, ready = (int(getattr(dut, f"{PREFIX}_{letter}{end}").value) for end in ("valid", "ready"))
                now: Any = [int(getattr(dut, f"{PREFIX}_{name}").value) for name in names] if valid else None
                assert standing[letter] in (None, now), f"an answer on {letter} changed before it was taken"
                standing[letter] = now if valid and not ready else None

    async def behind_reset(self) -> None:
        """Every word of the page is read once, or, at leisure, every register and some of the other words."""
        rest = self._job["rest"]
        for address in range(0, 1 << ADDRESS_BITS, 4):
            if address in BY_OFFSET or not rest or self._chance.random() < 0.1:
                await self.read(address)
        await self._compare()

    async def step(self) -> None:
        """The accelerator tells something, or something is read or written."""
        chance, dut = self._chance, self._dut
        kind = chance.choice(("tell", "event", "read", "read", "write", "write", "command"))
        if kind == "tell":
            name = chance.choice(sorted(TOLD))
            self._golden.ports[name] = chance.getrandbits(TOLD[name])
            getattr(dut, name).value = self._golden.ports[name]
        elif kind == "event":
            name = chance.choice(sorted(EVENTS))
            getattr(dut, name).value = 1
            await ClockCycles(dut.clk, 1)
            getattr(dut, name).value = 0
            self._golden.event(name)
        elif kind == "read":
            await self.read(self._address())
        elif kind == "command":
            await self.write(OFFSET["CONTROL"], chance.randbytes(1))
            await self._compare()
        else:
            first = chance.randrange(4)
            count = chance.randrange(1, 5 - first)
            await self.write(self._address() + first, chance.randbytes(count))
            await self._compare()

    def _address(self) -> int:
        """Of a register, the control ones more often than counters, or, now and then, of any word."""
        kind = self._chance.random()
        if kind < 0.15:
            return self._chance.randrange(0, 1 << ADDRESS_BITS, 4)
        return self._chance.choice(CONTROL if kind < 0.5 else sorted(BY_OFFSET))

    def _check(self, address: int, there: bool, response: Any) -> None:
        due = AxiResp.OKAY if there else AxiResp.SLVERR
        assert response == due, f"the answer at {address:#x} must be {due}, not {response}"
        self.answers[due.name] += 1

    async def read(self, address: int) -> None:
        """A word, as the golden registers have it."""
        due = self._golden.read(address)
        answer = await self._master.read(address, 4)
        self._check(address, due is not None, answer.resp)
        found = int.from_bytes(answer.data, "little")
        assert found == (due or 0), f"{address:#x} reads {found:#x}, not {due}"

    async def write(self, address: int, data: bytes) -> None:
        """Some bytes of a word."""
        first = address % 4
        word = int.from_bytes(data, "little") << 8 * first
        commands = self._golden.write(address, word, ((1 << len(data)) - 1) << first)
        answer = await self._master.write(address, data)
        self._check(address, commands is not None, answer.resp)
        self.commanded += commands or []

    async def _compare(self) -> None:
        """A few cycles later, the accelerator has been told what was written, each command once."""
        dut = self._dut
        await ClockCycles(dut.clk, 3)
        assert sorted(self._seen) == sorted(self.commanded), f"{self.commanded} were commanded, {self._seen} came"
        for name, value in self._golden.outputs().items():
            found = int(getattr(dut, name).value)
            assert found == value, f"{name} is {found:#x}, not {value:#x}"
        assert int(dut.irq.value) == self._golden.irq, f"the interrupt must be {self._golden.irq}"

    async def at_once(self) -> None:
        """Many writes and reads under way, as far as the master goes."""
        master, golden, chance = self._master, self._golden, self._chance
        written = OFFSET["DESCRIPTORS_LOW"], OFFSET["DESCRIPTOR_COUNT"]
        constant = [offset for name, offset in OFFSET.items() if name.startswith("CAPABILITY")]
        writes, reads = [], []
        for _ in range(50):
            address, data = chance.choice(written), chance.randbytes(4)
            golden.write(address, int.from_bytes(data, "little"), 15)
            writes.append(cocotb.start_soon(master.write(address, data)))
            address = chance.choice(constant)
            reads.append((golden.read(address), cocotb.start_soon(master.read(address, 4))))
        for task in writes:
            assert (await task).resp == AxiResp.OKAY
        for due, task in reads:
            answer = await task
            assert (int.from_bytes(answer.data, "little"), answer.resp) == (due, AxiResp.OKAY)
        await self._compare()
