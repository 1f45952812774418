# SPDX-License-Identifier: Apache-2.0
"""Passes over the residual stream, of which the steps of a layer between its products are made.

post:  x ─► LOAD ─► attention ─► middle ─► FFN ─► end ─► y = x of the next layer
pre:   x ─► LOAD, or start ─► attention ─► middle ─► FFN ─► end ─► y = x of the next layer
"""

from dataclasses import dataclass, replace
from enum import Enum

from config.errors import require
from config.execute import STREAM_BITS
from config.formats import OPERAND_BITS
from golden.arith.requantise import rescaled
from golden.arrays import Array, namespace, positions, rows_of, signed_integers
from golden.execute.layer import Layer, add
from golden.execute.layer_norm import layer_norm


class Copies(Enum):
    """Whose result a token takes."""

    NONE = 0
    PROJECTION = 1
    """That of the row that all heads name, if they do."""
    FFN = 2
    """That of its leader."""


@dataclass(frozen=True)
class Pass:
    """A pass: rows `load` from outside, or are those of the stream; results are added (`add`, by the second scale if
    `second_scale`, those of `copies`); the row is normed (`normalise`, by the second norm if `second_norm`). The stream
    then holds the norm if `keep_norm`, else the sum. INPUT gets the norm, or, if there is none and `narrow`, the row,
    of int8. `send`: what the stream then holds is y. `skip`, with `add`: there are no results, and rows of tokens that
    are dropped are brought to the output's units, of int8 if `narrow`. Raises `Refusal` for a norm that is kept, and
    not there."""

    load: bool = False
    add: bool = False
    second_scale: bool = False
    copies: Copies = Copies.NONE
    normalise: bool = False
    second_norm: bool = False
    keep_norm: bool = False
    narrow: bool = False
    send: bool = False
    skip: bool = False

    def __post_init__(self) -> None:
        require(self.normalise or not self.keep_norm, "Only a pass with a norm can keep it; set normalise as well.")


@dataclass(frozen=True)
class Passes:
    """Those of a layer: in front of attention, if there is one; behind attention; behind the FFN; for tokens that are
    dropped, if some are."""

    start: Pass | None
    middle: Pass
    end: Pass
    skip: Pass | None = None


def passes(order: str, *, first: bool, last: bool, drops: bool = False) -> Passes:
    """Of a layer of an order, as in `Layer`: is it the first one of those whose x lies in memory, and the last, whose y
    does? In `post` order the end of a layer is the start of the next one. drops: some tokens are dropped."""
    middle = Pass(add=True, copies=Copies.PROJECTION, normalise=True)
    end = Pass(add=True, copies=Copies.FFN, second_scale=True, send=last and not drops)
    skip = Pass(add=True, skip=True, narrow=order == "post", send=last) if drops else None
    if order == "post":
        return Passes(
            Pass(load=True, narrow=True) if first else None,
            replace(middle, keep_norm=True),
            replace(end, normalise=True, second_norm=True, keep_norm=True),
            skip,
        )
    return Passes(Pass(load=first, normalise=True), replace(middle, second_norm=True), end, skip)


@dataclass(frozen=True)
class Sources:
    """Whose results rows take, int64 [T]: leader, that of the FFN; first, that of the row that all heads name, where
    they are `agreed`, bool [T]."""

    leader: Array
    first: Array
    agreed: Array

    def rows(self, copies: Copies) -> Array:
        """int64 [T]."""
        if copies is Copies.FFN:
            return self.leader
        own = positions(self.leader)
        return namespace(own).where(self.agreed, self.first, own) if copies is Copies.PROJECTION else own


@dataclass(frozen=True)
class Outcome:
    """stream: int64 [T, D], what it then holds. input: what INPUT gets, int8, and y, what leaves, if anything."""

    stream: Array
    input: Array | None
    y: Array | None


def row_pass(
    job: Pass,
    layer: Layer,
    row: Array,
    results: Array | None = None,
    sources: Sources | None = None,
    alive: Array | None = None,
) -> Outcome:
    """A pass over rows int64 [T, D], x or those of the stream, of 16 bits; results: int64 [T, D], likewise, read where
    `sources` says, and nowhere else. alive: bool [T], tokens that are not dropped, or none for all."""
    before = row
    if job.skip:
        assert alive is not None
        passed = rescaled(row, layer.skip.mul, layer.skip.shift, OPERAND_BITS if job.narrow else STREAM_BITS)
        row = namespace(row).where(alive[:, None], row, passed)
    elif job.add:
        assert results is not None
        taken = results if sources is None else rows_of(results, sources.rows(job.copies))
        row = add(row, layer.stream2 if job.second_scale else layer.stream1, taken)
    norm = layer_norm(row, layer.norm2 if job.second_norm else layer.norm1) if job.normalise else None
    kept = norm if job.keep_norm else row
    given = signed_integers(row, OPERAND_BITS, "a row without a norm") if norm is None and job.narrow else norm
    y = kept if job.send else None
    if alive is not None and not (job.load or job.skip):
        kept = namespace(row).where(alive[:, None], kept, before)
    return Outcome(kept, given, y)
