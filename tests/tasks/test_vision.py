# SPDX-License-Identifier: Apache-2.0
"""The vision task: the data sets are what they say, and the shipped model tells the classes of its record."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from config.errors import Refusal
from golden.models import vision as model
from tasks import vision
from tasks.split import share
from tasks.vision import DATA_SETS


def test_plain_images_are_the_digits_twice_as_large() -> None:
    images, labels = vision.images("digits")
    digits = load_digits()
    chosen = [i for i in range(len(digits.target)) if share(f"digit {i}") < 0.3]
    small = torch.as_tensor(digits.images[chosen] / 16)
    large = torch.nn.functional.interpolate(small[:, None], scale_factor=2, mode="bilinear")[:, 0]
    assert np.abs(images - large.numpy()).max() < 1e-6
    assert labels.tolist() == digits.target[chosen].tolist()


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_a_data_set_is_drawn_alike_each_time_and_held_out_with_its_original(data_set: str) -> None:
    (test, labels), (train, others) = (vision.images(data_set, part) for part in vision.PARTS)
    assert (test.dtype, test.shape, labels.shape) == (np.float32, (530, 16, 16), (530,))
    assert len(train) == len(others) == 1797 - 530
    assert test.min() >= 0
    assert test.max() <= 1
    again, _ = vision.images.__wrapped__(data_set)
    assert np.array_equal(test, again)
    assert np.array_equal(labels, vision.images("digits")[1])
    assert set(labels.tolist()) == set(range(10))


@pytest.mark.parametrize("data_set", DATA_SETS[1:])
def test_a_variation_is_no_other_one(data_set: str) -> None:
    images = vision.images(data_set)[0]
    for other in DATA_SETS:
        if other != data_set:
            changed = (images != vision.images(other)[0]).any(axis=(1, 2))
            assert changed.mean() > 0.8, other


def test_changes_by_hand() -> None:
    chance, image = np.random.default_rng(3), np.ones((16, 16), dtype=np.float32)
    for _ in range(20):
        hole = vision.occluded(image, chance) == 0
        assert hole.sum() == 36
        assert hole.any(axis=0).sum() == hole.any(axis=1).sum() == 6
        rows, columns = vision.shifted(image, chance).any(axis=1).sum(), vision.shifted(image, chance).any(axis=0).sum()
        assert 13 <= rows <= 16
        assert 13 <= columns <= 16
    assert image.all()


def test_augmented_images_keep_their_classes() -> None:
    chosen = np.array([5, 9, 5])
    images, labels = vision.augmented(chosen, np.random.default_rng(1))
    assert (images.shape, images.dtype) == ((3, 16, 16), np.float32)
    assert labels.tolist() == vision.images("digits", "train")[1][chosen].tolist()
    assert np.array_equal(images, vision.augmented(chosen, np.random.default_rng(1))[0])


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_the_shipped_model_tells_the_classes_of_its_record(data_set: str) -> None:
    expected = [int(each) for each in model.load()[1]["check"][data_set].split()]
    done: list[int] = []
    found = vision.classes(vision.images(data_set)[0][:100], vision.dense(), done.append)
    assert found.tolist() == expected
    assert done == [64, 36]


def test_accuracy_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = vision.images("digits")[1][:7]
    told = labels.copy()
    told[2] += 1
    monkeypatch.setattr(vision, "classes", lambda found, encoder, progress: told[: len(found)])
    assert vision.accuracy("digits", lambda x, attend: x, limit=7) == 6 / 7
    assert vision.accuracy("digits", lambda x, attend: x, limit=2) == 1.0


def test_the_encoder_makes_the_difference() -> None:
    assert vision.accuracy("digits", lambda x, attend: torch.zeros_like(x), limit=100) < 0.3


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("letters", "test"), f"A data set must be one of {', '.join(DATA_SETS)}, not 'letters'; choose one."),
        (("digits", "valid"), "A part must be one of test, train, not 'valid'; choose one."),
    ],
)
def test_what_there_is_not_is_refused(given: tuple[str, str], sentence: str) -> None:
    with pytest.raises(Refusal) as refusal:
        vision.images(*given)
    assert str(refusal.value) == sentence
