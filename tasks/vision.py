# SPDX-License-Identifier: Apache-2.0
"""The vision task: scikit-learn's handwritten digits, plain and in five variations, to be told apart.

Every variation is a data set of its own, drawn once from a fixed seed; an image that is held out is held out of all.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.datasets import load_digits

from config.errors import require
from golden.models import vision
from tasks.encoder import Encoder, Progress, float_encoder, silent
from tasks.split import share

SIDE = vision.SIDE
PARTS = ("test", "train")
TEST_SHARE = 0.3
BATCH = 64
NOISE, ANGLE, HOLE, SHIFT, BLUR = 0.3, 35.0, 6, 3, 1.4

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Change = Callable[[Images, np.random.Generator], Images]


def noisy(image: Images, chance: np.random.Generator) -> Images:
    """Gaussian noise of deviation 0.3 on every pixel."""
    return np.clip(image + NOISE * chance.normal(size=image.shape), 0, 1).astype(np.float32)


def rotated(image: Images, chance: np.random.Generator) -> Images:
    """Turned about its middle by up to 35 degrees either way."""
    return np.asarray(ndimage.rotate(image, chance.uniform(-ANGLE, ANGLE), reshape=False, order=1), dtype=np.float32)


def occluded(image: Images, chance: np.random.Generator) -> Images:
    """A black square of 6 by 6 pixels, anywhere inside."""
    row, column = chance.integers(0, SIDE - HOLE + 1, size=2)
    result = image.copy()
    result[row : row + HOLE, column : column + HOLE] = 0
    return result


def shifted(image: Images, chance: np.random.Generator) -> Images:
    """Moved by up to 3 pixels along each axis; what leaves the image is lost."""
    return np.asarray(ndimage.shift(image, chance.integers(-SHIFT, SHIFT + 1, size=2), order=0), dtype=np.float32)


def blurred(image: Images, chance: np.random.Generator) -> Images:
    """Blurred by a Gaussian of up to 1.4 pixels."""
    return np.asarray(ndimage.gaussian_filter(image, chance.uniform(0, BLUR)), dtype=np.float32)


CHANGES: dict[str, Change] = {
    "digits": lambda image, chance: image,
    "digits.noisy": noisy,
    "digits.rotated": rotated,
    "digits.occluded": occluded,
    "digits.shifted": shifted,
    "digits.blurred": blurred,
}
DATA_SETS = tuple(CHANGES)


@cache
def _digits(part: str) -> tuple[Images, Labels]:
    digits = load_digits()
    chosen = np.array([(share(f"digit {i}") < TEST_SHARE) == (part == "test") for i in range(len(digits.target))])
    small = digits.images[chosen] / 16
    images = ndimage.zoom(small, (1, 2, 2), order=1, grid_mode=True, mode="nearest")
    return np.asarray(images, dtype=np.float32), np.asarray(digits.target[chosen], dtype=np.int64)


@cache
def images(data_set: str, part: str = "test") -> tuple[Images, Labels]:
    """Images [N, 16, 16] of grey values 0 to 1 and their classes [N]. Raises Refusal for an unknown set or part."""
    require(data_set in DATA_SETS, f"A data set must be one of {', '.join(DATA_SETS)}, not {data_set!r}; choose one.")
    require(part in PARTS, f"A part must be one of {', '.join(PARTS)}, not {part!r}; choose one.")
    plain, labels = _digits(part)
    chance = np.random.default_rng([DATA_SETS.index(data_set), PARTS.index(part)])
    return np.stack([CHANGES[data_set](image, chance) for image in plain]), labels


def augmented(chosen: NDArray[np.int64], chance: np.random.Generator) -> tuple[Images, Labels]:
    """Training images by their indices, each changed anew in one or two ways."""
    plain, labels = _digits("train")
    changes = list(CHANGES.values())
    result = []
    for image in plain[chosen]:
        for _ in range(2):
            image = changes[chance.integers(len(changes))](image, chance)
        result.append(image)
    return np.stack(result), labels[chosen]


@cache
def model() -> vision.VisionModel:
    """The trained model in torch float32."""
    return vision.load()[0].map(torch.as_tensor)


@cache
def dense() -> Encoder:
    """Its layers in floating point."""
    return float_encoder(model().layers, vision.ARCHITECTURE)


def classes(
    found: Images, encoder: Encoder, progress: Progress = silent, *, trained: vision.VisionModel | None = None
) -> Labels:
    """The likeliest class of each image [N, 16, 16], by the shipped model's embedding and head or by another's."""
    ends = trained or model()
    result = []
    for start in range(0, len(found), BATCH):
        batch = torch.as_tensor(found[start : start + BATCH])
        with torch.no_grad():
            x = ends.embed(batch)
            logits = ends.logits(encoder(x, torch.ones(x.shape[:2], dtype=torch.bool)))
        result.append(logits.argmax(dim=-1).numpy())
        progress(len(batch))
    return np.concatenate(result)


def accuracy(
    data_set: str, encoder: Encoder, limit: int | None = None, progress: Progress = silent, *, part: str = "test"
) -> float:
    """The share of the images of a part, or of the first `limit`, that are told right. Higher is better."""
    found, labels = images(data_set, part)
    found, labels = found[:limit], labels[:limit]
    return float(np.mean(classes(found, encoder, progress) == labels))
