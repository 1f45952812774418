# SPDX-License-Identifier: Apache-2.0
"""Results of both dense engines to where they are kept.

engine 0 ─┬─► K, V ─► attention      hidden values: each engine's its own way
engine 1 ─┘   Q
              of 16 bits ─► row pass
"""

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.system import SystemConfig
from hdl.execute.banks import write_layout
from hdl.execute.query_feed import query_layout
from hdl.system.generation import ARRAYS
from hdl.system.layouts import Sink, hidden_layout, result_layout


class ResultRouter(wiring.Component):
    """A result from each engine a cycle; of two for one place, that of engine 0 goes first.

    Parameters: `config`, a `SystemConfig`.

    Members
    -------
    i0, i1: In, stream of `result_layout`. keys, values: Out, streams of `hdl.execute.banks.write_layout`; queries: Out,
    stream of `query_layout`. wide: Out, stream of `result_layout`. hidden0, hidden1: Out, streams of `hidden_layout`,
    of each engine.
    Combinational.
    """

    def __init__(self, config: SystemConfig):
        self._config = config
        items = config.attention.items
        result, hidden = stream.Signature(result_layout(config)), stream.Signature(hidden_layout(config))
        super().__init__(
            {
                "i0": In(result),
                "i1": In(result),
                "keys": Out(stream.Signature(write_layout(items))),
                "values": Out(stream.Signature(write_layout(items))),
                "queries": Out(stream.Signature(query_layout(items))),
                "wide": Out(result),
                "hidden0": Out(hidden),
                "hidden1": Out(hidden),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inputs, ready = (self.i0, self.i1), [[] for _ in range(ARRAYS)]
        for name, sink, value in (
            ("keys", Sink.KEY_VALUE, 0),
            ("values", Sink.KEY_VALUE, 1),
            ("queries", Sink.QUERY, None),
            ("wide", Sink.WIDE, None),
        ):
            output = getattr(self, name)
            first, second = (self._wants(each, sink, value) for each in inputs)
            given = Mux(first, inputs[0].payload.as_value(), inputs[1].payload.as_value())
            result = result_layout(self._config)(given)
            m.d.comb += [output.valid.eq(first | second), *self._show(name, output.payload, result)]
            ready[0].append(first & output.ready)
            ready[1].append(second & output.ready & ~first)
        for number, each in enumerate(inputs):
            output = getattr(self, f"hidden{number}")
            wants = self._wants(each, Sink.HIDDEN, None)
            m.d.comb += [
                output.valid.eq(wants),
                output.payload.token.eq(each.payload.token),
                output.payload.index.eq(each.payload.index),
                Value.cast(output.payload.word).eq(_bytes(each.payload)),
            ]
            m.d.comb += each.ready.eq(Cat(*ready[number], wants & output.ready).any())
        return m

    def _wants(self, source, sink: Sink, value: int | None) -> Value:
        wants = source.valid & (source.payload.sink == sink)
        return wants if value is None else wants & (source.payload.value == value)

    def _show(self, name: str, output, result):
        if name == "wide":
            return [output.eq(result)]
        number = {"queries": "row"}.get(name, "key")
        return [
            Value.cast(output.b).eq(_bytes(result)),
            output.head.eq(result.index),
            output[number].eq(result.token),
        ]


def _bytes(result) -> Value:
    """Its values as bytes."""
    return Cat(value[:OPERAND_BITS] for value in result.values)
