# SPDX-License-Identifier: Apache-2.0
"""Multipliers by what they compute show what those show that are built, under any enables and pauses."""

from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring

from hdl.arith.multiply import MultiplyAdd
from hdl.arith.requantise import Requantiser
from hdl.execute.power import Power
from tests.behaviour import Behaviour, Beside, agree
from tests.planted import Planted

CYCLES = 3000
MULTIPLY_ADDS = {
    "signed": {"a_bits": 25, "b_bits": 25, "signed_b": True, "bits": 50},
    "narrower": {"a_bits": 25, "b_bits": 25, "signed_b": True, "bits": 48},
    "summands": {"a_bits": 16, "b_bits": 9, "addends": (26, 25), "constant": 1, "bits": 27},
    "constant": {"a_bits": 18, "b_bits": 17, "constant": 65536, "bits": 35},
    "small": {"a_bits": 2, "b_bits": 1, "constant": -3, "bits": 4},
}
REQUANTISERS = {
    "of sums": {"acc_bits": 33},
    "of narrow sums": {"acc_bits": 16, "out_bits": 16},
    "of norms": {"acc_bits": 16, "signed_mul": True, "offset_bits": 32},
    "far": {"acc_bits": 23, "max_shift": 47},
}


def filled(m: Module, enable: Value) -> Signal:
    """Whether the last of the stages has what came in front of the first."""
    there = Signal(len(enable))
    for stage, enters in enumerate(enable):
        with m.If(enters):
            m.d.sync += there[stage].eq(there[stage - 1] if stage else 1)
    return there[-1]


def compare(*names: str) -> Callable[[Module, wiring.Component, wiring.Component], tuple[Value, Value]]:
    """Outputs in a pipeline with enables, as soon as it is filled."""

    def same(m: Module, one, other) -> tuple[Value, Value]:
        there = filled(m, one.enable)
        equal = Cat(getattr(one, name) == getattr(other, name) for name in names).all()
        return equal | ~there, there

    return same


def streams(m: Module, one, other) -> tuple[Value, Value]:
    equal = (one.o.valid == other.o.valid) & (one.i.ready == other.i.ready)
    return equal & ((one.o.payload == other.o.payload) | ~one.o.valid), one.o.valid


def given(pair: Beside, shares: dict[str, float], seed: int = 1) -> dict[str, list[int]]:
    """Random bits for each input, often all of them or none; those in `shares` are mostly 1."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, width in pair.widths.items():
        ends = [0, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1]
        bits = rng.random((CYCLES, width)) < shares.get(name, 0.5)
        words = [sum(int(bit) << n for n, bit in enumerate(row)) for row in bits]
        pick = rng.random(CYCLES) < (0.0 if name in shares else 0.3)
        found[name] = [ends[rng.integers(4)] if at_end else word for word, at_end in zip(words, pick, strict=True)]
    return found


def beside(one: wiring.Component, other: wiring.Component, how, **faults) -> Beside:
    described = Behaviour(other)
    return Beside(one, Planted(described, **faults) if faults else described, how)


@pytest.mark.parametrize("shape", MULTIPLY_ADDS)
def test_products_with_summands_agree(shape: str) -> None:
    pair = beside(*(MultiplyAdd(**MULTIPLY_ADDS[shape]) for _ in range(2)), compare("o"))
    assert agree(pair, "multiply_adds", **given(pair, {"enable": 0.9})) > CYCLES // 2


@pytest.mark.parametrize("shape", REQUANTISERS)
def test_requantisers_agree(shape: str) -> None:
    pair = beside(*(Requantiser(**REQUANTISERS[shape]) for _ in range(2)), streams)
    assert agree(pair, "requantisers", **given(pair, {"i__valid": 0.8, "o__ready": 0.8})) > CYCLES // 2


def test_powers_agree() -> None:
    pair = beside(*(Power(21) for _ in range(2)), compare("power", "code"))
    assert agree(pair, "powers", **given(pair, {"enable": 0.9, "kept": 0.9})) > CYCLES // 2


@pytest.mark.parametrize(
    ("one", "other", "how", "shares"),
    [
        (
            MultiplyAdd(a_bits=9, b_bits=9, bits=18),
            MultiplyAdd(a_bits=9, b_bits=9, constant=1, bits=18),
            compare("o"),
            {"enable": 0.9},
        ),
        (Requantiser(acc_bits=20), Requantiser(acc_bits=20), streams, {"i__valid": 0.8, "o__ready": 0.8}),
    ],
    ids=["another constant", "another multiplier"],
)
def test_others_do_not_agree(one, other, how, shares) -> None:
    faults = {"mul": lambda mul: mul ^ Const(1, len(mul))} if isinstance(one, Requantiser) else {}
    pair = beside(one, other, how, **faults)
    with pytest.raises(AssertionError, match="differ"):
        agree(pair, "others", **given(pair, shares))
