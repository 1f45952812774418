# SPDX-License-Identifier: Apache-2.0
"""The speculation units, whole: from int8 activations and coded weights to the plan of a layer, through one socket.

x, w, scale ─► predictor ── columns ──► selection ── rows ──► recorder ── records ──► o
                    ▲                       │
                    └────── visit ──────────┘     (LAPA: keys of the later rounds)
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from config.errors import require
from config.speculate import METHODS, SpeculationConfig
from hdl.speculate.dense import DenseSelection
from hdl.speculate.lapa.selection import LapaSelection
from hdl.speculate.predictor import Predictor
from hdl.speculate.record import Recorder
from hdl.speculate.socket import layer_under_way, socket, token_shape
from hdl.speculate.spls.selection import SplsSelection


class SpeculationUnit(wiring.Component):
    """ESACT's SPLS, LAPA, FACT, or dense, as `config.method` says. Layers come one after the other.

    Parameters
    ----------
    config: `config.speculate.SpeculationConfig`. Raises `Refusal` for a method that has no unit behind the socket.

    Members
    -------
    those of `hdl.speculate.socket.socket`, and
    busy: Out, 1: the array takes a beat; never in dense, which has none, leaves weights alone and takes x for `attend`.
    """

    def __init__(self, config: SpeculationConfig):
        require(
            config.method in METHODS,
            f"method must be one of {', '.join(METHODS)}, not {config.method!r}; build the unit of that method.",
        )
        self._config = config
        members = dict(socket(config).members)
        super().__init__(members | {"busy": Out(1)})

    @property
    def config(self) -> SpeculationConfig:
        return self._config

    def elaborate(self, platform):
        m = Module()
        m.submodules.recorder = recorder = Recorder(self._config)
        wiring.connect(m, recorder.o, wiring.flipped(self.o))
        settings, start = layer_under_way(m, self.settings, self.o)
        m.d.comb += recorder.settings.eq(settings)
        if self._config.method == "dense":
            self._dense(m, settings, start, recorder)
        else:
            self._predict(m, settings, start, recorder)
        return m

    def _predict(self, m: Module, settings: Signal, start: Signal, recorder: Recorder) -> None:
        m.submodules.predictor = predictor = Predictor(self._config)
        # FACT's is that of SPLS without the similar rows.
        kind = {"spls": SplsSelection, "lapa": LapaSelection, "fact": SplsSelection}[self._config.method]
        m.submodules.selection = selection = kind(self._config)
        for name in ("x", "w", "scale"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(predictor, name))
        wiring.connect(m, predictor.address, wiring.flipped(self.address))
        wiring.connect(m, predictor.o, selection.columns)
        wiring.connect(m, selection.rows, recorder.rows)
        if self._config.method == "lapa":
            wiring.connect(m, selection.visit, predictor.visit)
        m.d.comb += [
            predictor.settings.eq(settings),
            predictor.start.eq(start),
            selection.settings.eq(settings),
            self.busy.eq(predictor.busy),
        ]

    def _dense(self, m: Module, settings: Signal, start: Signal, recorder: Recorder) -> None:
        """X goes by, for what it says of its tokens; then the rows follow."""
        config = self._config
        m.submodules.selection = selection = DenseSelection(config)
        wiring.connect(m, selection.rows, recorder.rows)
        attend = Signal(config.tokens)
        token, slice_, taking = Signal(token_shape(config)), Signal(range(config.width_slices)), Signal()
        last_token, last_slice = token == settings.tokens - 1, slice_ == (settings.slices - 1)[: len(slice_)]
        m.d.comb += [
            selection.settings.eq(settings),
            selection.attend.eq(attend),
            self.x.ready.eq(taking),
        ]
        with m.If(start):
            m.d.sync += taking.eq(1)
        m.d.sync += selection.start.eq(self.x.valid & taking & last_token & last_slice)
        with m.If(self.x.valid & taking):
            m.d.sync += [attend.bit_select(token, 1).eq(self.x.payload.attend), token.eq(token + 1)]
            with m.If(last_token):
                m.d.sync += [token.eq(0), slice_.eq(slice_ + 1)]
                with m.If(last_slice):
                    m.d.sync += [slice_.eq(0), taking.eq(0)]
