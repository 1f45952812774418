# SPDX-License-Identifier: Apache-2.0
"""The comparison of arrays: the same array around different products, mapped, timed and measured."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from config.array import ArrayConfig, number_system
from config.presets import arrays
from synth import energy, mapping, timing
from synth.liberty import Library
from synth.stimulus import Integers

PRESET = "minilm"
YARDSTICK = "int8"

TITLES = {
    "hlog": "HLog × HLog",
    "aloc": "ALOC (x << LO(w))",
    "pot": "power of two, both",
    "int8": "int8 × int8",
    "int8_booth": "int8 × int8, Booth",
    "int4": "int4 × int4",
    "int4_booth": "int4 × int4, Booth",
}
"""The arrays in the order of the table. Plain integer products are what Yosys makes of `x * w`, a register behind it;
the Booth ones are ours, never finished but summed as partial products in the array's compressor."""


@dataclass(frozen=True)
class Result:
    """One array: areas in µm² of the whole (its memory apart), per term, of registers; bits of the memory of partial
    sums; shortest clock period, if it could be timed; energy, per term in fJ."""

    name: str
    area: float
    area_per_term: float
    register_area: float
    registers: int
    memory_bits: int
    blocks: dict[str, mapping.Block]
    timing: timing.Timing | None
    energy: energy.Energy

    @property
    def register_share(self) -> float:
        return self.register_area / self.area


def configurations() -> dict[str, ArrayConfig]:
    """The arrays of the comparison, by name, all of one shape."""
    found = arrays(PRESET)
    shape = found[YARDSTICK]
    for name in ("int8", "int4"):
        found[f"{name}_booth"] = ArrayConfig(
            number_system(name), shape.rows, shape.lanes, shape.depth, shape.terms, booth=True
        )
    return {name: found[name] for name in TITLES}


@dataclass(frozen=True)
class Design:
    """An array that is mapped and, where OpenSTA is at hand, timed."""

    config: ArrayConfig
    mapped: mapping.Mapped
    timing: timing.Timing | None


def build(
    config: ArrayConfig, verilog: Callable[[ArrayConfig], str], folder: Path, liberty: Path, library: Library
) -> Design:
    """Map and time one array; `verilog` gives its text."""
    mapped = mapping.map_design(verilog(config), config.name, folder / config.name, liberty, library)
    return Design(config, mapped, timing.analyse(mapped, liberty) if timing.available() else None)


def common_period(designs: list[Design]) -> float:
    """The shortest period, in ns, at which all designs run, and no less than mapping aimed at."""
    return max([mapping.CLOCK_PS / 1000, *(design.timing.period_ns for design in designs if design.timing)])


def measure(name: str, design: Design, library: Library, x: Integers, w: Integers, period_ns: float) -> Result:
    """Areas of a design, and its energy while it computes x [T, D] times w [N, D] transposed."""
    config, blocks = design.config, design.mapped.blocks
    count = {block: config.rows if block == "row" else 1 for block in blocks}
    area = sum(block.area * count[part] for part, block in blocks.items())
    return Result(
        name=name,
        area=area,
        area_per_term=area / (config.rows * config.lanes),
        register_area=sum(block.register_area * count[part] for part, block in blocks.items()),
        registers=sum(block.registers * count[part] for part, block in blocks.items()),
        memory_bits=config.rows * config.depth * config.acc_bits,
        blocks=blocks,
        timing=design.timing,
        energy=energy.measure(design.mapped, config, library, x, w, period_ns),
    )


def as_json(results: list[Result], conditions: Mapping[str, object]) -> str:
    """All figures, and the conditions under which they hold, as JSON."""
    rows = [asdict(result) | {"register_share": result.register_share} for result in results]
    return json.dumps({"conditions": dict(conditions), "arrays": rows}, indent=2) + "\n"
