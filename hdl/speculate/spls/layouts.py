# SPDX-License-Identifier: Apache-2.0
"""What the parts of the SPLS back end hand each other."""

from amaranth.hdl import signed
from amaranth.lib import data


def word_layout(score_bits: int) -> data.StructLayout:
    """A score, and whether its row may attend to its key."""
    return data.StructLayout({"score": signed(score_bits), "valid": 1})


def ticket_layout(rows: int, chunks: int) -> data.StructLayout:
    """A row that can be fetched. `place`: which of its block; `last_chunk`: number of its last chunk."""
    return data.StructLayout({"place": range(rows), "last_chunk": range(chunks)})


def tag_layout(rows: int, chunks: int) -> data.StructLayout:
    """Which chunk of a row: `valid`: there is one; `first`, `last`: of the row's; `place`: which row of its block."""
    return data.StructLayout({"valid": 1, "first": 1, "last": 1, "place": range(rows), "chunk": range(chunks)})


def stage_layout(rows: int, chunks: int, score_bits: int) -> data.StructLayout:
    """A chunk of a row on its way: `words` mean something while the tag is valid."""
    return data.StructLayout(
        {"tag": tag_layout(rows, chunks), "words": data.ArrayLayout(word_layout(score_bits), rows)}
    )


def chunk_layout(rows: int, chunks: int, score_bits: int, selections: int) -> data.StructLayout:
    """A chunk of a row as it leaves: `kept`, by each selection, and the scores."""
    return data.StructLayout(
        {
            "tag": tag_layout(rows, chunks),
            "kept": data.ArrayLayout(rows, selections),
            "score": data.ArrayLayout(signed(score_bits), rows),
        }
    )
