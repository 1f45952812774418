# SPDX-License-Identifier: Apache-2.0
"""Front of the dot-product array: takes weights and x in turn, decodes x, and keeps the control of every stage."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import ArrayConfig
from hdl.shared import share
from hdl.speculate.lanes import Decoder, lane_of
from hdl.speculate.layouts import beat_layout, control_layout, tag_layout, weights_layout


class Front(wiring.Component):
    """Sequencer and broadcast register of the array.

    Parameters
    ----------
    config: the array's configuration. stages: register stages of a row.

    Members
    -------
    w: In, stream; only its handshake is used here, the codes go to the rows directly.
    x: In, stream of `beat_layout`.
    advance: In, 1. The pipeline moves at the end of this cycle.
    load: Out, one bit per row: take the weights.
    multiples: Out, what the rows' lanes work on: registered, and still while no beat comes.
    control: Out, `control_layout`: see `Row`.
    fetch, done: Out, `tag_layout`: the beat whose partial sum must be read now, and the one whose total stands.
    """

    def __init__(self, config: ArrayConfig, *, stages: int):
        self._config = config
        self._lane = lane_of(config)
        self._stages = stages
        super().__init__(
            {
                "w": In(stream.Signature(weights_layout(config))),
                "x": In(stream.Signature(beat_layout(config))),
                "advance": In(1),
                "load": Out(config.rows),
                "multiples": Out(data.ArrayLayout(self._lane.multiples, config.lanes)),
                "control": Out(control_layout(stages)),
                "fetch": Out(tag_layout(config)),
                "done": Out(tag_layout(config)),
            }
        )

    @property
    def config(self) -> ArrayConfig:
        return self._config

    def elaborate(self, platform):
        m = Module()
        entering = Signal(tag_layout(self._config))
        self._sequence(m, entering)
        self._broadcast(m, entering, platform)
        self._control(m, entering)
        return m

    def _sequence(self, m: Module, entering: data.View) -> None:
        """Rows of weights, then beats, in turn; `entering` describes what enters the pipeline in this cycle."""
        transfers = self._config.rows // self._config.load
        transfer = Signal(range(transfers))
        beat = Signal(entering.beat.shape())
        w_fire, x_fire = Signal(), Signal()
        x = self.x.payload
        m.d.comb += [w_fire.eq(self.w.valid & self.w.ready), x_fire.eq(self.x.valid & self.x.ready)]
        with m.FSM():
            with m.State("LOAD"):
                last_transfer = transfer == transfers - 1
                m.d.comb += [
                    self.w.ready.eq(self.advance),
                    self.load.eq(Cat(w_fire & (transfer == i // self._config.load) for i in range(self._config.rows))),
                    entering.valid.eq(w_fire & last_transfer),
                    entering.offset.eq(1),
                    entering.clear.eq(1),
                ]
                with m.If(w_fire):
                    m.d.sync += transfer.eq(transfer + 1)
                    with m.If(last_transfer):
                        m.d.sync += [transfer.eq(0), beat.eq(0)]
                        # One transfer is over so quickly that a one-beat tile would read the sum that is still being
                        # written.
                        m.next = "SETTLE" if transfers == 1 else "STREAM"
            with m.State("SETTLE"):
                with m.If(self.advance):
                    m.next = "STREAM"
            with m.State("STREAM"):
                m.d.comb += [
                    self.x.ready.eq(self.advance),
                    entering.valid.eq(x_fire),
                    entering.clear.eq(x.clear),
                    entering.emit.eq(x.emit),
                    entering.last.eq(x.last),
                    entering.beat.eq(beat),
                ]
                with m.If(x_fire):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(x.last):
                        m.next = "LOAD"

    def _broadcast(self, m: Module, entering: data.View, platform) -> None:
        decoded = []
        for i, code in enumerate(self.x.payload.code):
            decoder = Decoder(self._lane)
            m.submodules[f"decoder{i}"] = share(decoder, "decoder", platform)
            # Zeros go in as a code: it has fewer bits than its multiples.
            m.d.comb += decoder.i.eq(Mux(entering.offset, self._lane.system.x.zero_code, Value.cast(code)))
            decoded.append(decoder.o)
        held = Signal(self.multiples.shape(), reset_less=True)
        m.d.comb += self.multiples.eq(held)
        with m.If(entering.valid & self.advance):
            m.d.sync += held.eq(Cat(decoded))

    def _control(self, m: Module, entering: data.View) -> None:
        """tags[0] describes the broadcast register, tags[i + 1] the row's register stage i."""
        layout = tag_layout(self._config)
        valids = Signal(self._stages + 1)
        tags = [Signal(layout, name=f"tag{i}", reset_less=True) for i in range(self._stages + 1)]
        arriving = [entering.valid, *valids]
        # The row keeps the offset for itself.
        arriving[self._stages] &= ~tags[-2].offset
        with m.If(self.advance):
            m.d.sync += valids.eq(Cat(arriving[:-1]))
            for valid, tag, source in zip(arriving, tags, [entering, *tags], strict=False):
                with m.If(valid):
                    m.d.sync += tag.eq(source)
        m.d.comb += [
            self.control.enable.eq(valids[:-1] & self.advance.replicate(self._stages)),
            self.control.offset.eq(tags[-2].offset),
            self.control.clear.eq(tags[-2].clear),
            self.fetch.eq(tags[-3]),
            self.fetch.valid.eq(valids[-3]),
            self.done.eq(tags[-1]),
            self.done.valid.eq(valids[-1]),
        ]
