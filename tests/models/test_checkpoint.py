# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: stored whole, read back, and refused where anything is missing or changed."""

import json
from pathlib import Path

import numpy as np
import pytest

from config.errors import Refusal
from golden.models import checkpoint, language, vision

RESTORE = "restore the folder from the repository, or train it anew with `python -m tasks.train toy`."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = {"a": np.array([[1.0, -2.5]]), "b": np.array([65504.0, 1 / 3])}
    checkpoint.write("toy", {"safetensors": checkpoint.pack(tensors), "txt": b"text"}, {"seed": 7}, tmp_path)
    return tmp_path


def refusal(folder: Path) -> str:
    with pytest.raises(Refusal) as caught:
        checkpoint.read("toy", folder)
    return str(caught.value)


def test_what_is_written_is_read(folder: Path) -> None:
    contents, record = checkpoint.read("toy", folder)
    assert contents["txt"] == b"text"
    assert record["seed"] == 7
    tensors = checkpoint.unpack(contents["safetensors"])
    assert {name: each.dtype for name, each in tensors.items()} == {"a": np.float32, "b": np.float32}
    assert tensors["a"].tolist() == [[1.0, -2.5]]
    assert tensors["b"].tolist() == [65504.0, float(np.float16(1 / 3))]
    assert sorted(path.name for path in folder.iterdir()) == ["toy.json", "toy.safetensors", "toy.txt"]


def test_a_checkpoint_without_its_record_is_refused(folder: Path) -> None:
    (folder / "toy.json").unlink()
    assert refusal(folder) == f"The checkpoint toy must have its record toy.json, and it is missing; {RESTORE}"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"sha256": 3}'])
def test_a_record_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / "toy.json").write_text(text)
    assert refusal(folder) == f"toy.json must be the record of a checkpoint, and cannot be read; {RESTORE}"


@pytest.mark.parametrize("name", ["toy.safetensors", "toy.txt"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"The checkpoint toy must hold {name}, and it is missing; {RESTORE}"


@pytest.mark.parametrize("name", ["toy.safetensors", "toy.txt"])
def test_a_changed_byte_is_refused(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(bytes(content))
    assert refusal(folder) == (
        f"{name} must be the file that toy.json was written for, and its hash is another; {RESTORE}"
    )


def test_an_interrupted_write_leaves_the_old_files_refused_or_whole(folder: Path, monkeypatch) -> None:
    replaced: list[Path] = []
    replace = Path.replace

    def once(self: Path, target: Path) -> Path:
        if replaced:
            raise KeyboardInterrupt
        replaced.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write("toy", {"txt": b"other", "safetensors": b"other"}, {}, folder)
    assert replaced == [folder / "toy.txt"]
    assert "its hash is another" in refusal(folder)


def test_layers_are_named_by_their_fields() -> None:
    shapes = checkpoint.layer_shapes(width=8, count=3)
    assert len(shapes) == 3 * 16
    tensors = {name: np.full(shape, index) for index, (name, shape) in enumerate(shapes.items())}
    found = checkpoint.layers(tensors)
    assert len(found) == 3
    assert found[2].w_down is tensors["layer.2.w_down"]
    assert found[0].wq.shape == (8, 8)
    assert (found[1].w_up.shape, found[1].b_up.shape, found[1].w_down.shape) == ((32, 8), (32,), (8, 32))


@pytest.mark.parametrize("model", [language, vision])
def test_the_shipped_models_have_their_shapes_and_records(model) -> None:
    contents, record = checkpoint.read(model.NAME)
    tensors = checkpoint.unpack(contents["safetensors"])
    assert {name: each.shape for name, each in tensors.items()} == model.SHAPES
    assert all(np.isfinite(each).all() for each in tensors.values())
    assert record["command"] == f"python -m tasks.train {model.NAME}"
    assert set(record["versions"]) == {"python", "numpy", "scipy", "torch", "scikit-learn"}
    assert isinstance(record["recipe"]["seed"], int)


def test_the_shipped_models_are_small() -> None:
    assert sum(path.stat().st_size for path in checkpoint.FOLDER.iterdir()) < 32 * 2**20


@pytest.mark.parametrize("model", [language, vision])
def test_a_damaged_copy_of_a_shipped_model_is_refused(model, tmp_path: Path) -> None:
    for path in checkpoint.FOLDER.glob(f"{model.NAME}.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / f"{model.NAME}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(Refusal) as caught:
        model.load(tmp_path)
    assert str(caught.value) == (
        f"{weights.name} must be the file that {model.NAME}.json was written for, and its hash is another; restore the "
        f"folder from the repository, or train it anew with `python -m tasks.train {model.NAME}`."
    )


def test_records_are_text_that_can_be_read(folder: Path) -> None:
    assert (folder / "toy.json").read_text().endswith("}\n")
    assert set(json.loads((folder / "toy.json").read_text())) == {"sha256", "seed"}
