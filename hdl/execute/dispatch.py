# SPDX-License-Identifier: Apache-2.0
"""Dispatcher: items wait in queues, and go to the lines that are free.

i ─► in turn ─┬─► queue 0 ─┐         ┌─► group 0: the first line without work, else the first with room
              ├─► queue 1 ─┼─ turns ─┼─► group 1
              └─► …        ┘         └─► …
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from config.items import ItemsConfig
from hdl.cover import corner
from hdl.execute.gather_line import lowest
from hdl.execute.items import item_layout
from hdl.shared import share


class ItemQueue(wiring.Component):
    """Amaranth's buffered FIFO, with its names, as a part that equal ones share."""

    def __init__(self, width: int, depth: int):
        self._fifo = SyncFIFOBuffered(width=width, depth=depth)
        super().__init__(
            {
                **{name: In(1) for name in ("w_en", "r_en")},
                **{name: Out(1) for name in ("w_rdy", "r_rdy")},
                "w_data": In(width),
                "r_data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = self._fifo
        m.d.comb += [getattr(fifo, name).eq(getattr(self, name)) for name in ("w_en", "r_en", "w_data")]
        m.d.comb += [getattr(self, name).eq(getattr(fifo, name)) for name in ("w_rdy", "r_rdy", "r_data")]
        return m


class Dispatcher(wiring.Component):
    """Items of all heads and rows to lines.

    Dynamic allocation: items enter the `ports` queues in turn. In each cycle every queue looks at another group of
    lines, all queues at all groups in turn, and gives its foremost item to a line that has no work, or else to one that
    has no next item. So any item goes to any line, and no item waits while a line of the group that is looked at has
    room. Static allocation: a queue for each line, with the items of rows row mod lines.

    Parameters
    ----------
    config: `ItemsConfig`.

    Members
    -------
    i: In, stream of `item_layout(config)`; waits while the queue whose turn it is is full.
    enable: In, 1: items may go to lines. advance: In, 1. look: In, queues, one bit set: the group that queue 0 looks
    at; it moves up with `advance`. Not in static allocation.
    room, idle: In, lines: as `GatherLine` shows them.
    give: Out, lines: a line gets the item of its group, with `advance`. items: Out, `item_layout` for each group.

    An item can be given 2 cycles after it entered. An item a cycle enters, `queues` a cycle leave.
    """

    def __init__(self, config: ItemsConfig):
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(item_layout(config))),
                "enable": In(1),
                "advance": In(1),
                **({"look": In(config.queues)} if config.allocation == "dynamic" else {}),
                "room": In(config.lines),
                "idle": In(config.lines),
                "give": Out(config.lines),
                "items": Out(item_layout(config)).array(config.queues),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        count = config.queues
        width = len(Value.cast(self.i.payload))
        queues = [ItemQueue(width, config.queue // count) for _ in range(count)]
        for number, queue in enumerate(queues):
            m.submodules[f"queue{number}"] = share(queue, "item_queue", platform)
        turn = self._turn(m)
        m.d.comb += self.i.ready.eq(Cat(turn[n] & queue.w_rdy for n, queue in enumerate(queues)).any())
        # served[q][g]: queue q looks at group g.
        served = [
            [self.look[(g - q) % count] if config.allocation == "dynamic" else int(g == q) for g in range(count)]
            for q in range(count)
        ]
        gives = []
        for group in range(count):
            lines = slice(group * config.group, (group + 1) * config.group)
            waits = Cat(queue.r_rdy & served[q][group] for q, queue in enumerate(queues)).any() & self.enable
            room, idle = self.room[lines], (self.room & self.idle)[lines]
            chosen = Mux(idle.any(), lowest(idle), lowest(room))
            m.d.comb += self.give[lines].eq(chosen & waits.replicate(config.group))
            gives.append(waits & room.any())
            word = Value.cast(self.items[group])
            m.d.comb += word.eq(_selected([(served[q][group], queue.r_data) for q, queue in enumerate(queues)]))
        for number, queue in enumerate(queues):
            m.d.comb += [
                queue.w_data.eq(self.i.payload),
                queue.w_en.eq(self.i.valid & turn[number]),
                queue.r_en.eq(Cat(gives[g] & served[number][g] for g in range(count)).any() & self.advance),
            ]
        corner(m, platform, "queue_full", self.i.valid & ~self.i.ready)
        corner(m, platform, "no_line_has_room", ~self.room.any())
        return m

    def _turn(self, m: Module) -> Value:
        """The queue that the item at the input enters, one bit set."""
        config, count = self._config, self._config.queues
        if config.allocation == "static":
            line = self.i.payload.row[: (config.lines - 1).bit_length()]
            return Cat(line == n for n in range(count)) if count > 1 else Const(1)
        turn = Signal(count, init=1)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += turn.eq(turn.rotate_left(1))
        return turn


def _selected(choices: list[tuple[Value | int, Value]]) -> Value:
    """The value whose bit is set."""
    if all(isinstance(bit, int) for bit, _ in choices):
        return next(value for bit, value in choices if bit)
    picked = [value & bit.replicate(len(value)) for bit, value in choices]
    found = picked[0]
    for value in picked[1:]:
        found = found | value
    return found
