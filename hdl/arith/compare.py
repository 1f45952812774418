# SPDX-License-Identifier: Apache-2.0
"""Comparison of unsigned numbers of different widths as the borrow of a subtraction: in Verilog, no mixed widths."""

from amaranth.hdl import Value


def less(a: Value | int, b: Value | int) -> Value:
    """a < b, 1 bit; both unsigned."""
    return (Value.cast(a) - Value.cast(b))[-1]
