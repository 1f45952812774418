# SPDX-License-Identifier: Apache-2.0
"""The methods that are compared, each with axes of settings from mild to strict; and what runs a model with them.

A setting is a dictionary of numbers, so that it can be written into a file. Shares of keys are of the sequence's own
length, so that short texts are treated like long ones.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from config.speculate import UNITY, FactSettings, LapaSettings, SangerSettings, SpattenSettings, SplsSettings
from golden.arrays import Array
from golden.models import integer
from golden.speculate import fact, lapa, sanger, spls
from golden.speculate.operands import allowed
from golden.speculate.plan import Plan, Planner
from golden.speculate.spatten import Spatten
from golden.speculate.work import Sizes, Work
from tasks.encoder import Encoder
from tasks.prepared import Prepared
from tasks.work import sizes

Setting = dict[str, float]
Axis = tuple[Setting, ...]
CHUNK = 4
"""Sequences that go through the layers together: small tensors stay in the caches of a CPU."""
WINDOW, SCORE_BITS, SLICES = 8, 8, (4, 4)
"""How the units of SPLS and LAPA are built."""


@dataclass
class Session:
    """The plans of some sequences of one length, through all layers. plan: of the layer with that number, for `attend`.
    prediction: products per sequence and layer. after_qk: the plan is made from the exact Q and K. watch, finish: for
    what has a state, and changes the last output."""

    plan: Callable[[int, Array], Plan | Planner]
    prediction: int = 0
    after_qk: bool = False
    watch: Callable[[int, str, Array], None] | None = None
    finish: Callable[[Array], Array] = field(default=lambda y: y)


@dataclass(frozen=True)
class Method:
    """title: as in tables. axes: parts of a setting, each from mild to strict, in the order in which they are searched;
    common: the part that is the same in all. start: the session of a setting, for a model and the sizes of its layers.
    """

    title: str
    axes: tuple[Axis, ...]
    common: Setting
    start: Callable[[Prepared, Setting, Sizes], Session]

    def setting(self, place: Sequence[int]) -> Setting:
        """The one at a place on each axis."""
        found = dict(self.common)
        for axis, at in zip(self.axes, place, strict=True):
            found |= axis[at]
        return found


def _keys(share: float, size: Sizes) -> int:
    return max(1, round(share * size.tokens))


def _dense(model: Prepared, setting: Setting, size: Sizes) -> Session:
    return Session(lambda number, attend: integer.dense(attend, model.model.shape))


def _spls(model: Prepared, setting: Setting, size: Sizes) -> Session:
    k = _keys(setting["k"], size)
    chosen: dict[str, Any] = {
        "k": k,
        "k_similarity": min(k, _keys(setting["k_similarity"], size)),
        "s": int(setting["s"]),
        # More heads than there are never agree: no FFN is copied.
        "f": min(max(1, round(setting["f"] * size.heads)), size.heads + 1),
        "options": {"window": WINDOW, "score_bits": SCORE_BITS},
    }

    def plan(number: int, attend: Array) -> Planner:
        return model.predictor(spls.predict, "hlog", number, SplsSettings, **chosen).planner(attend)

    return Session(plan, size.predicted_projections + size.predicted_scores)


def _lapa(model: Prepared, setting: Setting, size: Sizes) -> Session:
    chosen = {"eta": (int(setting["eta1"]), int(setting["eta2"])), "options": {"slices": SLICES}}

    def plan(number: int, attend: Array) -> Planner:
        return model.predictor(lapa.predict, "aloc", number, LapaSettings, **chosen).planner(attend)

    # Both rounds as if they touched every key: each multiplies by half of the bits.
    return Session(plan, size.predicted_projections + size.predicted_scores)


def _fact(model: Prepared, setting: Setting, size: Sizes) -> Session:
    def plan(number: int, attend: Array) -> Planner:
        return model.predictor(fact.predict, "pot", number, FactSettings, k=_keys(setting["k"], size)).planner(attend)

    return Session(plan, size.predicted_projections + size.predicted_scores)


def _sanger(model: Prepared, setting: Setting, size: Sizes) -> Session:
    chosen = SangerSettings(causal=model.model.shape.causal, threshold=int(setting["threshold"]))

    def plan(number: int, attend: Array) -> Planner:
        def of_layer(x: Array, q: Array, k: Array) -> Plan:
            return sanger.predict(q, k, allowed(x, chosen, attend), chosen, model.layers[number].exponent)

        return of_layer

    return Session(plan, size.predicted_scores, after_qk=True)


def _spatten(model: Prepared, setting: Setting, size: Sizes) -> Session:
    layers, causal = len(model.layers), model.model.shape.causal
    tokens = tuple(int(setting["tokens"] * UNITY * max(0, n - 1) / max(1, layers - 2)) for n in range(layers))
    chosen = SpattenSettings(causal=causal, tokens=tokens, heads=(0,) * layers, values=int(setting["values"] * UNITY))
    pruning = Spatten(chosen)

    def finish(y: Array) -> Array:
        """A mean over all tokens is then one over those that are left. Where a norm comes before the mean, dropped
        tokens do better as what they were when they were dropped."""
        if model.model.shape.order == "pre":
            return y
        there = pruning.left[..., None]
        mean = torch.where(there, y, 0).sum(1, keepdim=True) / there.sum(1, keepdim=True)
        return torch.where(there, y, mean)

    return Session(
        lambda number, attend: pruning.plan,
        watch=lambda number, name, tensor: pruning.watch(name, tensor),
        finish=finish,
    )


def _axis(name: str, values: Iterable[float]) -> Axis:
    return tuple({name: value} for value in values)


METHODS = {
    "dense": Method("dense int8", (), {}, _dense),
    "spls": Method(
        "SPLS (ESACT)",
        (
            _axis("s", (0, 32, 48, 64, 80, 96, 112, 128, 144, 160)),
            _axis("f", (2.0, 1.0, 0.8, 0.67, 0.5, 0.34)),
            _axis("k", (1.0, 0.8, 0.65, 0.5, 0.42, 0.35, 0.28, 0.22, 0.16, 0.12)),
        ),
        {"k_similarity": 0.12},
        _spls,
    ),
    "lapa": Method(
        "LAPA",
        (
            _axis("eta1", (256, 224, 200, 176, 152, 128, 104, 80)),
            _axis("eta2", (256, 224, 200, 176, 152, 128, 104, 80)),
        ),
        {},
        _lapa,
    ),
    "fact": Method("FACT", (_axis("k", (1.0, 0.8, 0.65, 0.5, 0.42, 0.35, 0.28, 0.22, 0.16, 0.12)),), {}, _fact),
    "sanger": Method("Sanger", (_axis("threshold", (0, 33, 66, 131, 197, 262, 393, 524, 786, 1311)),), {}, _sanger),
    "spatten": Method(
        "SpAtten",
        (
            _axis("tokens", (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)),
            _axis("values", (0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ),
        {},
        _spatten,
    ),
}


@dataclass
class Tally:
    """Work that was left, and what it would have been without a plan."""

    left: Work = field(default_factory=Work)
    dense: Work = field(default_factory=Work)


def encoder(model: Prepared, method: Method, setting: Setting, tally: Tally) -> Encoder:
    """The model's layers in integers with that method; what they do is added to `tally`. Every sequence is treated as
    if it were alone: padding is cut off before."""

    def run(x: Array, attend: Array) -> Array:
        result = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        lengths = attend.sum(dim=1)
        with torch.no_grad():
            for length in lengths.unique().tolist():
                places = torch.nonzero(lengths == length)[:, 0]
                for some in places.split(CHUNK):
                    result[some, :length] = _run(model, method, setting, tally, x[some, :length])
        return result.to(x.dtype)

    return run


def _run(model: Prepared, method: Method, setting: Setting, tally: Tally, x: Array) -> Array:
    size = sizes(x.shape[1], model.width, model.hidden, model.model.shape)
    session, whole = method.start(model, setting, size), size.times(len(x))
    attend = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)

    def counted(number: int, keys: Array) -> Planner:
        def plan(*given: Array) -> Plan:
            found = session.plan(number, keys)
            made = found if isinstance(found, Plan) else found(*given)
            tally.left += whole.left(made.counts, len(x) * session.prediction, after_qk=session.after_qk)
            tally.dense += whole.dense
            return made

        return plan

    codes = integer.run(model.model, model.layers, model.model.codes(x), attend, counted, watch=session.watch)
    return session.finish(model.model.real(codes))
