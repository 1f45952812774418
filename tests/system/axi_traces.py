# SPDX-License-Identifier: Apache-2.0
"""Recorded traffic of an AXI port of 4 bytes: sound, and with one breach of each rule at its end."""

from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 4
"""Bytes of the bus."""
Offer = dict[str, int | None]
Wires = dict[str, int | None]
CHANNELS = ("ar", "r", "aw", "w", "b")
ALL = " ".join(CHANNELS)
WHOLE = (1 << WIDTH) - 1


@dataclass(frozen=True)
class Trace:
    """cycles: values of the wires; `reset` is one of them. rule, channel: what the last cycle breaks, or the end behind
    it if the rule is `owed`; none if all is sound. settled: nothing is under way behind it."""

    name: str
    cycles: list[Wires]
    rule: str = ""
    channel: str = ""
    lite: bool = False
    data_first: bool = False
    patience: int | None = None
    settled: bool = True


def cycle(ready: str = ALL, **offers: Offer) -> Wires:
    """The wires of a cycle: what each channel offers, and which are ready."""
    wires: Wires = {"reset": 0}
    for letters in CHANNELS:
        wires |= {f"{letters}valid": int(letters in offers), f"{letters}ready": int(letters in ready.split())}
        wires |= {letters + name: value for name, value in offers.get(letters, {}).items()}
    return wires


def address(**changes: int | None) -> Offer:
    return {"addr": 0x100, "len": 1, "size": 2, "burst": 1, "id": 0, "lock": 0, "cache": 3, "prot": 0} | changes


def data(last: int = 0, **changes: int | None) -> Offer:
    return {"data": 5, "last": last, "id": 0, "resp": 0} | changes


def written(last: int = 0, strb: int = WHOLE) -> Offer:
    return {"data": 7, "strb": strb, "last": last}


def answer(**changes: int | None) -> Offer:
    return {"id": 0, "resp": 0} | changes


READ = [cycle(ar=address()), cycle(r=data()), cycle(r=data(1))]
WRITE = [cycle(aw=address(), w=written()), cycle(w=written(1)), cycle(b=answer())]
BOTH = [
    cycle(ar=address(), aw=address(), w=written()),
    cycle(r=data(), w=written(1)),
    cycle(r=data(1), b=answer()),
]
RESET = cycle() | {"reset": 1}
LITE_READ = [cycle(ar={"addr": 0xFFE, "prot": 0}), cycle(r={"data": 1, "resp": 0})]
LITE_WRITE = [cycle(aw={"addr": 8, "prot": 0}, w={"data": 1, "strb": 15}), cycle(b={"resp": 0})]

OFFERS: dict[str, tuple[list[Wires], Offer]] = {
    "ar": ([], address()),
    "aw": ([], address()),
    "w": (WRITE[:1], written()),
    "r": (READ[:1], data()),
    "b": (WRITE[:2], answer()),
}
"""Of each channel, what comes before, and what it then may offer."""

ILLEGAL: list[tuple[str, Offer]] = [
    ("kind", {"burst": 3}),
    ("size", {"size": 3}),
    ("length", {"burst": 0, "len": 16}),
    ("length", {"burst": 2, "len": 2}),
    ("aligned", {"burst": 2, "addr": 0x102}),
    ("page", {"addr": 0x0FFC}),
    ("page", {"addr": 0x0C04, "len": 255}),
    ("page", {"addr": 0x0FFF, "size": 0}),
    ("cache", {"cache": 0b0100}),
    ("exclusive", {"lock": 1, "len": 2}),
    ("exclusive", {"lock": 1, "len": 16}),
    ("exclusive", {"lock": 1, "addr": 0x104}),
]
LEGAL: list[Offer] = [
    {"addr": 0x0FF8},
    {"addr": 0x0C00, "len": 255},
    {"addr": (1 << 64) - 8},
    {"addr": 0x0FFE, "size": 0},
    {"addr": 0x0FFE, "size": 1, "len": 0},
    {"burst": 0, "len": 15, "addr": 0x0FFC},
    {"burst": 2, "len": 15, "addr": 0x0FFC},
    {"cache": 0b1111},
    {"lock": 1},
]
STROBES: list[tuple[Offer, list[int]]] = [
    (address(len=2, size=0, addr=0x102), [4, 8, 1]),
    (address(len=1, size=1, addr=0x103), [8, 3]),
    (address(len=1, addr=0x101), [14, 15]),
    (address(len=2, size=1, burst=0, addr=0x102), [12, 12, 12]),
    (address(len=3, size=0, burst=2, addr=0x102), [4, 8, 1, 2]),
]
"""Bursts with the lanes of each of their beats."""


