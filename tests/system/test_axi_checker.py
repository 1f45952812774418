# SPDX-License-Identifier: Apache-2.0
"""The protocol checker: sound traffic passes, and each rule finds its own breach."""

import re

import pytest

from sim.axi import RULES, AxiError, Checker

Wires = dict[str, int | None]
WIDTH = 4
"""Bytes of the bus."""
ADDRESS = {"addr": 0x100, "len": 1, "size": 2, "burst": 1, "id": 0, "lock": 0, "cache": 3, "prot": 0}
WHOLE = (1 << WIDTH) - 1


def cycle(ready: str = "ar r aw w b", **offers: dict[str, int | None]) -> Wires:
    """The wires of a cycle: what each channel offers, and which are ready."""
    wires: Wires = {}
    for letters in ("ar", "r", "aw", "w", "b"):
        wires |= {f"{letters}valid": int(letters in offers), f"{letters}ready": int(letters in ready.split())}
        wires |= {letters + name: value for name, value in offers.get(letters, {}).items()}
    return wires


def address(**changes: int | None) -> dict[str, int | None]:
    return ADDRESS | changes


def data(last: int = 0, word: int = 5, **changes: int | None) -> dict[str, int | None]:
    return {"data": word, "last": last, "id": 0, "resp": 0} | changes


def written(last: int = 0, strb: int = WHOLE) -> dict[str, int | None]:
    return {"data": 7, "strb": strb, "last": last}


def answer(**changes: int | None) -> dict[str, int | None]:
    return {"id": 0, "resp": 0} | changes


def passes(cycles: list[Wires], finish: bool = True, **options: int) -> None:
    checker = Checker("port", WIDTH, **options)  # type: ignore[arg-type]
    for wires in cycles:
        checker.step(wires)
    if finish:
        checker.finish()


def breaks(rule: str, channel: str, cycles: list[Wires], **options: int) -> None:
    """The last of the cycles, or the end behind it, breaks the rule."""
    sentence = re.escape(f"port, cycle {len(cycles)}, channel {channel}: {RULES[rule]} ({rule}): ")
    with pytest.raises(AxiError, match=f"^{sentence}"):
        passes(cycles, **options)


READ = [cycle(ar=address()), cycle(r=data()), cycle(r=data(1))]
WRITE = [cycle(aw=address(), w=written()), cycle(w=written(1)), cycle(b=answer())]


def test_sound_bursts_pass() -> None:
    passes(READ + WRITE + READ)
    passes([{**one, **{n: v for n, v in other.items() if n[0] in "wb" or n[:2] == "aw"}} for one, other in zip(
        READ, WRITE, strict=True)])  # fmt: skip


def test_offers_may_wait() -> None:
    waits = [cycle("", ar=address()), cycle("", ar=address()), cycle(ar=address()), cycle("", r=data())]
    passes([*waits, cycle(r=data()), cycle(), cycle(r=data(1))])


def test_bursts_may_be_outstanding_and_out_of_order_between_ids() -> None:
    asked = [cycle(ar=address(id=n, len=0)) for n in (0, 1, 0)]
    passes([*asked, *(cycle(r=data(1, id=n)) for n in (1, 0, 0))])
    asked = [cycle(aw=address(id=n, len=0), w=written(1)) for n in (2, 3)]
    passes([*asked, cycle(b=answer(id=3)), cycle(b=answer(id=2))])


def test_beats_of_two_ids_may_come_in_turn() -> None:
    passes([cycle(ar=address(id=n)) for n in (0, 1)] + [cycle(r=data(last, id=n)) for last in (0, 1) for n in (0, 1)])


def test_data_may_come_before_their_address_where_that_is_allowed() -> None:
    early = [cycle(w=written()), cycle(w=written(1)), cycle(w=written(1)), cycle(aw=address())]
    passes([*early, cycle(b=answer(), aw=address(len=0)), cycle(b=answer())], data_first=True)


def test_errors_are_answers() -> None:
    passes([cycle(ar=address(len=0)), cycle(r=data(1, resp=2))])
    passes([*WRITE[:2], cycle(b=answer(resp=3))])


def test_nothing_is_asked_of_a_channel_that_is_not_there() -> None:
    passes([{name: value for name, value in wires.items() if name[0] == "a" or name[0] == "r"} for wires in READ])


OFFERS: dict[str, tuple[list[Wires], dict[str, int | None]]] = {
    "ar": ([], address()),
    "aw": ([], address()),
    "w": (WRITE[:1], written()),
    "r": (READ[:1], data()),
    "b": (WRITE[:2], answer()),
}
"""Of each channel, what comes before, and what it then may offer."""


@pytest.mark.parametrize(("letters", "before", "offer"), [(name, *offer) for name, offer in OFFERS.items()])
def test_an_offer_stands(letters: str, before: list[Wires], offer: dict[str, int | None]) -> None:
    others = " ".join(OFFERS.keys() - {letters})
    waits = [*before, cycle(others, **{letters: offer})]
    breaks("stands", letters, [*waits, cycle(others)])
    breaks("patience", letters, waits + 3 * waits[-1:], patience=3)
    for name, value in offer.items():
        changed = offer | {name: (value or 0) ^ 1}
        breaks("steady", letters, [*waits, cycle(others, **{letters: changed})])


@pytest.mark.parametrize("letters", ["ar", "aw"])
@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
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
    ],
)
def test_bursts_are_legal(letters: str, rule: str, wrong: dict[str, int | None]) -> None:
    breaks(rule, letters, [cycle(), cycle("", **{letters: address(**wrong)})], finish=0)


