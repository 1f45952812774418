# SPDX-License-Identifier: Apache-2.0
"""How often each net of a netlist toggles and how long it is high, whatever it was observed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Activity:
    """Per net, shape [nets]: `toggles` per clock cycle (a clock has two), `high` the share of time spent at one."""

    toggles: NDArray[np.float64]
    high: NDArray[np.float64]
    known: NDArray[np.bool_]
    """False where nothing was observed; such a net counts as a constant zero."""