def sound() -> Iterator[Trace]:
    waits = [cycle("", ar=address()), cycle("", ar=address()), cycle(ar=address()), cycle("", r=data())]
    reads = [cycle(ar=address(id=n, len=0)) for n in (0, 1, 0)]
    writes = [cycle(aw=address(id=n, len=0), w=written(1)) for n in (2, 3)]
    early = [cycle(w=written()), cycle(w=written(1)), cycle(w=written(1)), cycle(aw=address())]
    turns = [cycle(ar=address(id=n)) for n in (0, 1)] + [cycle(r=data(last, id=n)) for last in (0, 1) for n in (0, 1)]
    exclusive = [cycle(ar=address(lock=1)), cycle(r=data(resp=1)), cycle(r=data(1, resp=1))]
    yield Trace("bursts one by one", READ + WRITE + READ)
    yield Trace("reads and writes at once", BOTH + BOTH)
    yield Trace("offers wait", [*waits, cycle(r=data()), cycle(), cycle(r=data(1))], patience=3)
    yield Trace("IDs out of order", [*reads, *(cycle(r=data(1, id=n)) for n in (1, 0, 0))])
    yield Trace("answers out of order", [*writes, cycle(b=answer(id=3)), cycle(b=answer(id=2))])
    yield Trace("beats of two IDs in turn", turns)
    yield Trace("early data", [*early, cycle(b=answer(), aw=address(len=0)), cycle(b=answer())], data_first=True)
    yield Trace("an error of a read", [cycle(ar=address(len=0)), cycle(r=data(1, resp=2))])
    yield Trace("an error of a write", [*WRITE[:2], cycle(b=answer(resp=3))])
    yield Trace("exclusive", exclusive)
    yield Trace("reset takes back all", [cycle("", ar=address()), RESET, READ[0], RESET, RESET, cycle(), *WRITE])
    yield Trace("lite", [*LITE_READ, *LITE_WRITE], lite=True)
    for n, right in enumerate(LEGAL):
        yield Trace(f"legal {n}", [cycle(ar=address(**right))], settled=False)
    for n, (asked, lanes) in enumerate(STROBES):
        yield Trace(f"strobes {n}", [cycle(aw=asked), *_beats(lanes), cycle(b=answer())])


def _beats(lanes: list[int]) -> list[Wires]:
    return [cycle(w=written(int(n == len(lanes) - 1), lane)) for n, lane in enumerate(lanes)]


def unsteady() -> Iterator[Trace]:
    for letters, (before, offer) in OFFERS.items():
        others = " ".join(set(CHANNELS) - {letters})
        waits = [*before, cycle(others, **{letters: offer})]
        yield Trace(f"{letters} falls", [*waits, cycle(others)], "stands", letters)
        yield Trace(f"{letters} waits", waits + 3 * waits[-1:], "patience", letters, patience=3)
        for name, value in offer.items():
            changed = offer | {name: (value or 0) ^ 1}
            yield Trace(f"{letters}{name}", [*waits, cycle(others, **{letters: changed})], "steady", letters)


