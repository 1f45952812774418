# SPDX-License-Identifier: Apache-2.0
"""The register block: its table is sound, a master finds the golden registers behind it, its handshakes are proved."""

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from amaranth.hdl import Assert, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring

from config.presets import systems
from config.registers import ADDRESS_BITS, COUNTERS, REGISTER_BYTES, REGISTERS, Access, constants, resets
from config.system import TOPS
from golden.system.registers import RegisterFile
from hdl.system.axi_lite import AxiLiteSlave
from hdl.system.counters import Counter, Counters
from hdl.system.registers import PREFIX, Registers
from sim import registers
from sim.runner import SimulationError
from tests.arith import simulate
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

TINY = systems("tiny")["spls"]
OFFSET = {register.name: register.offset for register in REGISTERS}


def test_the_table_is_sound() -> None:
    assert len({register.name for register in REGISTERS}) == len({r.offset for r in REGISTERS}) == len(REGISTERS)
    for register in REGISTERS:
        assert register.offset % REGISTER_BYTES == 0
        assert 0 <= register.offset < 1 << ADDRESS_BITS
        assert register.text
        taken = 0
        for field in register.fields:
            assert field.text.endswith(".")
            assert not taken & field.mask
            assert field.mask < 1 << 32
            assert field.reset < 1 << field.bits
            taken |= field.mask
            assert bool(field.port) != ((register.name, field.name) in constants(TINY))
    low = {register.name: register.offset for register in REGISTERS}
    assert all(r.offset == low[r.high_of] + 4 for r in REGISTERS if r.high_of)


@pytest.mark.parametrize("preset", ["tiny", "minilm"])
@pytest.mark.parametrize("method", TOPS)
def test_capabilities_fit_their_fields(preset: str, method: str) -> None:
    config = systems(preset)[method]
    bits = {(r.name, f.name): f.bits for r in REGISTERS for f in r.fields}
    assert all(value < 1 << bits[key] for key, value in constants(config).items())
    golden = RegisterFile(config, {f.port: 0 for r in REGISTERS for f in r.fields if f.access is Access.RO and f.port})
    assert {r.name: golden.read(r.offset) for r in REGISTERS} == resets(config)
    assert golden.read(OFFSET["CAPABILITY_SEQUENCE"]) == config.tokens | config.speculation.width << 16


@pytest.mark.parametrize("rest", [0.0, 0.5, 0.9])
def test_a_master_finds_the_golden_registers(rest: float) -> None:
    commands, answers = registers.run(TINY, rest=rest, steps=400, seed=round(10 * rest))
    assert set(commands) == {"start", "soft_reset", "clear_counters"}
    assert answers["SLVERR"] > (100 if rest else 980)
    assert answers["OKAY"] > 200


@pytest.mark.parametrize(
    "fault",
    [
        {f"{PREFIX}_rdata": lambda data: data & ~(1 << 31)},
        {f"{PREFIX}_wstrb": lambda strobe: Const(15, 4)},
        {"error": lambda error: Const(0)},
    ],
    ids=["a bit", "strobe", "event"],
)
def test_a_wrong_block_is_found(fault) -> None:
    folder = registers.build(TINY, Planted(Registers(TINY), **fault))
    with pytest.raises(SimulationError, match="failed"):
        registers.run(TINY, rest=0.2, steps=200, seed=1, folder=folder)


def channel(dut, letters: str, *payload: str) -> SimpleNamespace:
    """One of the slave's channels as a stream."""
    valid, ready = (getattr(dut, f"{PREFIX}_{letters}{end}") for end in ("valid", "ready"))
    return SimpleNamespace(valid=valid, ready=ready, payload=Cat(getattr(dut, f"{PREFIX}_{name}") for name in payload))


class StandClaim(contract.Claim):
    """What the slave offers stands, unchanged, until it is taken. A read is in one place at a time, or in none."""

    def claim(self, m: Module, dut) -> None:
        steps = Cat(channel(dut, "ar").ready, dut.ask, dut.read, channel(dut, "r").valid)
        m.d.comb += Assert((steps != 0) & ((steps & (steps - 1)) == 0))
        m.d.comb += Assert(contract.held(m, channel(dut, "b", "bresp")))
        m.d.comb += Assert(contract.held(m, channel(dut, "r", "rdata", "rresp")))


