# SPDX-License-Identifier: Apache-2.0
"""The socket: what goes into every speculation unit and comes out of it, and what its parts hand each other.

settings ─┐      ┌───────────────────── speculation unit ─────────────────────┐
x ────────┼─────►│ predictor ── columns ──► selection ── rows ──► recorder    │── records ──► o
w ────────┤      └────────────────────────────────────────────────────────────┘
scale ────┘
"""

from amaranth.hdl import Module, Signal, signed, unsigned
from amaranth.lib import data, enum, stream
from amaranth.lib.wiring import In, Out, Signature

from config.requantise import MUL_BITS, SHIFT_BITS
from config.speculate import MAX_SCORE_SHIFT, PROBABILITY_UNITY, UNITY, Kind, SpeculationConfig
from hdl.speculate.lanes import lane_of


class Operand(enum.Enum, shape=1):
    """Which of a head's two projections."""

    K = 0
    Q = 1


def token_shape(config: SpeculationConfig):
    """The number of a token, as row or as key."""
    return range(config.tokens)


def settings_layout(config: SpeculationConfig) -> data.StructLayout:
    """A layer's settings. `tokens`: length of the sequence; `heads`: how many; `slices`: beats that a row of X takes;
    each from 1 to what the unit is built for. `causal`: keys up to the row itself only. SPLS: `k`, `k_similarity`, `s`
    and `f`, as in `SplsSettings`. LAPA: `eta`, one per round, as in `LapaSettings`. FACT: `k`, as in `FactSettings`.
    Sanger, in an accelerator: `threshold`, as in `SangerSettings`. SpAtten, likewise: `drop_tokens` and
    `drop_heads`, as in `hdl.speculate.spatten.layouts.settings_layout`."""
    fields: dict = {
        "tokens": range(config.tokens + 1),
        "heads": range(config.heads + 1),
        "slices": range(config.width_slices + 1),
        "causal": 1,
    }
    if config.top_k:
        fields["k"] = range(config.tokens + 1)
    if config.method == "spls":
        fields |= {
            "k_similarity": range(config.tokens + 1),
            "s": range(UNITY + 1),
            "f": range(config.heads + 2),
        }
    if config.method == "lapa":
        fields["eta"] = data.ArrayLayout(unsigned(UNITY.bit_length()), config.rounds)
    if config.method == "sanger":
        fields["threshold"] = range(PROBABILITY_UNITY)
    if config.method == "spatten":
        fields |= {"drop_tokens": range(UNITY), "drop_heads": range(UNITY)}
    return data.StructLayout(fields)


def x_layout(config: SpeculationConfig) -> data.StructLayout:
    """A beat of X: `value`, one int8 per lane, zeros beyond the width; `attend`: the token may be attended to, the same
    in all of its beats. X comes once a layer: for each of the layer's slices in turn, all tokens."""
    return data.StructLayout({"value": data.ArrayLayout(signed(8), config.lanes), "attend": 1})


