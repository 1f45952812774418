# SPDX-License-Identifier: Apache-2.0
"""Radix-4 Booth partial products: the integer multiplier of the yardstick arrays, ended by the array's own compressor.

    w = Σ d_i·4^i,  d_i = b(2i-1) + b(2i) - 2·b(2i+1)  in {-2, -1, 0, 1, 2}

As in `hdl/arith/shift.py` the word keeps to its own columns, and what depends on w alone is an offset:

    x·d_i·4^i  =  (partial(x) - partial(0)) << 2i        partial(x) = ({0, x, 2x} ^ sign), top bit inverted
"""

from amaranth.hdl import Cat, Const, Module, Signal, Value

from hdl.arith.compress import Word


def words(bits: int) -> list[Word]:
    """Where the partial products of a `bits` × `bits` product lie; `bits` is even."""
    return [Word(bits + 1, column) for column in range(0, bits, 2)]


def partials(m: Module, x: Value, w: Value) -> list[Value]:
    """The partial products of signed x under two's complement w of the same even width, one per digit of w."""
    bits = len(x)
    once = Cat(x, x[-1])
    twice = Cat(Const(0, 1), x)
    padded = Cat(Const(0, 1), w)
    result = []
    for i in range(0, bits, 2):
        low, middle, high = padded[i], padded[i + 1], padded[i + 2]
        is_one, is_two = Signal(name=f"one{i}"), Signal(name=f"two{i}")
        m.d.comb += [is_one.eq(low ^ middle), is_two.eq((high & ~middle & ~low) | (~high & middle & low))]
        multiple = Signal(bits + 1, name=f"multiple{i}")
        m.d.comb += multiple.eq((once & is_one.replicate(bits + 1)) | (twice & is_two.replicate(bits + 1)))
        result.append(multiple ^ Cat(high.replicate(bits), ~high))
    return result
