# SPDX-License-Identifier: Apache-2.0
"""Gather: sparse items in, rows out of banks, a row a cycle for each line.

i ─► dispatcher ─► lines' items ─► lines, banks ─► o[0], o[1], …
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.items import ItemsConfig
from hdl.execute.banks import write_layout
from hdl.execute.dispatch import Dispatcher
from hdl.execute.gather_lines import GatherLines, row_layout
from hdl.execute.items import item_layout
from hdl.shared import share


class Gather(wiring.Component):
    """Brings the kept keys' rows of items to lines; golden.cycles.gather is the same, to the cycle.

    Parameters
    ----------
    config: `ItemsConfig`. looks: there is `look`.

    Members
    -------
    i: In, stream of `item_layout(config)`. Rows of its keys must be in the banks when an item may go to a line.
    enable: In, 1: items may go to lines.
    opens: In, lines: the line may begin with its next item, the one that it was given last; looked at until `room`.
    All ones if there is nothing to wait for. room: Out, lines: the line has begun with all that it was given.
    write: In, stream of `write_layout(config)`, a row for the banks, taken at once: `ready` is 1. Head h has the place
    of heads h ± sets, whose items must be over.
    o: Out, for each line a stream of `row_layout(config)`. An item's keys come without those of others between them, in
    any order, each once.
    given: Out, lines: the line gets `items` of its group, its next item, with this cycle, if `advance`.
    items: Out, `item_layout` for each of `queues` groups of lines. advance: Out, 1.
    look: In, `look_signature(config)`, as of `GatherLines`.

    A row a cycle for each line; all lines stop while one of them has a row that is not taken. Rows of a slot come
    `latency` cycles after it has begun, together.
    """

    def __init__(self, config: ItemsConfig, *, looks: bool = False):
        self._config = config
        self._lines = GatherLines(config, looks=looks)
        super().__init__(
            {
                "i": In(stream.Signature(item_layout(config))),
                "enable": In(1),
                "opens": In(config.lines),
                "room": Out(config.lines),
                "write": In(stream.Signature(write_layout(config))),
                "o": Out(stream.Signature(row_layout(config))).array(config.lines),
                "given": Out(config.lines),
                "items": Out(item_layout(config)).array(config.queues),
                "advance": Out(1),
                **({"look": self._lines.signature.members["look"]} if looks else {}),
            }
        )

    @property
    def config(self) -> ItemsConfig:
        return self._config

    @property
    def latency(self) -> int:
        """That of the configuration."""
        return self._config.latency

    def elaborate(self, platform):
        m = Module()
        lines = self._lines
        m.submodules.lines = share(lines, lines.name, platform)
        if "look" in self.signature.members:
            wiring.connect(m, wiring.flipped(self.look), lines.look)
        m.d.comb += [self.advance.eq(lines.advance), self.room.eq(lines.room), lines.opens.eq(self.opens)]
        wiring.connect(m, wiring.flipped(self.write), lines.write)
        for mine, offered in zip(self.o, lines.o, strict=True):
            wiring.connect(m, offered, wiring.flipped(mine))
        self._dispatch(m, lines, platform)
        return m

    def _dispatch(self, m: Module, lines: GatherLines, platform) -> None:
        config = self._config
        dispatcher = Dispatcher(config)
        m.submodules.dispatch = share(dispatcher, "dispatch", platform)
        if config.allocation == "dynamic":
            look = Signal(config.queues, init=1)
            m.d.comb += dispatcher.look.eq(look)
            with m.If(self.advance):
                m.d.sync += look.eq(look.rotate_left(1))
        wiring.connect(m, wiring.flipped(self.i), dispatcher.i)
        m.d.comb += [
            dispatcher.enable.eq(self.enable),
            dispatcher.advance.eq(self.advance),
            dispatcher.room.eq(lines.room),
            dispatcher.idle.eq(lines.idle),
            self.given.eq(dispatcher.give),
            lines.give.eq(dispatcher.give),
            *(mine.eq(item) for mine, item in zip(self.items, dispatcher.items, strict=True)),
            *(item.eq(dispatcher.items[number // config.group]) for number, item in enumerate(lines.items)),
        ]
