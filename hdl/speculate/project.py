# SPDX-License-Identifier: Apache-2.0
"""From the array's sums to the codes of Q̂ and K̂.

totals ─► + bias ─► requantise ─► 8 bits ─┬─► code of a broadcast operand ──► K̂ store
                                          └─► code of a stationary operand ─► Q̂ store
"""

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.formats import OPERAND_BITS
from config.speculate import SpeculationConfig
from hdl.arith.adder import SlicedAdder
from hdl.arith.requantise import Requantiser
from hdl.shared import share
from hdl.speculate.encoder import Encoder, code_shape, module_of
from hdl.speculate.layouts import totals_layout
from hdl.speculate.socket import Operand, scale_layout, token_shape


def progress_layout(config: SpeculationConfig) -> data.StructLayout:
    """How far Q̂ has come: `parity`, that of the head; `rows`, how many rows of it are stored whole."""
    return data.StructLayout({"parity": 1, "rows": range(config.tokens + 1)})


class Projector(wiring.Component):
    """Requantises and codes the sums of Q̂ and K̂, `rows` of them a cycle. Nothing can hold it.

    Members
    -------
    tokens: In. i: In, stream of `rows` sums: for each head, K and then Q; groups; tokens. scale: In, `scale_layout`.
    score_shift: Out, of the head whose Q̂ came last.
    token, group: Out, of the codes that stand; write_k: Out, 1, with k_codes; write_q: Out, 1, with q_codes.
    progress: Out, `progress_layout`; the first head's parity is 1.
    """

    def __init__(self, config: SpeculationConfig):
        self._config = config
        system = config.array.system
        super().__init__(
            {
                "tokens": In(range(config.tokens + 1)),
                "i": In(stream.Signature(totals_layout(config.array)["total"].shape)),
                "scale": In(stream.Signature(scale_layout(config))),
                "score_shift": Out(scale_layout(config)["score_shift"].shape),
                "token": Out(token_shape(config)),
                "group": Out(range(config.groups)),
                "write_k": Out(1),
                "write_q": Out(1),
                "k_codes": Out(data.ArrayLayout(code_shape(system.x), config.rows)),
                "q_codes": Out(data.ArrayLayout(code_shape(system.w), config.rows)),
                "progress": Out(progress_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, system = self._config, self._config.array.system
        biased = Signal(data.ArrayLayout(signed(config.array.acc_bits + 1), config.rows), reset_less=True)
        last_token = Signal(token_shape(config), reset_less=True)
        m.d.sync += last_token.eq(self.tokens - 1)
        mul, shift, valid = self._scale(m, biased, last_token, platform)
        done = Signal()
        for i, total in enumerate(biased):
            requantiser = Requantiser(acc_bits=config.array.acc_bits + 1)
            m.submodules[f"requantiser{i}"] = share(requantiser, "requantiser", platform)
            m.d.comb += [
                requantiser.i.payload.eq(total),
                requantiser.i.valid.eq(valid),
                requantiser.mul.eq(mul),
                requantiser.shift.eq(shift),
                requantiser.o.ready.eq(1),
            ]
            for role, coding, codes in (("k", system.x, self.k_codes), ("q", system.w, self.q_codes)):
                encoder = Encoder(coding, OPERAND_BITS)
                m.submodules[f"{role}_encoder{i}"] = share(encoder, module_of(coding), platform)
                m.d.comb += [encoder.i.eq(requantiser.o.payload), Value.cast(codes[i]).eq(encoder.o)]
            if i == 0:
                m.d.comb += done.eq(requantiser.o.valid)
        self._count(m, done, last_token)
        return m

    def _scale(self, m: Module, biased: data.View, last_token: Signal, platform) -> tuple[Value, Value, Value]:
        """Hold a group's scale while its tokens pass; returns the factor in step with the biased sums."""
        config = self._config
        held, loaded = Signal(scale_layout(config), reset_less=True), Signal()
        token, group = Signal(range(config.tokens)), Signal(range(config.groups))
        operand = Signal(Operand)
        mul, shift, valid = Signal.like(held.mul, reset_less=True), Signal.like(held.shift, reset_less=True), Signal()
        m.d.comb += [self.scale.ready.eq(~loaded), self.i.ready.eq(loaded)]
        with m.If(self.scale.valid & self.scale.ready):
            m.d.sync += [held.eq(self.scale.payload), loaded.eq(1)]
        m.d.sync += valid.eq(self.i.valid & self.i.ready)
        self._add(m, biased, held.bias, platform)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [mul.eq(held.mul), shift.eq(held.shift), token.eq(token + 1)]
            with m.If(operand == Operand.Q):
                m.d.sync += self.score_shift.eq(held.score_shift)
            with m.If(token == last_token):
                m.d.sync += [token.eq(0), loaded.eq(0), group.eq(group + 1)]
                with m.If(group == config.groups - 1):
                    m.d.sync += [group.eq(0), operand.eq(~operand.as_value())]
        return mul, shift, valid

    def _add(self, m: Module, biased: data.View, biases: data.View, platform) -> None:
        for i, (sum_, total, bias) in enumerate(zip(biased, self.i.payload, biases, strict=True)):
            adder = SlicedAdder(len(total), len(bias))
            m.submodules[f"bias_adder{i}"] = share(adder, "bias_adder", platform)
            m.d.comb += [adder.a.eq(total), adder.b.eq(bias)]
            with m.If(self.i.valid & self.i.ready):
                m.d.sync += sum_.eq(adder.o)

    def _count(self, m: Module, done: Value, last_token: Signal) -> None:
        """Which codes stand behind the requantiser: the order is always the same."""
        operand = Signal(Operand)
        m.d.comb += [
            self.write_k.eq(done & (operand == Operand.K)),
            self.write_q.eq(done & (operand == Operand.Q)),
        ]
        last_group = self.group == self._config.groups - 1
        with m.If(done):
            m.d.sync += self.token.eq(self.token + 1)
            with m.If(self.token == last_token):
                m.d.sync += [self.token.eq(0), self.group.eq(Mux(last_group, 0, self.group + 1))]
                with m.If(last_group):
                    m.d.sync += operand.eq(~operand.as_value())
            with m.If(self.write_q & last_group):
                m.d.sync += self.progress.rows.eq(self.token + 1)
            with m.If(self.write_k & (self.token == 0) & (self.group == 0)):
                m.d.sync += [self.progress.rows.eq(0), self.progress.parity.eq(~self.progress.parity)]
