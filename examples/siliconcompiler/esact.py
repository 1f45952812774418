# SPDX-License-Identifier: Apache-2.0
"""SiliconCompiler: from RTL to the layout of the smallest ESACT accelerator on FreePDK45 with the NanGate cells.

usage: python examples/siliconcompiler/esact.py        (behind `make verilog`)
"""

from pathlib import Path

from siliconcompiler import ASIC, Design
from siliconcompiler.targets import freepdk45_demo

ROOT = Path(__file__).resolve().parents[2]
TOP = "esact_top_4x4"


def design() -> Design:
    """The accelerator as `make verilog` writes it, and its clock."""
    made = Design(TOP)
    made.set_dataroot("foreshift", str(ROOT))
    with made.active_dataroot("foreshift"), made.active_fileset("rtl"):
        made.set_topmodule(TOP)
        made.add_file(f"build/rtl/tiny/{TOP}.v")
    with made.active_dataroot("foreshift"), made.active_fileset("sdc"):
        made.add_file("examples/siliconcompiler/esact.sdc")
    return made


def project() -> ASIC:
    """The flow to a layout, not yet run."""
    made = ASIC(design())
    made.add_fileset(["rtl", "sdc"])
    freepdk45_demo(made)
    return made


if __name__ == "__main__":
    chip = project()
    chip.run()
    chip.summary()
