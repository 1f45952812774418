# SPDX-License-Identifier: Apache-2.0
"""The units of each preset that leave the generator as Verilog, and what their sidecars say of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data, wiring

from config.array import ArrayConfig
from config.attention import AttentionConfig
from config.formats import OPERAND_BITS, ROUNDINGS, HLogFormat, IntegerFormat, LeadingOneFormat
from config.pe_arrays import PeArraysConfig
from config.presets import arrays, attention, execution, pe_arrays, sanger, spatten, speculation, systems
from config.sanger import SangerConfig
from config.spatten import SpattenConfig
from config.speculate import SpeculationConfig
from config.system import SystemConfig
from config.units import SoftmaxConfig, UnitConfig
from hdl.arith.compress import SumTree
from hdl.arith.hlog import HLogEncoder, HLogProduct
from hdl.arith.integer import IntegerEncoder
from hdl.arith.leading_one import LeadingOneEncoder
from hdl.arith.requantise import Requantiser
from hdl.arith.shift import ShiftProduct
from hdl.emit import clocking_of
from hdl.execute.attention import attention_of
from hdl.execute.dot_array import DotArray
from hdl.execute.pe_array import PeArray
from hdl.execute.units import unit_of
from hdl.memories import memories_of, total_bits
from hdl.speculate.sanger.unit import SangerUnit
from hdl.speculate.spatten.unit import SpattenUnit
from hdl.speculate.speculation import SpeculationUnit
from hdl.speculate.unit import DotUnit
from hdl.system.accelerator import Accelerator
from hdl.system.axi_stream import AxiStreamTop, is_stream

_ROLES = {
    "clk": "clock, rising edge",
    "rst": "reset, synchronous, active high; nothing has a defined content before it",
    "aclk": "clock, rising edge",
    "aresetn": "reset, synchronous, active low; nothing has a defined content before it",
}


@dataclass(frozen=True)
class Unit:
    """A component under the name that its module, its file and its sidecar carry, and the parameters it is made from:
    numbers, strings, or dataclasses of `config`. beside: as of `AxiStreamTop`."""

    name: str
    make: Callable[[], wiring.Component]
    parameters: dict[str, Any]
    beside: dict[str, str] = field(default_factory=dict)


def units(preset: str) -> list[Unit]:
    """The units of a preset: number blocks, what stands beside the PE arrays, one dot-product unit per number system,
    one speculation unit per method, Sanger's predictor, SpAtten's pruning, both PE arrays, and, but for `paper`,
    attention on them and whole accelerators. Raises `Refusal` for an unknown preset."""
    configs, whole = arrays(preset), attention(preset)
    return [
        *_number_blocks(configs["hlog"]),
        *(_execution_unit(config) for config in execution(preset).values()),
        *(_dot_unit(config) for config in configs.values()),
        *(_speculation_unit(config) for config in speculation(preset).values()),
        _sanger_unit(sanger(preset)),
        _spatten_unit(spatten(preset)),
        _pe_array(pe_arrays(preset)),
        _dot_array(pe_arrays(preset)),
        *([_attention(whole)] if whole else []),
        *(system_unit(config) for config in systems(preset).values()),
    ]


def axi_stream_top(unit: Unit, component: wiring.Component) -> Unit | None:
    """`component`, made from `unit`, with AXI4-Stream ports around it, as NAME_axis; None if it has no streams."""
    if not any(map(is_stream, component.signature.members.values())):
        return None
    parameters = {"unit": unit.name, "beside": unit.beside, **unit.parameters}
    return Unit(f"{unit.name}_axis", lambda: AxiStreamTop(component, beside=unit.beside), parameters)


def system_unit(config: SystemConfig) -> Unit:
    """An accelerator's top."""
    return Unit(config.name, lambda: Accelerator(config), {"config": config})


def _attention(config: AttentionConfig) -> Unit:
    return Unit(config.name, lambda: attention_of(config), {"config": config})


def _dot_array(config: PeArraysConfig) -> Unit:
    # With a port for each line's items, that of the preset `paper` has more bits than a netlist of Amaranth's may have.
    name = f"dot_array_{config.lines}x{config.lanes}"
    return Unit(name, lambda: DotArray(config, items=False), {"config": config})


def _pe_array(config: PeArraysConfig) -> Unit:
    return Unit(config.name, lambda: PeArray(config), {"config": config})


