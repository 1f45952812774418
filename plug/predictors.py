# SPDX-License-Identifier: Apache-2.0
"""The predictors by name, their settings, and what each keeps of a head's attention: the golden functions, on scales
found from the data.

    q, k ─► int8 ─► scores in the predictor's number system ─► kept keys, references
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch.nn import functional

from config.array import NumberSystem, require_range
from config.errors import Refusal, require
from config.speculate import MAX_HEADS, MAX_TOKENS, LapaSettings, SpeculationConfig, SplsSettings
from golden.speculate import lapa, spls
from golden.speculate.array import dot
from plug.sight import Selection, Sight, Tensor, by_row, quantised

Share = int | float
"""A number, or a share of all, above 0 and at most 1, of which the number is the next integer up."""


class Predictor(ABC):
    """What decides which keys attention keeps, and which rows are copies of others.

    system: the number system in which Q̂ and K̂ are predicted from X and the weights; none for a predictor that needs
    the exact Q and K.
    """

    system: ClassVar[NumberSystem | None] = None

    @abstractmethod
    def choose(self, q: Tensor, k: Tensor, sight: Sight, wanted: Tensor) -> Selection:
        """Decides from Q̂ [B, H, T, dh] and K̂ [B, H, S, dh], int64 within int8, about the rows `wanted`, bool
        [B, H, T]; what it says of others is not used."""

    def similarity_window(self) -> int:
        """Rows among which similar ones are sought."""
        return 1

    def least_votes(self, heads: int) -> int:
        """Heads that must name the same row for a token's FFN result to be copied; more than there are: none is."""
        return heads + 1

    def select(self, q: Tensor, k: Tensor, sight: Sight, wanted: Tensor | None = None) -> Selection:
        """`choose` from real-valued q [B, H, T, dh] and k [B, H, S, dh], each head of a sequence quantised to int8."""
        everything = torch.ones(q.shape[:-1], dtype=torch.bool, device=q.device) if wanted is None else wanted

        def run(rows: Tensor, largest_q: Tensor, largest_k: Tensor) -> Selection:
            return self.choose(quantised(q, largest_q[..., None]), quantised(k, largest_k[..., None]), sight, rows)

        magnitudes = (values.double().abs().amax(-1) for values in (q, k))
        largest_q, largest_k = sight.largest_row(next(magnitudes)), sight.largest_key(next(magnitudes))
        return by_row([largest_q, largest_k], everything, run)


@dataclass(frozen=True)
class Dense(Predictor):
    """No prediction: every allowed pair is kept."""

    def choose(self, q: Tensor, k: Tensor, sight: Sight, wanted: Tensor) -> Selection:
        """All allowed pairs."""
        return _all_critical(sight.pairs.expand(*q.shape[:-1], k.shape[-2]))

    def select(self, q: Tensor, k: Tensor, sight: Sight, wanted: Tensor | None = None) -> Selection:
        """All allowed pairs; nothing is quantised."""
        return self.choose(q, k, sight, torch.ones(q.shape[:-1], dtype=torch.bool, device=q.device))


