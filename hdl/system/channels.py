# SPDX-License-Identifier: Apache-2.0
"""What a layer has for each channel of the residual stream, in the order of a row's beats."""

from amaranth.hdl import Cat, Module, Mux, ShapeLike, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from config.system import SystemConfig
from hdl.shared import share
from hdl.store import Store
from hdl.system.two_places import TwoPlaces, reads


class Channels(wiring.Component):
    """Two or three sets of an entry for each channel; one of them in beats, over again for each row.

    Parameters
    ----------
    config: `SystemConfig`. entry: shape of an entry. sets: 2 or 3.

    Members
    -------
    write: In, 1; write_second, write_third: In, 1; index: In; entry: In: that of a channel of a set is stored.
    run: In, 1: `o` brings the beats of set `second`, or `third`: In, 1, of rows of `last_beat`: In, + 1 beats, over and
    over. Low, for a cycle or more, nothing is left of them. The settings stand while it is high.
    o: Out, stream of `values` entries, a beat a cycle, the first three cycles behind the first one of `run`.
    """

    def __init__(self, config: SystemConfig, entry: ShapeLike, sets: int = 2):
        self._config, width = config, config.speculation.width
        beats = width // config.values
        beat = data.ArrayLayout(entry, config.values)
        # The number of a set lies below that of a beat.
        which = ("second",) if sets == 2 else ("second", "third")
        self._which = which
        self._store, self._places = Store(beats << len(which), beat, parts=config.values), TwoPlaces(beat)
        super().__init__(
            {
                "write": In(1),
                **{f"write_{name}": In(1) for name in which},
                "index": In(range(width)),
                "entry": In(entry),
                "run": In(1),
                **{name: In(1) for name in which},
                "last_beat": In(range(beats)),
                "o": Out(stream.Signature(beat)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        store, places = self._store, self._places
        bits = len(store.word.as_value())
        m.submodules.store = share(store, store.name, platform)
        m.submodules.places = share(places, f"places_{bits}", platform)
        within = exact_log2(self._config.values)
        at = Signal(self.last_beat.shape())
        read, there = reads(m, places, self.run)
        with m.If(~self.run):
            m.d.sync += at.eq(0)
        with m.Elif(read):
            m.d.sync += at.eq(Mux(at == self.last_beat, 0, at + 1))
        m.d.comb += [
            store.write.eq(Cat(self.write & (self.index[:within] == n) for n in range(self._config.values))),
            store.write_at.eq(Cat((getattr(self, f"write_{name}") for name in self._which), self.index[within:])),
            store.word.as_value().eq(self.entry.as_value().replicate(self._config.values)),
            store.read.eq(read),
            store.read_at.eq(Cat((getattr(self, name) for name in self._which), at)),
            places.i.valid.eq(there),
            places.i.payload.eq(store.stored),
            places.clear.eq(~self.run),
        ]
        wiring.connect(m, places.o, wiring.flipped(self.o))
        return m
