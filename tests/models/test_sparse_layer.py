# SPDX-License-Identifier: Apache-2.0
"""A layer in floating point that carries out a plan, against the dense layer, row by row; and gradients through it."""

import numpy as np
import pytest
import torch

from golden.models import transformer
from golden.models.transformer import Architecture, LayerWeights
from golden.speculate.plan import Plan, assemble

T, D, H, F, WINDOW = 12, 16, 4, 24, 4


def weights(chance, torch_tensors=False):
    shapes = {f"w{name}": (D, D) for name in "qkvo"} | {"w_up": (F, D), "w_down": (D, F), "b_up": (F,)}
    shapes |= {f"b{name}": (D,) for name in "qkvo"} | {"b_down": (D,)}
    shapes |= dict.fromkeys(("gain1", "offset1", "gain2", "offset2"), (D,))
    made = {name: chance.normal(size=shape) * 0.4 for name, shape in shapes.items()}
    return LayerWeights(**made).map(torch.as_tensor) if torch_tensors else LayerWeights(**made)


def a_plan(chance, causal):
    """Rows copy earlier critical rows of their window, in some heads or in all."""
    rows = np.arange(T)
    mask = chance.random((1, H, T, T)) < 0.5
    mask &= (rows[:, None] >= rows) | (not causal)
    mask[..., rows, rows] = True
    reference = np.broadcast_to(rows, (1, H, T)).copy()
    for row in range(T):
        first = row // WINDOW * WINDOW
        for head in range(H):
            earlier = [c for c in range(first, row) if reference[0, head, c] == c]
            if earlier and chance.random() < 0.6:
                reference[0, head, row] = earlier[0]
    return assemble(mask, reference, WINDOW, 2)


def row_by_row(x, w, shape, plan):
    """Each row alone: its own keys, or those of the row that it copies; its FFN, or its leader's."""
    post = shape.order == "post"
    start = x if post else transformer.layer_norm(x, w.gain1, w.offset1, shape.eps)
    q, k, v = (start @ getattr(w, f"w{n}").T + getattr(w, f"b{n}") for n in "qkv")
    width = D // H
    context = np.zeros_like(q)
    for head in range(H):
        own = slice(head * width, (head + 1) * width)
        for row in range(T):
            source = plan.reference[0, head, row]
            kept = np.flatnonzero(plan.mask[0, head, source])
            scores = np.exp(k[0, kept, own] @ q[0, source, own] / np.sqrt(width))
            context[0, row, own] = scores / scores.sum() @ v[0, kept, own]
    middle = x + context @ w.wo.T + w.bo
    norm1 = transformer.layer_norm(middle, w.gain1, w.offset1, shape.eps)
    inside = norm1 if post else transformer.layer_norm(middle, w.gain2, w.offset2, shape.eps)
    fed = transformer.gelu(inside @ w.w_up.T + w.b_up) @ w.w_down.T + w.b_down
    end = (norm1 if post else middle) + fed[:, plan.leader[0]]
    return transformer.layer_norm(end, w.gain2, w.offset2, shape.eps) if post else end


@pytest.mark.parametrize("order", ["post", "pre"])
@pytest.mark.parametrize("causal", [False, True])
def test_every_row_takes_what_the_plan_says(order, causal):
    chance = np.random.default_rng(3)
    for _ in range(8):
        w, shape = weights(chance), Architecture(H, order, causal, 1e-5)
        plan, x = a_plan(chance, causal), chance.normal(size=(1, T, D))
        assert (plan.reference != np.arange(T)).any()
        assert (plan.leader != np.arange(T)).any()
        found = transformer.layer(x, w, shape, choose=lambda start, plan=plan: plan)
        np.testing.assert_allclose(found, row_by_row(x, w, shape, plan), rtol=1e-9, atol=1e-9)


def test_the_plan_is_chosen_from_what_q_k_and_v_are_made_of():
    chance = np.random.default_rng(4)
    w, shape, x, seen = weights(chance), Architecture(H, "pre", False, 1e-5), chance.normal(size=(1, T, D)), []

    def choose(start):
        seen.append(start)
        return a_plan(chance, False)

    transformer.layer(x, w, shape, choose=choose)
    np.testing.assert_array_equal(seen[0], transformer.layer_norm(x, w.gain1, w.offset1, shape.eps))


def test_gradients_go_to_what_was_computed_only():
    """Q of a similar row, and K and V that nobody keeps, change nothing."""
    chance = np.random.default_rng(5)
    w, shape = weights(chance, torch_tensors=True), Architecture(H, "post", False, 1e-5)
    plan = a_plan(chance, False)
    mask = plan.mask.copy()
    mask[..., 5] = False
    mask[..., 5, 4] = True
    twin = Plan(*(torch.as_tensor(each) for each in (mask, plan.reference, plan.columns, plan.leader, plan.agreed)))
    x = torch.as_tensor(chance.normal(size=(1, T, D)), dtype=torch.float64)
    seen = {}

    def watch(name, tensor):
        if name in ("q", "k", "v"):
            tensor.retain_grad()
            seen[name] = tensor

    w.wq.requires_grad_(), w.wk.requires_grad_(), w.wv.requires_grad_()
    transformer.layer(x, w, shape, watch=watch, choose=lambda start: twin).square().sum().backward()
    similar = torch.as_tensor(plan.reference) != torch.arange(T)
    assert seen["q"].grad[similar].abs().max() == 0
    assert seen["q"].grad[~similar].abs().max() > 0
    assert seen["k"].grad[:, :, 5].abs().max() == 0
    assert seen["v"].grad[:, :, 5].abs().max() == 0
    assert seen["v"].grad[:, :, 3].abs().max() > 0
