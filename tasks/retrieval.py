# SPDX-License-Identifier: Apache-2.0
"""The retrieval task: which of a corpus's docstrings does a summary belong to? MiniLM looks for the nearest rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from config.errors import require
from golden.models import minilm
from tasks.corpora import Pair
from tasks.encoder import Encoder, Progress, float_encoder, silent

BATCH = 32
Embeddings = NDArray[np.float64]
"""[N, 384], rows of length one."""


@dataclass(frozen=True)
class Batch:
    """Texts of similar length: which of the texts they are, int64 [B], their ids [B, T], zero where they have ended,
    and `attend`, bool [B, T], false there."""

    places: NDArray[np.int64]
    ids: NDArray[np.int64]
    attend: NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """top1: the share of summaries whose own rest is the nearest of all. mrr: the mean of 1 / rank. Both 0 to 1."""

    top1: float
    mrr: float


@cache
def dense() -> Encoder:
    """MiniLM's six layers in floating point."""
    return float_encoder([minilm.layer_weights(layer) for layer in range(minilm.LAYERS)], minilm.ARCHITECTURE)


def batches(ids: Sequence[NDArray[np.int64]], size: int = BATCH) -> list[Batch]:
    """Each text once, the shortest first, so that little is padded."""
    order = sorted(range(len(ids)), key=lambda place: (len(ids[place]), place))
    result = []
    for start in range(0, len(order), size):
        places = order[start : start + size]
        lengths = np.array([len(ids[place]) for place in places])
        attend = np.arange(lengths.max()) < lengths[:, None]
        padded = np.zeros(attend.shape, dtype=np.int64)
        padded[attend] = np.concatenate([ids[place] for place in places])
        result.append(Batch(np.array(places), padded, attend))
    return result


def embed_texts(texts: Sequence[str], encoder: Encoder, progress: Progress = silent) -> Embeddings:
    """The embedding of each text by its first 128 tokens: the mean of the last layer over them, of length one.

    `progress` is told of each batch of texts that is done. Raises Refusal for no texts at all.
    """
    require(len(texts) > 0, "There must be at least one text to embed, and there is none; give one.")
    result = np.empty((len(texts), minilm.WIDTH))
    for batch in batches(minilm.truncated(list(texts))):
        x, attend = torch.as_tensor(minilm.embed_batch(batch.ids)), torch.as_tensor(batch.attend)
        result[batch.places] = pooled(np.asarray(encoder(x, attend), dtype=np.float64), batch.attend)
        progress(len(batch.places))
    return result


def pooled(y: Embeddings, attend: NDArray[np.bool_]) -> Embeddings:
    """The mean [B, D] of y [B, T, D] over the tokens that are attended to, brought to length one."""
    # Padding may hold anything, NaN included, so it is cut out and not weighed with zero.
    means = np.where(attend[..., None], y, 0).sum(axis=1) / attend.sum(axis=1, keepdims=True)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True))


def scores(summaries: Embeddings, rests: Embeddings) -> Scores:
    """Of embeddings [N, D] where row i of both is of one docstring. Another rest that is as near counts as nearer."""
    require(
        summaries.shape == rests.shape and len(rests) > 0,
        f"Summaries and rests must be as many, and at least one, not {summaries.shape} and {rests.shape}; pair them.",
    )
    nearness = summaries @ rests.T
    ranks = (nearness >= np.diagonal(nearness)[:, None]).sum(axis=1)
    return Scores(float((ranks == 1).mean()), float((1 / ranks).mean()))


def mean_cosine(found: Embeddings, reference: Embeddings) -> float:
    """The mean cosine of the angle between embeddings [N, D] and what they should be."""
    return float((found * reference).sum(axis=1).mean())


def embed_pairs(pairs: Sequence[Pair], encoder: Encoder, progress: Progress = silent) -> tuple[Embeddings, Embeddings]:
    """The embeddings of the summaries and of the rests; `progress` counts pairs, as their rests are done."""
    summaries = embed_texts([pair.summary for pair in pairs], encoder)
    return summaries, embed_texts([pair.rest for pair in pairs], encoder, progress)
