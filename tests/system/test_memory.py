# SPDX-License-Identifier: Apache-2.0
"""The memory, the host and the checkers at the simulator's speed, with a copy engine between them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import pytest
from amaranth.hdl import Const

from config.errors import Refusal
from config.presets import systems
from golden.system.transfers import Transfer
from hdl.emit import verilog
from sim import memory
from sim.memory import Job, Pace, Step
from sim.runner import SimulationError
from tests.planted import Fault
from tests.system.copy_engine import CLEAR, DONE, READ_ERROR, REGISTERS, START, WRITE_ERROR, CopyEngine, FaultyEngine

TINY = systems("tiny")["spls"]
NAME = "copy_engine"
SIZE = 1 << 16
IMAGE = Random(1).randbytes(SIZE)
PACES = {
    "full speed": Pace(),
    "a slow memory": Pace(latency=60),
    "everything rests": Pace(0.4, 0.4, 0.4, 0.4, 0.4, latency=5),
    "long rests": Pace(0.1, 0.1, 0.1, 0.1, 0.1, naps=0.3, nap=90),
    "address rests": Pace(ar=0.95, aw=0.95),
}


@dataclass(frozen=True)
class Copy:
    """Rows from one place to another, by a channel of the reader."""

    source: Transfer
    target: Transfer
    channel: int = 0

    def steps(self, base: int = 0, expected: int = DONE) -> list[Step]:
        fields = {
            "from": base + self.source.address,
            "to": base + self.target.address,
            "bytes": self.source.bytes,
            "rows": self.source.rows,
            "from_stride": self.source.stride,
            "to_stride": self.target.stride,
            "channel": self.channel,
        }
        words = [(REGISTERS[name], value & 0xFFFFFFFF) for name, value in fields.items()]
        words += [(REGISTERS[name] + 4, fields[name] >> 32) for name in ("from", "to")]
        start = memory.write(REGISTERS["control"], START)
        ends = [start, memory.interrupt(200_000), memory.poll(REGISTERS["status"], 7, expected, 500)]
        return [*(memory.write(at, value) for at, value in words), *ends]

    def apply(self, content: bytearray) -> None:
        size = TINY.bus_bytes
        for one, other in zip(self.source.words(size), self.target.words(size), strict=True):
            content[other : other + size] = content[one : one + size]


def copies(count: int, seed: int = 2) -> list[Copy]:
    """From the lower half, which nobody writes to, to the upper one."""
    rng, size, half = Random(seed), TINY.bus_bytes, SIZE // 2
    found = []
    for number in range(count):
        wide, rows = size * rng.randrange(1, 60), rng.randrange(1, 6)
        places = [
            (size * rng.randrange((half - wide * rows * 2) // size), wide + size * rng.randrange(40)) for _ in "ab"
        ]
        one, other = (
            Transfer(half * n + at, wide, rows, min(stride, 2 * wide)) for n, (at, stride) in enumerate(places)
        )
        found.append(Copy(one, other, number % 2))
    return found


def copied(work: Sequence[Copy]) -> bytes:
    content = bytearray(IMAGE)
    for copy in work:
        copy.apply(content)
    return bytes(content)


def model(*, text: str | None = None) -> memory.Model:
    return memory.build(text or sound(), NAME, memory_bytes=SIZE)


@cache
def sound() -> str:
    written: str = verilog(CopyEngine(TINY), NAME)
    return written


def job(work: Sequence[Copy], **options: object) -> Job:
    steps = [step for copy in work for step in copy.steps(int(str(options.get("base", 0))))]
    return Job(IMAGE, steps, **options)  # type: ignore[arg-type]


WHOLE = Copy(Transfer(0, SIZE // 2), Transfer(SIZE // 2, SIZE // 2))


@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
def test_rows_are_copied(pace: Pace) -> None:
    work = copies(8)
    run = memory.run(model(), job(work, pace=pace))
    assert run.memory == copied(work)
    assert not any(run.answers)
    words = sum(copy.source.rows * copy.source.bytes // TINY.bus_bytes for copy in work)
    assert (run.words_read, run.words_written) == (words, words)


def test_a_word_is_read_and_one_written_each_cycle() -> None:
    run = memory.run(model(), job([WHOLE]))
    words = SIZE // 2 // TINY.bus_bytes
    assert run.memory == copied([WHOLE])
    assert words < run.ends[-2] - run.ends[-4] < words + 80


def test_requests_cover_the_latency_of_the_memory() -> None:
    """A channel has room for 64 words: so many come in a latency and the few cycles to the next request."""
    for latency in (30, 120):
        run = memory.run(model(), job([WHOLE], pace=Pace(latency=latency)))
        rate = (SIZE // 2 // TINY.bus_bytes) / (run.ends[-2] - run.ends[-4])
        assert rate > min(0.95, 64 / (latency + 30)), (latency, rate)


def test_a_memory_may_lie_anywhere() -> None:
    work = copies(3)
    for base in (1 << 32, (1 << 64) - 2 * SIZE):
        assert memory.run(model(), job(work, base=base)).memory == copied(work)


def test_seeds_differ_and_repeat() -> None:
    work = copies(3)
    runs = [memory.run(model(), job(work, pace=PACES["everything rests"], seed=seed)) for seed in (1, 2, 1)]
    assert runs[0].ends == runs[2].ends != runs[1].ends
    assert runs[0].memory == runs[1].memory == copied(work)


AGAIN = [memory.write(REGISTERS["control"], CLEAR)]
ELSEWHERE = replace(WHOLE, source=Transfer(SIZE - 256, 512))


@pytest.mark.parametrize(
    ("number", "pace"), [(0, Pace()), (17, PACES["everything rests"]), (900, PACES["everything rests"])]
)
def test_errors_at_a_beat_are_recovered_from(number: int, pace: Pace) -> None:
    work = copies(2)
    whole = WHOLE.source.bytes // TINY.bus_bytes // 16
    for bad, error in (("bad_read", READ_ERROR), ("bad_write", WRITE_ERROR)):
        at = number if bad == "bad_read" else min(number, whole - 1)
        steps = [*WHOLE.steps(expected=DONE | error), *AGAIN, *(step for copy in work for step in copy.steps())]
        run = memory.run(model(), Job(IMAGE, steps, pace=pace, **{bad: at}))  # type: ignore[arg-type]
        assert not any(run.answers)
        half, done = SIZE // 2, bytearray(run.memory)
        # Words that were copied before the error are right, those behind it untouched, and the later copies whole.
        before = run.memory[half:]
        assert bytes(done[:half]) == IMAGE[:half]
        expected = bytearray(IMAGE[:half] + before)
        for copy in work:
            copy.apply(expected)
        assert run.memory == bytes(expected)
        assert before != IMAGE[:half], "it must have stopped"


def test_what_lies_outside_the_memory_is_an_error() -> None:
    run = memory.run(model(), Job(IMAGE, ELSEWHERE.steps(expected=DONE | READ_ERROR)))
    assert not any(run.answers)
    there = replace(WHOLE, target=Transfer(SIZE - 256, 512), source=Transfer(0, 512))
    run = memory.run(model(), Job(IMAGE, there.steps(expected=DONE | WRITE_ERROR)))
    assert run.memory == IMAGE[:-256] + IMAGE[:256]


def test_the_host_reads_polls_and_rests() -> None:
    at = REGISTERS["rows"]
    steps = [memory.write(at, 0x12345678), memory.read(at), memory.rest(100), memory.poll(at, 0xFF, 0x78, 50)]
    run = memory.run(model(), Job(IMAGE, steps))
    assert run.values == [0, 0x12345678, 0, 0x12345678]
    assert 100 <= run.ends[2] - run.ends[1] < 105
    assert (run.words_read, run.words_written) == (0, 0)


def test_the_host_resets_the_top_in_its_work() -> None:
    work, at = copies(2), REGISTERS["rows"]
    begun = [step for step in WHOLE.steps() if step.what == "w"]
    steps = [*begun, memory.rest(200), memory.read(at), memory.reset(5), memory.read(at)]
    run = memory.run(model(), Job(IMAGE, [*steps, *(step for copy in work for step in copy.steps())]))
    assert run.values[len(begun) : len(steps)] == [0, WHOLE.source.rows, 0, 0]
    assert run.words_read == sum(copy.source.rows * copy.source.bytes // TINY.bus_bytes for copy in work)
    # What came before is there as far as it went; the later copies are whole.
    expected = bytearray(run.memory)
    for copy in work:
        copy.apply(expected)
    assert run.memory == expected
    assert run.memory[: SIZE // 2] == IMAGE[: SIZE // 2]


def test_the_host_has_the_memory_fail() -> None:
    work = copies(2)
    sound_ones = [step for copy in work for step in copy.steps()]
    steps = [
        *sound_ones,
        memory.fail(40, None),
        *WHOLE.steps(expected=DONE | READ_ERROR),
        *AGAIN,
        memory.fail(None, 3),
        *WHOLE.steps(expected=DONE | WRITE_ERROR),
        *AGAIN,
        memory.fail(None, None),
        *WHOLE.steps(),
        *sound_ones,
    ]
    run = memory.run(model(), Job(IMAGE, steps))
    assert not any(run.answers)
    assert run.memory == copied([WHOLE, *work])


@pytest.mark.parametrize(
    "step", [memory.interrupt(300), memory.poll(REGISTERS["rows"], 0xF, 3, 300)], ids=["interrupt", "poll"]
)
def test_a_limit_is_told(step: Step) -> None:
    with pytest.raises(SimulationError, match="a step of the host has reached its limit"):
        memory.run(model(), Job(IMAGE, [memory.write(REGISTERS["rows"], 1), step]))


def test_a_run_ends_at_its_limit() -> None:
    with pytest.raises(SimulationError, match="the host was not done within 500 cycles"):
        memory.run(model(), job([WHOLE], limit=500))


def test_patience_is_told() -> None:
    with pytest.raises(SimulationError, match=r"m_axi, cycle \d+, channel ar: what is offered must be taken in time"):
        memory.run(model(), job([WHOLE], pace=PACES["address rests"], patience=4))


FAULTS: dict[str, tuple[dict[str, Fault], str]] = {
    "over a page": ({"m_axi_araddr": lambda address: address ^ 128}, r"m_axi, .* channel ar: .*\(page\)"),
    "no last word": ({"m_axi_wlast": lambda last: Const(0)}, r"m_axi, .* channel w: .*\(wlast\)"),
    "taken for ready": ({"m_axi_arready": lambda ready: Const(1)}, r"m_axi, .* channel ar: .*\((stands|steady)\)"),
    "words for ready": ({"m_axi_wready": lambda ready: Const(1)}, r"m_axi, .* channel w: .*\((stands|steady)\)"),
    "no address": ({"m_axi_awvalid": lambda valid: Const(0)}, r"m_axi, .* channel w: .*\(ahead\)"),
    "a reserved kind": ({"m_axi_awburst": lambda kind: Const(3)}, r"m_axi, .* channel aw: .*\(kind\)"),
    "answers all the time": ({"s_axi_ctrl_rvalid": lambda valid: Const(1)}, r"s_axi_ctrl, .* channel r: .*\(read\)"),
    "done too early": ({"interrupt": lambda interrupt: Const(1)}, r"m_axi, .* channel .*\(owed\)"),
    "half words": ({"m_axi_arsize": lambda size: Const(3)}, "the memory serves whole words"),
}


@cache
def faulty() -> str:
    written: str = verilog(FaultyEngine(TINY, [fault for fault, _ in FAULTS.values()]), NAME)
    return written


def with_fault(number: int) -> memory.Run:
    steps = [step for step in WHOLE.steps() if step.what != "p"]
    choice = memory.write(REGISTERS["fault"], number)
    return memory.run(
        model(text=faulty()), Job(IMAGE, [choice, *steps, memory.rest(60)], pace=PACES["everything rests"])
    )


@pytest.mark.parametrize(("number", "said"), [*enumerate((said for _, said in FAULTS.values()), 1)], ids=FAULTS)
def test_a_breach_ends_the_run(number: int, said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        with_fault(number)


def test_without_a_fault_there_is_no_breach() -> None:
    assert with_fault(0).memory == copied([WHOLE])


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(Refusal, match="memory_bytes must be a power of two from 256 on, not 3000"):
        memory.build(sound(), NAME, memory_bytes=3000)
    with pytest.raises(Refusal, match="The Verilog must have a module other, and has none"):
        memory.build(sound(), "other")
    with pytest.raises(Refusal, match="copy_engine must have ports s_axi_ctrl_…, m_axi_…, an interrupt"):
        memory.build(sound().replace("interrupt", "ready_now"), NAME)
    with pytest.raises(Refusal, match="The image must be no longer than the memory of 65536 bytes, not 65537"):
        memory.run(model(), Job(IMAGE + b"\0", []))
