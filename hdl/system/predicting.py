# SPDX-License-Identifier: Apache-2.0
"""How an accelerator comes to its plans, by the kind of its method.

behind the socket:  INPUT, codes ─► SpeculationUnit ─► PlanStore
LATE:               Attention ─► Q, K ─► ExactPrediction ─► PlanStore
CASCADES:           Attention ─► codes; contexts ─► Pruning ─► PlanStore, of the next layer
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from config.system import SystemConfig
from hdl.execute.layouts import ROW
from hdl.speculate.speculation import SpeculationUnit
from hdl.system.axi import COUNT_BITS
from hdl.system.blobs import code_bytes, scale_bytes
from hdl.system.descriptor import settings_of
from hdl.system.exact_prediction import ExactPrediction
from hdl.system.layouts import Parameter
from hdl.system.predictor_feed import PredictorFeed
from hdl.system.predictor_weights import PredictorWeights
from hdl.system.pruning import Pruning


class Predicting:
    """That part of an `AcceleratorCore`: it has the other parts by their names, with an underscore in front."""

    @staticmethod
    def _predictors(config: SystemConfig) -> dict[str, wiring.Component]:
        """The parts that make plans."""
        if config.speculation.late:
            return {"prediction": ExactPrediction(config)}
        if config.speculation.prunes:
            return {"pruning": Pruning(config)}
        return {
            "speculation": SpeculationUnit(config.speculation),
            "predictor_feed": PredictorFeed(config),
            "predictor_weights": PredictorWeights(config),
        }

    def _predict(self, m: Module) -> None:
        unit = self._config.speculation
        ways = {"late": self._predict_late, "prunes": self._predict_by_what_was}
        found = [way for kind, way in ways.items() if getattr(unit, kind)]
        (found or [self._predict_early])[0](m)

    def _ask_for_codes(self, m: Module, config: SystemConfig) -> None:
        """All of a layer's in one job, a row for each head, operand and group of outputs."""
        unit, task, asks, job = config.speculation, self.layer.payload.task, Signal(), self.job1.payload
        codes = unit.rows // unit.load * code_bytes(config)
        size, rows = Signal(COUNT_BITS), Signal(COUNT_BITS)
        m.d.sync += [
            size.eq(scale_bytes(config) + task.width_words * codes),
            rows.eq(task.heads * 2 * unit.groups),
        ]
        m.d.comb += [
            self.job1.valid.eq(asks),
            job.address.eq(self.layer.payload.predictor),
            job.bytes.eq(size),
            job.stride.eq(size),
            job.rows.eq(rows),
        ]
        if unit.coded:
            with m.If(self._start):
                m.d.sync += asks.eq(1)
            with m.Elif(self.job1.ready):
                m.d.sync += asks.eq(0)

    def _predict_early(self, m: Module) -> None:
        self._ask_for_codes(m, self._config)
        speculation, feed, weights = self._speculation, self._predictor_feed, self._predictor_weights
        layer, predict = self.layer.payload, Signal()
        with m.If(self._sequencer.predict):
            m.d.sync += predict.eq(1)
        with m.Elif(speculation.settings.ready):
            m.d.sync += predict.eq(0)
        m.d.comb += [
            speculation.settings.valid.eq(predict),
            speculation.settings.payload.eq(settings_of(self._config, layer)),
            # The order in memory is that of the addresses.
            speculation.address.ready.eq(1),
            feed.start.eq(self._sequencer.predict),
            feed.tokens.eq(layer.task.tokens),
            feed.words.eq(layer.task.width_words),
            feed.mask.eq(self._inputs.mask),
            weights.words.eq(layer.task.width_words),
        ]
        with m.If(self._sequencer.predict):
            m.d.sync += self._predicting.eq(1)
        with m.Elif(self._plan.complete):
            m.d.sync += self._predicting.eq(0)
        wiring.connect(m, wiring.flipped(self.read1), weights.i)
        wiring.connect(m, weights.w, speculation.w)
        wiring.connect(m, weights.scale, speculation.scale)
        wiring.connect(m, feed.x, speculation.x)
        wiring.connect(m, feed.fetch, self._activations.fetch2)
        wiring.connect(m, self._activations.fetched2, feed.fetched)
        wiring.connect(m, speculation.o, self._plan.records)

    def _predict_late(self, m: Module) -> None:
        """From Q and K, as they are written for attention."""
        prediction, attention, router, inputs = self._prediction, self._attention, self._router, self._inputs
        m.d.comb += [
            prediction.start.eq(self._start),
            prediction.predict.eq(self._sequencer.predict),
            prediction.mask.eq(inputs.mask),
            prediction.settings.eq(settings_of(self._config, self.layer.payload)),
            prediction.exponent_write.eq(inputs.write & (inputs.word.kind == Parameter.HEAD)),
            prediction.exponent.eq(ROW(inputs.word.entry[: ROW.size]).exponent),
            prediction.hold.eq(self._sequencer.hold),
            self._sequencer.fed.eq(prediction.fed),
            self._predicting.eq(prediction.works),
        ]
        for written, rows, number in (
            (prediction.key_written, router.keys, "key"),
            (prediction.query_written, router.queries, "row"),
        ):
            m.d.comb += [
                written.valid.eq(rows.valid & rows.ready),
                written.head.eq(rows.payload.head),
                written.token.eq(rows.payload[number]),
            ]
        for name in ("look_keys", "look_queries"):
            wiring.connect(m, getattr(prediction, name), getattr(attention, name))
        wiring.connect(m, prediction.o, self._plan.records)

    def _predict_by_what_was(self, m: Module) -> None:
        """From what attention makes of its items, for the layers that follow."""
        pruning, attention, plan = self._pruning, self._attention, self._plan
        tokens, rows = self.layer.payload.task.tokens, self._config.speculation.row_bits
        m.d.comb += [
            pruning.start.eq(self._start),
            pruning.predict.eq(self._sequencer.predict),
            pruning.mask.eq(self._inputs.mask),
            pruning.first.eq(~self.layer.payload.task.chained),
            pruning.settings.eq(settings_of(self._config, self.layer.payload)),
            pruning.total.eq(plan.items_total),
            pruning.told.eq(self._activations.context_told),
        ]
        m.d.sync += attention.last_chunk.eq((tokens - 1)[rows:])
        for number in range(self._config.attention.arrays.lines):
            wiring.connect(m, getattr(attention, f"told{number}"), getattr(pruning, f"told{number}"))
        wiring.connect(m, pruning.alive, plan.alive)
        wiring.connect(m, pruning.o, plan.records)
        with m.If(self._sequencer.predict):
            m.d.sync += self._predicting.eq(1)
        with m.Elif(plan.complete):
            m.d.sync += self._predicting.eq(0)
