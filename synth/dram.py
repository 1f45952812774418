# SPDX-License-Identifier: Apache-2.0
"""Energy of what goes to and comes from memory off the chip, by the bit: device, interface and drivers together.

One figure for each kind, reads and writes alike; refresh and standby are not in it. All are from one table, of the DRAM
models of hwcomponents-cacti 1.0.40 on PyPI (Accelergy project). It names papers for two: DDR3 (Chatterjee et al., MICRO
2017) and LPDDR2 (Malladi et al., ISCA 2012), and public pages for the others. For comparison, M. Horowitz, Computing's
energy problem (ISSCC 2014), has 1.3 to 2.6 nJ for 64 bits of DRAM: 20 to 41 pJ a bit.

That LPDDR4 is the default is the project's choice: it is what a chip of this size would be built with.
"""

from config.errors import require

PJ_PER_BIT = {"lpddr4": 8.0, "lpddr2": 40.0, "ddr3": 70.0, "hbm2": 6.25}
DEFAULT = "lpddr4"


def energy_fj(octets: int, kind: str = DEFAULT) -> float:
    """fJ that so many bytes take, read or written. Raises `Refusal` for a kind that is not in `PJ_PER_BIT`, and for
    less than no bytes."""
    require(kind in PJ_PER_BIT, f"The kind of DRAM must be one of {', '.join(PJ_PER_BIT)}, not {kind!r}.")
    require(octets >= 0, f"The bytes to and from DRAM must be 0 or more, not {octets!r}.")
    return octets * 8 * PJ_PER_BIT[kind] * 1e3
