# SPDX-License-Identifier: Apache-2.0
"""Quantisation that looks no further than the attention mask: scales are found from the data, and a row's own scales
from what the row may attend to alone.

Where all rows may attend to the same keys, a head of a sequence has one scale, max / 127, as
`golden.arith.quantise.quantise_symmetric` finds it. Where they may not, as under a causal mask, a scale taken from the
whole sequence would let later tokens choose what earlier rows keep. There, each row has the scale of the largest
magnitude it may know of, rounded up to a power of two, so that only a few different ones come up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from golden.arith.quantise import LARGEST_CODE, round_half_up

Tensor = Any
"""A torch tensor."""


@dataclass(frozen=True)
class Selection:
    """What a predictor decides.

    mask: bool [B, H, T, S], key j is kept for row i; of similar rows, false. reference: int64 [B, H, T], the critical
    row whose result row i takes, itself if it is critical. scored: the pairs that each round of scoring looked at.
    """

    mask: Tensor
    reference: Tensor
    scored: tuple[Tensor, ...] = ()

    @property
    def critical(self) -> Tensor:
        """bool [B, H, T]."""
        return self.reference == torch.arange(self.reference.shape[-1], device=self.reference.device)

    def widened(self, start: int, rows: int) -> "Selection":
        """This as rows `start` and on of so many; nothing is kept in the others, and they are critical."""
        here = slice(start, start + self.reference.shape[-1])

        def wide(pairs: Tensor) -> Tensor:
            whole = torch.zeros((*pairs.shape[:-2], rows, pairs.shape[-1]), dtype=torch.bool, device=pairs.device)
            whole[..., here, :] = pairs
            return whole

        if self.reference.shape[-1] == rows:
            return self
        reference = torch.arange(rows, device=self.reference.device).repeat(*self.reference.shape[:-1], 1)
        reference[..., here] = self.reference + start
        return Selection(wide(self.mask), reference, tuple(wide(pairs) for pairs in self.scored))

    def where(self, rows: Tensor, other: "Selection") -> "Selection":
        """This in the rows given, bool [B, H, T]; the other elsewhere."""
        pairs = rows[..., None]
        scored = zip(self.scored, other.scored, strict=True)
        return Selection(
            torch.where(pairs, self.mask, other.mask),
            torch.where(rows, self.reference, other.reference),
            tuple(torch.where(pairs, mine, theirs) for mine, theirs in scored),
        )


@dataclass(frozen=True)
class Sight:
    """Who may know of whom.

    pairs: bool [B, h, T, S], h = 1 or H: row i may attend to key j. real: bool [B, T], rows that are no padding.
    known: bool [B, h, T, T], real rows that attend to nothing but what row i may attend to as well, so that row i may
    know how large they are. uniform: bool [B, h, 1], all real rows know the same.
    """

    pairs: Tensor
    real: Tensor
    known: Tensor
    uniform: Tensor

    @classmethod
    def of(cls, pairs: Tensor, real: Tensor) -> "Sight":
        """From the pairs and the rows that are no padding."""
        counted = pairs.float()
        known = (1 - counted) @ counted.mT == 0
        attends = real[:, None, :] & pairs.any(-1)
        known = known & attends[..., None, :]
        uniform = (known | ~attends[..., None, :] | ~attends[..., :, None]).all(-1).all(-1, keepdim=True)
        return cls(pairs, real, known, uniform)

    def largest_key(self, magnitudes: Tensor) -> Tensor:
        """[B, H, T]: of the magnitudes [B, H, S] of keys, the largest among those that row i may attend to."""
        return self._stepped(_largest(self.pairs, magnitudes))

    def largest_row(self, magnitudes: Tensor) -> Tensor:
        """[B, H, T]: of the magnitudes [B, H, T] of rows, the largest among those that row i may know of."""
        return self._stepped(_largest(self.known, magnitudes))

    def _stepped(self, largest: Tensor) -> Tensor:
        mantissa, exponent = torch.frexp(largest.double())
        power = torch.ldexp(torch.ones_like(mantissa), exponent - (mantissa == 0.5).int())
        power = torch.where(largest == 0, torch.zeros_like(power), power).to(largest.dtype)
        return torch.where(self.uniform, largest, power)

    def settled(self, selection: Selection) -> Selection:
        """The selection with references that lead to critical rows in one step, and to rows that keep only what the row
        itself may attend to: no copy brings in what the attention mask forbids, or the result of padding."""
        own = torch.arange(selection.reference.shape[-1], device=selection.reference.device)
        reference = selection.reference
        while not torch.equal(further := reference.gather(-1, reference), reference):
            reference = further
        kept = selection.mask.gather(-2, reference[..., None].expand_as(selection.mask))
        fits = ~(kept & ~self.pairs).any(-1) & (kept.any(-1) | ~self.pairs.any(-1))
        real = self.real[:, None, :].expand_as(reference)
        fits = fits & (real.gather(-1, reference) | ~real)
        reference = torch.where(fits, reference, own)
        return Selection(selection.mask & (reference == own)[..., None], reference, selection.scored)

    def without_padding(self, selection: Selection) -> Selection:
        """The selection with rows of padding that keep nothing, so that no key is needed for them, and copy nothing."""
        real = self.real[:, None, :]
        own = torch.arange(selection.reference.shape[-1], device=selection.reference.device)
        reference = torch.where(real, selection.reference, own)
        return Selection(selection.mask & real[..., None], reference, selection.scored)


def _largest(known: Tensor, magnitudes: Tensor) -> Tensor:
    zero = torch.zeros((), dtype=magnitudes.dtype, device=magnitudes.device)
    return torch.where(known, magnitudes[..., None, :], zero).amax(-1)


def by_row(scales: Sequence[Tensor], wanted: Tensor, run: Callable[..., Selection]) -> Selection:
    """`run(wanted, *scales)` with each row's own scales.

    scales: [B, H, T] each, one value per row. run: is given the rows bool [B, H, T] whose decisions it is asked for and
    the scales [B, H, 1] of these rows, and decides about all rows; once for each different value along the rows.
    """
    changes = torch.zeros_like(scales[0], dtype=torch.bool)
    for scale in scales:
        changes[..., 1:] |= scale[..., 1:] != scale[..., :-1]
    level = changes.cumsum(-1)
    found: Selection | None = None
    for each in range(int(level.max()) + 1):
        rows = level == each
        if found is not None and not bool((rows & wanted).any()):
            continue
        values = [torch.where(rows, scale, torch.zeros_like(scale)).amax(-1, keepdim=True) for scale in scales]
        there = run(rows & wanted, *values)
        found = there if found is None else there.where(rows, found)
    assert found is not None
    return found


def step(largest: Tensor) -> Tensor:
    """The scale that takes the largest magnitude to 127; 1 where that is 0."""
    scale = largest.double() / LARGEST_CODE
    return torch.where(scale == 0, torch.ones_like(scale), scale)


def quantised(x: Tensor, largest: Tensor) -> Tensor:
    """Symmetric int8 as int64: round half up(x / `step`), saturated to ±127. largest: broadcasts against x."""
    return round_half_up(x.double() / step(largest)).clamp(-LARGEST_CODE, LARGEST_CODE)
