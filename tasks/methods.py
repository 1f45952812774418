# SPDX-License-Identifier: Apache-2.0
"""The methods that are compared, each with the settings that a layer may have; and what runs a model with them.

Shares of keys are of the sequence's own length, so that short texts are treated like long ones.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch

from config.settings import build, keys, pruned
from config.speculate import UNITY, FactSettings, LapaSettings, SangerSettings, SpattenSettings
from golden.arrays import Array
from golden.models import integer
from golden.speculate import fact, lapa
from golden.speculate.plan import Plan, Planner
from golden.speculate.planner import ExactPredictor
from golden.speculate.spatten import Spatten
from golden.speculate.work import Sizes, Work
from tasks.encoder import Encoder
from tasks.prepared import BUILD, SHIPPED, SHORTEST, Prepared, Setting, built, of_layer
from tasks.work import sizes

CHUNK = 4
"""Sequences that go through the layers together: small tensors stay in the caches of a CPU."""


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
    """title: as in tables. rungs: settings to choose from, for each layer of a model or, unless `layered`, for all of
    them at once; the first is the mildest. build: how the unit is built. start: the session of a setting, for a model
    and the sizes of its layers. weights: those of the model, see `tasks.prepared`.
    """

    title: str
    rungs: tuple[Setting, ...]
    start: Callable[[Prepared, Setting, Sizes], Session]
    build: Setting = field(default_factory=dict)
    layered: bool = True
    weights: str = SHIPPED

    def setting(self, rungs: Sequence[Setting]) -> Setting:
        """Of a model, from a rung for each layer; or from a single one, for all."""
        if len(rungs) == 1:
            return rungs[0] | ({BUILD: self.build} if self.build else {})
        return {name: [rung[name] for rung in rungs] for name in rungs[0]} | ({BUILD: self.build} if self.build else {})


def _dense(model: Prepared, setting: Setting, size: Sizes) -> Session:
    return Session(lambda number, attend: integer.dense(attend, model.model.shape))


def _spls(model: Prepared, setting: Setting, size: Sizes) -> Session:
    def plan(number: int, attend: Array) -> Planner:
        return model.spls(number, setting, size.tokens).planner(attend)

    return Session(plan, size.predicted_projections + size.predicted_scores)


def _lapa(model: Prepared, setting: Setting, size: Sizes) -> Session:
    unit = built(setting, lapa.SYSTEM)

    def plan(number: int, attend: Array) -> Planner:
        here = of_layer(setting, number)
        eta = tuple(int(here[f"eta{round}"]) for round in range(1, len(unit["slices"]) + 1))
        chosen = {"eta": eta, "options": unit}
        return model.predictor(lapa.predict, unit["system"], number, LapaSettings, **chosen).planner(attend)

    # All rounds as if they touched every key: each multiplies by its own bits only.
    return Session(plan, size.predicted_projections + size.predicted_scores)


def _fact(model: Prepared, setting: Setting, size: Sizes) -> Session:
    def plan(number: int, attend: Array) -> Planner:
        chosen = {"k": keys(of_layer(setting, number)["k"], size.tokens), "options": dict(setting.get(BUILD, {}))}
        return model.predictor(fact.predict, fact.SYSTEM, number, FactSettings, **chosen).planner(attend)

    return Session(plan, size.predicted_projections + size.predicted_scores)


def _sanger(model: Prepared, setting: Setting, size: Sizes) -> Session:
    def plan(number: int, attend: Array) -> Planner:
        threshold = int(of_layer(setting, number)["threshold"])
        chosen = SangerSettings(causal=model.model.shape.causal, threshold=threshold)
        return ExactPredictor(chosen, model.layers[number].exponent).planner(attend)

    return Session(plan, size.predicted_scores, after_qk=True)


def _spatten(model: Prepared, setting: Setting, size: Sizes) -> Session:
    layers, causal = len(model.layers), model.model.shape.causal
    tokens = pruned(setting["tokens"], layers)
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


def _axes(**values: Iterable[float]) -> tuple[Setting, ...]:
    """Every combination, the last axis the quickest."""
    return tuple(dict(zip(values, each, strict=True)) for each in itertools.product(*values.values()))


NEVER = 2.0
"""More heads than there are: no FFN is copied."""
_SPLS = (
    {"s": 0, "f": NEVER, "k": 1.0, "k_similarity": 0.12},
    *_axes(s=(0, 64, 96, 128), f=(NEVER,), k=(0.5, 0.35, 0.2), k_similarity=(0.12,)),
    *_axes(s=(48, 80, 96, 128, 192, 256), f=(0.5, 0.01), k=(0.35, 0.2), k_similarity=(0.12,)),
)
METHODS = {
    "dense": Method("dense int8", ({},), _dense),
    "spls": Method("SPLS (ESACT)", _SPLS, _spls, build("spls")),
    "spls-trained": Method("SPLS, fine-tuned", _SPLS, _spls, build("spls"), weights="spls"),
    "lapa": Method(
        "LAPA",
        ({"eta1": 256, "eta2": 256}, *_axes(eta1=(256, 192, 160, 128, 104), eta2=(192, 160, 128, 104, 80))),
        _lapa,
        build("lapa"),
    ),
    "fact": Method("FACT", _axes(k=(1.0, 0.8, 0.65, 0.5, 0.42, 0.35, 0.28, 0.22, 0.16, 0.12)), _fact, build("fact")),
    "sanger": Method("Sanger", _axes(threshold=(0, 33, 66, 131, 197, 262, 393, 524, 786, 1311)), _sanger),
    # What is dropped stays dropped, so the layers cannot be looked at one by one.
    "spatten": Method(
        "SpAtten",
        _axes(tokens=(0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5), values=(0, 0.5, 0.7, 0.8, 0.9)),
        _spatten,
        layered=False,
    ),
}


@dataclass
class Tally:
    """Work that was left, and what it would have been without a plan."""

    left: Work = field(default_factory=Work)
    dense: Work = field(default_factory=Work)

    def see(self, plan: Plan, q: Array, k: Array) -> None:
        """Is shown each plan, with the exact Q and K [B, H, T, dh] of its layer."""


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
    # Nobody would predict for a handful of tokens: it costs more than it saves.
    used = method if x.shape[1] >= SHORTEST else METHODS["dense"]
    session, whole = used.start(model, setting, size), size.times(len(x))
    attend = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)

    def counted(number: int, keys: Array) -> Planner:
        def plan(*given: Array) -> Plan:
            found = session.plan(number, keys)
            made = found if isinstance(found, Plan) else found(*given)
            tally.left += whole.left(made.counts, len(x) * session.prediction, after_qk=session.after_qk)
            tally.dense += whole.dense
            tally.see(made, *given[1:])
            return made

        return plan

    codes = integer.run(model.model, model.layers, model.model.codes(x), attend, counted, watch=session.watch)
    return session.finish(model.model.real(codes))
