# SPDX-License-Identifier: Apache-2.0
"""SpAtten's cascade against its definition, written out entry by entry; against layers that are given the tokens that
are left and no others; and against its twin in PyTorch."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from config.errors import Refusal
from config.speculate import SpattenSettings
from golden.execute.layer import execute
from golden.execute.softmax import Softmax
from golden.speculate.plan import share_left
from golden.speculate.records import records
from golden.speculate.spatten import Spatten
from tests.speculate.baselines import HEADS, WIDTH, converted_model, differing, model, tensor

TOKENS = 10
SETTINGS = SpattenSettings(tokens=(0, 60, 60, 150), heads=(0, 0, 90, 90), values=100)
CAUSAL = SpattenSettings(causal=True, tokens=(0, 60, 60, 150), heads=(0, 0, 90, 90), values=100)
NOTHING = (0, 0, 0, 0)


def run(layers, x, settings, attend=None):
    """The plan of each layer, and what each puts out."""
    state, plans, outputs = Spatten(settings, attend), [], []
    for layer in layers:

        def planner(*given):
            plans.append(state.plan(*given))
            return plans[-1]

        x = execute(x, layer, planner, watch=state.watch)
        outputs.append(x)
    return plans, outputs


class Defined:
    """The cascade of one sequence, in plain numbers: what each row has left of the keys, and of the heads."""

    def __init__(self, settings, attend):
        self.settings, self.attend = settings, attend
        tokens = range(len(attend))
        self.keys = [[j for j in tokens if attend[j] and (j <= i or not settings.causal)] for i in tokens]
        self.given = [len(keys) for keys in self.keys]
        self.heads = [list(range(HEADS)) for _ in tokens]
        self.token_sums = [[0] * len(attend) for _ in tokens]
        self.head_sums = [[0] * HEADS for _ in tokens]

    def see(self, codes, total, context):
        """Row r counts for all rows, or for itself and later ones."""
        for i, r in np.ndindex(*[len(self.attend)] * 2):
            if not self.attend[r] or (self.settings.causal and r > i):
                continue
            for h in range(HEADS):
                for j in range(len(self.attend)):
                    self.token_sums[i][j] += share(int(codes[h, r, j]), int(total[h, r, 0]))
                width = context.shape[-1] // HEADS
                self.head_sums[i][h] += sum(abs(int(v)) for v in context[r, h * width : (h + 1) * width])

    def prune(self, layer):
        tokens, heads = self.settings.tokens[layer], self.settings.heads[layer]
        for i, given in enumerate(self.given):
            # Own first in a causal row.
            order = sorted(
                self.keys[i], key=lambda j, i=i: (not (self.settings.causal and i == j), -self.token_sums[i][j], j)
            )
            self.keys[i] = sorted(order[: max(1, given * (256 - tokens) // 256)])
            order = sorted(self.heads[i], key=lambda h, i=i: (-self.head_sums[i][h], h))
            self.heads[i] = sorted(order[: max(1, HEADS * (256 - heads) // 256)])

    def mask(self):
        mask = np.zeros((HEADS, *[len(self.attend)] * 2), bool)
        for i, keys in enumerate(self.keys):
            # Tokens that an encoder drops are no rows any more; padding is carried along.
            row = self.settings.causal or i in keys or not self.attend[i]
            for h in self.heads[i]:
                mask[h, i, keys] = row
        return mask


def share(code, total):
    """Probability in 1/65280, rounded half up, from a reciprocal of 16 bits."""
    if total == 0:
        return 0
    over = total.bit_length() - 22
    return int(Fraction(code * (2**30 // (total >> (over + 6))), 2 ** (over + 7)) + Fraction(1, 2))


def layers_seen(rng, mask):
    """A softmax and a context that a layer with this mask could have, with ties."""
    tokens = mask.shape[-1]
    codes = np.where(mask, rng.choice([0, 3, 90, 255], mask.shape), 0)
    total = np.where(mask.any(-1, keepdims=True), rng.integers(1 << 21, tokens << 21, (*mask.shape[:-1], 1)), 0)
    return codes, total, rng.integers(-128, 128, (tokens, HEADS * 4))


@pytest.mark.parametrize("settings", [SETTINGS, CAUSAL])
@pytest.mark.parametrize("seed", range(10))
def test_the_cascade_is_its_definition(settings, seed):
    rng, padded = np.random.default_rng(seed), seed % 2 == 1
    attend = rng.random(TOKENS) < 0.7 if padded else np.ones(TOKENS, bool)
    x, q = np.zeros((TOKENS, WIDTH)), np.zeros((HEADS, TOKENS, 4))
    state, defined = Spatten(settings, attend if padded else None), Defined(settings, attend)
    for layer in range(4):
        if layer:
            defined.prune(layer)
        plan = state.plan(x, q, q)
        assert np.array_equal(plan.mask, defined.mask()), layer
        if settings.causal:
            assert plan.alive is None
        else:
            assert plan.alive.tolist() == [i in defined.keys[0] or not attend[i] for i in range(TOKENS)]
            assert np.flatnonzero(state.left).tolist() == defined.keys[0]
        assert plan.value_share == 100
        seen = layers_seen(rng, plan.mask)
        defined.see(*seen)
        for name, array in zip(("codes", "total", "context"), seen, strict=True):
            state.watch(name, array)
    left = [len(heads) for heads in defined.heads]
    assert left == [1] * TOKENS
    assert max(map(len, defined.keys)) == attend.sum() * 106 // 256


def test_shares_are_probabilities():
    rng = np.random.default_rng(3)
    total = np.concatenate([[0, 1 << 21, (1 << 22) - 1, 1 << 22, 4096 << 21], rng.integers(1 << 21, 4096 << 21, 50)])
    codes = np.arange(256)
    found = Softmax(np.broadcast_to(codes, (55, 256)), total[:, None]).shares
    assert found[1].tolist() == [256 * code for code in range(256)]
    for row, each in enumerate(total[1:], 1):
        assert found[row].tolist() == [share(code, int(each)) for code in range(256)]
        real = codes / 255 * 2**21 / each
        assert np.abs(found[row] / 65280 - real).max() < 2**-16 + 2**-13 * real.max()
    twin = Softmax(tensor(np.broadcast_to(codes, (55, 256))), tensor(total[:, None])).shares
    assert np.array_equal(found, twin.numpy())


@pytest.mark.parametrize("value_share", [0, 1, 100, 255])
def test_heaviest_is_its_definition(value_share):
    rng = np.random.default_rng(value_share)
    kept = rng.random((2, 9, 17)) < 0.5
    kept[0, 3] = False
    codes = np.where(kept, rng.choice([0, 1, 7, 255], kept.shape), 0)
    row = Softmax(codes, np.full((2, 9, 1), 1 << 21))
    found = row.heaviest(kept, value_share)
    count = 0
    for at in np.ndindex(2, 9):
        keys = sorted(np.flatnonzero(kept[at]), key=lambda key, at=at: (-codes[at][key], key))
        few = keys[: max(1, len(keys) * (256 - value_share) // 256)]
        expected = [codes[at][key] if key in few else 0 for key in range(17)]
        assert found.codes[at].tolist() == expected
        count += len(few)
    assert found.total is row.total
    assert int(share_left(kept.sum(-1), value_share).sum()) == count
    twin = Softmax(tensor(codes), tensor(row.total)).heaviest(tensor(kept), value_share)
    assert np.array_equal(found.codes, twin.codes.numpy())


def test_values_that_are_left_out_do_not_count():
    """The context of a layer, entry by entry."""
    layers, batch = model("post", causal=False)
    layer, seen = layers[0], {}
    state = Spatten(SpattenSettings(values=100))
    execute(batch[0], layer, state.plan, watch=seen.__setitem__)
    for head, row in np.ndindex(HEADS, TOKENS):
        codes, total = seen["codes"][head, row], int(seen["total"][head, row, 0])
        few = sorted(range(TOKENS), key=lambda key, codes=codes: (-codes[key], key))[:6]
        over = total.bit_length() - 22
        mul = (int(layer.context.mul[head, 0, 0]) << 15) // (total >> (over + 6))
        shift = int(layer.context.shift[head, 0, 0]) + over
        for column in range(4):
            summed = sum(int(codes[key]) * int(seen["v"][head, key, column]) for key in few)
            expected = max(-128, min(127, (summed * mul + (1 << shift - 1)) >> shift))
            assert seen["context"][row, head * 4 + column] == expected


@pytest.mark.parametrize("order", ["post", "pre"])
def test_dropped_tokens_are_as_if_they_were_not_there(order):
    """A layer that is given what is left, and nothing else, puts out the same for it; the rest passes."""
    layers, batch = model(order, causal=False)
    settings = SpattenSettings(tokens=SETTINGS.tokens, heads=NOTHING, values=100)
    plans, outputs = run(layers, batch[0], settings)
    x = batch[0]
    for layer, plan, output in zip(layers, plans, outputs, strict=True):
        alive = plan.alive
        short = plan.mask[:, alive][..., alive]
        assert short.all()
        inner, _ = run([layer], x[alive], SpattenSettings(values=100))
        again = execute(x[alive], layer, inner[0])
        assert np.array_equal(output[alive], again)
        skip = layer.skip
        bits = 8 if order == "post" else 16
        passed = np.floor(x * (skip.mul / 2.0**skip.shift) + 0.5).clip(-(1 << bits - 1), (1 << bits - 1) - 1)
        assert np.array_equal(output[~alive], passed[~alive])
        x = output
    assert [int(plan.alive.sum()) for plan in plans] == [10, 7, 7, 4]


@pytest.mark.parametrize("order", ["post", "pre"])
def test_what_passes_keeps_its_real_value(order):
    """Within half a step of the output, but for what it saturates."""
    converted, batch = converted_model(order, causal=False, layers=2)
    layers = [one.layer for one in converted]
    plans, outputs = run(layers, batch[0], SpattenSettings(tokens=(0, 128), heads=(0, 0)))
    gone = ~plans[1].alive
    real = outputs[0][gone] * converted[1].x_scale / converted[1].y_scale
    limit = 1 << (7 if order == "post" else 15)
    inside = (real > -limit) & (real < limit - 1)
    assert inside.mean() > 0.7
    assert np.abs(outputs[1][gone] - real)[inside].max() < 0.501 + limit / 2**16


@pytest.mark.parametrize("settings", [SETTINGS, CAUSAL])
@pytest.mark.parametrize("order", ["post", "pre"])
def test_torch_twin(settings, order):
    layers, batch = model(order, settings.causal)
    attend = np.random.default_rng(4).random((5, TOKENS)) < 0.8
    plans, outputs = run(layers, batch, settings, attend)
    twins, again = run([layer.map(tensor) for layer in layers], tensor(batch), settings, tensor(attend))
    for ours, twin in zip(plans, twins, strict=True):
        assert not differing(ours, twin)
        assert ours.counts == twin.counts
    assert all(np.array_equal(ours, twin.numpy()) for ours, twin in zip(outputs, again, strict=True))


@pytest.mark.parametrize("settings", [SETTINGS, CAUSAL])
def test_padding_changes_nothing(settings):
    """Sequences of a padded batch come out as each does alone."""
    layers, batch = model("post", settings.causal)
    lengths = [10, 4, 7, 1, 9]
    attend = np.arange(TOKENS) < np.array(lengths)[:, None]
    plans, outputs = run(layers, batch, settings, attend)
    for at, length in enumerate(lengths):
        alone, expected = run(layers, batch[at, :length], settings)
        assert np.array_equal(outputs[-1][at, :length], expected[-1])
        for whole, short in zip(plans, alone, strict=True):
            assert np.array_equal(whole.mask[at, :, :length, :length], short.mask)
            assert not whole.mask[at, ..., length:].any()
            if not settings.causal:
                assert np.array_equal(whole.alive[at, :length], short.alive)
                assert whole.alive[at, length:].all()


@pytest.mark.parametrize("order", ["post", "pre"])
def test_later_tokens_change_nothing_earlier(order):
    layers, batch = model(order, causal=True)
    before, outputs = run(layers, batch, CAUSAL)
    changed = batch.copy()
    changed[:, 6:] = np.roll(batch, 1, axis=0)[:, 6:]
    after, others = run(layers, changed, CAUSAL)
    for ours, other in zip(before, after, strict=True):
        assert np.array_equal(ours.mask[..., :6, :], other.mask[..., :6, :])
    assert np.array_equal(outputs[-1][:, :6], others[-1][:, :6])
    assert not np.array_equal(before[-1].mask, after[-1].mask)


def test_a_causal_row_keeps_its_own_key():
    layers, batch = model("pre", causal=True)
    plans, _ = run(layers, batch, SpattenSettings(causal=True, tokens=(0, 255, 255, 255), heads=NOTHING))
    for plan in plans[1:]:
        assert np.array_equal(plan.mask, np.broadcast_to(np.eye(TOKENS, dtype=bool), plan.mask.shape))


def test_what_is_dropped_stays_dropped():
    for settings in (SETTINGS, CAUSAL):
        layers, batch = model("post", settings.causal)
        plans, _ = run(layers, batch, settings)
        for earlier, later in pairwise(plans):
            assert (later.mask <= earlier.mask).all()
            assert later.counts.keys <= earlier.counts.keys
        assert plans[-1].counts.scores < plans[0].counts.scores


def test_counts():
    """10 tokens, 4 of them left; 1 head of 3; of 4 keys, 2 have their V added."""
    layers, batch = model("post", causal=False)
    plans, _ = run(layers, batch[0], SETTINGS)
    first, last = plans[0].counts, plans[-1].counts
    assert (first.queries, first.keys, first.scores, first.values) == (30, 30, 300, 30 * 6)
    assert (last.queries, last.keys, last.scores, last.values) == (4, 4, 16, 8)
    assert (first.ffn, first.projections, last.ffn, last.projections) == (10, 10, 4, 4)


def test_ties_go_to_the_earlier_one():
    x, q = np.zeros((TOKENS, WIDTH)), np.zeros((HEADS, TOKENS, 4))
    state = Spatten(SpattenSettings(tokens=(0, 128), heads=(0, 128)))
    state.plan(x, q, q)
    state.watch("codes", np.full((HEADS, TOKENS, TOKENS), 255))
    state.watch("total", np.full((HEADS, TOKENS, 1), TOKENS << 15))
    state.watch("context", np.ones((TOKENS, WIDTH), np.int64))
    plan = state.plan(x, q, q)
    assert plan.alive.tolist() == [True] * 5 + [False] * 5
    assert plan.mask.any(axis=(1, 2)).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tokens": ()}, "tokens must hold a share for each layer, the first of them 0"),
        ({"tokens": (1,)}, "tokens must hold a share for each layer, the first of them 0"),
        ({"tokens": [0]}, "tokens must hold a share for each layer, the first of them 0"),
        ({"heads": (0, 0)}, "heads must hold a share for each layer, the first of them 0 and as many as tokens has"),
        ({"tokens": (0, 256), "heads": (0, 0)}, "a share of tokens must be an integer from 0 to 255, not 256"),
        ({"tokens": (0, 9, 8), "heads": (0, 0, 0)}, "tokens must never fall from one layer to the next, not (0, 9, 8)"),
        ({"values": 256}, "values must be an integer from 0 to 255, not 256"),
    ],
)
def test_illegal_settings(change, sentence):
    with pytest.raises(Refusal) as refused:
        SpattenSettings(**change)
    assert str(refused.value).startswith(sentence)


def test_illegal_runs():
    layers, batch = model("post", causal=False)
    with pytest.raises(Refusal, match=r"^settings hold shares for 4 layers, and this is one more; start a batch with"):
        run([*layers, layers[-1]], batch, SETTINGS)
    state = Spatten(SETTINGS)
    execute(batch, layers[0], state.plan)
    with pytest.raises(Refusal, match=r"^layer 0 must have been watched before layer 1 is planned; give `watch` to"):
        execute(batch, layers[1], state.plan)
    state = Spatten(SETTINGS)
    execute(batch, layers[0], state.plan, watch=state.watch)
    with pytest.raises(Refusal, match=r"^every layer must have the tokens and heads of the first, \[\.\.\., R, T, H\]"):
        execute(batch[:2], layers[1], state.plan)
    with pytest.raises(Refusal, match=r"^attend must hold one bool for each of 5 × 10 tokens"):
        execute(batch, layers[0], Spatten(SETTINGS, np.ones(TOKENS, bool)).plan)


def test_what_is_left_is_for_encoders():
    for state in (Spatten(SETTINGS), Spatten(CAUSAL)):
        with pytest.raises(Refusal, match=r"^what is left is known of encoders, once a layer is planned; "):
            _ = state.left
    layers, batch = model("post", causal=True)
    state = Spatten(CAUSAL)
    execute(batch, layers[0], state.plan)
    with pytest.raises(Refusal, match=r"a causal row has keys of its own left: see the mask of its plan\.$"):
        _ = state.left


def test_no_records_of_dropped_tokens_or_values():
    layers, batch = model("post", causal=False)
    for settings in (SpattenSettings(tokens=NOTHING, heads=NOTHING), CAUSAL):
        plans, _ = run(layers, batch[0], settings)
        with pytest.raises(Refusal, match=r"^a plan in records must drop no tokens and no values, and this one does"):
            records(plans[0], 4, 1, causal=False)
