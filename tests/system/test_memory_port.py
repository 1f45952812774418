# SPDX-License-Identifier: Apache-2.0
"""Reader and writer of the memory's port against a memory that rests, fails and recovers."""

import re
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from amaranth.hdl import Const

from config.presets import systems
from golden.system.transfers import Transfer
from hdl.emit import verilog
from sim.memory_port import Phase, Port, Rhythm, Seen, run
from sim.runner import SimulationError
from tests.arith.simulate import refusal_of
from tests.planted import Fault, Switched

TINY = systems("tiny")["spls"]
PAGE = 4096
PORTS = {
    "reader": Port(TINY, channels=5),
    "reader of one narrow channel": Port(replace(TINY, bus_bytes=4), channels=1, burst=256, depth=256, outstanding=1),
    "wide reader": Port(replace(TINY, bus_bytes=128), channels=2, burst=32, depth=33, outstanding=3),
    "writer": Port(TINY),
    "narrow writer": Port(replace(TINY, bus_bytes=4), burst=2, depth=2, outstanding=1),
    "wide writer": Port(replace(TINY, bus_bytes=128), burst=32, depth=40, outstanding=2),
}
RHYTHMS = {
    "full speed": Rhythm(),
    "address rests": Rhythm({"ar": 0.8, "aw": 0.8}),
    "data rest": Rhythm({"r": 0.6, "w": 0.6, "i": 0.6}),
    "answers rest": Rhythm({"b": 0.9, "r": 0.9}),
    "readers rest": Rhythm({"o": 0.7}),
    "everything rests": Rhythm(dict.fromkeys(("ar", "r", "aw", "w", "b", "o", "i", "job"), 0.4)),
}


MAIN = ("reader", "writer")
CASES = {
    f"{name}, {rhythm}": (PORTS[name], RHYTHMS[rhythm])
    for name in PORTS
    for rhythm in RHYTHMS
    if name in MAIN or rhythm in ("full speed", "everything rests")
}


def transfer(rng: Random, port: Port, words: int = 24) -> Transfer:
    """Rows near the borders of pages, anywhere in 64 bits of address."""
    size = port.config.bus_bytes
    page = rng.choice([2, 7, 1 << 20, (1 << 51) + 5, (1 << 52) - 500])
    start = page * PAGE + size * rng.randrange(-words, words)
    stride = rng.choice([0, size * rng.randrange(2 * words), PAGE])
    return Transfer(start, size * rng.randrange(1, words), rng.randrange(1, 5), stride)


def phase(rng: Random, port: Port, count: int = 3) -> Phase:
    return Phase([[transfer(rng, port) for _ in range(count)] for _ in range(max(port.channels, 1))])


def failing(rng: Random, port: Port) -> Phase:
    """A phase of which a word fails: any one, the first and the last as well."""
    whole = phase(rng, port, 2)
    words = [word for transfers in whole.transfers for each in transfers for word in each.words(port.config.bus_bytes)]
    return replace(whole, bad=frozenset([rng.choice([rng.choice(words), words[0], words[-1]])]))


def linear(port: Port, words: int, transfers: int = 1, start: int = 1 << 16) -> Phase:
    size = port.config.bus_bytes
    each = [Transfer(start + n * words * size, words * size) for n in range(transfers)]
    return Phase([each] * max(port.channels, 1))


@pytest.mark.parametrize(("port", "rhythm"), CASES.values(), ids=CASES)
def test_words_of_all_jobs_are_moved(port: Port, rhythm: Rhythm) -> None:
    rng = Random(1)
    seen = run(port, [phase(rng, port) for _ in range(2)], rhythm)
    assert not any(each.error for each in seen)


@pytest.mark.parametrize(("port", "rhythm"), CASES.values(), ids=CASES)
def test_errors_stop_and_are_recovered_from(port: Port, rhythm: Rhythm) -> None:
    """Behind each phase with a bad word comes a sound one."""
    rng = Random(2)
    seen = run(port, [make(rng, port) for _ in range(3) for make in (failing, phase)], rhythm)
    assert [each.error for each in seen] == [True, False] * 3


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS)
def test_a_stop_leaves_nothing_under_way(port: Port) -> None:
    rng = Random(3)
    stopped = [replace(phase(rng, port), stop=stop) for stop in (1, 4, 5, 6, 20, 50)]
    phases = [each for one in stopped for each in (one, phase(rng, port, 1))]
    seen = run(port, phases, RHYTHMS["everything rests"])
    assert not any(each.error for each in seen)


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS)
def test_every_length_of_burst_occurs(port: Port) -> None:
    """From every word of a burst on, rows of every length."""
    size, longest = port.config.bus_bytes, min(port.burst, 32)
    rows = [
        Transfer((1 << 20) + size * (longest - words), size * words, 2, 2 * longest * size)
        for words in range(1, longest + 1)
    ]
    seen = run(port, [Phase([rows] * max(port.channels, 1))], RHYTHMS["full speed"])
    assert set(seen[0].lengths) == set(range(1, longest + 1))


