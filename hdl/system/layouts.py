# SPDX-License-Identifier: Apache-2.0
"""What the parts of an accelerator hand each other."""

from amaranth.hdl import ShapeLike, signed, unsigned
from amaranth.lib import data, enum

from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from config.system import CHUNK_TILES, ENTRY_BYTES, SystemConfig


def token_shape(config: SystemConfig) -> ShapeLike:
    """Number of a token."""
    return range(config.tokens)


def count_shape(config: SystemConfig) -> ShapeLike:
    """How many tokens, from none to all."""
    return range(config.tokens + 1)


def bus_shape(config: SystemConfig) -> ShapeLike:
    """A word of the memory's port; lowest address in the lowest bits."""
    return unsigned(config.bus_bits)


class Region(enum.Enum, shape=2):
    """Activations on chip, rows of int8 words of `lanes` bytes."""

    INPUT = 0
    """What generation, or the FFN, is given: x, or a norm of it; `width_words` words a token."""
    CONTEXT = 1
    """A word for each head, `head_width` bytes of it used; of a similar row, those of its critical row."""
    HIDDEN = 2
    """Behind GELU; `ffn_words` words a token."""


class Sink(enum.Enum, shape=2):
    """Where results of a dense job go."""

    KEY_VALUE = 0
    """Tile 0: K, tile 1: V, of the head that is the job's `index`."""
    QUERY = 1
    """Q of the head that is the job's `index`."""
    HIDDEN = 2
    """Through GELU, to words `index`, `index` + 1, … of a row of `Region.HIDDEN`."""
    WIDE = 3
    """Results of 16 bits, to words `index`, `index` + 1, … of a row of what is to be added to the residual stream."""


def index_shape(config: SystemConfig) -> ShapeLike:
    """Number of a word of a row, or of a head."""
    return range(config.row_words)


def job_layout(config: SystemConfig) -> data.StructLayout:
    """Dense work of an array: `tiles` tiles of columns, 1 to CHUNK_TILES, for all `rows`, a bit for each token, which
    may be none: then the tiles' weights are taken and dropped. `region`, `words`: where the rows are, and of how many
    words each, 1 to `row_words`. `sink`, `index`: where results go. `last`: nothing else is written to the same place
    behind this job, so its rows are whole when it has written them: `progress` tells so."""
    return data.StructLayout(
        {
            "rows": config.tokens,
            "region": Region,
            "words": range(config.row_words + 1),
            "tiles": range(CHUNK_TILES + 1),
            "sink": Sink,
            "index": index_shape(config),
            "last": 1,
        }
    )


def fetch_layout(config: SystemConfig) -> data.StructLayout:
    """A word of a token's row that is wanted."""
    return data.StructLayout({"region": Region, "token": token_shape(config), "word": index_shape(config)})


def limits_layout(config: SystemConfig) -> data.ArrayLayout:
    """For each `Region`, of how many tokens the rows are there, from token 0 on."""
    return data.ArrayLayout(count_shape(config), len(Region))


def word_layout(config: SystemConfig) -> data.ArrayLayout:
    """A word of activations."""
    return data.ArrayLayout(signed(OPERAND_BITS), config.lanes)


def result_layout(config: SystemConfig) -> data.StructLayout:
    """Of a token, the results of a tile: of 16 bits in `Sink.WIDE`, else bytes that are sign-extended. `index`: of the
    word of its row, or the head; `value`: it is V, and not K."""
    return data.StructLayout(
        {
            "sink": Sink,
            "token": token_shape(config),
            "index": index_shape(config),
            "value": 1,
            "values": data.ArrayLayout(signed(STREAM_BITS), config.lanes),
        }
    )


def part_layout(config: SystemConfig) -> data.StructLayout:
    """Bytes of a row of `Region.INPUT`: beat `beat` of `values` bytes each."""
    return data.StructLayout(
        {
            "token": token_shape(config),
            "beat": range(config.width_words * config.lanes // config.values),
            "values": data.ArrayLayout(signed(OPERAND_BITS), config.values),
        }
    )


def hidden_layout(config: SystemConfig) -> data.StructLayout:
    """Word `index` of a token's row of `Region.HIDDEN`."""
    return data.StructLayout({"token": token_shape(config), "index": index_shape(config), "word": word_layout(config)})


def reference_layout(config: SystemConfig) -> data.StructLayout:
    """Of a row of a head, critical or similar: the critical one whose result it takes. Where tokens may be dropped,
    `nothing`: it keeps no key, and its context is 0."""
    token = token_shape(config)
    nothing = {"nothing": 1} if config.speculation.prunes else {}
    return data.StructLayout({"head": range(config.heads), "row": token, "reference": token, **nothing})


def copy_layout(config: SystemConfig) -> data.StructLayout:
    """Whose results a token takes: that of the FFN from `leader`; that of the projection from `first`, the row that
    head 0 names, if all heads have `agreed` on it. Itself, where it is computed."""
    token = token_shape(config)
    return data.StructLayout({"leader": token, "agreed": 1, "first": token})


class Parameter(enum.Enum, shape=3):
    """What an entry of a layer's parameters is, in the order in which they lie in memory; which bits of an entry."""

    STREAM1 = 0
    """Of a channel: mul 16, shift 6."""
    STREAM2 = 1
    NORM1 = 2
    """Of a channel: gain 16, signed; offset 32, signed."""
    NORM2 = 3
    HEAD = 4
    """Of a head: `hdl.execute.layouts.ROW`."""
    GELU = 5
    """Eight codes' entries, one a byte: entry n has those of codes 8·n … 8·n + 7, both tables one behind the other."""
    SKIP = 6
    """Of a channel, like STREAM1, for tokens that are dropped; where some may be, in front of GELU's."""


def parameter_layout(config: SystemConfig) -> data.StructLayout:
    """An entry, which is taken when it comes."""
    most = max(config.speculation.width, config.heads, 64)
    return data.StructLayout({"kind": Parameter, "index": range(most), "entry": OPERAND_BITS * ENTRY_BYTES})


class Copies(enum.Enum, shape=2):
    """Whose result a token takes in a pass over all rows."""

    NONE = 0
    PROJECTION = 1
    """That of the row that all heads name, if they do."""
    FFN = 2
    """That of its leader."""


def pass_layout(config: SystemConfig) -> data.StructLayout:
    """A pass over the residual stream, row by row: its rows `load` from outside, or are those of the stream on chip;
    results are added to them (`add`, by the second scale if `second_scale`, those of `copies`), and the row is normed
    (`normalise`, by the second norm if `second_norm`). The stream then holds the norm if `keep_norm`, else the sum.
    `Region.INPUT` has the norm, or, if there is none and `narrow`, the row, of int8. `send`: what the stream then holds
    also leaves, as y. Where tokens may be dropped, `skip`, with `add`: nothing is added; rows of dropped tokens are
    brought to the units of the layer's output, clipped to int8 if `narrow`, and others stay as they are."""
    return data.StructLayout(
        {
            "load": 1,
            "add": 1,
            "second_scale": 1,
            "copies": Copies,
            "normalise": 1,
            "second_norm": 1,
            "keep_norm": 1,
            "narrow": 1,
            "send": 1,
            **({"skip": 1} if config.speculation.prunes else {}),
        }
    )


def values_layout(config: SystemConfig) -> data.ArrayLayout:
    """A beat of the residual stream."""
    return data.ArrayLayout(signed(STREAM_BITS), config.values)
