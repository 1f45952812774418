# SPDX-License-Identifier: Apache-2.0
"""What the parts of LAPA's selection hand each other."""

from amaranth.hdl import Mux, Shape, Value, signed
from amaranth.lib import data

from config.speculate import SpeculationConfig
from hdl.speculate.socket import token_shape

SLOTS = 2
"""Blocks that are under way at a time."""

PARITIES = 2
"""Even keys and odd keys are kept apart, so that one of each can be read at a time."""


def chosen(pair, which: Value) -> Value:
    """The one of two that `which` names, as bits."""
    return Mux(which, Value.cast(pair[1]), Value.cast(pair[0]))


def list_shape(config: SpeculationConfig) -> Shape:
    """Number of a slot's list of keys: that of the round whose clip makes it. The last round makes none."""
    return Shape.cast(range(max(config.rounds - 1, 1)))


def count_shape(config: SpeculationConfig):
    """How many keys."""
    return range(config.tokens + 1)


def word_layout(config: SpeculationConfig) -> data.ArrayLayout:
    """What is known of a key: per row, `survives`: it did before the round last added; `a`: its sum so far."""
    return data.ArrayLayout(data.StructLayout({"survives": 1, "a": signed(config.sum_bits)}), config.rows)


def thresholds_layout(config: SpeculationConfig) -> data.ArrayLayout:
    """Per row, the least sum that is kept."""
    return data.ArrayLayout(signed(config.sum_bits), config.rows)


def _round_fields(config: SpeculationConfig) -> dict:
    """Which key, of which round of which block; fields of `column_layout`."""
    return {
        "key": token_shape(config),
        "block": range(config.blocks),
        "round": range(config.rounds),
        "slot": 1,
        "first": 1,
        "final": 1,
    }


def tag_layout(config: SpeculationConfig) -> data.StructLayout:
    """Which column; the fields of `column_layout` that say so."""
    return data.StructLayout(_round_fields(config) | {"last": 1})


def job_layout(config: SpeculationConfig) -> data.StructLayout:
    """A round of a block whose thresholds are known. `key`: its last; `whole`: no row drops any key."""
    return data.StructLayout(_round_fields(config) | {"whole": 1})


def fetch_layout(config: SpeculationConfig) -> data.StructLayout:
    """A word that is asked for. `pair`: `key` is even, and the one behind it is asked for as well."""
    return data.StructLayout({"enable": 1, "slot": 1, "key": token_shape(config), "pair": 1})


def pair_layout(config: SpeculationConfig) -> data.ArrayLayout:
    """The words of an even key and of the odd one behind it."""
    return data.ArrayLayout(word_layout(config), PARITIES)


def fence_layout(config: SpeculationConfig) -> data.StructLayout:
    """Per slot, `closed`: sums of the block before are still needed, and none may be overwritten, except, if `reading`,
    of keys below `key`."""
    return data.StructLayout({"closed": SLOTS, "reading": SLOTS, "key": token_shape(config)})


def span_layout(config: SpeculationConfig) -> data.StructLayout:
    """The keys that the next round of a slot visits. `whole`: 0 to count - 1; else those in the slot's list `number`.
    `count`: how many, so far; `complete`: there will be no more."""
    return data.StructLayout({"whole": 1, "number": list_shape(config), "count": count_shape(config), "complete": 1})


def opening_layout(config: SpeculationConfig) -> data.StructLayout:
    """A slot's keys are to be visited. `fresh`: they are found from now on, and go into the slot's list `number`; or
    else they are those of the round before (`first`: all up to `key`)."""
    return data.StructLayout(
        {"enable": 1, "slot": 1, "fresh": 1, "number": list_shape(config), "first": 1, "key": token_shape(config)}
    )


def entry_layout(config: SpeculationConfig) -> data.StructLayout:
    """A place in a slot's list that is read."""
    return data.StructLayout({"enable": 1, "slot": 1, "number": list_shape(config), "place": token_shape(config)})


def verdict_layout(config: SpeculationConfig) -> data.StructLayout:
    """What was decided of a key, or of an even key and the odd one behind it. `last`: no more of their block and round
    follow. `mask`: `key`, kept by the rows in `kept`, goes into mask `buffer`. `list`: those go into the list of `slot`
    that are `found`, some row keeps them: bit 0 stands for the even one of the pair that `key` is of, bit 1 for the
    odd one."""
    return data.StructLayout(
        {
            "list": 1,
            "mask": 1,
            "slot": 1,
            "buffer": 1,
            "key": token_shape(config),
            "kept": config.rows,
            "found": PARITIES,
            "last": 1,
        }
    )


def block_layout(config: SpeculationConfig) -> data.StructLayout:
    """A block whose mask begins. `chunk`: the last one with columns."""
    return data.StructLayout({"enable": 1, "block": range(config.blocks), "chunk": range(config.blocks)})
