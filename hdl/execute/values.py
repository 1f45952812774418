# SPDX-License-Identifier: Apache-2.0
"""Values: softmax at each line, and the rows of V that its codes are to be multiplied by.

scores n ─► LineSoftmax n ─► item n ─► GatherLines ◄─ write
given n ────────┘  │ │                   │ row
                   │ └──────── code ─────┴─► item n of a PE array
                   └───────────────────────► scale n
"""

from amaranth.hdl import Cat, Const, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.errors import require
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from hdl.cover import corner
from hdl.execute.banks import write_layout
from hdl.execute.dot_line import untimed
from hdl.execute.gather_lines import GatherLines
from hdl.execute.layouts import MULTIPLIER
from hdl.execute.line import beat_layout
from hdl.execute.line_powers import settings_layout
from hdl.execute.line_softmax import LineSoftmax
from hdl.execute.row_codes import told_members
from hdl.execute.scores import score_layout
from hdl.shared import share


def name_bits(config: ItemsConfig) -> int:
    """Of an item's tag: its row, and above it its head."""
    return (config.heads - 1).bit_length() + (config.tokens - 1).bit_length()


class Values(wiring.Component):
    """Scores of items to beats and scales for a PE array, which makes contexts of them: golden.execute.softmax.

    Parameters
    ----------
    config: `ItemsConfig` of one chunk; its queues and allocation do not matter here. arrays: with as many lines and
    lanes. words, entries, tells: as those of `LineSoftmax`.
    Raises `Refusal` as that does, and for arrays of another shape, or for rows with fewer keys.

    Members
    -------
    settings: In, `untimed(settings_layout(config))`: of a head, before scores of its items come.
    given: In, lines: the line of scores gets an item with this cycle, `Gather`'s `given` and `advance`; count: In, for
    each line: its keys. opens: Out, lines: for that `Gather`.
    scores: In, for each line `untimed(score_layout(config))`: items in their order, an item's keys in any.
    write: In, stream of `write_layout(config)`, a row of V, always taken; as that of `GatherLines`.
    enable: In, 1: items may begin to go to the PE array. busy: Out, 1: some have begun, in an earlier cycle, and have
    beats to come, in this one or later. No line of the array may be lent to dense tiles meanwhile.
    item0, …: Out, stream of `beat_layout(arrays, name_bits)`: codes and rows of V, an item's keys in any order, none
    with a code of 0; scale0, …: Out, stream of `MULTIPLIER`: of the same items. No valid depends on a ready.

    told0, …: Out, last_chunk: In, with `tells`: as `told` and that of each line's `LineSoftmax`.

    A key a cycle for each line. All lines rest if a beat is not taken; if contexts are always taken, each is taken.
    """

    def __init__(
        self,
        config: ItemsConfig,
        arrays: PeArraysConfig,
        *,
        words: int | None = None,
        entries: int = 4,
        tells: bool = False,
    ):
        require(
            (arrays.lines, arrays.lanes) == (config.lines, config.lanes),
            f"lines and lanes of the array must be {config.lines} and {config.lanes}, not {arrays.lines} and "
            f"{arrays.lanes}; set them to those.",
        )
        require(
            arrays.keys >= config.chunk,
            f"keys of the array must be at least chunk = {config.chunk}, not {arrays.keys}; raise it.",
        )
        self._config, self._arrays = config, arrays
        self._tells = tells
        self._softmax = [
            LineSoftmax(config, arrays, words=words, entries=entries, tells=tells) for _ in range(config.lines)
        ]
        each = {}
        for n in range(config.lines):
            each[f"item{n}"] = Out(stream.Signature(beat_layout(arrays, name_bits(config))))
            each[f"scale{n}"] = Out(stream.Signature(MULTIPLIER))
            if tells:
                each[f"told{n}"], each["last_chunk"] = (told_members(config)[name] for name in ("told", "last_chunk"))
        super().__init__(
            {
                "settings": In(untimed(settings_layout(config))),
                "given": In(config.lines),
                "count": In(range(config.chunk + 1)).array(config.lines),
                "opens": Out(config.lines),
                "scores": In(untimed(score_layout(config))).array(config.lines),
                "write": In(stream.Signature(write_layout(config))),
                "enable": In(1),
                "busy": Out(1),
                **each,
            }
        )

    def elaborate(self, platform):
        m = Module()
        lines = GatherLines(self._config)
        m.submodules.lines = share(lines, "lines", platform)
        wiring.connect(m, wiring.flipped(self.write), lines.write)
        for number, softmax in enumerate(self._softmax):
            m.submodules[f"softmax{number}"] = share(softmax, "softmax", platform)
            self._join(m, number, softmax, lines)
            if self._tells:
                m.d.comb += softmax.last_chunk.eq(self.last_chunk)
                wiring.connect(m, softmax.told, wiring.flipped(getattr(self, f"told{number}")))
            self._multiply(m, number, softmax, lines.o[number])
        beats = [lines.o[n].valid for n in range(self._config.lines)]
        m.d.comb += self.busy.eq(Cat(*beats, *(softmax.busy for softmax in self._softmax)).any())
        corner(m, platform, "beat_waits", ~lines.advance)
        return m

    def _join(self, m: Module, number: int, softmax: LineSoftmax, lines: GatherLines) -> None:
        for name in ("settings", "scores"):
            given = getattr(self, name)
            wiring.connect(m, wiring.flipped(given if name == "settings" else given[number]), getattr(softmax, name))
        m.d.comb += [
            softmax.given.eq(self.given[number]),
            softmax.count.eq(self.count[number]),
            self.opens[number].eq(softmax.accepts),
            softmax.enable.eq(self.enable),
            softmax.advance.eq(lines.advance),
            softmax.room.eq(lines.room[number]),
            softmax.ended.eq(lines.ended[number]),
            softmax.coming.eq(lines.coming[number]),
            lines.give[number].eq(softmax.give),
            lines.items[number].eq(softmax.item),
            lines.opens[number].eq(softmax.opens),
        ]

    def _multiply(self, m: Module, number: int, softmax: LineSoftmax, row: wiring.PureInterface) -> None:
        """A row and its code, as a beat."""
        item = getattr(self, f"item{number}")
        wiring.connect(m, softmax.scale, wiring.flipped(getattr(self, f"scale{number}")))
        m.d.comb += [
            item.valid.eq(row.valid),
            row.ready.eq(item.ready),
            item.payload.a.eq(Cat(softmax.code, Const(0, 1)).as_signed()),
            item.payload.b.as_value().eq(row.payload.b.as_value()),
            item.payload.first.eq(row.payload.first),
            item.payload.last.eq(row.payload.last),
            item.payload.tag.eq(Cat(row.payload.row, row.payload.head)),
        ]
