# SPDX-License-Identifier: Apache-2.0
"""A layer's parameters, entry by entry, to those who keep them."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.system import ENTRY_BYTES, SystemConfig
from hdl.execute.gelu import ENTRY
from hdl.system.layouts import Parameter, parameter_layout

GELU_ENTRIES = 64


class ParameterLoader(wiring.Component):
    """Names each entry by what it is: of each kind in turn as many as there are channels, heads, or eights of codes.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    start: In, 1: the entries of a layer come next; `width`, `heads`: In, its own, which stand until `done`.
    i: In, stream of entries of 64 bits. write: Out, 1, parameter: Out, `parameter_layout`: an entry, but for GELU's.
    gelu_write: Out, 1, gelu_entry: Out, as `GeluUnit` takes them: eight for an entry. last: Out, 1: what is taken
    in this cycle is the layer's last entry. done: Out, 1: all have come.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "width": In(range(config.speculation.width + 1)),
                "heads": In(range(config.heads + 1)),
                "i": In(stream.Signature(OPERAND_BITS * ENTRY_BYTES)),
                "write": Out(1),
                "word": Out(parameter_layout(config)),
                "gelu_write": Out(1),
                "gelu_entry": Out(ENTRY),
                "last": Out(1),
                "done": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        kind, place = Signal(Parameter), Signal(range(ENTRY_BYTES))
        index, following = Signal.like(self.word.index), Signal(Parameter)
        # Of the entry that comes: whether it is GELU's, its kind's last, taken at once, the last of all. These are
        # known a cycle ahead, for much hangs on what is taken.
        of_gelu, last, ready, ends = Signal(), Signal(), Signal(), Signal()
        steps, taken, codes = Signal(), Signal(), Signal.like(self.i.payload)
        m.d.comb += [
            of_gelu.eq(kind == Parameter.GELU),
            steps.eq(self.i.valid & ~self.done),
            taken.eq(self.i.valid & ready),
            self.i.ready.eq(ready),
            following.eq(self._following(kind)),
            self.last.eq(self.i.valid & ends),
            self.write.eq(steps & ~of_gelu),
            self.word.kind.eq(kind),
            self.word.index.eq(index),
            self.word.entry.eq(self.i.payload),
            self.gelu_write.eq(steps & of_gelu),
            self.gelu_entry.as_value()[:-OPERAND_BITS].eq((index << (ENTRY_BYTES - 1).bit_length()) | place),
            codes.eq(self.i.payload >> (place << 3)),
            self.gelu_entry.entry.eq(codes[:OPERAND_BITS]),
        ]
        with m.If(steps & of_gelu):
            m.d.sync += [place.eq(place + 1), ready.eq(place == ENTRY_BYTES - 2)]
            m.d.sync += ends.eq((place == ENTRY_BYTES - 2) & last)
        with m.If(taken):
            m.d.sync += [index.eq(index + 1), last.eq(self._is_last(kind, index + 1))]
            with m.If(last):
                m.d.sync += [index.eq(0), kind.eq(following), last.eq(self._is_last(following, 0))]
                with m.If(of_gelu):
                    m.d.sync += self.done.eq(1)
                with m.Elif(following == Parameter.GELU):
                    m.d.sync += ready.eq(0)
        with m.If(self.start):
            m.d.sync += [self.done.eq(0), kind.eq(Parameter.STREAM1), index.eq(0), ready.eq(1), ends.eq(0)]
            m.d.sync += last.eq(self._is_last(Const(Parameter.STREAM1), 0))
        return m

    def _following(self, kind: Value) -> Value:
        """What comes behind a kind: where tokens may be dropped, SKIP in front of GELU."""
        usual = kind.as_value() + 1
        if not self._config.speculation.prunes:
            return usual
        return Mux(kind == Parameter.HEAD, Parameter.SKIP, Mux(kind == Parameter.SKIP, Parameter.GELU, usual))

    def _is_last(self, kind: Value, index) -> Value:
        """Of the entries of a kind."""
        others = Mux(kind == Parameter.HEAD, self.heads, self.width)
        return index + 1 == Mux(kind == Parameter.GELU, GELU_ENTRIES, others)
