# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite: a slave's side of the handshakes.

aw ─► address ─┐                     ar ─► address ─► ask ─► read ─► r
w ──► word ────┴─► write ─► b
"""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.registers import REGISTER_BITS, REGISTER_BYTES
from hdl.system import axi

OKAY, SLVERR = 0, 2
"""Responses."""


class AxiLiteSlave(wiring.Component):
    """Takes writes and reads from the ports, one of each at a time, and has them answered by what owns the words.

    Parameters: `prefix` of the ports' names; `address_bits`.

    Members
    -------
    Those of `axi.axi4_lite` with this prefix. Address and word of a write come in any order; who asks (PROT) makes no
    difference. An offer stands until it is taken, no output hangs on an input. A write takes 2 cycles from its later
    half to its response, a read 3, if neither side rests.
    write: Out, 1: `data`: Out, 32, is to be stored at word `write_at`: Out, in the bytes that `strobe`: Out, 4, names.
    written: In, 1: in that cycle, there is a word.
    ask: Out, 1: word `read_at`: Out, is wanted; a cycle later, in that of `read`: Out, 1, it is shown as `value`: In,
    32; there: In, 1: in that cycle, there is such a word.
    Where there is none, the response is SLVERR.
    """

    def __init__(self, prefix: str, address_bits: int):
        self._prefix = prefix
        words = address_bits - exact_log2(REGISTER_BYTES)
        super().__init__(
            axi.members(axi.axi4_lite(address_bits, data_bits=REGISTER_BITS), prefix=prefix, master=False)
            | {
                "write": Out(1),
                "write_at": Out(words),
                "data": Out(REGISTER_BITS),
                "strobe": Out(REGISTER_BYTES),
                "written": In(1),
                "ask": Out(1),
                "read_at": Out(words),
                "read": Out(1),
                "value": In(REGISTER_BITS),
                "there": In(1),
            }
        )

    def _port(self, name: str) -> Signal:
        return getattr(self, f"{self._prefix}_{name}")

    def _taken(self, channel: str) -> Value:
        """A transfer takes place at the end of this cycle."""
        return self._port(f"{channel}valid") & self._port(f"{channel}ready")

    def elaborate(self, platform):
        m = Module()
        self._writes(m)
        self._reads(m)
        return m

    def _writes(self, m: Module) -> None:
        addressed, given, answers = Signal(), Signal(), self._port("bvalid")
        m.d.comb += [
            self._port("awready").eq(~addressed),
            self._port("wready").eq(~given),
            self.write.eq(addressed & given & ~answers),
        ]
        with m.If(self._taken("aw")):
            m.d.sync += [addressed.eq(1), self.write_at.eq(self._port("awaddr")[-len(self.write_at) :])]
        with m.If(self._taken("w")):
            m.d.sync += [given.eq(1), self.data.eq(self._port("wdata")), self.strobe.eq(self._port("wstrb"))]
        with m.If(self._taken("b")):
            m.d.sync += answers.eq(0)
        with m.If(self.write):
            m.d.sync += [addressed.eq(0), given.eq(0), answers.eq(1)]
            m.d.sync += self._port("bresp").eq(Mux(self.written, OKAY, SLVERR))

    def _reads(self, m: Module) -> None:
        idle, answers = Signal(init=1), self._port("rvalid")
        m.d.comb += self._port("arready").eq(idle)
        m.d.sync += [self.ask.eq(self._taken("ar")), self.read.eq(self.ask)]
        with m.If(self._taken("ar")):
            m.d.sync += [idle.eq(0), self.read_at.eq(self._port("araddr")[-len(self.read_at) :])]
        with m.If(self._taken("r")):
            m.d.sync += [answers.eq(0), idle.eq(1)]
        with m.If(self.read):
            m.d.sync += [answers.eq(1), self._port("rdata").eq(self.value)]
            m.d.sync += self._port("rresp").eq(Mux(self.there, OKAY, SLVERR))
