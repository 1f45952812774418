# SPDX-License-Identifier: Apache-2.0
"""Proofs: the dispatcher loses, doubles and starves no item; a bank reads one row and a line takes one; no line waits
for ever. The units' Verilog is lint-clean."""

import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from config.items import PATIENCE, ItemsConfig
from hdl.emit import verilog_of
from hdl.execute import gather_line
from hdl.execute.banks import read_layout
from hdl.execute.dispatch import Dispatcher
from hdl.execute.gather import Gather
from hdl.execute.gather_line import GatherLine, pick_layout, wave_layout
from hdl.execute.items import ItemReader, item_layout
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

WAIVERS = Path(__file__).resolve().parents[2] / "hdl/lint/waivers.vlt"
TINY = ItemsConfig(lines=2, lanes=1, banks=2, tokens=2, heads=1, chunk=2, record=2, sets=1, ports=1, queue=4)


class DispatchClaim(contract.Claim):
    """Items leave in the order in which they came, each to one line that has room, each of the payload that it had;
    where a line has room, one that waits leaves within `bound` cycles."""

    def __init__(self, dut: wiring.Component, bound: int):
        self._bound = bound
        super().__init__(dut, {"picked": In(1)})

    def claim(self, m: Module, dut: wiring.Component) -> None:
        leaves = dut.give.any() & dut.advance
        enters = contract.fires(dut.i)
        m.d.comb += [
            Assert((dut.give & ~dut.room) == 0),
            Assert((dut.give & (dut.give - 1)[: len(dut.give)]) == 0),
            Assume(self.look.any()),
        ]
        contract.claim_order(
            m, enters=enters, expected=Value.cast(dut.i.payload), leaves=leaves, result=Value.cast(dut.items[0]),
            picked=self.picked,
        )  # fmt: skip
        owed = contract.claim_balance(m, enters=enters, leaves=leaves)
        can = dut.room.any() & dut.enable & dut.advance
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=can, bound=self._bound)


@pytest.mark.formal
def test_no_item_is_lost_doubled_or_starved(tmp_path: Path) -> None:
    assert check(DispatchClaim(Dispatcher(TINY), 2), folder=tmp_path, depth=10, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault",
    [
        {"give": lambda give: give & 1},
        {"give": lambda give: Mux(give.any(), Const(3, 2), 0)},
        {"i__ready": lambda ready: Const(1)},
        {"room": lambda room: Const(3, 2)},
    ],
    ids=["lost", "doubled", "overflow", "no room"],
)
def test_a_wrong_dispatcher_is_refuted(fault, tmp_path: Path) -> None:
    dut = Planted(Dispatcher(TINY), **fault)
    assert not check(DispatchClaim(dut, 2), folder=tmp_path, depth=10, gates=True)


