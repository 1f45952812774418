# SPDX-License-Identifier: Apache-2.0
"""What a layer is given before its weights: the key mask, parameters, x, one behind the other through one channel.

job ◄─ mask? ─► parameters ─► x?          i ─┬─► mask
                                             ├─► entries ─► ParameterLoader ─► parameter, gelu_entry
                                             └─► RowLoader ─► x
"""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.system import ADDRESS_BITS, ENTRY_BYTES, SystemConfig
from hdl.execute.gelu import ENTRY
from hdl.system.axi import COUNT_BITS, TRANSFER
from hdl.system.blobs import filled
from hdl.system.gearbox import RowLoader, Split, Unpack
from hdl.system.layouts import bus_shape, count_shape, parameter_layout, values_layout
from hdl.system.parameters import GELU_ENTRIES, ParameterLoader


class Part(enum.Enum, shape=2):
    """What comes."""

    MASK = 0
    PARAMETERS = 1
    X = 2
    NONE = 3


class LayerInputs(wiring.Component):
    """Parameters: `config`, a `SystemConfig`.

    Members
    -------
    start: In, 1: a layer begins. tokens, width, heads, wide (x has 16 bits), masked (there is a key mask), chained (x
    is there already), mask_address, parameters_address, x_address, x_stride: In, its own, which stand until it ends.
    job: Out, stream of `TRANSFER`; i: In, stream of `bus_shape`: what they bring.
    mask: Out, a bit for each token, 1 if it may be attended to. write, word, gelu_write, gelu_entry: Out, as of
    `ParameterLoader`. known: Out, 1: the mask is there; loaded: Out, 1: the parameters as well.
    x: Out, stream of `values_layout`.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        names = ("mask", "parameters", "x")
        super().__init__(
            {
                "start": In(1),
                "tokens": In(count_shape(config)),
                "width": In(range(config.speculation.width + 1)),
                "heads": In(range(config.heads + 1)),
                **{name: In(1) for name in ("wide", "masked", "chained")},
                **{f"{name}_address": In(ADDRESS_BITS) for name in names},
                "x_stride": In(COUNT_BITS),
                "job": Out(stream.Signature(TRANSFER)),
                "i": In(stream.Signature(bus_shape(config))),
                "mask": Out(config.tokens),
                "write": Out(1),
                "word": Out(parameter_layout(config)),
                "gelu_write": Out(1),
                "gelu_entry": Out(ENTRY),
                "known": Out(1),
                "loaded": Out(1),
                "x": Out(stream.Signature(values_layout(config))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.mask = mask = Unpack(config.bus_bits, config.tokens)
        m.submodules.entries = entries = Split(config.bus_bits, OPERAND_BITS * ENTRY_BYTES)
        m.submodules.loader = loader = ParameterLoader(config)
        m.submodules.rows = rows = RowLoader(config)
        self._ask(m)
        comes = Signal(Part, init=Part.NONE)
        # What follows the mask, and the last entry, is not theirs.
        of_mask, of_x = (comes == Part.MASK) & ~mask.o.valid, comes == Part.X
        for wanted, source in ((of_mask, mask.i), (of_x, rows.i)):
            m.d.comb += [source.payload.eq(self.i.payload), source.valid.eq(self.i.valid & wanted)]
        m.d.comb += [
            entries.i.valid.eq(self.i.valid & (comes == Part.PARAMETERS) & ~loader.last),
            entries.i.payload.eq(self.i.payload),
            entries.ends.eq(loader.last),
            self.i.ready.eq(
                Mux(
                    comes == Part.PARAMETERS,
                    entries.i.ready & ~loader.last,
                    (mask.i.ready & of_mask) | (rows.i.ready & of_x),
                )
            ),
            mask.o.ready.eq(1),
            loader.start.eq(self.start),
            loader.width.eq(self.width),
            loader.heads.eq(self.heads),
            rows.width.eq(self.width),
            rows.wide.eq(self.wide),
            self.known.eq(comes != Part.MASK),
            self.loaded.eq((comes == Part.X) | (comes == Part.NONE)),
            *(getattr(self, name).eq(getattr(loader, name)) for name in ("write", "word", "gelu_write")),
            self.gelu_entry.eq(loader.gelu_entry),
        ]
        wiring.connect(m, entries.o, loader.i)
        wiring.connect(m, rows.o, wiring.flipped(self.x))
        with m.If(self.start):
            m.d.sync += [comes.eq(Mux(self.masked, Part.MASK, Part.PARAMETERS)), self.mask.eq(~0)]
        with m.Elif(mask.o.valid):
            m.d.sync += [comes.eq(Part.PARAMETERS), self.mask.eq(mask.o.payload)]
        with m.Elif(loader.last):
            m.d.sync += comes.eq(Part.X)
        return m

    def _ask(self, m: Module) -> None:
        """The jobs, one behind the other."""
        config, job = self._config, self.job.payload
        part, entries = Signal(Part, init=Part.NONE), Signal(COUNT_BITS)
        row = Signal(COUNT_BITS)
        m.d.sync += [
            entries.eq((self.width << 2) + self.heads + GELU_ENTRIES),
            row.eq(filled(config, Mux(self.wide, self.width << 1, self.width))),
        ]
        if config.speculation.prunes:
            m.d.sync += entries.eq((self.width << 2) + self.width + self.heads + GELU_ENTRIES)
        mask_bytes = config.bus_bytes * -(-config.tokens // config.bus_bits)
        m.d.comb += [self.job.valid.eq(part != Part.NONE), job.rows.eq(1)]
        with m.Switch(part):
            with m.Case(Part.MASK):
                m.d.comb += [job.address.eq(self.mask_address), job.bytes.eq(mask_bytes)]
            with m.Case(Part.PARAMETERS):
                m.d.comb += [job.address.eq(self.parameters_address), job.bytes.eq(filled(config, entries << 3))]
            with m.Case(Part.X):
                m.d.comb += [job.address.eq(self.x_address), job.bytes.eq(row)]
                m.d.comb += [job.rows.eq(self.tokens), job.stride.eq(self.x_stride)]
        with m.If(self.start):
            m.d.sync += part.eq(Mux(self.masked, Part.MASK, Part.PARAMETERS))
        with m.Elif(self.job.valid & self.job.ready):
            m.d.sync += part.eq(Mux(part == Part.MASK, Part.PARAMETERS, Mux((part == Part.X) | self.chained, 3, 2)))
