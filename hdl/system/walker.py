# SPDX-License-Identifier: Apache-2.0
"""Walks through a list of descriptors: a layer at a time, and what is to be done when one cannot be finished.

start ─► ask ─► read ─► layer ─┬─► … ─► done           ask ◄─ the next one, if there is one
                  └────────────┴─► stop ─► error
"""

from amaranth.hdl import Cat, Module, ResetInserter, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.descriptor import DESCRIPTOR_BYTES, ErrorCode
from config.system import ADDRESS_BITS, SystemConfig
from hdl.arith.successor import Successor
from hdl.shared import share
from hdl.system.axi import TRANSFER
from hdl.system.descriptor import CODE_SHAPE, DescriptorReader, layer_layout
from hdl.system.layouts import bus_shape

INDEX_BITS = 16


class DescriptorWalker(wiring.Component):
    """Runs the layers of a list.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    start: In, 1, if not `busy`: the list of `count`: In, 16, descriptors from `descriptors`: In, 64, on begins.
    busy: Out, 1. done: Out, 1, for a cycle: all its layers are finished. error: Out, 1, for a cycle: it was given up;
    error_code: Out, 8, an `ErrorCode`, and error_index: Out, 16, say why and at which layer, until the next start.
    soft_reset: In, 1: the list, if there is one, is given up without either.
    job: Out, stream of `TRANSFER`, asks for a descriptor, and i: In, stream of `bus_shape`, brings it; reads: Out, 1:
    one of the two is wanted.
    layer: Out, stream of `layer_layout`: whoever executes it takes it when it is finished, with nothing on its way to
    memory. It stands until then, or until `clear`.
    failed: In, 1; code: In, 8: memory, or what executes, cannot go on. Counts while a descriptor or a layer is under
    way.
    stop: Out, 1: nothing more is to be asked of memory; idle: In, 1: nothing is under way there. clear: Out, 1, for a
    cycle behind that: whatever is left of the list, everywhere, is to be forgotten.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "descriptors": In(ADDRESS_BITS),
                "count": In(INDEX_BITS),
                "soft_reset": In(1),
                "busy": Out(1),
                "done": Out(1),
                "error": Out(1),
                "error_code": Out(CODE_SHAPE),
                "error_index": Out(INDEX_BITS),
                "job": Out(stream.Signature(TRANSFER)),
                "i": In(stream.Signature(bus_shape(config))),
                "reads": Out(1),
                "layer": Out(stream.Signature(layer_layout(config))),
                "failed": In(1),
                "code": In(CODE_SHAPE),
                "stop": Out(1),
                "idle": In(1),
                "clear": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        reader = DescriptorReader(config)
        m.submodules.reader = ResetInserter(self.clear)(reader)
        address, left, quiet, unwanted = Signal(ADDRESS_BITS), Signal(INDEX_BITS), Signal(), Signal()
        read = reader.o.payload
        following = self._behind(m, address, platform)
        m.d.comb += [
            self.busy.eq(1),
            self.job.payload.address.eq(address),
            self.job.payload.bytes.eq(DESCRIPTOR_BYTES),
            self.job.payload.rows.eq(1),
            reader.i.payload.eq(self.i.payload),
            reader.first.eq(self.error_index == 0),
            self.layer.payload.eq(read.layer),
        ]

        def give_up(code) -> None:
            m.d.sync += [self.error_code.eq(code), quiet.eq(0)]
            m.next = "STOP"

        def may_be_left() -> None:
            with m.If(unwanted):
                m.d.sync += quiet.eq(1)
                m.next = "STOP"

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                with m.If(self.start):
                    m.d.sync += [address.eq(self.descriptors), left.eq(self.count)]
                    m.d.sync += [self.error_code.eq(ErrorCode.NONE), self.error_index.eq(0)]
                    m.next = "BEGIN"
                may_be_left()
            with m.State("BEGIN"):
                with m.If(left == 0):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
                with m.Elif(address[: exact_log2(config.bus_bytes)].any()):
                    give_up(ErrorCode.MISALIGNED)
                with m.Else():
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [self.job.valid.eq(1), self.reads.eq(1)]
                with m.If(self.job.ready):
                    m.next = "READ"
                may_be_left()
            with m.State("READ"):
                m.d.comb += [
                    self.reads.eq(reader.i.ready),
                    reader.i.valid.eq(self.i.valid),
                    self.i.ready.eq(reader.i.ready),
                ]
                with m.If(reader.o.valid):
                    m.next = "EXECUTE"
                    with m.If(read.code != ErrorCode.NONE):
                        give_up(read.code)
                with m.If(self.failed):
                    give_up(self.code)
                may_be_left()
            with m.State("EXECUTE"):
                m.d.comb += [self.layer.valid.eq(1), reader.o.ready.eq(self.layer.ready)]
                with m.If(self.layer.ready):
                    m.d.sync += left.eq(left - 1)
                    m.next = "NEXT"
                with m.If(self.failed):
                    give_up(self.code)
                may_be_left()
            with m.State("NEXT"):
                with m.If(left == 0):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
                with m.Else():
                    m.d.sync += [address.eq(following), self.error_index.eq(self.error_index + 1)]
                    m.next = "ASK"
            with m.State("STOP"):
                m.d.comb += self.stop.eq(1)
                with m.If(self.idle):
                    m.d.comb += [self.clear.eq(1), self.error.eq(~quiet)]
                    m.next = "IDLE"
        m.d.sync += unwanted.eq((unwanted | self.soft_reset) & ~self.clear)
        return m

    @staticmethod
    def _behind(m: Module, address: Value, platform) -> Value:
        """Where the next descriptor is: known before this one has been judged."""
        low = exact_log2(DESCRIPTOR_BYTES)
        successor = Successor(ADDRESS_BITS - low)
        m.submodules.successor = share(successor, successor.name, platform)
        m.d.comb += successor.value.eq(address[low:])
        return Cat(address[:low], successor.o)
