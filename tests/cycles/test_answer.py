# SPDX-License-Identifier: Apache-2.0
"""Whole models: what overlaps, where prediction pays, and that answers come at once."""

import time
from dataclasses import replace

import pytest

from config.errors import Refusal
from config.speculate import METHODS
from golden.cycles import answer as cycles
from golden.cycles.shapes import MODELS, ModelShape, model
from golden.cycles.statistics import Statistics


def ask(name, tokens, method, statistics=None, preset="paper"):
    hardware = cycles.hardware(model(name), tokens, method, preset)
    return cycles.answer(model(name), tokens, hardware, statistics or cycles.EXAMPLES[method])


PARAMETERS = {
    # Millions of weights in all layers, as published: all of a model's, less its embeddings.
    "minilm-l6": 10.6,
    "bert-base": 85,
    "bert-large": 302,
    "vit-b16": 85,
    "gpt2-xl": 1475,
    "opt-1.3b": 1208,
    "bloom-1.7b": 1208,
    "qwen-7b": 6476,
    "llama-13b": 12688,
    "mistral-7b": 6979,
}


def test_shapes_have_the_weights_of_the_models():
    assert PARAMETERS.keys() == MODELS.keys()
    for name, millions in PARAMETERS.items():
        shape = model(name)
        assert shape.layers * shape.weights / 1e6 == pytest.approx(millions, rel=0.01), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_overlap_lies_between_all_and_nothing(name, method):
    found = ask(name, MODELS[name].typical, method)
    if method == "dense":
        assert found.prediction is None
        assert found.overlapped == found.dense_total
        assert found.products == 0
        return
    apart = found.prediction.layer + found.sparse.total
    assert max(found.sparse.total, found.prediction.layer) < found.overlapped < apart
    assert found.products > 2 * found.tokens * found.shape.width * found.shape.heads * found.shape.head_width


def test_whichever_is_slower_sets_the_time():
    """A plan that leaves nothing costs its prediction; one that leaves all costs more than the dense layer."""
    nothing = ask("bert-base", 512, "spls", Statistics(queries=0, keys=0, scores=0, projections=0, ffn=0))
    assert nothing.sparse.total == 0
    assert nothing.overlapped == nothing.prediction.layer
    everything = ask("bert-base", 512, "spls", Statistics())
    assert everything.overlapped > everything.prediction.first + everything.dense.total
    assert everything.speed_up < 1


def test_a_slow_memory_sets_the_time():
    found = ask("bert-base", 16, "spls")
    slow = replace(found, hardware=replace(found.hardware, arrays=replace(found.hardware.arrays, memory_bytes=1)))
    assert slow.overlapped == found.memory.total
    assert slow.dense_total == found.dense_memory.total
    assert found.memory.total > found.dense_memory.total


def test_less_left_never_takes_longer():
    shares = [1.0, 0.7, 0.4, 0.1]
    for name in ("queries", "keys", "scores", "ffn", "projections"):
        times = [ask("opt-1.3b", 1024, "spls", Statistics(**{name: share})).overlapped for share in shares]
        assert times == sorted(times, reverse=True), name
    visits = [ask("opt-1.3b", 1024, "lapa", Statistics(visited=(share,))).prediction.layer for share in shares]
    assert visits == sorted(set(visits), reverse=True)


def points(*given):
    """A sweep of these speed-ups."""
    found = ask("bert-base", 128, "spls")
    return [
        replace(found, tokens=tokens, sparse=replace(found.sparse, attention=0 if pays else 10**9, dense=0))
        for tokens, pays in given
    ]


def test_where_prediction_pays():
    assert cycles.pays(points((16, False), (32, True), (64, True), (128, False), (256, True))) == (32, 64)
    assert cycles.pays(points((16, True), (32, False))) == (16, 16)
    assert cycles.pays(points((16, True), (32, False), (64, True), (128, True))) == (64, 128)
    assert cycles.pays(points((16, False), (32, False))) is None


def test_a_sweep_covers_all_lengths():
    lengths = [each.tokens for each in cycles.sweep(model("bert-base"), "spls", cycles.EXAMPLES["spls"])]
    assert lengths[0] == 16
    assert lengths[-1] == 4096
    assert lengths == sorted(set(lengths))
    assert {2**n for n in range(4, 13)} <= set(lengths)


def test_answers_come_at_once():
    """In under a second, the sweep included; the first may have to import."""
    ask("bert-base", 16, "lapa")
    for name in MODELS:
        started = time.perf_counter()
        ask(name, 4096, "lapa")
        cycles.sweep(model(name), "lapa", cycles.EXAMPLES["lapa"])
        assert time.perf_counter() - started < 1, name


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: model("gpt-5"), r"^The model must be one of minilm-l6, .*, not 'gpt-5'; choose one of them\.$"),
        (lambda: ask("bert-base", 128, "sanger"), r"^The method must be one of spls, lapa, dense, fact, not 'sanger'"),
        (lambda: ask("bert-base", 4097, "spls"), r"^tokens must be an integer from 1 to 4096, not 4097"),
        (lambda: ask("bert-base", 0, "dense"), r"^tokens must be an integer from 1 to 4096, not 0"),
        (lambda: ask("bert-base", 8, "spls", preset="huge"), r"^The preset must be one of tiny, minilm, paper"),
        (lambda: ModelShape("x", 1, 8, 3, 4, 8, key_heads=2), r"^key_heads must divide heads = 3, not 2"),
        (lambda: ModelShape("x", 1, 8, 3, 4, 0), r"^hidden must be an integer from 1 to"),
    ],
)
def test_what_it_cannot_answer(call, sentence):
    with pytest.raises(Refusal, match=sentence) as refused:
        call()
    assert "\n" not in str(refused.value)


def test_a_wider_unit_has_as_many_more_products():
    shape = model("llama-13b")
    for method, rows, lanes in (("spls", 64, 128), ("lapa", 128, 64)):
        found = cycles.hardware(shape, 100, method, wider=2).unit
        assert (found.rows, found.lanes) == (rows, lanes)
        assert found.tokens == 128
    with pytest.raises(Refusal, match=r"^wider must be one of 1, 2 and 4, not 3; choose one of them\.$"):
        cycles.hardware(shape, 100, "spls", wider=3)