@dataclass(frozen=True)
class Spls(Predictor):
    """ESACT's sparsity prediction with local similarity.

    k: keys kept per row, an integer, or a share of the keys of the sequence that are no padding. k_similarity: keys
    whose scores are compared, no more than k. s: two rows are similar if their scores differ by no more than s/256 of
    their size. f: heads that must name the same row for a token's FFN to be copied, a number or a share of the heads.
    window: rows that are compared. score_bits: width of a score. Raises `Refusal` outside `config.speculate`'s ranges.
    """

    system: ClassVar[NumberSystem | None] = spls.SYSTEM

    k: Share = 0.35
    k_similarity: Share = 0.1
    s: int = 64
    f: Share = 2 / 3
    window: int = 8
    score_bits: int = 8

    def __post_init__(self) -> None:
        for name, largest in (("k", MAX_TOKENS), ("k_similarity", MAX_TOKENS), ("f", MAX_HEADS + 1)):
            _require_share(name, getattr(self, name), largest)
        if type(self.k) is type(self.k_similarity):
            require(
                self.k_similarity <= self.k,
                f"k_similarity must be at most k = {self.k}, not {self.k_similarity}; lower it or raise k.",
            )
        SplsSettings(s=self.s)  # refuses what is out of range
        SpeculationConfig("spls", window=self.window, score_bits=self.score_bits)

    def similarity_window(self) -> int:
        """`window`."""
        return self.window

    def least_votes(self, heads: int) -> int:
        """f of this many heads."""
        return _number(self.f, heads)

    def settings(self, keys: int) -> SplsSettings:
        """For a sequence of this many keys."""
        k = _number(self.k, keys)
        return SplsSettings(k=k, k_similarity=min(k, _number(self.k_similarity, keys)), s=self.s)

    def choose(self, q: Tensor, k: Tensor, sight: Sight, wanted: Tensor) -> Selection:
        """The k largest scores of each row, and the rows whose k_similarity largest are alike."""
        sums = dot(q, k, spls.SYSTEM)
        # A negative score fits one further than a positive one.
        sizes = torch.where(sight.pairs, torch.where(sums < 0, ~sums, sums), torch.zeros_like(sums)).amax(-1)
        bits = torch.frexp(sight.largest_row(sizes).double()).exponent
        shifts = (bits - (self.score_bits - 1)).clamp(min=0).to(torch.int64)

        scores, pairs = _windows(sums, self.window), _windows(sight.pairs.expand(sums.shape), self.window)

        def run(rows: Tensor, shift: Tensor) -> Selection:
            wanted = _windows(rows[..., None], self.window)[..., 0].any(-1)
            mask, reference = self._chosen(scores, pairs, shift, wanted)
            return Selection(
                mask[..., : q.shape[-2], :], reference[..., : q.shape[-2]], (sight.pairs.expand(sums.shape),)
            )

        return by_row([shifts], wanted, run)

    def _chosen(self, sums: Tensor, pairs: Tensor, shift: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Of windows [B, H, W, w, S], those `wanted`, bool [B, H, W]; sequence by sequence where a share of the keys is
        another number. Windows know nothing of each other, so that each may be taken for a sequence."""
        mask = torch.zeros_like(pairs)
        first = torch.arange(sums.shape[2], device=sums.device)[:, None] * self.window
        reference = torch.arange(self.window, device=sums.device).expand(sums.shape[:-1]) + first
        keys = pairs.any(1).flatten(1, 2).any(1).sum(-1)
        settings = {count: self.settings(max(1, count)) for count in keys.unique().tolist()}
        for each in set(settings.values()):
            counts = torch.tensor([count for count in settings if settings[count] == each], device=keys.device)
            same = torch.isin(keys, counts)
            here = wanted & same[:, None, None]
            scores = spls.shifted(sums[here], shift.expand(here.shape)[here][:, None, None], self.score_bits)
            if len(scores):
                mask[here], found = spls.select(scores, pairs[here], each, self.window)
                reference[here] = found + first.expand(*here.shape, 1)[here]
        return mask.flatten(2, 3), reference.flatten(2, 3)


@dataclass(frozen=True)
class Lapa(Predictor):
    """LAPA: eta, per round, drops keys further below the row's maximum than eta/256 of its range; slices: widths of the
    bit slices of K̂, one per round, 8 bits in all. Raises `Refusal` outside `config.speculate`'s ranges."""

    system: ClassVar[NumberSystem | None] = lapa.SYSTEM

    eta: tuple[int, ...] = (128, 128)
    slices: tuple[int, ...] = (4, 4)

    def __post_init__(self) -> None:
        LapaSettings(eta=self.eta)  # refuses what is out of range
        SpeculationConfig("lapa", slices=self.slices)
        require(
            len(self.eta) == len(self.slices),
            f"eta must hold one value for each of {len(self.slices)} slices, not {len(self.eta)}; give one per slice.",
        )

    def choose(self, q: Tensor, k: Tensor, sight: Sight, wanted: Tensor) -> Selection:
        """The survivors of the last round."""
        span = _span(wanted)
        pairs = sight.pairs[..., span, :].expand(*q[..., span, :].shape[:-1], k.shape[-2])
        survivors = lapa.rounds(q[..., span, :], k, pairs, self.eta, self.slices)
        return _all_critical(survivors[-1], (pairs, *survivors[:-1])).widened(span.start, q.shape[-2])


PREDICTORS: dict[str, Callable[..., Predictor]] = {"dense": Dense, "spls": Spls, "lapa": Lapa}
"""Every predictor by its name."""


def by_name(name: str, **settings: Any) -> Predictor:
    """The predictor called `name`, one of `PREDICTORS`, with these settings. Raises `Refusal` for other names, settings
    that it does not have, and values out of range."""
    require(
        name in PREDICTORS, f"The predictor must be one of {', '.join(PREDICTORS)}, not {name!r}; choose one of them."
    )
    make: Any = PREDICTORS[name]
    known = [field.name for field in fields(make)]
    unknown = [setting for setting in settings if setting not in known]
    require(
        not unknown,
        f"Settings of {name} must be among {', '.join(known) or 'none'}, not {', '.join(unknown)}; leave those out.",
    )
    predictor: Predictor = make(**settings)
    return predictor


def require_predictor(predictor: object) -> None:
    """Raise `Refusal` unless it is one."""
    if not isinstance(predictor, Predictor):
        raise Refusal(f"predictor must be a Predictor, not {predictor!r}; make one with plug.by_name, or plug.Spls().")


def _require_share(name: str, value: Share, largest: int) -> None:
    if isinstance(value, float):
        require(0 < value <= 1, f"{name} must be a share above 0 and at most 1, or an integer, not {value}; set it so.")
    else:
        require_range(name, value, 1, largest)


def _number(value: Share, of: int) -> int:
    return math.ceil(value * of) if isinstance(value, float) else value


def _windows(rows: Tensor, window: int) -> Tensor:
    """[B, H, T, S] in windows [B, H, W, w, S], the last one filled up with zeros."""
    return functional.pad(rows, (0, 0, 0, -rows.shape[-2] % window)).unflatten(-2, (-1, window))


def _span(rows: Tensor) -> slice:
    """From the first to the last of the rows, bool [B, H, T]."""
    found = rows.any(0).any(0).nonzero()
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 1)


def _all_critical(mask: Tensor, scored: tuple[Tensor, ...] = ()) -> Selection:
    reference = torch.arange(mask.shape[-2], device=mask.device).expand(mask.shape[:-1])
    return Selection(mask, reference, scored)
