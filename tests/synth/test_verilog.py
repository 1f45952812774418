# SPDX-License-Identifier: Apache-2.0
"""Mapped modules as Verilog."""

from synth import verilog


def body(ports, cells):
    found = {name: {"direction": direction, "bits": bits} for name, (direction, bits) in ports.items()}
    return {"ports": found, "cells": cells, "netnames": {}}


def written(**modules):
    return "".join(verilog.written(modules)).splitlines()


def test_what_goes_straight_through_comes_from_the_input():
    lines = written(top=body({"y": ("output", [2]), "z": ("output", [2]), "a": ("input", [2])}, {}))
    assert lines[0] == "module top (y, z, a);"
    assert set(lines[1:-1]) == {"  output y;", "  assign y = a;", "  output z;", "  assign z = a;", "  input a;"}


def test_several_outputs_of_one_gate_and_constants():
    gate = {"type": "INV", "connections": {"A": [2], "Y": [3]}}
    ports = {"a": ("input", [2]), "y": ("output", [3]), "z": ("output", [3]), "one": ("output", ["1"])}
    lines = written(top=body(ports, {"gate": gate}))
    assert {"  assign one = 1'b1;", "  INV c0 (.A(a), .Y(z));", "  assign y = z;"} <= set(lines)


def test_bits_of_pins_are_pins():
    inner = body({"d[0]": ("input", [2]), "d[1]": ("input", [3])}, {})
    cell = {"type": "inner", "connections": {"d": [2, "0"]}}
    lines = written(top=body({"d": ("input", [2, 3])}, {"one": cell}), inner=inner)
    assert lines[0] == "module top (\\d[0] , \\d[1] );"
    assert "  inner c0 (.\\d[0] (\\d[0] ), .\\d[1] (1'b0));" in lines
    assert "module inner (\\d[0] , \\d[1] );" in lines


def test_memories_are_left_out():
    cells = {
        "store": {"type": "FORESHIFT_MEMORY", "connections": {}},
        "pin": {"type": "FORESHIFT_MEMORY_IN", "connections": {"CK": [2], "D": [2]}},
    }
    lines = written(top=body({"c": ("input", [2])}, cells), FORESHIFT_MEMORY_IN=body({}, {}))
    assert lines[1:-1] == ["  input c;", "  FORESHIFT_MEMORY_IN c1 (.CK(c), .D(c));"]
