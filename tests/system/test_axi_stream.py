# SPDX-License-Identifier: Apache-2.0
"""Units behind AXI4-Stream ports: sources and sinks of cocotbext-axi, as others use them, and golden results."""

import re
from dataclasses import replace
from functools import cache

import pytest
from amaranth.hdl import Shape, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config import presets
from golden.speculate.records import records
from hdl import catalogue
from hdl.emit import verilog, verilog_of
from hdl.speculate.socket import record_layout
from hdl.system.axi_stream import AxiStreamTop, tdata_layout
from sim import axi_stream, execution, speculation
from sim.layer import payloads
from sim.runner import SimulationError
from tests.arith.simulate import refusal_of
from tests.execute.test_units_verilator import random_row
from tests.planted import Switched
from tests.speculate import layers

# Ports


class Toy(wiring.Component):
    """Members of every kind."""

    def __init__(self):
        fields = data.StructLayout({"a": signed(3), "last": 1, "b": 7})
        super().__init__(
            {
                "i": In(stream.Signature(fields)),
                "note": In(wiring.Signature({"valid": Out(1), "payload": Out(8)})),
                "o": Out(stream.Signature(signed(9))),
                "beside": In(5),
                "setting": In(2),
                "flag": Out(1),
            }
        )


def test_ports_have_the_names_that_tools_infer():
    top = AxiStreamTop(Toy(), beside={"beside": "i"})
    found = {name: (member.flow, Shape.cast(member.shape).width) for name, member in top.signature.members.items()}
    assert found == {
        "aclk": (In, 1),
        "aresetn": (In, 1),
        "s_axis_i_tdata": (In, 16),
        "s_axis_i_tvalid": (In, 1),
        "s_axis_i_tready": (Out, 1),
        "s_axis_i_tlast": (In, 1),
        "s_axis_i_tuser": (In, 5),
        "s_axis_note_tdata": (In, 8),
        "s_axis_note_tvalid": (In, 1),
        "m_axis_o_tdata": (Out, 16),
        "m_axis_o_tvalid": (Out, 1),
        "m_axis_o_tready": (In, 1),
        "setting": (In, 2),
        "flag": (Out, 1),
    }


def test_fields_are_packed_without_last_and_filled_up():
    layout = tdata_layout(data.StructLayout({"a": signed(3), "last": 1, "b": 7}))
    assert [(name, field.offset, field.width) for name, field in layout] == [
        ("a", 0, 3),
        ("b", 3, 7),
        ("padding", 10, 6),
    ]
    assert [name for name, _ in tdata_layout(data.ArrayLayout(4, 4))] == ["value"]


class Silent(wiring.Component):
    """No stream."""

    a: In(1)


def test_what_is_no_stream_is_refused():
    assert refusal_of(lambda: AxiStreamTop(Silent())) == (
        "A unit with AXI4-Stream ports must have a stream, and Silent has none; give another one."
    )
    for name, of in (("nobody", "i"), ("o", "i"), ("setting", "o"), ("setting", "flag")):
        assert refusal_of(lambda name=name, of=of: AxiStreamTop(Toy(), beside={name: of})) == (
            f"beside must lead from a plain input to a stream in, not from {name!r} to {of!r}; name other members."
        )


# As written


@cache
def written(name):
    """Of a unit of `tiny`: itself, and the Verilog of its top with AXI4-Stream ports, as the generator writes it."""
    unit = next(unit for unit in catalogue.units("tiny") if unit.name == name)
    component = unit.make()
    top = catalogue.axi_stream_top(unit, component)
    text = verilog_of({name: component})[name]
    return component, verilog_of({top.name: top.make()}, written={component: text})[top.name]


def test_the_units_text_is_taken_as_it_is():
    """Its modules under other names, and one above them."""
    component, text = written("softmax_4")
    alone = verilog(component, "softmax_4")
    top, unit = text.split("module softmax_4_axis_unit(", 1)
    assert ("module softmax_4_axis_unit(" + unit).replace("softmax_4_axis_unit", "softmax_4") == alone.partition("\n")[
        2
    ]
    assert re.findall(r"^module (\w+)", top, re.MULTILINE) == ["softmax_4_axis"]


# Golden


def layer_job(unit, seed, tokens, **others):
    """A layer of SPLS, whose plan is to come as one frame."""
    config = presets.speculation("tiny")["spls"]
    layer = layers.layer(config, seed, tokens, causal=seed % 2 == 1, k=5, k_similarity=4, s=190, f=1)
    given = payloads(config, layer)
    plan = records(speculation.golden_plan(config, layer), config.rows, config.similarity_window, layer.settings.causal)
    return axi_stream.job_of(
        unit,
        {name: getattr(given, name) for name in ("settings", "x", "w", "scale")},
        {"address": given.addresses, "o": [speculation.record_bits(record_layout(config), record) for record in plan]},
        answers={"w": "address"},
        seed=seed,
        **others,
    )


def softmax_job(unit, seed, count=20, **others):
    """Rows of softmax: frames in, frames of codes out, and a scale each."""
    config = presets.execution("tiny")["softmax"]
    traffic = execution.softmax(config, [random_row(config, 100 * seed + n) for n in range(count)], seed)
    return axi_stream.job_of(unit, traffic.given, traffic.due, traffic.beside, seed=seed, **others)


def test_a_speculation_unit_sends_the_golden_plan():
    unit, text = written("spls_4x4")
    shapes = ((16, 0.0), (13, 0.3), (1, 0.5), (16, 0.7))
    jobs = [layer_job(unit, seed, tokens, pauses=pauses) for seed, (tokens, pauses) in enumerate(shapes)]
    assert [len(job.due["o"]) for job in jobs] == [1] * len(shapes)
    axi_stream.run(text, "spls_4x4_axis", [*jobs, layer_job(unit, 9, 16, pauses=0.2, interrupted=150)])


def test_softmax_sends_golden_codes_and_scales():
    unit, text = written("softmax_4")
    jobs = [softmax_job(unit, seed, pauses=pauses) for seed, pauses in enumerate((0.0, 0.3, 0.7))]
    axi_stream.run(text, "softmax_4_axis", [*jobs, softmax_job(unit, 9, pauses=0.3, interrupted=60)])


# Planted faults, which the bench must catch

FAULTS = [
    {"aresetn": lambda reset: ~reset},
    {"s_axis_i_tuser": lambda user: user ^ 1 << 15},
    {"s_axis_i_tlast": lambda last: last & 0},
    {"m_axis_o_tlast": lambda last: last | 1},
    {"m_axis_o_tdata": lambda data: data ^ 1},
    {"m_axis_scale_tdata": lambda data: data | 1 << 23},
    {"s_axis_i_tready": lambda ready: ready | 1},
]


def test_a_wrong_port_is_caught():
    unit = next(unit for unit in catalogue.units("tiny") if unit.name == "softmax_4")
    top = catalogue.axi_stream_top(unit, unit.make()).make()
    text, job = verilog(Switched(top, FAULTS), "softmax_4_axis"), softmax_job(written("softmax_4")[0], 1, pauses=0.3)
    axi_stream.run(text, "softmax_4_axis", [replace(job, ports={"fault": 0})])
    for number, _ in enumerate(FAULTS):
        with pytest.raises(SimulationError, match="softmax_4_axis"):
            axi_stream.run(text, "softmax_4_axis", [replace(job, ports={"fault": number + 1})])
