# SPDX-License-Identifier: Apache-2.0
"""Proofs: a word leaves a queue once, as it came, in its order, and soon."""

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hdl.system.queues import WordQueue
from tests.formal import contract
from tests.formal.prove import check
from tests.planted import Planted

DEPTH, BITS = 3, 2


class QueueClaim(contract.Claim):
    """Words leave in the order in which they came, each once; what is offered stands; while words are taken, none waits
    more than two cycles; one that comes finds a place, while there are fewer than `DEPTH` of them."""

    def __init__(self, dut: wiring.Component):
        super().__init__(dut, {"picked": In(1)})

    def claim(self, m: Module, dut: wiring.Component) -> None:
        enters, leaves = contract.fires(dut.i), contract.fires(dut.o)
        contract.claim_order(
            m, enters=enters, expected=dut.i.payload, leaves=leaves, result=dut.o.payload, picked=self.picked
        )
        owed = contract.claim_balance(m, enters=enters, leaves=leaves)
        contract.claim_progress(m, owed=owed, leaves=leaves, can_leave=dut.o.ready, bound=2)
        m.d.comb += [
            Assume(~dut.clear),
            Assert(contract.held(m, dut.o)),
            Assert(dut.i.ready | (owed >= DEPTH)),
        ]


def queue() -> WordQueue:
    return WordQueue(DEPTH, BITS)


@pytest.mark.formal
def test_no_word_is_lost_or_doubled(tmp_path: Path) -> None:
    assert check(QueueClaim(queue()), folder=tmp_path, depth=14, gates=True)


@pytest.mark.formal
@pytest.mark.parametrize(
    "fault",
    [
        {"o__ready": lambda ready: Const(1)},
        {"o__payload": lambda o: Cat(o[1], o[0])},
        {"o__valid": lambda valid: Const(0)},
        {"i__ready": lambda ready: Const(1)},
        {"i__ready": lambda ready: Const(0)},
        {"clear": lambda clear: Const(1)},
    ],
    ids=["lost while it waits", "exchanged", "never", "not stored", "no place", "cleared"],
)
def test_a_wrong_queue_is_refuted(fault, tmp_path: Path) -> None:
    assert not check(QueueClaim(Planted(queue(), **fault)), folder=tmp_path, depth=10, gates=True)
