# SPDX-License-Identifier: Apache-2.0
"""The vision model: the shipped weights do what their record says, in NumPy as in torch."""

import numpy as np
import pytest
import torch

from config.errors import Refusal
from golden.models import vision
from golden.models.transformer import layer


@pytest.fixture(scope="module")
def model() -> vision.VisionModel:
    return vision.load()[0]


def test_patches_go_row_by_row_and_so_do_their_pixels() -> None:
    image = np.arange(256.0).reshape(1, 16, 16)
    cut = vision.patches(image)
    assert cut.shape == (1, 64, 4)
    assert cut[0, 0].tolist() == [0, 1, 16, 17]
    assert cut[0, 1].tolist() == [2, 3, 18, 19]
    assert cut[0, 8].tolist() == [32, 33, 48, 49]
    assert torch.equal(vision.patches(torch.as_tensor(image)), torch.as_tensor(cut))


def test_numpy_and_torch_agree(model: vision.VisionModel) -> None:
    images = np.random.default_rng(1).random((3, 16, 16))
    double = model.map(lambda tensor: tensor.astype(np.float64))
    found = double(images)
    assert found.shape == (3, 10)
    assert np.abs(double.map(torch.as_tensor)(torch.as_tensor(images)).numpy() - found).max() < 1e-9


def test_embedding_layers_and_head_make_the_whole(model: vision.VisionModel) -> None:
    torched = model.map(torch.as_tensor)
    images = torch.rand((2, 16, 16), generator=torch.Generator().manual_seed(2))
    x = torched.embed(images)
    assert x.shape == (2, vision.TOKENS, vision.WIDTH)
    by_hand = torched.patch @ images[1, 4:6, 2:4].reshape(4) + torched.patch_bias + torched.positions[17]
    assert torch.allclose(x[1, 17], by_hand, atol=1e-6)
    for weights in torched.layers:
        x = layer(x, weights, vision.ARCHITECTURE)
    assert torch.equal(torched.logits(x), torched(images))


@pytest.mark.parametrize("shape", [(16, 16), (1, 8, 8), (2, 16, 15)])
def test_images_of_another_size_are_refused(model: vision.VisionModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(Refusal) as refusal:
        model.embed(np.zeros(shape))
    assert str(refusal.value) == f"Images must be [B, 16, 16], not {shape}; scale them to 16 by 16 pixels."


def test_the_record_is_of_a_good_model() -> None:
    scores = vision.load()[1]["scores"]
    assert len(scores) == 6
    assert scores["digits"]["accuracy"] >= 0.97
    assert all(each["accuracy"] >= 0.8 for each in scores.values())
