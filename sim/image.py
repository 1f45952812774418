# SPDX-License-Identifier: Apache-2.0
"""A layer as it lies in memory for an accelerator: parameters, what speculation is given, the weights of both arrays.

golden.execute.layer.Layer ─► scales, norms, heads, GELU ─► parameters
                          └─► tiles of K and V, Q, output, up, down ─► weights of each array
golden.speculate.planner.Predictor ─► scales, codes ─► predictor
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from amaranth.lib import data
from numpy.typing import NDArray

from config.errors import require
from config.execute import GELU_TABLES
from config.formats import OPERAND_BITS
from config.system import ENTRY_BYTES, SIDES, SystemConfig
from golden.execute.layer import Layer
from golden.execute.layer_norm import Norm
from golden.execute.linear import Linear
from golden.execute.scales import Scale
from golden.speculate.planner import CascadePredictor, ExactPredictor, Predictor
from golden.system.tiles import tile_bytes
from hdl.execute.layouts import ROW
from hdl.speculate.socket import scale_layout, weights_layout
from hdl.system.blobs import whole_words
from sim import layer as socket

Int64 = NDArray[np.int64]
GELU_CODES = 1 << OPERAND_BITS


@dataclass(frozen=True)
class Image:
    """Bytes of each blob of a layer; `weights`: those of each array."""

    parameters: bytes
    predictor: bytes
    weights: tuple[bytes, bytes]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(map(len, (self.parameters, self.predictor, *self.weights)))


def image(config: SystemConfig, layer: Layer, predictor: Predictor | ExactPredictor | CascadePredictor) -> Image:
    """Raises `Refusal` for a layer that the accelerator is not built for. predictor: it matters where its codes do."""
    spec, width = config.speculation, layer.q.w.shape[1]
    head_width, ffn = len(layer.q.w) // layer.heads, len(layer.up.w)
    require(
        layer.heads <= spec.heads and width <= spec.width and head_width <= spec.head_width and ffn <= config.ffn,
        f"The layer must have at most {spec.heads} heads of {spec.head_width}, rows of {spec.width} and an FFN of "
        f"{config.ffn}, not {layer.heads} of {head_width}, {width} and {ffn}; build a larger accelerator.",
    )
    require(
        width % config.lanes == 0 and ffn % config.lanes == 0 and width > config.lanes and ffn > config.lanes,
        f"Rows and FFN must be multiples of the {config.lanes} lanes, and longer, not {width} and {ffn}; fill them up.",
    )
    coded = _predictor(config, predictor) if spec.coded and isinstance(predictor, Predictor) else b""
    return Image(_parameters(config, layer), coded, _weights(config, layer))


def _parameters(config: SystemConfig, layer: Layer) -> bytes:
    width = layer.q.w.shape[1]
    heads = zip(*(_pairs(each, layer.heads) for each in (layer.exponent, layer.context)), strict=True)
    entries = [
        *(mul | shift << 16 for each in (layer.stream1, layer.stream2) for mul, shift in _pairs(each, width)),
        *(entry for each in (layer.norm1, layer.norm2) for entry in _norm(each)),
        *(_row(exponent, context) for exponent, context in heads),
        *(mul | shift << 16 for mul, shift in (_pairs(layer.skip, width) if config.speculation.prunes else [])),
    ]
    tables = np.zeros((GELU_TABLES, GELU_CODES), np.int64)
    tables[: len(layer.gelu)] = layer.gelu
    # Codes in two's complement: 0 to 127 come first.
    tables = np.roll(tables, GELU_CODES // 2, axis=1)
    whole = b"".join(entry.to_bytes(ENTRY_BYTES, "little") for entry in entries) + tables.astype(np.int8).tobytes()
    return _filled(config, whole)


def _pairs(scale: Scale, count: int) -> list[tuple[int, int]]:
    """mul and shift of each channel or head."""
    both = (np.broadcast_to(np.asarray(each).reshape(-1), count).tolist() for each in (scale.mul, scale.shift))
    return list(zip(*both, strict=True))


def _norm(norm: Norm) -> list[int]:
    gains, offsets = (np.asarray(each).tolist() for each in (norm.gain, norm.offset))
    return [gain & 0xFFFF | (offset & 0xFFFFFFFF) << 16 for gain, offset in zip(gains, offsets, strict=True)]


def _row(exponent: tuple[int, int], context: tuple[int, int]) -> int:
    fields = {"exponent": exponent, "context": context}
    return int(ROW.const({name: {"mul": mul, "shift": shift} for name, (mul, shift) in fields.items()}).as_bits())


def _predictor(config: SystemConfig, predictor: Predictor) -> bytes:
    """For each head, operand and group of outputs its scale, then its codes."""
    unit, weights = config.speculation, predictor.weights
    width = weights.wq.shape[-1]
    x = np.zeros((1, width), np.int64)
    operands = {name: np.asarray(getattr(weights, name)) for name in ("wq", "wk", "bq", "bk")}
    given = socket.payloads(unit, socket.Layer(x, **operands, attend=np.ones(1, np.bool_), settings=predictor.settings))
    code, scale = (data.Layout.cast(each(unit)).size for each in (weights_layout, scale_layout))
    transfers = len(given.w) // len(given.scale)
    parts = []
    for number, payload in enumerate(given.scale):
        parts.append(_payload(config, payload, scale))
        parts += [_payload(config, each, code) for each in given.w[number * transfers : (number + 1) * transfers]]
    return b"".join(parts)


def _payload(config: SystemConfig, payload: int, bits: int) -> bytes:
    return payload.to_bytes(whole_words(config, -(-bits // 8)), "little")


def _weights(config: SystemConfig, layer: Layer) -> tuple[bytes, bytes]:
    """Tiles of each array, in the order in which the sequencer asks for them."""
    lanes, heads = config.lanes, layer.heads
    head_width, words = len(layer.q.w) // heads, layer.q.w.shape[1] // lanes
    tiles: tuple[list[bytes], ...] = tuple([] for _ in SIDES)
    for head in range(heads):
        own = np.arange(head * head_width, (head + 1) * head_width)
        for array in (0, 1):
            # K and V of head h are array h mod 2's.
            parts = (layer.k, layer.v) if head % 2 == array else (layer.q,)
            tiles[array].extend(tile_bytes(config, SIDES[array], part, own, words) for part in parts)
    for part, depth, choice in (
        (_by_head(layer.o, heads, lanes), heads, None),
        (layer.up, words, np.asarray(layer.gelu_choice)),
        (layer.down, len(layer.up.w) // lanes, None),
    ):
        count = len(part.w) // lanes
        for number, array in product(range(count), (0, 1)):
            if (number >= (count + 1) // 2) == array:
                columns = np.arange(number * lanes, (number + 1) * lanes)
                tiles[array].append(tile_bytes(config, SIDES[array], part, columns, depth, choice))
    first, second = (b"".join(each) for each in tiles)
    return first, second


def _by_head(layer: Linear, heads: int, lanes: int) -> Linear:
    """Weights of the contexts of all heads, each filled up to a word."""
    w = np.asarray(layer.w).reshape(len(layer.w), heads, -1)
    w = np.pad(w, ((0, 0), (0, 0), (0, lanes - w.shape[2])))
    return Linear(w.reshape(len(w), -1), layer.bias, layer.mul, layer.shift, layer.bits)


def _filled(config: SystemConfig, content: bytes) -> bytes:
    return content.ljust(whole_words(config, len(content)), b"\0")
