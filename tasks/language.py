# SPDX-License-Identifier: Apache-2.0
"""The language task: how well the next token of docstrings is predicted that the model was not trained on.

Which objects are held out is decided by their names, alone; but many docstrings are nearly those of others, and of the
held-out ones only those count that nearly agree with no training text and with none before them. The texts of a part
follow each other, sorted by name, each with an end mark, and are cut into windows of 128 tokens.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from config.errors import require
from golden.models import language
from tasks.corpora import CORPORA, docstrings
from tasks.encoder import Encoder, Progress, float_encoder, silent
from tasks.likeness import unlike
from tasks.split import share

WINDOW = language.POSITIONS
TEST_SHARE = 0.1
PARTS = ("test", "train")
END = "<|end|>"
BATCH = 16

Windows = NDArray[np.int64]


def texts(corpus: str, part: str) -> list[str]:
    """The docstrings of a part, sorted by name; what says nearly the same as another is in no test.

    Raises Refusal for an unknown corpus or part.
    """
    require(part in PARTS, f"A part must be one of {', '.join(PARTS)}, not {part!r}; choose one.")
    if part == "train":
        return [each.text for each in docstrings(corpus) if not _held_out(each.name)]
    return [each.text for each in docstrings(corpus) if each.name in _tested()]


def _held_out(name: str) -> bool:
    return share(name) < TEST_SHARE


@cache
def _tested() -> frozenset[str]:
    """The names of the test texts of all corpora."""
    held_out = [each for corpus in CORPORA for each in docstrings(corpus) if _held_out(each.name)]
    known = [text for corpus in CORPORA for text in texts(corpus, "train")]
    fresh = unlike([each.text for each in held_out], known)
    return frozenset(each.name for each, new in zip(held_out, fresh, strict=True) if new)


def stream(corpora: Iterable[str], part: str, coder: Tokenizer) -> NDArray[np.int64]:
    """The token ids of all those texts, an end mark after each."""
    end = int(coder.token_to_id(END) or 0)  # the trainer numbers it first
    found: list[int] = [end]
    for coded in coder.encode_batch([text for corpus in corpora for text in texts(corpus, part)]):
        found += [*coded.ids, end]
    return np.asarray(found, dtype=np.int64)


def windows(ids: NDArray[np.int64], offset: int = 0) -> Windows:
    """[N, 129]: 128 tokens to read and, one further, 128 to predict. What does not fill a window is left out."""
    count = (len(ids) - offset - 1) // WINDOW
    return np.stack([ids[offset + i * WINDOW : offset + (i + 1) * WINDOW + 1] for i in range(count)])


@cache
def _all_windows(corpus: str, part: str) -> Windows:
    return windows(stream([corpus], part, language.tokenizer()))


def corpus_windows(corpus: str, part: str = "test", limit: int | None = None) -> Windows:
    """The windows [N, 129] of a part of a corpus; with a limit, at most so many, spread evenly.

    Perplexity is reported over part "test"; part "train" is for finding settings.
    """
    found = _all_windows(corpus, part)
    count = min(limit or len(found), len(found))
    return found[[i * len(found) // count for i in range(count)]]


@cache
def model() -> language.LanguageModel:
    """The trained model in torch float32."""
    return language.load()[0].map(torch.as_tensor)


@cache
def dense() -> Encoder:
    """Its layers in floating point."""
    return float_encoder(model().layers, language.ARCHITECTURE)


def losses(
    found: Windows, encoder: Encoder, progress: Progress = silent, *, trained: language.LanguageModel | None = None
) -> NDArray[np.float64]:
    """The loss in nats of each predicted token [N, 128], by the shipped model's embedding and head or by another's."""
    ends = trained or model()
    result = []
    for start in range(0, len(found), BATCH):
        batch = torch.as_tensor(found[start : start + BATCH])
        with torch.no_grad():
            x = ends.embed(batch[:, :-1])
            logits = ends.logits(encoder(x, torch.ones(x.shape[:2], dtype=torch.bool)))
            loss = torch.nn.functional.cross_entropy(logits.mT, batch[:, 1:], reduction="none")
        result.append(loss.double().numpy())
        progress(len(batch))
    return np.concatenate(result)


def perplexity(
    found: Windows, encoder: Encoder, progress: Progress = silent, *, trained: language.LanguageModel | None = None
) -> float:
    """exp of the mean loss over the windows [N, 129]: as hard as choosing between so many tokens. Lower is better."""
    return float(np.exp(losses(found, encoder, progress, trained=trained).mean()))


class Counts:
    """What a model of single tokens and one of pairs of tokens make of the same text: the marks to beat."""

    def __init__(self, ids: NDArray[np.int64], vocabulary: int, prior: float = 5.0) -> None:
        """Counted over the training ids [T]; `prior`: how many sightings the single tokens weigh among the pairs."""
        self.single = (np.bincount(ids, minlength=vocabulary) + 1.0) / (len(ids) + vocabulary)
        self.first = np.bincount(ids[:-1], minlength=vocabulary)
        self.pairs = Counter(zip(ids[:-1].tolist(), ids[1:].tolist(), strict=True))
        self.prior = prior

    def perplexities(self, found: Windows) -> tuple[float, float]:
        """Of the single tokens and of the pairs, over the predicted tokens of the windows [N, 129]."""
        before, after = found[:, :-1].ravel(), found[:, 1:].ravel()
        sightings = np.array([self.pairs[pair] for pair in zip(before.tolist(), after.tolist(), strict=True)])
        alone = self.single[after]
        joint = (sightings + self.prior * alone) / (self.first[before] + self.prior)
        return float(np.exp(-np.log(alone).mean())), float(np.exp(-np.log(joint).mean()))
