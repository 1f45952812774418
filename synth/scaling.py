# SPDX-License-Identifier: Apache-2.0
"""Figures of other nodes, scaled to 28 nm and 1.0 V so that they can stand beside each other: scaled, never measured.

The rule is that of SOFA (MICRO 2024, Table II), found from its nine rows: with s = node / 28 nm,

    power             P / (s · Vdd²)         throughput, and with it the clock, stay as they are
    area              A / s²

and Vdd the node's usual supply. `PUBLISHED` holds the rows. Rounded to a whole number, the rule gives all nine of their
efficiencies, and of their area efficiencies all but DOTA's: 682, where the table has 683.
"""

from dataclasses import dataclass

from config.errors import require

TARGET_NM = 28
SUPPLY_V = {22: 0.8, 28: 1.0, 40: 1.1, 45: 1.1, 55: 1.2}
"""By node in nm, as the rule takes it."""


@dataclass(frozen=True)
class Published:
    """An accelerator as the table has it: at its own node, of the core alone, and behind it the table's own scaled
    columns. Claims, all of them."""

    name: str
    node_nm: int
    area_mm2: float
    core_w: float
    gops: int
    scaled_gops_per_w: int
    scaled_gops_per_mm2: int


PUBLISHED = (
    Published("A3", 40, 2.08, 0.205, 221, 1863, 217),
    Published("ELSA", 40, 1.26, 0.969, 1090, 1944, 1765),
    Published("SpAtten, 1/8 scale", 40, 1.55, 0.325, 360, 1915, 474),
    Published("DTATrans", 40, 1.49, 0.734, 1304, 3071, 1786),
    Published("Energon", 45, 4.2, 0.32, 1153, 7007, 709),
    Published("Sanger", 55, 16.9, 2.76, 2285, 2342, 522),
    Published("DOTA", 22, 4.44, 3.02, 4905, 817, 683),
    Published("FACT", 28, 6.03, 0.337, 928, 2754, 154),
    Published("SOFA", 28, 5.69, 0.95, 24423, 25708, 4292),
)


def scaled_power(power: float, node_nm: int) -> float:
    """Power at 28 nm, 1.0 V and the same clock, in the unit of `power`; energies of the same work scale alike. Raises
    `Refusal` for a node that the rule has no supply for."""
    return power / (_ratio(node_nm) * SUPPLY_V[node_nm] ** 2)


def scaled_area(area: float, node_nm: int) -> float:
    """Area at 28 nm, in the unit of `area`. Raises `Refusal` for a node that the rule has no supply for."""
    return area / _ratio(node_nm) ** 2


def scaled_efficiency(gops: float, watts: float, node_nm: int) -> float:
    """GOPS/W at 28 nm. Raises `Refusal` for a node without a supply, and for power that is not above zero."""
    require(watts > 0, f"The power that is scaled must be above 0, not {watts} W.")
    return gops / scaled_power(watts, node_nm)


def scaled_area_efficiency(gops: float, mm2: float, node_nm: int) -> float:
    """GOPS/mm² at 28 nm. Raises `Refusal` for a node without a supply, and for an area that is not above zero."""
    require(mm2 > 0, f"The area that is scaled must be above 0, not {mm2} mm².")
    return gops / scaled_area(mm2, node_nm)


def _ratio(node_nm: int) -> float:
    known = ", ".join(map(str, SUPPLY_V))
    require(node_nm in SUPPLY_V, f"The node that is scaled must be one of {known} nm, not {node_nm}.")
    return node_nm / TARGET_NM
