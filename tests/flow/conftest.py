# SPDX-License-Identifier: Apache-2.0
"""What `foreshift verilog` has written, once for all who look at it."""

import fcntl
import os
from argparse import Namespace
from pathlib import Path

import pytest

from config.presets import systems
from foreshift import verilog
from hdl.catalogue import units
from tests.flow.texts import SMALLER


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the units that are quickly written, and in the smallest preset the accelerators with them;
    processes that test side by side share it."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    output = root / "rtl"
    with (root / "rtl.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for preset in SMALLER:
            if not (output / preset).exists():
                large = {config.name for config in systems(preset).values()} if preset != SMALLER[0] else set()
                names = [unit.name for unit in units(preset) if unit.name not in large]
                verilog.run(Namespace(output=output, preset=preset, units=names))
    return output
