# SPDX-License-Identifier: Apache-2.0
"""AXI4 and AXI4-Lite at the edge of a top: members of their channels, with the names that vendor tools infer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Member, Out

from config.system import ADDRESS_BITS

PREFIX = "m_axi"
"""Of a master's ports."""
PAGE = 4096
"""Bytes, at whose multiples no burst may lie on both sides."""
INCR = 1
"""A burst of rising addresses."""
CACHE = 0b0011
"""Normal memory, not cached, buffered: what vendors ask of masters behind no cache."""
COUNT_BITS = 32

TRANSFER = data.StructLayout(
    {"address": ADDRESS_BITS, "bytes": COUNT_BITS, "rows": COUNT_BITS, "stride": COUNT_BITS},
)
"""A job of the memory's port: `rows` rows of `bytes` bytes, each `stride` bytes behind the one before, the first from
`address` on. Address, bytes and stride are multiples of the port's bytes: bits below that are not looked at. A job
without rows or bytes is over at once."""


@dataclass(frozen=True)
class Channel:
    """payload: bits of each member beside valid and ready. forward: it leads from the master to the slave."""

    payload: Mapping[str, int]
    forward: bool = True


def axi4(data_bits: int, *, address_bits: int = ADDRESS_BITS, id_bits: int = 1) -> dict[str, Channel]:
    """Channels of AXI4 by their letters; without quality of service, region and user signals, which are optional."""
    request = {"id": id_bits, "addr": address_bits, "len": 8, "size": 3, "burst": 2, "lock": 1, "cache": 4, "prot": 3}
    return {
        "ar": Channel(request),
        "r": Channel({"id": id_bits, "data": data_bits, "resp": 2, "last": 1}, forward=False),
        "aw": Channel(request),
        "w": Channel({"data": data_bits, "strb": data_bits // 8, "last": 1}),
        "b": Channel({"id": id_bits, "resp": 2}, forward=False),
    }


def axi4_lite(address_bits: int, *, data_bits: int = 32) -> dict[str, Channel]:
    """Channels of AXI4-Lite by their letters."""
    request = {"addr": address_bits, "prot": 3}
    return {
        "ar": Channel(request),
        "r": Channel({"data": data_bits, "resp": 2}, forward=False),
        "aw": Channel(request),
        "w": Channel({"data": data_bits, "strb": data_bits // 8}),
        "b": Channel({"resp": 2}, forward=False),
    }


READ, WRITE = ("ar", "r"), ("aw", "w", "b")
"""Channels of a master that reads, and of one that writes."""


def members(
    channels: Mapping[str, Channel], *, only: Iterable[str] | None = None, prefix: str = PREFIX, master: bool = True
) -> dict[str, Member]:
    """Members of a master (or else a slave) with all of the channels, or `only` some: `m_axi_araddr` and so on."""
    found = {}
    for letters in only or channels:
        channel = channels[letters]
        ours, theirs = (Out, In) if channel.forward == master else (In, Out)
        found |= {f"{prefix}_{letters}{name}": ours(bits) for name, bits in channel.payload.items()}
        found |= {f"{prefix}_{letters}valid": ours(1), f"{prefix}_{letters}ready": theirs(1)}
    return found


def forward(m: Module, outer: wiring.Component, inner: wiring.Component, *, prefix: str = PREFIX) -> None:
    """Ports of `inner` with this prefix become those of `outer` around it, which has them as well."""
    for path, member, port in inner.signature.flatten(inner):
        (name, *_) = path
        if str(name).startswith(f"{prefix}_"):
            outside = getattr(outer, name)
            m.d.comb += port.eq(outside) if member.flow == In else outside.eq(port)


def request(component: wiring.Component, letters: str, size: int) -> list:
    """What never changes at `ar` or `aw` of a master of words of 2^size bytes: statements."""
    fixed = {"id": 0, "size": size, "burst": INCR, "lock": 0, "cache": CACHE, "prot": 0}
    return [getattr(component, f"{PREFIX}_{letters}{name}").eq(value) for name, value in fixed.items()]
