# SPDX-License-Identifier: Apache-2.0
"""The emitted Verilog of softmax, LayerNorm, GELU and residual sums, in Verilator: rows of a golden MiniLM layer and
random ones, one behind the other, under every flow control."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from config import presets
from config.units import GeluConfig, LayerNormConfig, ResidualConfig, SoftmaxConfig
from golden.execute.gelu import gelu
from golden.execute.layer import add
from golden.execute.layer_norm import layer_norm
from golden.execute.scales import Scale
from golden.execute.softmax import softmax
from golden.models.minilm import tokens
from hdl.emit import verilog
from hdl.execute.units import unit_of
from sim import dot, execution, minilm, runner
from sim.execution import SoftmaxRow, Traffic
from sim.runner import SimulationError
from tests.arith import simulate
from tests.execute.test_layer_norm_unit import norm_of, rows_of
from tests.planted import Planted

LANES = 4
SMALL = {
    "softmax": SoftmaxConfig(LANES, tokens=128, score_bits=21),
    "layer_norm": LayerNormConfig(LANES, width=384),
    "gelu": GeluConfig(LANES),
    "residual": ResidualConfig(LANES),
}
SENTENCE = "The cat saw the mouse, and then it ran."
FLOWS = list(dot.FLOWS.values())


# Rows of a layer, tensor by tensor


@cache
def of_layer(number: int = 0, length: int | None = None):
    """A short sentence, or as many tokens as are asked for, each with about a third of the keys."""
    if length is None:
        return minilm.tensors(tokens(SENTENCE).ids, number, k=5, k_similarity=3, s=100, f=1)
    ids = tokens(minilm.TEXT, limit=200).ids[:length]
    return minilm.tensors(ids, number, **minilm.SINGLE_HEAD["spls"])


def real_softmax(config: SoftmaxConfig, layer, seen) -> list[Traffic]:
    rows = []
    for head, scores in enumerate(seen["scores"]):
        exponent, context = (
            (int(by.mul[head, 0, 0]), int(by.shift[head, 0, 0])) for by in (layer.exponent, layer.context)
        )
        parts = zip(scores, seen["mask"][head], seen["codes"][head], seen["total"][head], strict=True)
        rows += [SoftmaxRow(s, kept, exponent, context, codes, int(total[0])) for s, kept, codes, total in parts]
    return [execution.softmax(config, rows)]


def real_layer_norm(config: LayerNormConfig, layer, seen) -> list[Traffic]:
    pairs = (("sum1", layer.norm1, "norm1"), ("sum2", layer.norm2, "norm2"))
    return [execution.layer_norm(config, seen[r], norm, seen[y]) for r, norm, y in pairs]


def real_gelu(config: GeluConfig, layer, seen) -> list[Traffic]:
    return [execution.gelu(config.lanes, layer.gelu, seen["hidden"], layer.gelu_choice, seen["active"])]


def real_residual(config: ResidualConfig, layer, seen) -> list[Traffic]:
    sums = (("x", layer.stream1, "projected", "sum1"), ("norm1", layer.stream2, "fed", "sum2"))
    return [
        execution.residual(config.lanes, seen[x], by.mul, by.shift, seen[result], seen[y]) for x, by, result, y in sums
    ]


REAL = {"softmax": real_softmax, "layer_norm": real_layer_norm, "gelu": real_gelu, "residual": real_residual}


# Random ones


def random_row(config: SoftmaxConfig, seed: int) -> SoftmaxRow:
    """Of any length, any share of it kept, or none; all equal, of the ends of the range, or spread."""
    rng = np.random.default_rng(seed)
    half, count = 1 << (config.score_bits - 1), int(rng.integers(1, config.tokens + 1))
    scores = rng.integers(-half, half, count)
    match seed % 4:
        case 0:
            scores = np.full(count, scores[0])
        case 1:
            scores = rng.choice([-half, half - 1], count)
        case 2:
            scores >>= int(rng.integers(config.score_bits))
    kept = rng.random(count) < rng.choice([0, 0.05, 0.5, 1])
    exponent = int(rng.integers(1 << 16)), int(rng.integers(1, 41))
    context = int(rng.integers(1 << 16)), int(rng.integers(1, 41))
    found = softmax(scores, kept, *(np.array(value) for value in exponent))
    return SoftmaxRow(scores, kept, exponent, context, found.codes, int(found.total[0]))


def random_softmax(config: SoftmaxConfig, seed: int) -> Traffic:
    return execution.softmax(config, [random_row(config, 100 * seed + n) for n in range(30)], seed)


def random_layer_norm(config: LayerNormConfig, seed: int) -> Traffic:
    """Rows of other widths than the built one among them, and of fewer beats than a row may have in its time."""
    width = (config.width, 21, config.width - 1, 50)[seed % 4]
    rows, norm = rows_of(width, 16), norm_of(width, eps=seed)
    return execution.layer_norm(config, rows, norm, layer_norm(rows, norm), seed)


def random_gelu(config: GeluConfig, seed: int) -> Traffic:
    rng = np.random.default_rng(seed)
    tables = rng.integers(-128, 128, (2, 256))
    x, choice = rng.integers(-128, 128, (12, 101)), rng.integers(0, 2, 101)
    return execution.gelu(config.lanes, tables, x, choice, gelu(x, tables, choice))


def random_residual(config: ResidualConfig, seed: int) -> Traffic:
    rng = np.random.default_rng(seed)
    x, result = (rng.integers(-(2**15), 2**15, (20, 30)) for _ in range(2))
    mul, shift = rng.integers(0, 2**16, 30), rng.integers(12, 20, 30)
    return execution.residual(config.lanes, x, mul, shift, result, add(x, Scale(mul, shift), result))


RANDOM = {
    "softmax": random_softmax,
    "layer_norm": random_layer_norm,
    "gelu": random_gelu,
    "residual": random_residual,
}


@pytest.mark.parametrize("name", SMALL)
def test_verilog_is_golden(name: str) -> None:
    """Without a reset in between; without rests, a beat a cycle."""
    config = SMALL[name]
    traffic = [(RANDOM[name](config, seed), flow) for seed, flow in enumerate(FLOWS)]
    traffic += [(each, flow) for each in REAL[name](config, *of_layer()) for flow in FLOWS]
    cycles = execution.run(config, traffic)
    unit = unit_of(config)
    simulate.ports(unit)
    latency = unit.latency
    for (each, flow), taken in zip(traffic[len(FLOWS) :], cycles[len(FLOWS) :], strict=True):
        beats = len(each.given["i"])
        assert taken >= beats + latency
        if flow == dot.FULL_SPEED:
            # The scale of softmax's last row comes later than its codes.
            assert taken <= beats + latency + 128


@pytest.mark.long
@pytest.mark.parametrize("number", [0, 5])
@pytest.mark.parametrize("name", SMALL)
def test_units_of_minilm_are_golden(name: str, number: int) -> None:
    """As wide as the preset has them, all rows of a layer of 128 tokens."""
    config = presets.execution("minilm")[name]
    traffic = REAL[name](config, *of_layer(number, 128))
    execution.run(config, [(each, flow) for each in traffic for flow in (FLOWS[0], FLOWS[-1])])


# Planted faults, which the bench must catch


def changed(payloads: list[int], at: int, by: int) -> list[int]:
    return [payload ^ by * (number == at) for number, payload in enumerate(payloads)]


WRONG = {
    "a bit of what is due": (
        lambda each: replace(each, due=each.due | {"o": changed(each.due["o"], 7, 1)}),
        "o: answer 7, lane 0 is ",
    ),
    "an answer too few is due": (
        lambda each: replace(each, due={name: due[:-1] for name, due in each.due.items()}),
        "answers were due",
    ),
    "one is due that never comes": (
        lambda each: replace(each, due={name: [*due, 0] for name, due in each.due.items()}),
        "it stands still",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_bench_tells_what_is_wrong(fault: str) -> None:
    change, said = WRONG[fault]
    config = SMALL["gelu"]
    with pytest.raises(SimulationError, match=said):
        execution.run(config, [(change(random_gelu(config, 3)), dot.FLOWS["stall"])])


GIVEN = {
    "softmax": lambda each: replace(each, beside={"row": ("i", [value ^ 1 << 15 for value in each.beside["row"][1]])}),
    "layer_norm": lambda each: replace(each, setup=[ports | {"eps": 1 << 39} for ports in each.setup]),
    "residual": lambda each: replace(each, given=each.given | {"i": changed(each.given["i"], 5, 1 << 31)}),
}


@pytest.mark.parametrize("name", GIVEN)
def test_an_operand_that_is_wrong_is_caught(name: str) -> None:
    config = SMALL[name]
    with pytest.raises(SimulationError, match="o: answer "):
        execution.run(config, [(GIVEN[name](RANDOM[name](config, 0)), dot.FULL_SPEED)])


FAULTS = {
    "result not held": (ResidualConfig(1), {"o__ready": lambda ready: ready | 1}),
    "written unasked": (GeluConfig(1), {"write": lambda write: write | 1}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_hardware_that_is_wrong_is_caught(fault: str) -> None:
    config, planted = FAULTS[fault]
    name = {ResidualConfig: "residual", GeluConfig: "gelu"}[type(config)]
    text = verilog(Planted(unit_of(config), **planted), config.name)
    model = runner.build(text, config.name)
    with pytest.raises(SimulationError):
        execution.run(config, [(RANDOM[name](config, 1), dot.FLOWS["idle and stall"])], model)
