# SPDX-License-Identifier: Apache-2.0
"""A layer's descriptor in memory: one table, from which come the hardware that reads it, its page and the C header.

Little-endian words of 64 bits; every field is a whole number of bytes at a multiple of its own size, as in a C
structure. What is not a field, and what of a field its `bits` do not reach, must be 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self

from config.errors import require
from config.execute import EPS_BITS
from config.requantise import SHIFT_BITS
from config.speculate import MAX_ROUNDS

DESCRIPTOR_BYTES = 128
MAGIC = int.from_bytes(b"LAYR", "little")
DESCRIPTOR_VERSION = 1


class Flag(IntFlag):
    """Bits of a descriptor's flags; `text` says what is so if one is 1."""

    text: str

    def __new__(cls, value: int, text: str = "") -> Self:
        flag = int.__new__(cls, value)
        flag._value_, flag.text = value, text
        return flag

    CAUSAL = 1 << 0, "A token attends to itself and earlier ones only."
    PRE = 1 << 1, "Norms stand before attention and FFN, x and y have 16 bits; else behind the sums, x and y are int8."
    CHAINED = 1 << 2, "x is what the layer before left on chip; `x` and its stride mean nothing."
    WRITE = 1 << 3, "y is written to memory; else `y` and its stride mean nothing."
    MASK = 1 << 4, "There is a key mask; else all tokens may be attended to, and `key_mask` means nothing."


class ErrorCode(IntEnum):
    """Why a list of layers was given up, as `text` says. Of several that hold for a descriptor, the lowest is told."""

    text: str

    def __new__(cls, value: int, text: str = "") -> Self:
        code = int.__new__(cls, value)
        code._value_, code.text = value, text
        return code

    NONE = 0, "Nothing is wrong."
    BAD_MAGIC = 1, "The first word does not say that this is a descriptor."
    BAD_VERSION = 2, "The descriptor has another version than the accelerator."
    RESERVED = 3, "Something is not 0 that must be 0."
    BAD_SHAPE = (
        4,
        "tokens, width, heads, head_width or ffn is 0 or above what is built; or width or ffn is no multiple of lanes, "
        "or just as many.",
    )
    BAD_SETTINGS = (
        5,
        "A norm's shift, or a setting of the method of prediction that is built, is out of its range; SpAtten: CAUSAL.",
    )
    BAD_CHAIN = (
        6,
        "CHAINED in the first layer of a list, or behind one of other tokens, width or order; SpAtten: or other heads.",
    )
    MISALIGNED = 7, "An address or stride that is used, or the list's address, is no multiple of bus_bytes."
    BUS_READ = 8, "Memory answered a read with an error."
    BUS_WRITE = 9, "Memory answered a write with an error."
    BAD_PLAN = 10, "A plan cannot be executed."


