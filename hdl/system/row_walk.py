# SPDX-License-Identifier: Apache-2.0
"""Rows of Q, or of K, to whoever predicts from them: read where attention keeps them, before it does.

written ─► heads whose rows are all there ─► head, token ─► look ─► row ─► o
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.system import SystemConfig
from hdl.cover import corner
from hdl.execute.banks import bytes_layout, look_signature
from hdl.system.flow import Shown
from hdl.system.layouts import count_shape, token_shape


def written_layout(config: SystemConfig) -> data.StructLayout:
    """A row is written in this cycle (`valid`), that of a `token`, of a `head`."""
    return data.StructLayout({"valid": 1, "head": range(config.heads), "token": token_shape(config)})


def walked_layout(config: SystemConfig) -> data.StructLayout:
    """A row, that of a `token`; `last`: of the layer."""
    return data.StructLayout(
        {"row": bytes_layout(config.attention.items), "token": token_shape(config), "last": 1},
    )


class RowWalk(wiring.Component):
    """All rows of a layer: heads in turn, of each its tokens, rising. A head's are read once the last of them is there.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    start: In, 1: a layer begins; `tokens`, `heads`, In, of it, stand until `done`. written: In, `written_layout`: rows
    of a head come in the order of their tokens, those of several heads in any. hold: In, 1: no row is read.
    look: Out, `look_signature` of the items. o: Out, stream of `walked_layout`, a row a cycle, the first one 3 cycles
    behind the last one's `written`; its valid does not depend on its ready. done: Out, 1: the layer's last row has been
    taken, and nothing is read from now on.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "tokens": In(count_shape(config)),
                "heads": In(range(config.heads + 1)),
                "written": In(written_layout(config)),
                "hold": In(1),
                "look": Out(look_signature(config.attention.items)),
                "o": Out(stream.Signature(walked_layout(config))),
                "done": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, of = self._config, self.look.of
        m.submodules.shown = shown = Shown(walked_layout(config))
        token, head, reading = Signal.like(of.token), Signal.like(of.head), Signal()
        last_token, last_head = Signal.like(token, reset_less=True), Signal.like(head, reset_less=True)
        whole, reads, ends, last = Signal(config.heads), Signal(), Signal(), Signal()
        here = Signal.like(whole)
        known = Signal(data.StructLayout({"token": token.shape(), "last": 1}), reset_less=True)
        m.d.sync += [last_token.eq(self.tokens - 1), last_head.eq(self.heads - 1)]
        m.d.comb += [
            ends.eq(token == last_token),
            last.eq(ends & (head == last_head)),
            here.eq(whole >> head),
            reads.eq(shown.moves & reading & ~self.hold & here[0]),
            of.head.eq(head),
            of.token.eq(token),
            self.look.read.eq(reads),
            shown.enters.eq(reads),
            shown.word.row.eq(self.look.row),
            Cat(shown.word.token, shown.word.last).eq(known.as_value()),
        ]
        wiring.connect(m, shown.o, wiring.flipped(self.o))
        with m.If(reads):
            m.d.sync += [known.token.eq(token), known.last.eq(last), token.eq(Mux(ends, 0, token + 1))]
            with m.If(ends):
                m.d.sync += [head.eq(Mux(last, 0, head + 1)), reading.eq(~last)]
        with m.If(self.o.valid & self.o.ready & self.o.payload.last):
            m.d.sync += self.done.eq(1)
        with m.If(self.written.valid & (self.written.token == last_token)):
            m.d.sync += whole.bit_select(self.written.head, 1).eq(1)
        with m.If(self.start):
            m.d.sync += [reading.eq(1), self.done.eq(0), whole.eq(0)]
        corner(m, platform, "rows_wait_to_be_taken", ~shown.moves)
        return m
