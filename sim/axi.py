# SPDX-License-Identifier: Apache-2.0
"""Checks what both sides of an AXI4 or AXI4-Lite port do, cycle by cycle, against the protocol.

The rules, each named in the message of a breach, are `RULES`. `Checker` is fed with the values of a cycle, `Watch`
feeds one from the ports of a simulated design.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PAGE = 4096
FIXED, INCR, WRAP = range(3)
EXCLUSIVE_OKAY = 1
ADDRESS = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot")
PAYLOADS = {
    "ar": ADDRESS,
    "r": ("id", "data", "resp", "last"),
    "aw": ADDRESS,
    "w": ("data", "strb", "last"),
    "b": ("id", "resp"),
}
"""Channels by their letters, and what they carry beside valid and ready."""
RULES = {
    "unknown": "valid and ready must be 0 or 1 after reset, and so must what is offered",
    "reset": "valid must be low in reset",
    "stands": "valid must stay high until ready",
    "steady": "what is offered must not change until it is taken",
    "patience": "what is offered must be taken in time",
    "kind": "a burst must be FIXED, INCR or WRAP",
    "size": "a beat must not be wider than the bus",
    "length": "a FIXED burst must have up to 16 beats, a WRAP burst 2, 4, 8 or 16",
    "aligned": "a WRAP burst must begin at a multiple of a beat",
    "page": "a burst must not lie on both sides of a multiple of 4096",
    "cache": "who allocates must be left open unless the access may be modified",
    "exclusive": "an exclusive burst must have up to 16 beats, a power of two up to 128 bytes, at a multiple of them",
    "ahead": "data must not be offered before their address",
    "wlast": "wlast must come with the last beat of a burst, and with no other",
    "strobes": "no strobe may be set outside the bytes that the beat addresses",
    "answer": "an answer must follow the address and the last data of a burst that has had none",
    "read": "data must follow the address of a burst that has not ended",
    "rlast": "rlast must come with the last beat of a burst, and with no other",
    "okay": "EXOKAY must answer an exclusive access only",
    "owed": "all bursts must be over at the end",
}


class AxiError(AssertionError):
    """A breach of the protocol: port, cycle, channel, rule, and what was seen."""


@dataclass(frozen=True)
class Burst:
    """What an address channel asks for; `len`: beats behind the first."""

    id: int
    addr: int
    len: int
    size: int
    burst: int
    lock: int

    def lanes(self, beat: int, width: int) -> int:
        """The strobes that a beat may set, of a bus of `width` bytes."""
        size = 1 << self.size
        start = self.addr if self.burst == FIXED or not beat else self.addr // size * size + beat * size
        if self.burst == WRAP:
            whole = size * (self.len + 1)
            low = self.addr // whole * whole
            start = low + (self.addr + beat * size - low) % whole
        end = start // size * size + size
        return ((1 << (end - start)) - 1) << (start % width)


@dataclass
class _Offer:
    """What stands at a channel since so many cycles."""

    payload: tuple[int, ...]
    cycles: int = 0


@dataclass
class _Reads:
    bursts: dict[int, deque[Burst]] = field(default_factory=lambda: defaultdict(deque))
    beats: dict[int, int] = field(default_factory=lambda: defaultdict(int))


@dataclass
class _Writes:
    """addressed: bursts whose data are not complete. strobes: of beats whose burst is not: its own, or, if no address
    has come, of bursts ahead of theirs. unanswered: by ID."""

    addressed: deque[Burst] = field(default_factory=deque)
    beats: deque[tuple[int, bool]] = field(default_factory=deque)
    done: int = 0
    unanswered: dict[int, deque[Burst]] = field(default_factory=lambda: defaultdict(deque))


class Checker:
    """Follows one port.

    Parameters
    ----------
    name: of the port, for messages. width: bytes of the data bus. lite: it is AXI4-Lite. data_first: data may be
    offered before their address, as AXI allows, but the project's masters do not. patience: cycles that an offer may
    wait, if there is a limit.
    """

    def __init__(
        self, name: str, width: int, *, lite: bool = False, data_first: bool = False, patience: int | None = None
    ) -> None:
        self.name, self.width, self.lite = name, width, lite
        self._data_first, self._patience = data_first, patience
        self.cycle = 0
        self.bursts = dict.fromkeys(("ar", "aw"), 0)
        """How many of each were taken."""
        self._offers: dict[str, _Offer] = {}
        self._reads, self._writes = _Reads(), _Writes()

    def step(self, wires: Mapping[str, int | None], *, reset: bool = False) -> None:
        """A cycle: the values just before its clock edge, by names such as `arvalid`; None is neither 0 nor 1. What the
        port does not have is left out; the payload of a channel that offers nothing may be. reset: it is in reset, and
        was at the edge before. Raises `AxiError`."""
        self.cycle += 1
        if reset:
            self._reset(wires)
            return
        offered = {letters: self._offered(letters, wires) for letters in PAYLOADS if f"{letters}valid" in wires}
        # Answers may follow what was taken before this cycle only, data what is offered in it.
        for letters, look in (("r", self._read), ("b", self._answer), ("w", self._write)):
            if (payload := offered.get(letters)) is not None:
                look(payload, bool(wires[f"{letters}ready"]), offered.get("aw") is not None)
        for letters in ("ar", "aw"):
            if (payload := offered.get(letters)) is not None:
                self._request(letters, payload, bool(wires[f"{letters}ready"]))

    def finish(self) -> None:
        """Nothing may be under way. Raises `AxiError`."""
        reads = sum(len(bursts) for bursts in self._reads.bursts.values())
        writes, answers = len(self._writes.addressed), sum(map(len, self._writes.unanswered.values()))
        for letters, owed in (("r", reads), ("w", writes), ("b", answers), ("aw", len(self._writes.beats))):
            if owed:
                self._breach(letters, "owed", f"{owed} left")

    def _breach(self, letters: str, rule: str, seen: str) -> None:
        raise AxiError(f"{self.name}, cycle {self.cycle}, channel {letters}: {RULES[rule]} ({rule}): {seen}")

    def _reset(self, wires: Mapping[str, int | None]) -> None:
        self._offers.clear()
        self._reads, self._writes = _Reads(), _Writes()
        for letters in PAYLOADS:
            if wires.get(f"{letters}valid"):
                self._breach(letters, "reset", "it is high")

    def _offered(self, letters: str, wires: Mapping[str, int | None]) -> dict[str, int] | None:
        """What stands at a channel in this cycle."""
        valid, ready = wires[f"{letters}valid"], wires[f"{letters}ready"]
        if valid is None or ready is None:
            self._breach(letters, "unknown", f"valid is {valid}, ready is {ready}")
        before = self._offers.pop(letters, None)
        if not valid:
            if before:
                self._breach(letters, "stands", f"it fell after {before.cycles} cycles")
            return None
        payload: dict[str, int] = {}
        for name in PAYLOADS[letters]:
            if letters + name in wires:
                value = wires[letters + name]
                if value is None:
                    self._breach(letters, "unknown", f"{letters}{name} is unknown")
                payload[name] = int(value or 0)
        offer = before or _Offer(tuple(payload.values()))
        if offer.payload != tuple(payload.values()):
            self._breach(letters, "steady", f"{offer.payload}, now {tuple(payload.values())}")
        if not ready:
            offer.cycles += 1
            self._offers[letters] = offer
            if self._patience is not None and offer.cycles > self._patience:
                self._breach(letters, "patience", f"it has waited {offer.cycles} cycles")
        return payload

    def _request(self, letters: str, payload: Mapping[str, int], taken: bool) -> None:
        burst = Burst(
            payload.get("id", 0),
            payload["addr"],
            payload.get("len", 0),
            payload.get("size", (self.width - 1).bit_length()),
            payload.get("burst", INCR),
            payload.get("lock", 0),
        )
        if not self.lite:
            self._legal(letters, burst, payload.get("cache", 0))
        if not taken:
            return
        self.bursts[letters] += 1
        if letters == "ar":
            self._reads.bursts[burst.id].append(burst)
        else:
            self._writes.addressed.append(burst)
            self._match()

    def _legal(self, letters: str, burst: Burst, cache: int) -> None:
        size, beats = 1 << burst.size, burst.len + 1
        start, whole = burst.addr // size * size, size * beats
        wrong = {
            "kind": burst.burst > WRAP,
            "size": size > self.width,
            "length": (burst.burst == FIXED and beats > 16) or (burst.burst == WRAP and beats not in (2, 4, 8, 16)),
            "aligned": burst.burst == WRAP and start != burst.addr,
            "page": burst.burst == INCR and start % PAGE + whole > PAGE,
            "cache": bool(cache >> 2 and not cache & 2),
            "exclusive": bool(burst.lock)
            and (beats > 16 or whole > 128 or bool(whole & (whole - 1)) or bool(burst.addr % whole)),
        }
        for rule, broken in wrong.items():
            if broken:
                self._breach(letters, rule, f"{burst}, cache {cache:04b}")

    def _write(self, payload: Mapping[str, int], taken: bool, addressing: bool) -> None:
        writes = self._writes
        whole = any(last for _, last in writes.beats)
        if not (self._data_first or writes.addressed or (addressing and not whole)):
            self._breach("w", "ahead", "no address is there for it")
        beat = (payload.get("strb", (1 << self.width) - 1), bool(payload.get("last", 1)))
        if taken:
            writes.beats.append(beat)
            self._match()

    def _match(self) -> None:
        """Data that have come meet their addresses, in order."""
        writes = self._writes
        while writes.addressed and writes.beats:
            burst, (strobes, last) = writes.addressed[0], writes.beats.popleft()
            if last != (writes.done == burst.len):
                self._breach("w", "wlast", f"it is {int(last)} at beat {writes.done + 1} of {burst.len + 1}")
            lanes = burst.lanes(writes.done, self.width)
            if strobes & ~lanes:
                self._breach("w", "strobes", f"{strobes:#x}, not within {lanes:#x}")
            writes.done += 1
            if last:
                writes.done = 0
                writes.unanswered[burst.id].append(writes.addressed.popleft())

    def _answer(self, payload: Mapping[str, int], taken: bool, _: bool) -> None:
        waiting = self._writes.unanswered[payload.get("id", 0)]
        if not waiting:
            self._breach("b", "answer", f"ID {payload.get('id', 0)} has no such burst")
        self._okay("b", payload["resp"], waiting[0])
        if taken:
            waiting.popleft()

    def _read(self, payload: Mapping[str, int], taken: bool, _: bool) -> None:
        reads, number = self._reads, payload.get("id", 0)
        waiting = reads.bursts[number]
        if not waiting:
            self._breach("r", "read", f"ID {number} has no such burst")
        burst, beat = waiting[0], reads.beats[number]
        last = beat == burst.len
        if bool(payload.get("last", 1)) != last:
            self._breach("r", "rlast", f"it is {int(not last)} at beat {beat + 1} of {burst.len + 1}")
        self._okay("r", payload["resp"], burst)
        if taken:
            reads.beats[number] = 0 if last else beat + 1
            if last:
                waiting.popleft()

    def _okay(self, letters: str, resp: int, burst: Burst) -> None:
        if resp == EXCLUSIVE_OKAY and not burst.lock:
            self._breach(letters, "okay", f"to {burst}")


class Watch:
    """Feeds a `Checker` from the ports of a simulated design that begin with `prefix`.

    reset: name of the port that resets it, low if `active_low`. `sample` is called once a cycle, when everything has
    settled before the clock edge.
    """

    def __init__(
        self, dut: Any, prefix: str = "m_axi", *, reset: str = "rst", active_low: bool = False, **options: Any
    ) -> None:
        self._ports: dict[str, dict[str, Any]] = {}
        for letters, names in PAYLOADS.items():
            wanted = [letters + name for name in ("valid", "ready", *names)]
            found = {name: getattr(dut, f"{prefix}_{name}", None) for name in wanted}
            if found[f"{letters}valid"] is not None:
                self._ports[letters] = {name: port for name, port in found.items() if port is not None}
        assert self._ports, f"there is no port {prefix}_…valid"
        self._reset, self._active_low, self._resetting = getattr(dut, reset), active_low, False
        data = next(ports[f"{letters}data"] for letters, ports in self._ports.items() if f"{letters}data" in ports)
        lite = not any(f"{letters}len" in ports for letters, ports in self._ports.items())
        self.checker = Checker(prefix, len(data) // 8, lite=lite, **options)

    def sample(self) -> None:
        resets = bool(int(self._reset.value)) != self._active_low
        wires: dict[str, int | None] = {}
        for letters, ports in self._ports.items():
            valid = _number(ports[f"{letters}valid"])
            wires[f"{letters}valid"], wires[f"{letters}ready"] = valid, _number(ports[f"{letters}ready"])
            if valid:
                wires |= {name: _number(port) for name, port in ports.items()}
        # What a register is in the first cycle of a reset nobody knows.
        if not resets or self._resetting:
            self.checker.step(wires, reset=resets)
        self._resetting = resets

    def finish(self) -> None:
        self.checker.finish()


def _number(port: Any) -> int | None:
    value = port.value
    return int(value) if value.is_resolvable else None
