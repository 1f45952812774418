# SPDX-License-Identifier: Apache-2.0
"""Every piece of a whole accelerator, mapped onto the 45 nm cells, does in windows of a run what its RTL does; and what
differs by one gate, or one register, is found."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from config.errors import Refusal
from config.presets import systems
from foreshift.power import WINDOWS
from hdl.system.accelerator import Accelerator
from sim import accelerator
from sim.emitted import emitted
from sim.stack import random_steps
from synth import ledger, liberty, library, pieces, replay, system
from synth.gateprogram import compile_netlist
from synth.layers import PHASES, Probed, account, from_json
from synth.replay import DifferenceError

METHOD = "spls"
SMALL = "spls_keeper"
"""A piece with registers that is quickly replayed."""


@pytest.fixture(scope="module")
def done():
    """A layer through the RTL, with its record; the pieces' netlists; the account."""
    config = systems("tiny")[METHOD]
    cells = liberty.read(library.liberty())
    text = emitted(lambda: Accelerator(config), config.name, config)
    design = pieces.Design(text, config.name, pieces.shares(system.BLOCKS))
    (mapped,) = pieces.map_all([design], library.liberty())
    probed = Probed(text, design, mapped, cells)
    steps = random_steps(config, "post", config.tokens, 2, seed=3)
    laid = accelerator.lay_out(config, steps)
    ended = accelerator.run(config, laid, model=probed.model, windows=WINDOWS["tiny"])
    accelerator.check(steps, laid, ended)
    # Every netlist is held against its RTL here.
    found = account(probed, config, steps, ended, 2.0)
    return SimpleNamespace(probed=probed, ended=ended, record=ended.record, account=found, cells=cells)


def replayed(done, piece, name=SMALL):
    (activity,) = replay.replay(piece, done.probed.paths[name], done.record, done.cells, [range(done.record.count)])
    return activity


def test_every_block_has_pieces_and_every_pin_was_observed(done):
    found = done.account
    assert found.annotated == 1.0
    assert set(found.sizes) == set(done.probed.design.counts)
    blocks = pieces.shares(system.BLOCKS)
    assert {blocks[piece] for piece in found.sizes} == set(system.BLOCKS)
    assert all(found.windows[phase] for phase in ("generation", "attention", "projection", "ffn"))
    assert set(found.cycles) == set(PHASES)


def test_windows_are_where_they_were_asked_for(done):
    """By the accelerator's own count of cycles, and closer to each other in attention."""
    path, windows = done.probed.paths["counters"][0], WINDOWS["tiny"]
    bits = done.record.bits(f"{path}.cycles").astype(np.int64)
    cycles = bits @ (1 << np.arange(bits.shape[-1], dtype=np.int64))
    runs = (np.diff(cycles, axis=1) == 1).all(axis=1)
    assert np.count_nonzero(~runs) < 4  # before the start, and behind the end
    distances = np.diff(cycles[runs, 0])
    assert set(distances.tolist()) == {windows.closer, windows.every}
    attends = done.record.bits(f"{path}.count_cycles_attention")[runs][1:, 0, 0]
    assert attends[distances == windows.closer].any()


def test_nothing_moves_in_what_the_phase_has_no_use_for(done):
    """Registers behind clock gates rest; arrays work in the phases that they are made for."""
    spent = done.account.spent
    for piece in ("dot_line", "pe_line"):
        assert spent["ffn"][piece].switching > 4 * spent["load"][piece].switching
    assert spent["attention"]["power"].switching > 4 * spent["ffn"]["power"].switching


def test_a_gate_of_another_kind_is_found(done):
    piece = done.probed.pieces[SMALL]
    groups = dict(piece.netlist.groups)
    taken = groups.pop("XOR2_X1")
    turned = replace(taken, kind="XNOR2_X1", pins={"ZN" if pin == "Z" else pin: n for pin, n in taken.pins.items()})
    groups["XNOR2_X1 turned"] = turned
    cells = replace(done.cells, cells={**done.cells.cells, "XNOR2_X1 turned": done.cells.cells["XNOR2_X1"]})
    netlist = replace(piece.netlist, groups=groups)
    wrong = replace(piece, netlist=netlist, program=compile_netlist(netlist, cells))
    with pytest.raises(DifferenceError, match=r"of the netlist must be what it is in the RTL, and is not"):
        replay.replay(wrong, done.probed.paths[SMALL], done.record, cells, [])


def test_registers_begin_as_they_are_in_the_rtl(done):
    piece = done.probed.pieces[SMALL]
    wrong = replace(piece, states=[(place, 1 - flip) for place, flip in piece.states])
    with pytest.raises(DifferenceError):
        replayed(done, wrong)


def test_inputs_that_are_others_are_found(done):
    piece = done.probed.pieces[SMALL]
    places = list(piece.drives.values())
    with pytest.raises(DifferenceError):
        replayed(done, replace(piece, drives=dict(zip(piece.drives, [*places[1:], places[0]], strict=True))))


def test_activity_is_the_mean_of_all_instances_and_windows(done):
    """Toggles of an output, counted in the record itself."""
    piece = done.probed.pieces[SMALL]
    activity = replayed(done, piece)
    paths = done.probed.paths[SMALL]
    for port, places in piece.shows.items():
        (name, at), *_ = places
        bits = np.concatenate([done.record.bits(f"{path}.{name}")[:, :, at] for path in paths])
        net = piece.netlist.ports[port].nets[0]
        assert activity.toggles[net] == pytest.approx(np.mean(bits[:, 1:] != bits[:, :-1]))
        assert activity.high[net] == pytest.approx(np.mean(bits[:, 1:]))


def test_memories_are_written_in_some_cycles_only(done):
    """Words of tiles that array 1 keeps: what is taken for the enable is no constant, as data and clock would be."""
    piece = done.probed.pieces["dot_tiles"]
    activity = replayed(done, piece, "dot_tiles")
    assert any(0.0 < activity.high[memory.writes[0]] < 1.0 for memory in piece.memories)


def test_an_account_is_what_it_was_when_it_was_kept(done):
    assert from_json(done.account.as_json()) == done.account


def test_a_ledger_has_all_of_it(done):
    found = ledger.ledger(done.account, done.cells)
    whole = done.account.counters["CYCLES"]
    assert found.cycles == whole / 2
    spent = sum(
        (each.cells + each.memories) * done.account.cycles[phase]
        for phase, of in done.account.spent.items()
        for each in of.values()
    )
    known = sum(done.account.cycles[phase] for phase in done.account.spent)
    beside = sum(found.lines[name].total for name in ledger.BESIDE)
    assert found.chip + found.lines["DRAM"].total - beside == pytest.approx(spent * whole / known / 2 * 1e-6)
    assert 0 < found.attention < found.chip
    assert 0 < found.prediction < 1


def test_a_register_without_a_name_is_refused(done):
    mapped = SimpleNamespace(piece=SMALL, modules=_renamed(done, SMALL))
    with pytest.raises(Refusal, match=f"a register of {SMALL} must have a name in the RTL, and has none"):
        replay.piece_of(mapped, done.probed.design, done.cells)


def _renamed(done, piece):
    mapped = done.probed.mapped[piece]
    kept = {name: net for name, net in mapped.body["netnames"].items() if name in mapped.body["ports"]}
    return {**mapped.modules, pieces.named(piece): {**mapped.body, "netnames": kept}}
