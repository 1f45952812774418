# SPDX-License-Identifier: Apache-2.0
"""Configuration of a dot-product array, and every width that follows from it."""

from dataclasses import dataclass, field

from config.errors import require
from config.formats import OPERAND_BITS, Format, HLogFormat, IntegerFormat, LeadingOneFormat, RawFormat

SYSTEMS = ("hlog", "aloc", "pot", "int8", "int4")
"""hlog: both operands HLog (ESACT). aloc: x as it is, w as leading one (LAPA). pot: both as leading ones (FACT).
int8, int4: products of integers, the yardstick."""

MAX_ROWS, MAX_LANES, MAX_DEPTH, MAX_TERMS = 128, 256, 4096, 8192


def signed_bits(magnitude: int) -> int:
    """Bits of two's complement that hold every integer from -magnitude to magnitude."""
    return magnitude.bit_length() + 1


@dataclass(frozen=True)
class NumberSystem:
    """How the two operands of a product are coded: `x` is broadcast to all rows, `w` stays in its row.

    `bits` is the width of both operands before coding.
    """

    name: str
    bits: int
    x: Format
    w: Format

    @property
    def product_magnitude(self) -> int:
        """The largest |x·w| of coded operands."""
        return 1 << (2 * max(self.x.bits, self.w.bits) - 2)

    @property
    def unit_bits(self) -> int:
        """A sum of 1 stands for 2^this of int8's: the low bits that both operands' codes do without."""
        return sum(part.dropped_bits for part in (self.x, self.w) if isinstance(part, IntegerFormat))


def number_system(name: str, bits: int = OPERAND_BITS, rounding: str = "nearest") -> NumberSystem:
    """The system called `name`, one of `SYSTEMS`; `bits` 4 to 10 for the log systems; `rounding` is HLog's."""
    require(
        name in SYSTEMS, f"The number system must be one of {', '.join(SYSTEMS)}, not {name!r}; choose one of them."
    )
    if name == "hlog":
        coded = HLogFormat(bits, rounding)
        return NumberSystem(name, bits, coded, coded)
    require(rounding == "nearest", f"rounding applies to hlog only, not to {name!r}; leave it out.")
    if name in ("int8", "int4"):
        require(bits == OPERAND_BITS, f"bits must be {OPERAND_BITS} for {name}, not {bits!r}; leave bits out.")
        integer = IntegerFormat(int(name.removeprefix("int")))
        return NumberSystem(name, bits, integer, integer)
    leading_one = LeadingOneFormat(bits)
    return NumberSystem(name, bits, RawFormat(bits) if name == "aloc" else leading_one, leading_one)


def require_range(name: str, value: int, low: int, high: int) -> None:
    """Raise `Refusal` unless `value` is an integer from low to high."""
    require(
        isinstance(value, int) and low <= value <= high,
        f"{name} must be an integer from {low} to {high}, not {value!r}; set {name} to a value in that range.",
    )


@dataclass(frozen=True)
class ArrayConfig:
    """A dot-product array of `rows` × `lanes` products a cycle.

    Parameters
    ----------
    system: number system of both operands.
    rows: dot products that share a broadcast x, 1 to 128.
    lanes: terms of a dot product summed in one cycle, 1 to 256.
    depth: x beats that one set of weights serves while sums run over several tiles: accumulators per row, 1 to 4096.
    terms: longest dot product in terms, `lanes` to 8192; it sets the accumulator's width.
    load: rows that take their weights in one cycle, a divisor of `rows`.
    booth: int8 and int4 only: products stay unfinished, as Booth's partial products, until the array's compressor.

    Raises `Refusal` for anything else.
    """

    system: NumberSystem = field(default_factory=lambda: number_system("hlog"))
    rows: int = 16
    lanes: int = 64
    depth: int = 128
    terms: int = 1024
    load: int = 1
    booth: bool = False

    def __post_init__(self) -> None:
        require_range("rows", self.rows, 1, MAX_ROWS)
        require_range("lanes", self.lanes, 1, MAX_LANES)
        require_range("depth", self.depth, 1, MAX_DEPTH)
        require_range("terms", self.terms, 1, MAX_TERMS)
        require(
            self.terms >= self.lanes,
            f"terms must be at least lanes = {self.lanes}, not {self.terms}; raise terms or use fewer lanes.",
        )

        require(
            isinstance(self.load, int) and 1 <= self.load <= self.rows and self.rows % self.load == 0,
            f"load must be a divisor of rows = {self.rows}, not {self.load!r}; choose 1, or another divisor.",
        )
        require(
            not self.booth or self.system.name in ("int8", "int4"),
            f"booth applies to int8 and int4 only, not to {self.system.name!r}; leave it out.",
        )

    @property
    def name(self) -> str:
        """Name of the array's top module."""
        booth = "_booth" if self.booth else ""
        return f"{self.system.name}{booth}_dot_{self.rows}x{self.lanes}"

    @property
    def acc_bits(self) -> int:
        """Bits of an accumulator, signed: exact for `terms` terms."""
        return signed_bits(self.terms * self.system.product_magnitude)