@pytest.mark.parametrize("port", PORTS.values(), ids=PORTS)
def test_as_many_bursts_are_under_way_as_may_be(port: Port) -> None:
    (seen,) = run(port, [linear(port, 4, 40)], Rhythm({"r": 0.9, "b": 0.95}))
    assert seen.most == port.outstanding


@pytest.mark.parametrize("port", [PORTS["reader"], PORTS["writer"]], ids=["reader", "writer"])
def test_a_long_row_moves_a_word_a_cycle(port: Port) -> None:
    words = 2000 // max(port.channels, 1)
    (seen,) = run(port, [linear(port, words)], Rhythm())
    # The memory's model rests a cycle behind each burst that it writes.
    assert seen.cycles < 2000 * (1 if port.channels else 1 + 1 / port.burst) + 100


@pytest.mark.parametrize("port", [PORTS["reader"], PORTS["writer"]], ids=["reader", "writer"])
def test_nothing_is_moved_for_empty_jobs(port: Port) -> None:
    empty = [Transfer(PAGE, 0, 3, 16), Transfer(PAGE, 16, 0, 16), Transfer(PAGE, 16)]
    (seen,) = run(port, [Phase([empty] * max(port.channels, 1))], Rhythm())
    assert seen.words == max(port.channels, 1)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"burst": 12}, "beats of a burst must be a power of two, not 12; choose the next one."),
        ({"burst": 512}, "beats of a burst must be .* 256, not 512"),
        ({"burst": 1}, "beats of a burst must be .* not 1"),
        ({"depth": 15}, "depth must be .* not 15"),
        ({"outstanding": 0}, "outstanding must be .* not 0"),
    ],
)
@pytest.mark.parametrize("port", [PORTS["reader"], PORTS["writer"]], ids=["reader", "writer"])
def test_sizes_that_cannot_be_are_refused(port: Port, sizes: dict[str, int], sentence: str) -> None:
    assert re.search(sentence, refusal_of(replace(port, **sizes).unit))  # type: ignore[arg-type]


def test_a_burst_of_more_than_a_page_is_refused() -> None:
    assert "must be an integer from 2 to 32, not 64" in refusal_of(replace(PORTS["wide writer"], burst=64).unit)


FAULTS: dict[str, dict[str, dict[str, Fault]]] = {
    "reader": {
        "an error is not seen": {"m_axi_rresp": lambda resp: resp & 1},
        "last is not seen": {"m_axi_rlast": lambda last: Const(0)},
        "another address": {"job0__payload": lambda job: job ^ 64},
        "a word is not shown for long enough": {"o2__ready": lambda ready: Const(1)},
        "not stopped": {"stop": lambda stop: Const(0)},
        "not cleared": {"clear": lambda clear: Const(0)},
        "a burst too short": {"m_axi_arlen": lambda length: length & 7},
        "always idle": {"idle": lambda idle: Const(1)},
    },
    "writer": {
        "an error is not seen": {"m_axi_bresp": lambda resp: resp & 1},
        "a strobe is not set": {"m_axi_wstrb": lambda strb: strb & 0x7FFF},
        "last is not told": {"m_axi_wlast": lambda last: Const(0)},
        "the memory is taken for ready": {"m_axi_wready": lambda ready: Const(1)},
        "another page": {"m_axi_awaddr": lambda address: address ^ PAGE},
        "not cleared": {"clear": lambda clear: Const(0)},
        "words are not told": {"written": lambda written: Const(0)},
    },
}
EACH = [(which, number) for which, faults in FAULTS.items() for number in range(len(faults) + 1)]


@cache
def faulty(which: str) -> str:
    port = PORTS[which]
    return verilog(Switched(port.unit(), list(FAULTS[which].values())), port.name)


@pytest.mark.parametrize(
    ("which", "number"), EACH, ids=[f"{which}, {['sound', *FAULTS[which]][number]}" for which, number in EACH]
)
def test_a_wrong_port_is_found_out(which: str, number: int) -> None:
    port, rng = PORTS[which], Random(4)
    phases = [phase(rng, port), replace(phase(rng, port), stop=30), failing(rng, port), phase(rng, port)]

    def seen() -> list[Seen]:
        return run(port, phases, RHYTHMS["everything rests"], verilog_text=faulty(which), fault=number)

    if number:
        with pytest.raises(SimulationError):
            seen()
    else:
        assert [each.error for each in seen()] == [False, False, True, False]
