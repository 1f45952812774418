# SPDX-License-Identifier: Apache-2.0
"""The file of chosen settings."""

import json

import pytest

from config import presets, settings
from config.errors import Refusal
from config.speculate import UNITY


def test_units_of_the_presets_are_built_as_the_file_says():
    for preset in ("minilm", "paper"):
        units = presets.speculation(preset)
        for method in ("spls", "lapa", "fact"):
            for name, value in settings.build(method).items():
                found = getattr(units[method], name)
                assert (list(found) if isinstance(value, list) else found) == value


@pytest.mark.parametrize("model", settings.MODELS)
@pytest.mark.parametrize("method", ["spls", "spls-trained", "lapa", "fact", "sanger", "spatten"])
def test_every_setting_is_of_numbers_in_range(method, model):
    for name, value in (settings.chosen(method, model) or {}).items():
        most = {"s": UNITY, "eta1": UNITY, "eta2": UNITY, "f": 2, "threshold": 65535}.get(name, 1)
        assert all(0 <= each <= most for each in (value if isinstance(value, list) else [value]))


def test_an_unknown_model_is_refused():
    with pytest.raises(Refusal) as refusal:
        settings.chosen("spls", "resnet")
    assert str(refusal.value) == (
        "The model must be one of minilm, language, vision, not 'resnet'; choose one of them."
    )


@pytest.mark.parametrize("contents", ["", "[1, 2]", "{"])
def test_a_damaged_file_is_refused(contents, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(contents)
    with pytest.raises(Refusal) as refusal:
        settings._contents(path)
    assert str(refusal.value) == (
        "settings.json must hold the settings that were found, and cannot be read; restore it."
    )


def test_what_is_written_is_what_is_read(tmp_path):
    found = {"lapa": {"build": {"slices": [4, 4]}, "minilm": {"eta1": [1, 2]}}}
    assert json.loads(settings.text(found)) == found
