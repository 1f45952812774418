# SPDX-License-Identifier: Apache-2.0
"""Choices by one bit of many."""

from amaranth.hdl import Value


def one_of(bits: Value, words: list[Value]) -> Value:
    """The word whose bit is set; 0 if none is, or else there is only one."""
    chosen = [word & bit.replicate(len(word)) for bit, word in zip(bits, words, strict=True)]
    while len(chosen) > 1:
        chosen = [one | other for one, other in zip(chosen[::2], [*chosen[1::2], 0], strict=False)]
    return chosen[0]