class MarkedClaim(contract.Claim):
    """Of several queues. One item, of head 1, among any number of others, of head 0: it leaves once, for a line that
    has room, as it came; in dynamic allocation, no more than `overtakers` that came later leave before it; and it has
    left when a line that it may go to has had room for `bound` cycles."""

    def __init__(self, dut: wiring.Component, config: ItemsConfig, *, overtakers: int | None, bound: int):
        self._config, self._overtakers, self._bound = config, overtakers, bound
        super().__init__(dut)

    def claim(self, m: Module, dut: wiring.Component) -> None:
        config, item = self._config, dut.i.payload
        enters, came, gone = contract.fires(dut.i) & (item.head == 1), Signal(), Signal()
        given = dut.give & dut.advance.replicate(config.lines)
        words = [dut.items[line // config.group] for line in range(config.lines)]
        marked = Cat(word.head == 1 for word in words) & given
        value, found = Signal(len(Value.cast(item))), Signal(5)
        inside, left, leaving = Signal(5), Signal(5), sum(given)
        m.d.comb += [
            Assert((dut.give & ~dut.room) == 0),
            Assume(~(enters & came)),
            Assert(~marked.any() | (came & ~gone)),
            Assert((marked & (marked - 1)[: len(marked)]) == 0),
        ]
        for line, word in enumerate(words):
            m.d.comb += Assert(~marked[line] | (Value.cast(word) == value))
        m.d.sync += [inside.eq(inside + contract.fires(dut.i) - leaving), gone.eq(gone | marked.any())]
        with m.If(enters):
            m.d.sync += [came.eq(1), value.eq(item), found.eq(inside - leaving)]
        with m.If(came):
            m.d.sync += left.eq(left + leaving)
        if self._overtakers is not None:
            # Of all that leave while it waits, those beyond the ones that it found are overtakers.
            waits = came & ~gone & ~marked.any()
            m.d.comb += Assert(~waits | (left + leaving <= found + self._overtakers))
        self._claim_reached(m, dut, came & ~gone, marked, value)

    def _claim_reached(self, m: Module, dut: wiring.Component, waits: Value, marked: Value, value: Value) -> None:
        config, waited = self._config, Signal(6)
        if config.allocation == "dynamic":
            look = Signal(config.queues, init=1)
            with m.If(dut.advance):
                m.d.sync += look.eq(look.rotate_left(1))
            m.d.comb += Assume(self.look == look)
            room = dut.room[0]
        else:
            row = data.View(item_layout(config), value).row
            room = dut.room.bit_select(row[: (config.lines - 1).bit_length()], 1)
            for line in range(config.lines):
                m.d.comb += Assert(~dut.give[line] | (dut.items[line].row % config.lines == line))
        with m.If(waits & dut.enable & dut.advance & room):
            m.d.sync += waited.eq(waited + 1)
        with m.Elif(waits & ~(room & dut.enable)):
            m.d.sync += waited.eq(0)
        m.d.comb += Assert(~waits | marked.any() | (waited < self._bound))


QUEUES = {
    allocation: ItemsConfig(lines=2, lanes=1, banks=2, tokens=2, heads=2, chunk=2, record=2, sets=1, ports=2, queue=4,
                            allocation=allocation) for allocation in ("dynamic", "static")
}  # fmt: skip
OVERTAKERS = 2
"""What the other queue takes while this one fills up: `queue` - `queue` / `ports`."""


def marked(dut: wiring.Component, config: ItemsConfig) -> MarkedClaim:
    # Behind one other at the most, each as late as the queues take turns.
    overtakers = OVERTAKERS if config.allocation == "dynamic" else None
    return MarkedClaim(dut, config, overtakers=overtakers, bound=2 * config.queues)


@pytest.mark.formal
@pytest.mark.parametrize("allocation", QUEUES)
def test_an_item_of_several_queues_is_given_once_and_in_time(allocation: str, tmp_path: Path) -> None:
    config = QUEUES[allocation]
    assert check(marked(Dispatcher(config), config), folder=tmp_path, depth=12, gates=True)


class Greedy(Dispatcher):
    """Items enter the first queue that has room."""

    def _turn(self, m: Module) -> Value:
        turn = Signal(2)
        levels = [Signal(2, name=f"level{n}") for n in range(2)]
        m.d.comb += turn.eq(Mux(levels[0] < 2, 1, 2))
        look = self.look
        for n, level in enumerate(levels):
            gives = Cat(self.give[g] & look[(g - n) % 2] for g in range(2)).any() & self.advance
            m.d.sync += level.eq(level + (self.i.valid & self.i.ready & turn[n]) - gives)
        return turn


WRONG = {
    "lost": lambda config: Planted(Dispatcher(config), give=lambda give: give & 1),
    "doubled": lambda config: Planted(Dispatcher(config), give=lambda give: Mux(give.any(), Const(3, 2), 0)),
    "queue 1 looks away": lambda config: Planted(Dispatcher(config), look=lambda look: Const(1, 2)),
    "first queue with room": Greedy,
}


@pytest.mark.formal
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_dispatcher_of_several_queues_is_refuted(wrong: str, tmp_path: Path) -> None:
    config = QUEUES["dynamic"]
    assert not check(marked(WRONG[wrong](config), config), folder=tmp_path, depth=14, gates=True)


CHOICE = ItemsConfig(lines=2, lanes=1, banks=2, tokens=8, heads=2, chunk=4, record=2, sets=2, ports=1, queue=4)
"""Two keys of an item in each bank, and rows of other heads and chunks that it does not want."""


class BankClaim(contract.Claim):
    """A slot that passes a line: it takes one bank or none, only one that is free, kept for it, or reads what it wants;
    what others have taken stays as it is; and it takes one if it has a key in the bank that it may count on."""

    def claim(self, m: Module, dut: GatherLine) -> None:
        own, before = self.own, self.i
        width = CHOICE.banks
        was, view = Signal(wave_layout(CHOICE)), dut.i
        moved, counted = Signal(), Signal(width)
        m.d.sync += [was.eq(before), moved.eq(self.advance), counted.eq(own)]
        m.d.comb += [
            Assume((view.free & view.busy) == 0),
            Assume((own & (own - 1)[:width]) == 0),
            Assume(own.any()),
            # A dispatcher gives to a line with room only, and items with as many keys as they say.
            Assume(~self.give | dut.room),
            Assume(dut.item.count == sum(dut.item.keys)),
            Assume(dut.item.count != 0),
        ]
        pick = dut.pick.bank
        with m.If(moved):
            m.d.comb += [
                Assert((pick & (pick - 1)[:width]) == 0),
                Assert(dut.pick.valid == pick.any()),
                Assert((pick & ~was.free & ~was.busy & ~counted) == 0),
                Assert(dut.o.busy == (was.busy | pick)),
                Assert((dut.o.free & dut.o.busy) == 0),
                Assert((dut.o.free & ~was.free & ~counted) == 0),
            ]
            for bank in range(width):
                reads = (each.reads[bank].as_value() for each in (dut.o, was))
                m.d.comb += Assert(~was.busy[bank] | ~(next(reads) ^ next(reads)).any())
        self._claim_keys(m, dut, moved)
        self._claim_fair(m, dut)

    def _claim_keys(self, m: Module, dut: GatherLine, moved: Value) -> None:
        """Of an item, the only one of row 1: each pick is of one of its keys that was not taken before, which is what
        the bank reads; the first and the last one say so."""
        item, came, fresh = Signal(item_layout(CHOICE)), Signal(), Signal()
        left = Signal(CHOICE.chunk)
        enters = self.give & self.advance & (dut.item.row == 1)
        m.d.comb += Assume(~enters | ~came)
        with m.If(enters):
            m.d.sync += [came.eq(1), fresh.eq(1), item.eq(dut.item), left.eq(dut.item.keys)]
        takes, reads = Signal(), Signal(read_layout(CHOICE))
        m.d.comb += [
            takes.eq(moved & dut.pick.valid & (dut.pick.row == 1)),
            reads.eq(Mux(dut.pick.bank[0], dut.o.reads[0].as_value(), dut.o.reads[1].as_value())),
        ]
        key = Signal(CHOICE.chunk)
        m.d.comb += key.eq(1 << Cat(dut.pick.bank[1], reads.place))
        with m.If(takes):
            m.d.sync += [left.eq(left & ~key), fresh.eq(0)]
            m.d.comb += [
                Assert((key & left).any()),
                Assert((reads.set == item.head) & (reads.chunk == item.chunk) & (dut.pick.head == item.head)),
                Assert(dut.pick.first == fresh),
                Assert(dut.pick.last == ((left & ~key) == 0)),
            ]

    def _claim_fair(self, m: Module, dut: GatherLine) -> None:
        """If its own bank is not busy and turns through all of them, a line has a key after as many slots as there are
        banks, from when it said that it waits."""
        width, waited, turns = CHOICE.banks, Signal(range(2 * CHOICE.banks + PATIENCE + 2)), Signal()
        before = Signal(width)
        with m.If(self.advance):
            m.d.sync += before.eq(self.own)
        m.d.comb += turns.eq(((self.own & dut.i.busy) == 0) & ((self.own == before.rotate_left(1)) | ~before.any()))
        holds = Signal(init=1)
        with m.If(self.advance & ~turns):
            m.d.sync += holds.eq(0)
        with m.If(self.advance):
            m.d.sync += waited.eq(Mux(dut.idle, 0, Mux(waited == 2 * width + PATIENCE, waited, waited + 1)))
        with m.If(dut.pick.valid | dut.idle):
            m.d.sync += waited.eq(0)
        m.d.comb += Assert(~holds | (waited <= width))


@pytest.mark.formal
def test_a_line_takes_one_bank_that_it_may_and_waits_for_none_for_ever(tmp_path: Path) -> None:
    assert check(BankClaim(GatherLine(CHOICE)), folder=tmp_path, depth=9, gates=True)


WAVE = wave_layout(CHOICE)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault",
    [
        {"own": lambda own: Const(0, 2)},
        {"i": lambda slot: Cat(Const(3, 2), slot[2:])},
        {"o": lambda slot: slot & ~(1 << WAVE["busy"].offset)},
        {"o": lambda slot: slot ^ 1 << WAVE["reads"].offset},
        {"pick": lambda pick: pick ^ 1 << pick_layout(CHOICE)["last"].offset},
    ],
    ids=["nothing kept", "taken twice", "forgotten", "another row read", "not the last"],
)
def test_a_wrong_line_is_refuted(fault, tmp_path: Path) -> None:
    assert not check(BankClaim(Planted(GatherLine(CHOICE), **fault)), folder=tmp_path, depth=9, gates=True)


@pytest.mark.formal
def test_a_line_that_takes_what_others_read_though_it_does_not_want_it_is_refuted(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gather_line, "_one_hot", lambda number, count: Const(-1, count))
    assert not check(BankClaim(GatherLine(CHOICE)), folder=tmp_path, depth=9, gates=True)


class WaitClaim(contract.Claim):
    """A line of the whole unit that has been given keys gets a row within `bound` cycles, whatever comes for the others
    and in whatever order, as long as all rows are taken at once."""

    def __init__(self, dut: Gather, bound: int):
        self._bound = bound
        super().__init__(dut)

    def claim(self, m: Module, dut: Gather) -> None:
        layout = item_layout(CHOICE)
        m.d.comb += [
            Assume(self.opens.all()),
            Assume(~dut.i.valid | ((dut.i.payload.count == sum(dut.i.payload.keys)) & dut.i.payload.keys.any())),
            *(Assume(o.ready) for o in dut.o),
        ]
        for line, o in enumerate(dut.o):
            owed, waited = Signal(range(4 * CHOICE.chunk), name=f"owed{line}"), Signal(6, name=f"waited{line}")
            item = data.View(layout, Value.cast(dut.items[line // CHOICE.group]))
            m.d.sync += owed.eq(owed + Mux(dut.given[line], item.count, 0) - o.valid)
            m.d.comb += [Assert(~o.valid | (owed != 0)), Assert((owed == 0) | (waited <= self._bound))]
            m.d.sync += waited.eq(Mux((owed != 0) & ~o.valid, waited + 1, 0))


# From being given until the line begins with it and until its row is out, and what docs/items.md says between.
LONGEST = 2 + CHOICE.latency + PATIENCE + CHOICE.lines + CHOICE.banks


@pytest.mark.formal
@pytest.mark.long
def test_no_line_waits_for_a_bank_for_ever(tmp_path: Path) -> None:
    assert check(WaitClaim(Gather(CHOICE), LONGEST), folder=tmp_path, depth=LONGEST + 6, gates=True)


@pytest.mark.formal
@pytest.mark.long
def test_a_unit_that_keeps_no_bank_is_refuted(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gather_line, "PATIENCE", 1 << 8)
    assert not check(WaitClaim(Gather(CHOICE), LONGEST), folder=tmp_path, depth=LONGEST + 6, gates=True)


@pytest.mark.formal
def test_offers_are_proved_to_stand(tmp_path: Path) -> None:
    """But for `clear`."""
    dut = Planted(ItemReader(TINY), clear=lambda clear: Const(0))
    assert check(contract.OfferClaim(dut, "o", "others"), folder=tmp_path, depth=8, gates=True)


UNITS = {
    "gather": lambda: Gather(ItemsConfig(lines=4, lanes=4, banks=8, tokens=32, chunk=32, ports=2, queue=16)),
    "gather_static": lambda: Gather(ItemsConfig(lines=2, lanes=1, banks=2, tokens=6, heads=1, chunk=2, record=2, sets=1,
                                                ports=1, queue=4, allocation="static")),
    "item_reader": lambda: ItemReader(ItemsConfig()),
}  # fmt: skip


@pytest.mark.parametrize("corners", [False, True], ids=["", "corners"])
def test_verilog_is_lint_clean(corners: bool, tmp_path: Path) -> None:
    units = {name: make() for name, make in UNITS.items()}
    for name, text in verilog_of(units, corners=corners).items():
        path = tmp_path / f"{name}.v"
        path.write_text(text)
        assert "\\" not in text, "names that Verilog reserves"
        command = ["verilator", "--lint-only", "-Wall", str(WAIVERS), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