class AnswerClaim(contract.Claim):
    """An answer for each request and none without, within `bound` cycles in which the master takes one."""

    def __init__(self, dut, bound: int):
        self._bound = bound
        super().__init__(dut)

    def claim(self, m: Module, dut) -> None:
        fires = {letters: contract.fires(channel(dut, letters)) for letters in ("aw", "w", "b", "ar", "r")}
        for ask, answer in (("aw", "b"), ("w", "b"), ("ar", "r")):
            owed = contract.claim_balance(m, enters=fires[ask], leaves=fires[answer])
            m.d.comb += Assert(owed <= 2)
            if ask == "ar":
                ready = channel(dut, "r").ready
                contract.claim_progress(m, owed=owed, leaves=fires["r"], can_leave=ready, bound=self._bound)


class StoreClaim(contract.Claim):
    """A field that is written holds, byte by byte, what the last write that named the byte gave it."""

    def claim(self, m: Module, dut) -> None:
        parts = {name: Signal(bits, name=name) for name, bits in (("awaddr", 12), ("wdata", 32), ("wstrb", 4))}
        for letters, names in (("aw", ("awaddr",)), ("w", ("wdata", "wstrb"))):
            with m.If(contract.fires(channel(dut, letters))):
                m.d.sync += [parts[name].eq(getattr(dut, f"{PREFIX}_{name}")) for name in names]
        answered, known = Signal(), Signal(32)
        m.d.sync += answered.eq(channel(dut, "b").valid)
        begins = channel(dut, "b").valid & ~answered
        named = parts["awaddr"][2:] == OFFSET["DESCRIPTORS_LOW"] // 4
        mask = Cat(bit.replicate(8) for bit in parts["wstrb"])
        due = Mux(begins & named, (known & ~mask) | (parts["wdata"] & mask), known)
        m.d.sync += known.eq(due)
        m.d.comb += Assert(dut.descriptors[:32] == due)


class EventClaim(contract.Claim):
    """An event that is enabled raises the interrupt two cycles later, whatever is written meanwhile."""

    def claim(self, m: Module, dut) -> None:
        for name in ("done", "error"):
            told, due = Signal(name=f"told_{name}"), Signal(name=f"due_{name}")
            m.d.sync += [told.eq(getattr(dut, name)), due.eq(told & getattr(dut, f"enable_{name}"))]
            m.d.comb += Assert(~due | dut.irq)


@pytest.mark.formal
def test_events_are_proved_not_to_be_lost(tmp_path: Path) -> None:
    assert check(EventClaim(Registers(TINY)), folder=tmp_path, depth=3, induction=True)


@pytest.mark.formal
def test_a_lost_event_is_refuted(tmp_path: Path) -> None:
    wrong = Planted(Registers(TINY), irq=lambda irq: Const(0))
    assert not check(EventClaim(wrong), folder=tmp_path, depth=9)


@pytest.mark.formal
def test_answers_are_proved_to_stand_for_all_time(tmp_path: Path) -> None:
    assert check(StandClaim(AxiLiteSlave(PREFIX, 4)), folder=tmp_path, depth=4, induction=True)


@pytest.mark.formal
@pytest.mark.parametrize("ready", ["bready", "rready"])
def test_an_answer_that_does_not_stand_is_refuted(ready: str, tmp_path: Path) -> None:
    wrong = Planted(AxiLiteSlave(PREFIX, 4), **{f"{PREFIX}_{ready}": lambda value: Const(1)})
    assert not check(StandClaim(wrong), folder=tmp_path, depth=8)


@pytest.mark.formal
def test_answers_are_proved(tmp_path: Path) -> None:
    assert check(AnswerClaim(AxiLiteSlave(PREFIX, 4), 2), folder=tmp_path, depth=16)


@pytest.mark.formal
@pytest.mark.parametrize("fault", ["awvalid", "wvalid", "arvalid"])
def test_an_answer_without_a_request_is_refuted(fault: str, tmp_path: Path) -> None:
    wrong = Planted(AxiLiteSlave(PREFIX, 4), **{f"{PREFIX}_{fault}": lambda value: Const(1)})
    assert not check(AnswerClaim(wrong, 2), folder=tmp_path, depth=8)