def _speculation_unit(config: SpeculationConfig) -> Unit:
    return Unit(config.name, lambda: SpeculationUnit(config), {"config": config})


def _sanger_unit(config: SangerConfig) -> Unit:
    return Unit(config.name, lambda: SangerUnit(config), {"config": config})


def _spatten_unit(config: SpattenConfig) -> Unit:
    return Unit(config.name, lambda: SpattenUnit(config), {"config": config})


def _execution_unit(config: UnitConfig) -> Unit:
    # A row of softmax has its settings with its last beat.
    beside = {"row": "i"} if isinstance(config, SoftmaxConfig) else {}
    return Unit(config.name, lambda: unit_of(config), {"config": config}, beside)


def _dot_unit(config: ArrayConfig) -> Unit:
    return Unit(config.name, lambda: DotUnit(config), {"config": config})


def _number_blocks(config: ArrayConfig) -> list[Unit]:
    """The blocks of an array as units of their own, in the widths that this array has."""
    hlog, leading_one, int4 = HLogFormat(), LeadingOneFormat(), IntegerFormat(4)
    term_bits, acc_bits, lanes = 2 * OPERAND_BITS, config.acc_bits, config.lanes
    return [
        *(
            Unit(f"hlog_encoder_{OPERAND_BITS}_{f.rounding}", lambda f=f: HLogEncoder(f), {"coding": f})
            for f in (HLogFormat(rounding=rounding) for rounding in ROUNDINGS)
        ),
        Unit(f"leading_one_encoder_{OPERAND_BITS}", lambda: LeadingOneEncoder(leading_one), {"coding": leading_one}),
        Unit(f"integer_encoder_{int4.bits}", lambda: IntegerEncoder(int4), {"coding": int4}),
        Unit(f"hlog_product_{OPERAND_BITS}", lambda: HLogProduct(hlog), {"coding": hlog}),
        Unit(f"shift_product_{OPERAND_BITS}", lambda: ShiftProduct(leading_one), {"coding": leading_one}),
        Unit(f"requantiser_{acc_bits}", lambda: Requantiser(acc_bits=acc_bits), {"acc_bits": acc_bits}),
        Unit(
            f"sum_tree_{lanes}x{term_bits}",
            lambda: SumTree(count=lanes, bits=term_bits),
            {"count": lanes, "bits": term_bits},
        ),
    ]


def describe(unit: Unit, component: wiring.Component, text: str) -> dict[str, Any]:
    """A unit's parameters with every width derived from them, its latency in cycles, its ports and its memories
    (`hdl.memories`), in plain lists, dicts, strings and numbers. `text`: its Verilog."""
    memories = memories_of(text)
    return {
        "name": unit.name,
        "component": type(component).__qualname__,
        "parameters": {name: _plain(value) for name, value in unit.parameters.items()},
        "latency": getattr(component, "latency", 0),
        "ports": [
            *(_port(name, wiring.In(1)) for name in clocking_of(text)),
            *(_port("__".join(map(str, path)), member) for path, member, _ in component.signature.flatten(component)),
        ],
        "memory_bits": total_bits(memories),
        "memories": memories,
    }


def _port(name: str, member: wiring.Member) -> dict[str, Any]:
    role = {"role": _ROLES[name]} if name in _ROLES else {}
    return {
        "name": name,
        "direction": "input" if member.flow == wiring.In else "output",
        **role,
        **_shape(member.shape),
    }


def _plain(value: Any) -> Any:
    """A dataclass as its fields and its derived properties, by name."""
    if not is_dataclass(value):
        return list(value) if isinstance(value, tuple) else value
    kind = type(value)
    derived = [name for name in dir(kind) if isinstance(getattr(kind, name), property)]
    names = [field.name for field in fields(value)] + derived
    return {name: _plain(getattr(value, name)) for name in names}


def _shape(shape: Any) -> dict[str, Any]:
    """Width, sign and, of a layout, the parts: fields with their offsets, or count and shape of equal items."""
    plain = Shape.cast(shape)
    described: dict[str, Any] = {"width": plain.width, "signed": plain.signed}
    if isinstance(shape, data.ArrayLayout):
        described |= {"count": shape.length, "item": _shape(shape.elem_shape)}
    elif isinstance(shape, data.Layout):
        described["fields"] = [{"name": name, "offset": field.offset, **_shape(field.shape)} for name, field in shape]
    return described