def illegal() -> Iterator[Trace]:
    for letters in ("ar", "aw"):
        for n, (rule, wrong) in enumerate(ILLEGAL):
            offers = [cycle(), cycle("", **{letters: address(**wrong)})]
            yield Trace(f"{letters} {rule} {n}", offers, rule, letters)


def misplaced() -> Iterator[Trace]:
    one = cycle("w", aw=address(len=0), w=written(1))
    unaddressed = [cycle("w", aw=address(), w=written(last)) for last in (0, 1)]
    late = [cycle(w=written()), cycle(w=written(1)), cycle(aw=address(len=2))]
    for n, (rule, channel, cycles) in enumerate(
        [
            ("ahead", "w", [cycle(), cycle(w=written())]),
            ("ahead", "w", [*WRITE, cycle(w=written())]),
            ("ahead", "w", [one, one]),
            ("read", "r", [cycle(r=data())]),
            ("read", "r", [cycle(ar=address(), r=data())]),
            ("read", "r", [READ[0], cycle(r=data(id=1))]),
            ("read", "r", [*READ, cycle("", r=data(1))]),
            ("wlast", "w", [cycle(aw=address(), w=written(1))]),
            ("wlast", "w", [cycle(aw=address()), cycle(w=written()), cycle(w=written())]),
            ("rlast", "r", [READ[0], cycle(r=data(1))]),
            ("rlast", "r", [*READ[:2], cycle("", r=data())]),
            ("answer", "b", [cycle(b=answer())]),
            ("answer", "b", [WRITE[0], cycle(b=answer())]),
            ("answer", "b", [WRITE[0], cycle(w=written(1), b=answer())]),
            ("answer", "b", [*unaddressed, cycle(b=answer(), aw=address())]),
            ("answer", "b", [*WRITE[:2], cycle(b=answer(id=1))]),
            ("answer", "b", [*WRITE, cycle("", b=answer())]),
            ("okay", "b", [*WRITE[:2], cycle(b=answer(resp=1))]),
            ("okay", "r", [READ[0], cycle(r=data(resp=1))]),
            ("owed", "r", READ[:2]),
            ("owed", "w", WRITE[:1]),
            ("owed", "b", WRITE[:2]),
            ("owed", "aw", [one]),
            ("reset", "aw", [RESET, RESET, cycle(aw=address()) | {"reset": 1}]),
            ("reset", "r", [*READ[:1], RESET, RESET, cycle(r=data()) | {"reset": 1}]),
        ]
    ):
        yield Trace(f"{rule} {n}", cycles, rule, channel)
    yield Trace("wlast of early data", late, "wlast", "w", data_first=True)
    yield Trace("lite read", [*LITE_READ, LITE_READ[1]], "read", "r", lite=True)
    yield Trace("lite answer", [*LITE_WRITE, LITE_WRITE[1]], "answer", "b", lite=True)
    yield Trace("lite okay", [LITE_WRITE[0], cycle(b={"resp": 1})], "okay", "b", lite=True)


def stray_strobes() -> Iterator[Trace]:
    for asked, lanes in STROBES:
        for n, lane in enumerate(lanes):
            for strobe in range(WIDTH):
                if not lane >> strobe & 1:
                    wrong = cycle(w=written(int(n == len(lanes) - 1), lane | 1 << strobe))
                    cycles = [cycle(aw=asked), *_beats(lanes)[:n], wrong]
                    yield Trace(f"strobe {strobe} of beat {n}, {asked['size']}", cycles, "strobes", "w")


def unknown() -> Iterator[Trace]:
    """What a simulator of two values cannot show."""
    yield Trace("valid unknown", [cycle() | {"arvalid": None}], "unknown", "ar")
    yield Trace("ready unknown", [cycle() | {"bready": None}], "unknown", "b")
    yield Trace("length unknown", [cycle(aw=address(len=None))], "unknown", "aw")


TRACES = [*sound(), *unsteady(), *illegal(), *misplaced(), *stray_strobes()]
