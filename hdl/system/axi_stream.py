# SPDX-License-Identifier: Apache-2.0
"""Any unit as a top of its own with AXI4-Stream ports, by the names that vendor tools and cocotbext-axi infer.

s_axis_NAME ─► streams in  ─┐      ┌─ streams out ─► m_axis_NAME
               settings    ─┴ unit ┴─ flags
"""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Member, Out

from config.errors import require
from hdl.shared import share

BYTE = 8
LAST, VALUE, PADDING = "last", "value", "padding"


def is_stream(member: Member) -> bool:
    """Whether a member is a stream, or one that is taken in every cycle and so has no `ready`."""
    return member.is_signature and {"payload", "valid"} <= set(member.signature.members) <= {
        "payload",
        "valid",
        "ready",
    }


def tdata_layout(payload: Any) -> data.StructLayout:
    """Of a payload: its fields, the first one lowest, without `last`, which is tlast; or, without fields, `value`. Then
    `padding` up to whole bytes: 0 of a master, of no account to a slave."""
    fields = dict(payload.members) if _has_fields(payload) else {VALUE: payload}
    fields.pop(LAST, None)
    missing = -data.StructLayout(fields).size % BYTE
    return data.StructLayout(fields | ({PADDING: missing} if missing else {}))


class AxiStreamTop(wiring.Component):
    """A unit with its streams as AXI4-Stream: wires alone, so latency and rate are the unit's.

    Parameters
    ----------
    unit: a component with a stream at least. beside: plain input → the stream in with whose payloads it goes.
    Raises `Refusal` for a unit without streams, and for other names.

    Members
    -------
    aclk: In, 1, rising edge. aresetn: In, 1, synchronous, active low.
    s_axis_NAME_…, for each stream in, and m_axis_NAME_…, for each stream out:
      tdata: `tdata_layout` of the payload. tvalid. tready, but for a stream that is taken in every cycle.
      tlast, if the payload has a field `last`. tuser: an input that goes with the payloads.
    All other members as they are.
    """

    def __init__(self, unit: wiring.Component, *, beside: Mapping[str, str] | None = None):
        self._unit = unit
        members = unit.signature.members
        streams = {name: member for name, member in members.items() if is_stream(member)}
        require(
            bool(streams),
            f"A unit with AXI4-Stream ports must have a stream, and {type(unit).__name__} has none; give another one.",
        )
        beside = dict(beside or {})
        for name, of in beside.items():
            require(
                name in members and name not in streams and of in streams and streams[of].flow == In,
                f"beside must lead from a plain input to a stream in, not from {name!r} to {of!r}; name other members.",
            )
        # Of ours, its member, and the unit's value that it is.
        ports: dict[str, tuple[Member, Any]] = {}
        for name, member in members.items():
            value = getattr(unit, name)
            if name in streams:
                ports |= _stream_ports(name, member, value)
            else:
                ports[f"s_axis_{beside[name]}_tuser" if name in beside else name] = member, value
        self._ports = ports
        super().__init__({"aclk": In(1), "aresetn": In(1), **{name: member for name, (member, _) in ports.items()}})

    @property
    def latency(self) -> int:
        """The unit's, 0 if it has none that is fixed."""
        return getattr(self._unit, "latency", 0)

    def elaborate(self, platform):
        m = Module()
        m.domains += ClockDomain("sync", local=True)
        m.submodules.unit = share(self._unit, "unit", platform)
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        for name, (member, inner) in self._ports.items():
            outer = getattr(self, name)
            if isinstance(inner, dict):
                # Of tdata, field by field; padding is no one's.
                pairs = [(value, outer[field]) for field, value in inner.items()]
            else:
                pairs = [(inner, outer)]
            m.d.comb += [ours.eq(theirs) if member.flow == In else theirs.eq(ours) for ours, theirs in pairs]
        return m


def _stream_ports(name: str, member: Member, stream: Any) -> dict[str, tuple[Member, Any]]:
    """Ports of a stream of the unit, each with the unit's value; of tdata, a dict of its fields'."""
    forth, back, prefix = (In, Out, "s") if member.flow == In else (Out, In, "m")
    payload = member.signature.members["payload"].shape
    value = stream.payload
    parts = (
        {field: value[field] for field in payload.members if field != LAST} if _has_fields(payload) else {VALUE: value}
    )
    ports = {"tdata": (forth(tdata_layout(payload)), parts), "tvalid": (forth(1), stream.valid)}
    if "ready" in member.signature.members:
        ports["tready"] = back(1), stream.ready
    if _has_fields(payload) and LAST in payload.members:
        ports["tlast"] = forth(1), value[LAST]
    return {f"{prefix}_axis_{name}_{signal}": port for signal, port in ports.items()}


def _has_fields(payload: Any) -> bool:
    return isinstance(payload, data.StructLayout)