@pytest.mark.formal
def test_strobes_are_proved(tmp_path: Path) -> None:
    assert check(StoreClaim(Registers(TINY)), folder=tmp_path, depth=9)


@pytest.mark.formal
def test_a_write_without_strobes_is_refuted(tmp_path: Path) -> None:
    wrong = Planted(Registers(TINY), **{f"{PREFIX}_wstrb": lambda strobe: strobe | 4})
    assert not check(StoreClaim(wrong), folder=tmp_path, depth=9)


def test_no_output_hangs_on_an_input() -> None:
    """AXI forbids wires between the channels' ends: inputs that change within a cycle change no output."""
    dut = AxiLiteSlave(PREFIX, 4)
    members = {name: member.flow for name, member in dut.signature.members.items() if name.startswith(PREFIX)}
    inputs = Cat(getattr(dut, name) for name, flow in members.items() if flow == wiring.In)
    outputs = Cat(getattr(dut, name) for name, flow in members.items() if flow == wiring.Out)
    assert len(inputs) + len(outputs) == sum(len(getattr(dut, name)) for name in members)
    rng = random.Random(3)

    async def bench(context) -> None:
        for _ in range(300):
            context.set(inputs, rng.getrandbits(len(inputs)))
            before = context.get(outputs)
            for _ in range(4):
                context.set(inputs, rng.getrandbits(len(inputs)))
                assert context.get(outputs) == before
            await context.tick()

    simulate.run(dut, bench)


def test_counters() -> None:
    dut = Counters(TINY)
    steps = {c.port: getattr(dut, f"count_{c.port}") for c in COUNTERS}
    assert {name: len(step) for name, step in steps.items() if len(step) > 1} == {
        "items_executed": 3, "bytes_read": 5, "bytes_written": 5
    }  # fmt: skip
    rng = random.Random(5)

    async def bench(context) -> None:
        seen = dict.fromkeys(steps, (0, 0))
        for cycle in range(3000):
            clears = cycle in (1500, 1501)
            context.set(dut.clear, clears)
            for name, step in steps.items():
                added = rng.getrandbits(len(step))
                context.set(step, added)
                total = seen[name][1]
                seen[name] = (0, 0) if clears else (total, total + added)
            await context.tick()
            for name, (shown, _) in seen.items():
                assert context.get(getattr(dut, name)) == shown, (name, cycle)

    simulate.run(dut, bench)


def test_a_counter_of_short_slices_goes_round_often() -> None:
    """All of its numbers several times, at full speed, at random, and cleared in between."""
    dut, rng = Counter(1, bits=12, longest=4), random.Random(3)

    async def bench(context) -> None:
        shown = total = 0
        for cycle in range(30_000):
            added = int(cycle < 15_000 or rng.random() < 0.7)
            clears = cycle > 10_000 and rng.random() < 0.001
            context.set(dut.step, added)
            context.set(dut.clear, clears)
            await context.tick()
            shown, total = (0, 0) if clears else (total, (total + added) % (1 << 12))
            assert context.get(dut.value) == shown, cycle

    simulate.run(dut, bench)


@pytest.mark.parametrize("upper", [0x1FFFFF, (1 << 21) - 1, 0x7FF << 11, (1 << 53) - 1, (1 << 44) - 1])
def test_a_counter_carries_into_all_of_its_slices(upper: int) -> None:
    dut = Counter(5)

    async def bench(context) -> None:
        context.set(dut.upper, upper)
        context.set(dut.lowest, 2024)
        context.set(dut.step, 16)
        await context.tick()
        context.set(dut.step, 0)
        await context.tick().repeat(8)
        assert context.get(dut.value) == upper << 11 | 2040
        context.set(dut.step, 16)
        await context.tick().repeat(2)
        context.set(dut.step, 0)
        assert context.get(dut.value) == ((upper << 11 | 2040) + 16) % (1 << 64)

    simulate.run(dut, bench)


def test_slices_that_are_too_short_are_refused() -> None:
    assert simulate.refusal_of(lambda: Counter(5, bits=20, longest=6)) == (
        "longest must leave 5 cycles until the lowest bits go round, and 6 does not; raise it."
    )