def address_layout(config: SpeculationConfig) -> data.StructLayout:
    """Which weights the unit asks for: head, operand, group of `rows` outputs, slice of the width, and `part`, which
    `load` of the group's rows."""
    return data.StructLayout(
        {
            "head": range(config.heads),
            "operand": Operand,
            "group": range(config.groups),
            "slice": range(config.width_slices),
            "part": range(config.rows // config.load),
        }
    )


def weights_layout(config: SpeculationConfig) -> data.ArrayLayout:
    """Weight codes for `load` rows of the array: outputs group·rows + part·load onwards; zero codes beyond the head."""
    code = lane_of(config.array).w_code
    return data.ArrayLayout(data.ArrayLayout(code, config.lanes), config.load)


def scale_layout(config: SpeculationConfig) -> data.StructLayout:
    """How a group of `rows` outputs of one operand leaves the array: `bias` per output, 0 beyond the head; `mul` and
    `shift` of the requantiser; `score_shift`, taken with Q only. One transfer per head, operand (K, then Q), group."""
    return data.StructLayout(
        {
            "bias": data.ArrayLayout(signed(config.array.acc_bits), config.rows),
            "mul": MUL_BITS,
            "shift": SHIFT_BITS,
            "score_shift": range(MAX_SCORE_SHIFT + 1),
        }
    )


def column_layout(config: SpeculationConfig) -> data.StructLayout:
    """Scores of one key against a block of `rows` queries.

    `sum`: per row, this round's exact sum. `valid`: per row, the row exists and may attend to the key. `key`, `block`:
    which. `last`: last column of this block and round. SPLS, FACT: `shift`: the head's score_shift. LAPA: `slot`:
    which of the two blocks that are under way; `first`, `final`: it is the block's first round, or its last.
    """
    fields: dict = {
        "sum": data.ArrayLayout(signed(config.sum_bits), config.rows),
        "valid": config.rows,
        "key": token_shape(config),
        "block": range(config.blocks),
        "last": 1,
    }
    if config.top_k:
        fields["shift"] = range(MAX_SCORE_SHIFT + 1)
    if config.method == "lapa":
        fields |= {"round": range(config.rounds), "slot": 1, "first": 1, "final": 1}
    return data.StructLayout(fields)


def visit_layout(config: SpeculationConfig) -> data.StructLayout:
    """A key that a later round visits, in rising order; `last`: the round's last."""
    return data.StructLayout({"key": token_shape(config), "last": 1})


def row_layout(config: SpeculationConfig) -> data.StructLayout:
    """What was decided of a row, rows in rising order. A critical row has one beat per chunk of `rows` keys, from chunk
    0 up to the last that its block has columns of; a similar one has a single beat.

    `row`; `reference`: the critical row whose result it takes, itself if it is critical; `chunk`; `keys`: those kept of
    the chunk; `last`: last beat of the row.
    """
    return data.StructLayout(
        {
            "row": token_shape(config),
            "reference": token_shape(config),
            "chunk": range(config.blocks),
            "keys": config.rows,
            "last": 1,
        }
    )


def record_layout(config: SpeculationConfig) -> data.StructLayout:
    """A record of the plan, in the order in which an execution unit can use them: heads in turn; in a head, rows in
    turn; in the layer's last head, behind the rows of each window, one LEADER record per row of the window.

    `kind`: KEYS, a chunk of a critical row's keys; COPY, a similar row; LEADER, whose FFN result a token takes.
    `head`, `row`: which; head is the layer's last in LEADER records. `reference`: COPY, the critical row; LEADER, the
    token whose result is taken; else the row itself. `chunk`, `keys`: KEYS, which `rows` keys, and those that are kept;
    else zero. `fresh`: KEYS, those of `keys` that no earlier row of the head kept, whose K and V are needed from now
    on; else zero. `agreed`: LEADER, all of the layer's heads name the same other row; else zero. `end`: KEYS, last
    chunk of its row; else one. `last`: last record of the layer.
    """
    return data.StructLayout(
        {
            "kind": Kind,
            "head": range(config.heads),
            "row": token_shape(config),
            "reference": token_shape(config),
            "chunk": range(config.blocks),
            "keys": config.rows,
            "fresh": config.rows,
            "agreed": 1,
            "end": 1,
            "last": 1,
        }
    )


def socket(config: SpeculationConfig) -> Signature:
    """Ports of every speculation unit.

    settings: In, one transfer starts a layer, taken when the one before is finished.
    x: In, `x_layout`, once a layer.
    address: Out, `address_layout`; w: In, `weights_layout`, answers in the order of the addresses: of the layer's heads
    and slices alone; K before Q, groups, slices and parts rising. A head narrower than `head_width` has zero codes and
    biases beyond itself.
    scale: In, `scale_layout`, of the layer's heads.
    o: Out, `record_layout`.
    """
    return Signature(
        {
            "settings": In(stream.Signature(settings_layout(config))),
            "x": In(stream.Signature(x_layout(config))),
            "address": Out(stream.Signature(address_layout(config))),
            "w": In(stream.Signature(weights_layout(config))),
            "scale": In(stream.Signature(scale_layout(config))),
            "o": Out(stream.Signature(record_layout(config))),
        }
    )


def layer_under_way(m: Module, settings, o) -> tuple[Signal, Signal]:
    """Of a unit whose stream `settings` begins a layer, taken once the record `last` of the one before has left by `o`:
    the settings of the layer under way, and, 1 bit, the cycle in which it starts."""
    held = Signal(settings.payload.shape(), name="settings", reset_less=True)
    start, active = Signal(), Signal()
    takes = settings.valid & settings.ready
    m.d.comb += settings.ready.eq(~active)
    m.d.sync += start.eq(takes)
    with m.If(takes):
        m.d.sync += [held.eq(settings.payload), active.eq(1)]
    with m.If(o.valid & o.ready & o.payload.last):
        m.d.sync += active.eq(0)
    return held, start
