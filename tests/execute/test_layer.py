# SPDX-License-Identifier: Apache-2.0
"""Whole layers in integers: against their definition, against float, and against their twin in torch; what a plan
changes, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import Refusal
from golden.arith.quantise import quantise
from golden.execute import calibrate
from golden.execute.layer import execute
from golden.execute.linear import Linear, linear
from golden.execute.scales import multipliers
from golden.models import transformer
from golden.models.transformer import Architecture, LayerWeights
from golden.speculate.plan import Plan, all_critical, assemble

WIDTH, HEADS, HIDDEN = 24, 3, 40


def weights_of(seed: int, width: int = WIDTH, hidden: int = HIDDEN) -> LayerWeights:
    rng = np.random.default_rng(seed)

    def matrix(rows, columns):
        return rng.normal(0, columns**-0.5, (rows, columns))

    squares = {name: matrix(width, width) for name in ("wq", "wk", "wv", "wo")}
    vectors = {name: rng.normal(0, 0.1, width) for name in ("bq", "bk", "bv", "bo", "b_down", "offset1", "offset2")}
    ffn = {"w_up": matrix(hidden, width), "b_up": rng.normal(0, 0.1, hidden), "w_down": matrix(width, hidden)}
    gains = {name: rng.uniform(0.5, 1.5, width) for name in ("gain1", "gain2")}
    return LayerWeights(**squares, **vectors, **ffn, **gains)


def architecture(order: str, causal: bool = False, heads: int = HEADS) -> Architecture:
    return Architecture(heads, order, causal, 1e-5)


def converted(order: str, x: np.ndarray, seed: int = 0, percentile: float = 100.0, **sizes):
    weights, shape = weights_of(seed, **sizes), architecture(order)
    ranges = calibrate.Ranges(percentile)
    transformer.layer(x, weights, shape, watch=ranges.watch())
    (found,) = calibrate.convert([weights], shape, [ranges])
    return weights, shape, found


def codes_of(order: str, x: np.ndarray, found: calibrate.Converted) -> np.ndarray:
    return quantise(x, found.x_scale, 8 if order == "post" else 16)


def dense(tokens: int, heads: int = HEADS, outer: tuple[int, ...] = ()) -> Plan:
    return all_critical(np.ones((*outer, heads, tokens, tokens), dtype=bool))


def inputs(tokens: int, width: int = WIDTH, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (tokens, width))


@pytest.mark.parametrize("order", transformer.ORDERS)
def test_is_close_to_float(order):
    """Closer than 2 % of the spread: eight bits and a few roundings."""
    x = inputs(60)
    weights, shape, found = converted(order, x)
    real = execute(codes_of(order, x, found), found.layer, dense(60)) * found.y_scale
    exact = transformer.layer(x, weights, shape)
    assert np.sqrt(np.mean((real - exact) ** 2)) < 0.02 * exact.std()


@pytest.mark.parametrize("order", transformer.ORDERS)
def test_layers_chain(order):
    """What one layer gives is in the units that the next one takes, channel by channel."""
    shape, x = architecture(order), inputs(60)
    weights, ranges, real = [weights_of(seed) for seed in (3, 4)], [], x
    for one in weights:
        ranges.append(calibrate.Ranges())
        real = transformer.layer(real, one, shape, watch=ranges[-1].watch())
    first, second = calibrate.convert(weights, shape, ranges)
    assert np.array_equal(first.y_scale, second.x_scale)
    codes = execute(execute(codes_of(order, x, first), first.layer, dense(60)), second.layer, dense(60))
    assert np.sqrt(np.mean((codes * second.y_scale - real) ** 2)) < 0.03 * real.std()


def plan_of(rng, tokens: int, outer: tuple[int, ...] = (), heads: int = HEADS) -> Plan:
    """Random keys, random copies inside windows of four."""
    mask = rng.random((*outer, heads, tokens, tokens)) < rng.random()
    rows = np.arange(tokens)
    critical = (rng.random((*outer, heads, tokens)) < 0.5) | (rows % 4 == 0)
    reference = np.where(critical, rows, rows // 4 * 4)
    return assemble(mask, reference, 4, 1)


def mapped(plan: Plan, change) -> Plan:
    """Every array changed alike."""
    arrays = {name: value for name, value in vars(plan).items() if isinstance(value, np.ndarray)}
    return replace(plan, **{name: change(value) for name, value in arrays.items()})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(transformer.ORDERS), st.integers(1, 12), st.integers(1, 3))
def test_torch_twin(seed, order, tokens, batch):
    """Equal integers in every tensor, for any plan, at the ends of every range."""
    rng = np.random.default_rng(seed)
    _, _, found = converted(order, inputs(40, seed=seed % 97), seed)
    limit = 1 << (7 if order == "post" else 15)
    x = rng.integers(-limit, limit, (batch, tokens, WIDTH))
    x = np.where(rng.random(x.shape) < 0.2, rng.choice([-limit, limit - 1], x.shape), x)
    plan = plan_of(rng, tokens, (batch,))
    ours, twin = {}, {}
    execute(x, found.layer, plan, watch=ours.__setitem__)
    there = mapped(plan, torch.asarray)
    execute(torch.asarray(x), found.layer.map(torch.asarray), there, watch=twin.__setitem__)
    assert ours.keys() == twin.keys()
    for name, tensor in ours.items():
        assert np.array_equal(tensor, twin[name].numpy()), name
    alone = execute(x[0], found.layer, mapped(plan, lambda value: value[0]))
    assert np.array_equal(alone, (ours["norm2"] if order == "post" else ours["sum2"])[0])


@pytest.mark.parametrize("order", transformer.ORDERS)
def test_copies_what_the_plan_says(order):
    rng = np.random.default_rng(6)
    x = inputs(24)
    _, _, found = converted(order, x)
    plan, seen = plan_of(rng, 24), {}
    execute(codes_of(order, x, found), found.layer, plan, watch=seen.__setitem__)
    context = seen["context"].reshape(24, HEADS, -1)
    copies = np.argwhere(~plan.critical)
    assert len(copies) > 10
    for head, row in copies:
        assert np.array_equal(context[row, head], context[plan.reference[head, row], head])
    followers = np.flatnonzero(plan.leader != np.arange(24))
    assert len(followers) > 5
    for row in followers:
        assert np.array_equal(seen["fed"][row], seen["fed"][plan.leader[row]])


def test_keys_that_are_not_kept_do_not_count():
    x = inputs(16)
    _, _, found = converted("post", x)
    mask = np.ones((HEADS, 16, 16), dtype=bool)
    mask[:, :, 5] = False
    plan, codes = all_critical(mask), codes_of("post", x, found)
    changed = codes.copy()
    changed[5] = -changed[5]
    before, after = (execute(given, found.layer, plan) for given in (codes, changed))
    others = np.arange(16) != 5
    assert np.array_equal(before[others], after[others])
    assert not np.array_equal(before[5], after[5])


def test_a_plan_may_be_made_from_q_and_k():
    x = inputs(16)
    _, _, found = converted("post", x)
    codes, given = codes_of("post", x, found), {}

    def planner(start, q, k):
        given.update(x=start, q=q, k=k)
        return dense(16)

    seen = {}
    assert np.array_equal(
        execute(codes, found.layer, planner, watch=seen.__setitem__), execute(codes, found.layer, dense(16))
    )
    assert all(np.array_equal(given[name], seen[name]) for name in "qk")
    assert np.array_equal(given["x"], codes)


# Parts


def test_linear_is_its_definition():
    rng = np.random.default_rng(0)
    x, w = rng.integers(-128, 128, (3, 5, 2100)), rng.integers(-128, 128, (4, 2100))
    x[0, 0], w[0] = -128, -128  # the largest sum there is
    scale = multipliers(rng.uniform(1e-6, 1e-3, 4))
    layer = Linear(w, rng.integers(-(2**30), 2**30, 4), scale.mul, scale.shift, 16)
    sums = np.einsum("abd,nd->abn", x, w) + layer.bias
    expected = np.clip((sums * scale.mul + (1 << (scale.shift - 1))) >> scale.shift, -(2**15), 2**15 - 1)
    assert np.array_equal(linear(x, layer), expected)


def test_multipliers_are_nearest():
    factors = np.concatenate([np.geomspace(1e-11, 3e4, 500), [1.0, 0.5, 1 - 2**-30, 2**-24, 1.9 * 2**-41]])
    scale = multipliers(factors)
    real = scale.mul / 2.0**scale.shift
    fine = factors >= 2.0**-25
    assert (np.abs(real - factors)[fine] <= factors[fine] * 2**-16).all()
    assert (np.abs(real - factors)[~fine] <= 2.0**-41).all()
    assert (scale.mul[fine] >= 1 << 15).all()
    assert scale.shift.max() <= 40


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_illegal_factors(bad):
    with pytest.raises(Refusal, match=r"^Scales must be positive and finite, and one is not; look for zeros"):
        multipliers([0.5, bad])


def test_too_small_factors():
    with pytest.raises(Refusal, match=r"^Factors of a requantiser must be above 2\^-41, not 1e-14; calibrate with"):
        multipliers([1e-14])


def test_too_large_factors():
    with pytest.raises(Refusal, match=r"^Factors of a requantiser must be below 32768, not 40000; calibrate with"):
        multipliers([40000.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_illegal_weights(bad):
    weights = weights_of(0)
    broken = replace(weights, w_up=np.where(np.arange(WIDTH) == 3, bad, weights.w_up))
    ranges = calibrate.Ranges()
    transformer.layer(inputs(8), weights, architecture("post"), watch=ranges.watch())
    with pytest.raises(Refusal, match=r"^Weights must be finite, and one is a NaN or an infinity; check them\.$"):
        calibrate.convert([broken], architecture("post"), [ranges])


def test_illegal_ranges():
    with pytest.raises(Refusal, match=r"^percentile must be above 50 and at most 100, not 50; 100 takes the extremes"):
        calibrate.Ranges(50)
    with pytest.raises(Refusal, match=r"^Ranges must hold the tensor x, and do not; watch a run of the float layer"):
        calibrate.convert([weights_of(0)], architecture("post"), [calibrate.Ranges()])


def test_ranges_leave_out_padding_and_percentiles():
    x = np.stack([inputs(10), inputs(10, seed=2)])
    x[1, 7:] = 1e6
    attend = np.ones((2, 10), dtype=bool)
    attend[1, 7:] = False
    weights, shape = weights_of(0), architecture("pre")
    every, cut = calibrate.Ranges(), calibrate.Ranges(90)
    for ranges in (every, cut):
        transformer.layer(x, weights, shape, attend=attend, watch=ranges.watch(attend))
    assert np.array_equal(every.high["x"], np.concatenate([x[0], x[1, :7]]).max(axis=0))
    assert (cut.largest("q") < every.largest("q")).all()
    assert cut.largest("q").shape == (HEADS,)
    assert np.array_equal(cut.largest("sum1"), every.largest("sum1"))


def test_few_large_channels_of_the_ffn_do_not_drown_the_others():
    """One hidden unit of forty is twenty times as large: it has a table of its own."""
    x, weights, shape = inputs(60), weights_of(0), architecture("post")
    loud = 1 + 19 * (np.arange(HIDDEN) == 11)
    weights = replace(
        weights, w_up=weights.w_up * loud[:, None], b_up=weights.b_up * loud, w_down=weights.w_down / loud
    )
    ranges = calibrate.Ranges()
    exact = transformer.layer(x, weights, shape, watch=ranges.watch())
    (found,) = calibrate.convert([weights], shape, [ranges])
    assert found.layer.gelu_choice.tolist() == (np.arange(HIDDEN) == 11).tolist()
    real = execute(codes_of("post", x, found), found.layer, dense(60)) * found.y_scale
    assert np.sqrt(np.mean((real - exact) ** 2)) < 0.02 * exact.std()


def test_a_layer_of_a_wide_range_of_channels():
    """One channel a hundred times as large as the others, as in trained encoders, does not drown them."""
    x = inputs(60)
    x[:, 7] *= 100
    weights, shape, found = converted("post", x)
    real = execute(codes_of("post", x, found), found.layer, dense(60)) * found.y_scale
    exact = transformer.layer(x, weights, shape)
    assert np.sqrt(np.mean((real - exact) ** 2)) < 0.04 * exact.std()
