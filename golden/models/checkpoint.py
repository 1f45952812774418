# SPDX-License-Identifier: Apache-2.0
"""Weights that the project trained itself: float16 on disk, and beside them a JSON record of where they come from.

A checkpoint is a few files NAME.* in one folder. NAME.json holds the SHA-256 of each of the others, so that what is
loaded is what was trained.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from config.errors import Refusal, require
from golden.arrays import Array
from golden.models.transformer import LayerWeights

FOLDER = Path(__file__).parent / "checkpoints"
RESTORE = "restore the folder from the repository, or train it anew with `{command}`"
LAYER_FIELDS = tuple(each.name for each in fields(LayerWeights))

Tensors = dict[str, NDArray[np.float32]]
Record = dict[str, Any]


def read(name: str, folder: Path = FOLDER, command: str | None = None) -> tuple[dict[str, bytes], Record]:
    """The contents of a checkpoint's files by their endings, and its record. command: what makes it, if it is not
    `tasks.train`.

    Raises Refusal where a file is missing, or is not the one that the record was written for.
    """
    restore = RESTORE.format(command=command or f"python -m tasks.train {name}")
    sidecar = folder / f"{name}.json"
    try:
        record = json.loads(sidecar.read_text(encoding="utf-8"))
        hashes = dict(record["sha256"])
    except FileNotFoundError:
        raise Refusal(
            f"The checkpoint {name} must have its record {sidecar.name}, and it is missing; {restore}."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise Refusal(f"{sidecar.name} must be the record of a checkpoint, and cannot be read; {restore}.") from None
    contents = {}
    for ending, expected in hashes.items():
        file = folder / f"{name}.{ending}"
        require(file.is_file(), f"The checkpoint {name} must hold {file.name}, and it is missing; {restore}.")
        contents[ending] = file.read_bytes()
        require(
            hashlib.sha256(contents[ending]).hexdigest() == expected,
            f"{file.name} must be the file that {sidecar.name} was written for, and its hash is another; {restore}.",
        )
    return contents, record


def write(name: str, contents: Mapping[str, bytes], record: Record, folder: Path = FOLDER) -> None:
    """Each file appears whole or not at all; the record comes last, so a half-written checkpoint is none."""
    hashes = {ending: hashlib.sha256(content).hexdigest() for ending, content in contents.items()}
    text = json.dumps({"sha256": hashes} | record, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    for ending, content in {**contents, "json": text.encode()}.items():
        part = folder / f".{name}.{ending}.part"
        part.write_bytes(content)
        part.replace(folder / f"{name}.{ending}")


def pack(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Tensors as a safetensors file of float16."""
    return bytes(save_tensors({name: np.ascontiguousarray(each, dtype=np.float16) for name, each in tensors.items()}))


def unpack(content: bytes) -> Tensors:
    """The tensors of such a file, as float32."""
    return {name: each.astype(np.float32) for name, each in load_tensors(content).items()}


def layers(tensors: Mapping[str, Array]) -> tuple[LayerWeights, ...]:
    """The layers among named tensors: layer.0.wq and so on, named as the fields of LayerWeights."""
    count = sum(name.startswith("layer.") for name in tensors) // len(LAYER_FIELDS)
    return tuple(
        LayerWeights(**{field: tensors[f"layer.{index}.{field}"] for field in LAYER_FIELDS}) for index in range(count)
    )


def layer_shapes(width: int, count: int, feed_forward: int = 4) -> dict[str, tuple[int, ...]]:
    """The names and shapes of `count` layers' tensors, the FFN `feed_forward` times as wide as the rest."""
    square, inner = (width, width), feed_forward * width
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(count):
        shapes |= {f"layer.{index}.{field}": (width,) for field in LAYER_FIELDS}
        shapes |= {f"layer.{index}.{field}": square for field in ("wq", "wk", "wv", "wo")}
        shapes |= {f"layer.{index}.w_up": (inner, width), f"layer.{index}.b_up": (inner,)}
        shapes |= {f"layer.{index}.w_down": (width, inner)}
    return shapes
