# SPDX-License-Identifier: Apache-2.0
"""Jobs of the memory's port: which words they move."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.array import require_range
from config.system import ADDRESS_BITS

COUNT_BITS = 32


@dataclass(frozen=True)
class Transfer:
    """`rows` rows of `bytes` bytes, each `stride` bytes behind the one before, the first from `address` on: all but
    rows multiples of the port's bytes. Raises `Refusal` for what does not fit its bits."""

    address: int
    bytes: int
    rows: int = 1
    stride: int = 0

    def __post_init__(self) -> None:
        require_range("address", self.address, 0, (1 << ADDRESS_BITS) - 1)
        for name in ("bytes", "rows", "stride"):
            require_range(name, getattr(self, name), 0, (1 << COUNT_BITS) - 1)

    def words(self, bus_bytes: int) -> Iterator[int]:
        """Addresses of its words, in order."""
        for row in range(self.rows):
            start = self.address + row * self.stride
            yield from range(start, start + self.bytes, bus_bytes)

    def pack(self) -> int:
        """As `hdl.system.axi.TRANSFER`."""
        counts = self.bytes | self.rows << COUNT_BITS | self.stride << 2 * COUNT_BITS
        return self.address | counts << ADDRESS_BITS
