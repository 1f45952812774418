# SPDX-License-Identifier: Apache-2.0
"""A cell library of a dozen lines with round numbers, and netlists for it in the form of Yosys's JSON."""

import json
from collections.abc import Mapping
from pathlib import Path

from synth import liberty, netlist

PINS = {
    "INV": "A Y",
    "BUF": "A Y",
    "NAND": "A B Y",
    "XOR": "A B Y",
    "TIE": "Y",
    "DFF": "D CK Q QN",
    "DFFR": "D CK RN Q",
}
PINS |= {"ICG": "CK EN GCK", "LATCH": "D G Q"}
# Some of the 45 nm cells.
PINS |= {"SDFF_X1": "D SE SI CK Q QN", "DFFRS_X1": "D RN SN CK Q QN", "CLKGATETST_X1": "CK E SE GCK"}


def _table(kind: str, values: str, template: str = "grid") -> str:
    return f"{kind} ({template}) {{ values ({values}); }}"


def _timing(related: str, sense: str, kind: str = "combinational") -> str:
    """Rise time = 0.1 ns + slew/2 + load/(100 fF) ns; fall time twice that."""
    rise = '"0.1, 1.1", "0.6, 1.6"'
    fall = '"0.2, 2.2", "1.2, 3.2"'
    return (
        f'timing () {{ related_pin : "{related}"; timing_sense : {sense}; timing_type : {kind};'
        f"{_table('rise_transition', rise)} {_table('fall_transition', fall)} }}"
    )


def _power(rise: float, fall: float, related: str = "", when: str = "") -> str:
    """Energies without regard to slew and load, in this library's pJ."""
    conditions = (f'related_pin : "{related}"; ' if related else "") + (f'when : "{when}"; ' if when else "")
    rises, falls = _table("rise_power", f'"{rise}"', "scalar"), _table("fall_power", f'"{fall}"', "scalar")
    return f"internal_power () {{ {conditions} {rises} {falls} }}"


def _input(name: str, cap: float = 0.002, extra: str = "") -> str:
    return f"pin ({name}) {{ direction : input; capacitance : {cap}; {extra} }}"


def _output(name: str, function: str, extra: str = "") -> str:
    return f'pin ({name}) {{ direction : output; function : "{function}"; {extra} }}'


FLOP_OUT = _timing("CK", "non_unate", "rising_edge") + _power(0.004, 0.002, "CK")
LIBERTY = f"""
/* A comment, {"{"} with a brace. */
library (toy) {{
  time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1nW"; capacitive_load_unit (1, pf);
  nom_voltage : 2.0;
  operating_conditions (warm) {{ voltage : 1.0; temperature : 25; }}
  default_operating_conditions : warm;
  default_wire_load : "short";
  wire_load ("short") {{ capacitance : 0.001; slope : 3; fanout_length (1, 2.0); fanout_length (3, 8.0); }}
  lu_table_template (grid) {{
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0, 1"); index_2 ("0, \\
      0.1");
  }}
  cell (INV) {{ area : 1; cell_leakage_power : 3; {_input("A")} {_output("Y", "!A", _timing("A", "negative_unate") + _power(0.001, 0.003, "A"))} }}
  cell (BUF) {{ area : 2; {_input("A")} {_output("Y", "A", _timing("A", "positive_unate"))} }}
  cell (NAND) {{ area : 2; cell_leakage_power : 10;
    leakage_power () {{ when : "A B"; value : 20; }} leakage_power () {{ when : "!A"; value : 4; }}
    {_input("A")} {_input("B", 0.004)}
    {_output("Y", "(A B)'", _timing("A", "negative_unate") + _timing("B", "negative_unate") + _power(0.002, 0.002, "A") + _power(0.008, 0.008, "B"))} }}
  cell (XOR) {{ area : 3; {_input("A")} {_input("B")}
    {_output("Y", "A ^ B", _timing("A", "non_unate") + _timing("B", "non_unate"))} }}
  cell (TIE) {{ area : 1; {_output("Y", "0")} }}
  cell (DFF) {{ area : 5; ff ("IQ", "IQN") {{ next_state : "D"; clocked_on : "CK"; }}
    {_input("D", extra=_power(0.001, 0.001, when="Q !QN") + _power(0.001, 0.001, when="!Q QN"))} {_input("CK", 0.001, "clock : true;" + _power(0.002, 0.004, when="D") + _power(0.001, 0.001, when="!D"))}
    {_output("Q", "IQ", FLOP_OUT)} {_output("QN", "IQN", FLOP_OUT)} }}
  cell (DFFR) {{ area : 6; ff (IQ, IQN) {{ next_state : "D"; clocked_on : "CK"; clear : "!RN"; }}
    {_input("D")} {_input("CK", 0.001, "clock : true;")} {_input("RN")} {_output("Q", "IQ", FLOP_OUT)} }}
  cell (ICG) {{ area : 4; clock_gating_integrated_cell : latch_posedge;
    {_input("CK", 0.002, "clock_gate_clock_pin : true;")} {_input("EN", 0.001, "clock_gate_enable_pin : true;")}
    pin (GCK) {{ direction : output; clock_gate_out_pin : true; {_timing("CK", "positive_unate")} {_power(0.004, 0.004, "CK")} }} }}
  cell (LATCH) {{ area : 4; latch (IQ, IQN) {{ data_in : "D"; enable : "G"; }} {_input("D")} {_input("G")} {_output("Q", "IQ")} }}
}}
"""  # noqa: E501


def library(folder: Path) -> liberty.Library:
    path = folder / "toy.lib"
    path.write_text(LIBERTY, encoding="utf-8")
    return liberty.read(path)


class Design:
    """Collects ports and cells by net names, and writes them as Yosys would."""

    def __init__(self, **ports: str) -> None:
        self.bits: dict[str, int] = {}
        self.ports = {name: tuple(spec.split()) for name, spec in ports.items()}
        self.cells: dict[str, dict[str, object]] = {}

    def bit(self, name: str) -> int | str:
        return name if name in ("0", "1", "x") else self.bits.setdefault(name, len(self.bits) + 2)

    def cell(self, name: str, kind: str, nets: str) -> "Design":
        """A cell with its pins connected in the order of PINS; `-` leaves one open."""
        pairs = zip(PINS[kind].split(), nets.split(), strict=True)
        self.cells[name] = {"type": kind, "connections": {pin: [self.bit(net)] for pin, net in pairs if net != "-"}}
        return self

    def instance(self, name: str, module: str, **nets: str) -> "Design":
        connections = {port: [self.bit(net) for net in bits.split()] for port, bits in nets.items()}
        self.cells[name] = {"type": module, "connections": connections}
        return self

    def module(self, *, top: bool = True) -> dict[str, object]:
        ports = {
            name: {"direction": spec[0], "bits": [self.bit(net) for net in (spec[1:] or (name,))]}
            for name, spec in self.ports.items()
        }
        names = {name: {"bits": [bit], "hide_name": 0} for name, bit in self.bits.items()}
        return {"attributes": {"top": "1" * top or "0"}, "ports": ports, "cells": self.cells, "netnames": names}


def text(modules: Mapping[str, Design]) -> str:
    """The JSON of these modules; the first one is the top."""
    first = next(iter(modules))
    return json.dumps({"modules": {name: design.module(top=name == first) for name, design in modules.items()}})


def read(design: Design, cells: liberty.Library) -> netlist.Netlist:
    return netlist.from_json(text({"top": design}), cells)
