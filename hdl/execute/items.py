# SPDX-License-Identifier: Apache-2.0
"""Sparse items: what they look like, and how records of the plan become some; a plan that breaks its rules is told.

records ─┬─► expected? allowed? ───────────────────────────► error
         ├─► KEYS: chunk so far, count so far ─► item ─► o
         └─► COPY, LEADER ─► others
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from config.items import ItemsConfig
from config.speculate import Kind
from hdl.cover import corner
from hdl.shared import share
from hdl.store import Store


class Broken(enum.Enum, shape=3):
    """The rule that a plan was the first to break."""

    NONE = 0
    ORDER = 1
    """Heads, rows and chunks follow each other."""
    COPY = 2
    """A copy refers to an earlier critical row of its head."""
    EMPTY = 3
    """A critical row keeps a key."""
    BEYOND = 4
    """Keys are below the length of the sequence."""
    LEADER = 5
    """A token takes the result of no later one."""


def item_layout(config: ItemsConfig) -> data.StructLayout:
    """The kept keys of a critical row that lie in one chunk: bit n of `keys` is key chunk·`config.chunk` + n, `count`
    how many there are, 1 or more."""
    return data.StructLayout(
        {
            "head": range(config.heads),
            "row": range(config.tokens),
            "chunk": range(config.chunks),
            "keys": config.chunk,
            "count": range(config.chunk + 1),
        }
    )


def record_layout(config: ItemsConfig) -> data.StructLayout:
    """`record_layout` of hdl/speculate/socket.py for the heads, tokens and record of this configuration."""
    return data.StructLayout(
        {
            "kind": Kind,
            "head": range(config.heads),
            "row": range(config.tokens),
            "reference": range(config.tokens),
            "chunk": range(config.tokens // config.record),
            "keys": config.record,
            "fresh": config.record,
            "agreed": 1,
            "end": 1,
            "last": 1,
        }
    )