@pytest.mark.parametrize(
    "right",
    [
        {"addr": 0x0FF8},
        {"addr": 0x0C00, "len": 255},
        {"addr": 0x0FFE, "size": 0},
        {"addr": 0x0FFE, "size": 1, "len": 0},
        {"burst": 0, "len": 15, "addr": 0x0FFC},
        {"burst": 2, "len": 15, "addr": 0x0FFC},
        {"cache": 0b1111},
        {"lock": 1},
    ],
)
def test_legal_bursts_are_not_refused(right: dict[str, int | None]) -> None:
    passes([cycle(ar=address(**right))], finish=False)


def test_data_follow_their_address() -> None:
    breaks("ahead", "w", [cycle(), cycle(w=written())])
    breaks("ahead", "w", [*WRITE, cycle(w=written())])
    one = cycle("w", aw=address(len=0), w=written(1))
    breaks("ahead", "w", [one, one])
    breaks("read", "r", [cycle(r=data())])
    breaks("read", "r", [cycle(ar=address(), r=data())])
    breaks("read", "r", [READ[0], cycle(r=data(id=1))])
    breaks("read", "r", [*READ, cycle("", r=data(1))])


def test_last_is_at_the_last_beat() -> None:
    breaks("wlast", "w", [cycle(aw=address(), w=written(1))])
    breaks("wlast", "w", [cycle(aw=address()), cycle(w=written()), cycle(w=written())])
    breaks("wlast", "w", [cycle(w=written()), cycle(w=written(1)), cycle(aw=address(len=2))], data_first=1)
    breaks("rlast", "r", [READ[0], cycle(r=data(1))])
    breaks("rlast", "r", [*READ[:2], cycle("", r=data())])


STROBES: list[tuple[dict[str, int | None], list[int]]] = [
    (address(len=2, size=0, addr=0x102), [4, 8, 1]),
    (address(len=1, size=1, addr=0x103), [8, 3]),
    (address(len=1, addr=0x101), [14, 15]),
    (address(len=2, size=1, burst=0, addr=0x102), [12, 12, 12]),
    (address(len=3, size=0, burst=2, addr=0x102), [4, 8, 1, 2]),
]
"""Bursts with the lanes of each of their beats."""


@pytest.mark.parametrize(("asked", "lanes"), STROBES)
def test_strobes_are_where_the_beat_is(asked: dict[str, int | None], lanes: list[int]) -> None:
    beats = [cycle(w=written(int(n == len(lanes) - 1), lane)) for n, lane in enumerate(lanes)]
    passes([cycle(aw=asked), *beats, cycle(b=answer())])
    for n, lane in enumerate(lanes):
        for strobe in range(WIDTH):
            if not lane >> strobe & 1:
                wrong = cycle(w=written(int(n == len(lanes) - 1), lane | 1 << strobe))
                breaks("strobes", "w", [cycle(aw=asked), *beats[:n], wrong])


def test_answers_follow_all_data() -> None:
    breaks("answer", "b", [cycle(b=answer())])
    breaks("answer", "b", [WRITE[0], cycle(b=answer())])
    breaks("answer", "b", [WRITE[0], cycle(w=written(1), b=answer())])
    breaks("answer", "b", [cycle("w", aw=address(), w=written()), cycle("w", aw=address(), w=written(1)), cycle(
        b=answer(), aw=address())])  # fmt: skip
    breaks("answer", "b", [*WRITE[:2], cycle(b=answer(id=1))])
    breaks("answer", "b", [*WRITE, cycle("", b=answer())])


def test_exclusive_answers_are_for_exclusive_accesses() -> None:
    breaks("okay", "b", [*WRITE[:2], cycle(b=answer(resp=1))])
    breaks("okay", "r", [READ[0], cycle(r=data(resp=1))])
    passes([cycle(ar=address(lock=1)), cycle(r=data(resp=1)), cycle(r=data(1, resp=1))])


def test_everything_is_known() -> None:
    breaks("unknown", "ar", [cycle() | {"arvalid": None}])
    breaks("unknown", "b", [cycle() | {"bready": None}])
    breaks("unknown", "aw", [cycle(aw=address(len=None))])


def test_nothing_is_owed_at_the_end() -> None:
    breaks("owed", "r", READ[:2])
    breaks("owed", "w", WRITE[:1])
    breaks("owed", "b", WRITE[:2])
    breaks("owed", "aw", [cycle("w", aw=address(len=0), w=written(1))])


def test_valid_is_low_in_reset() -> None:
    checker = Checker("port", WIDTH)
    checker.step(cycle("", ar=address()))
    checker.step(cycle(), reset=True)
    checker.step(cycle())
    checker.step(READ[0])
    checker.step(cycle(), reset=True)
    checker.finish()
    with pytest.raises(AxiError, match=r"cycle 6, channel aw: valid must be low in reset \(reset\)"):
        checker.step(cycle(aw=address()), reset=True)


LITE_READ = [cycle(ar={"addr": 0xFFE, "prot": 0}), cycle(r={"data": 1, "resp": 0})]
LITE_WRITE = [cycle(aw={"addr": 8, "prot": 0}, w={"data": 1, "strb": 15}), cycle(b={"resp": 0})]


def test_lite_is_one_beat() -> None:
    passes([*LITE_READ, *LITE_WRITE], lite=1)
    breaks("read", "r", [*LITE_READ, LITE_READ[1]], lite=1)
    breaks("answer", "b", [*LITE_WRITE, LITE_WRITE[1]], lite=1)
    breaks("okay", "b", [LITE_WRITE[0], cycle(b={"resp": 1})], lite=1)


def test_bursts_are_counted() -> None:
    checker = Checker("port", WIDTH)
    for wires in READ + WRITE + WRITE:
        checker.step(wires)
    assert checker.bursts == {"ar": 1, "aw": 2}