@dataclass(frozen=True)
class DescriptorField:
    """`count` values of `size` bytes each, unsigned, of which the low `bits` may be used, from byte `offset` on."""

    name: str
    offset: int
    size: int
    bits: int
    text: str
    count: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of its values: name, or name0, name1, …"""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}{n}" for n in range(self.count))


def _address(name: str, offset: int, text: str) -> DescriptorField:
    return DescriptorField(name, offset, 8, 64, f"Address of {text}")


def _half(name: str, offset: int, text: str, count: int = 1) -> DescriptorField:
    return DescriptorField(name, offset, 2, 16, text, count)


FIELDS = (
    DescriptorField("magic", 0, 4, 32, "The letters LAYR, the first one in the lowest byte."),
    DescriptorField("version", 4, 2, 16, f"{DESCRIPTOR_VERSION}."),
    DescriptorField("flags", 6, 2, len(Flag), "See the flags."),
    _half("tokens", 8, "Length of the sequence."),
    _half("width", 10, "Channels of a token, a multiple of lanes, at least twice as many."),
    _half("heads", 12, "Heads."),
    _half("head_width", 14, "Channels of a head."),
    _half("ffn", 16, "Hidden channels of the FFN, a multiple of lanes, at least twice as many."),
    DescriptorField("norm1_shift", 18, 1, SHIFT_BITS, "Shift of norm 1, 1 to 40."),
    DescriptorField("norm2_shift", 19, 1, SHIFT_BITS, "Shift of norm 2, 1 to 40."),
    _half("threshold", 20, "Sanger: keys are kept that have more 65536ths of their row's probability, 0 to 65535."),
    DescriptorField("drop_tokens", 22, 1, 8, "SpAtten: 256ths of the sequence's tokens that are dropped, 0 to 255."),
    DescriptorField("drop_heads", 23, 1, 8, "SpAtten: 256ths of the heads that are dropped, 0 to 255."),
    _half("k", 24, "SPLS, FACT: keys that attention keeps of a row, 1 to the built tokens."),
    _half("k_similarity", 26, "SPLS: keys whose scores are compared, 1 to k."),
    _half("s", 28, "SPLS: 256ths by which similar rows may differ, 0 to 256."),
    _half("f", 30, "SPLS: heads that must name the same row, 1 to the built heads and one more."),
    _half("eta", 32, "LAPA: of each round, 256ths of a row's range, 0 to 256.", MAX_ROUNDS),
    DescriptorField("norm1_eps", 40, 8, EPS_BITS, "What norm 1 adds to the variance times the square of width."),
    DescriptorField("norm2_eps", 48, 8, EPS_BITS, "What norm 2 adds to the variance times the square of width."),
    _address("x", 56, "x: a row for each token, of int8, or, with PRE, of 16 bits."),
    _address("y", 64, "y, likewise."),
    _address("parameters", 72, "the layer's parameters."),
    _address("predictor", 80, "what the speculation unit is given; dense is given nothing."),
    _address("weights1", 88, "the weights of array 1."),
    _address("weights2", 96, "the weights of array 2."),
    _address("key_mask", 104, "the key mask: a bit for each token, 1 if it may be attended to, the first one lowest."),
    DescriptorField("x_stride", 112, 4, 32, "Bytes from a row of x to the next."),
    DescriptorField("y_stride", 116, 4, 32, "Bytes from a row of y to the next."),
)


def values() -> dict[str, tuple[int, DescriptorField]]:
    """Name → byte offset and field of each value of a descriptor."""
    return {name: (f.offset + n * f.size, f) for f in FIELDS for n, name in enumerate(f.names)}


def used_bits() -> int:
    """The bits of a descriptor that need not be 0, the first byte's lowest bit lowest."""
    return sum(((1 << field.bits) - 1) << (8 * offset) for offset, field in values().values())


def pack(given: Mapping[str, int]) -> bytes:
    """A descriptor of these values; magic and version are those of this table if they are not given, all else 0.

    Raises `Refusal` for a name that is none, and for a value that its bytes cannot hold: what the accelerator itself
    refuses can be packed.
    """
    known = values()
    word = 0
    for name, value in ({"magic": MAGIC, "version": DESCRIPTOR_VERSION} | dict(given)).items():
        require(name in known, f"A descriptor's values are {', '.join(known)}, not {name!r}; choose one of them.")
        offset, field = known[name]
        most = (1 << (8 * field.size)) - 1
        require(
            0 <= value <= most, f"{name} must be an integer from 0 to {most}, not {value!r}; bring it into that range."
        )
        word |= value << (8 * offset)
    return word.to_bytes(DESCRIPTOR_BYTES, "little")


def unpack(descriptor: bytes) -> dict[str, int]:
    """Name → value, all the bytes of each, of a descriptor's 128 bytes."""
    word = int.from_bytes(descriptor, "little")
    return {name: (word >> (8 * at)) & ((1 << (8 * f.size)) - 1) for name, (at, f) in values().items()}
