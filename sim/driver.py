# SPDX-License-Identifier: Apache-2.0
"""The driver in drivers/ as a program beside the simulation of an accelerator: its registers are the AXI4-Lite port,
its memory is the one behind the AXI port.

            ┌─ foreshift_read32, foreshift_write32 ─► s_axi_ctrl ─┐
example_run ┤                                                     ├ accelerator
            └─ descriptors ─► memory ◄──────────────────► m_axi ──┘
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.descriptor import DESCRIPTOR_BYTES, FIELDS, unpack
from config.system import SystemConfig
from sim import runner
from sim.accelerator import Laid, build_for_cocotb

DRIVERS = Path(__file__).resolve().parents[1] / "drivers"
STRICT = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-pedantic", "-Wmissing-prototypes")

# Registers are reached, and interrupts awaited, through functions that Python sets.
BRIDGE = """\
#include "example.h"
static uint32_t (*reader)(uintptr_t, uint32_t);
static void (*writer)(uintptr_t, uint32_t, uint32_t);
static void (*sleeper)(void);
void connect(uint32_t (*read)(uintptr_t, uint32_t), void (*write)(uintptr_t, uint32_t, uint32_t), void (*sleep)(void));
void connect(uint32_t (*read)(uintptr_t, uint32_t), void (*write)(uintptr_t, uint32_t, uint32_t), void (*sleep)(void))
{
    reader = read;
    writer = write;
    sleeper = sleep;
}
uint32_t foreshift_read32(uintptr_t base, uint32_t offset) { return reader(base, offset); }
void foreshift_write32(uintptr_t base, uint32_t offset, uint32_t value) { writer(base, offset, value); }
void example_sleep(void) { sleeper(); }
"""


@dataclass(frozen=True)
class Program:
    """A run of `example_run`, compiled with what it puts into the list; at `descriptors` of memory, `count` of them."""

    library: Path
    descriptors: int
    count: int
    sleep: bool


@dataclass(frozen=True)
class Outcome:
    """What `example_run` returned and found, and memory behind it. reads: of STATUS."""

    result: int
    end: dict[str, int]
    reads: int
    memory: bytes


def gcc(*arguments: str) -> None:
    """Runs it in drivers/. Raises AssertionError for anything that it says."""
    done = subprocess.run(["gcc", *STRICT, *arguments], cwd=DRIVERS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def descriptors(laid: Laid) -> list[dict[str, int]]:
    """Values of each descriptor that was laid out."""
    start = laid.descriptors
    places = range(start, start + laid.count * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES)
    return [unpack(bytes(laid.memory.content[at : at + DESCRIPTOR_BYTES])) for at in places]


def program(folder: Path, laid: Laid, values: Sequence[dict[str, int]], *, sleep: bool = False) -> Program:
    """Compiles, in an empty `folder`, a program that runs layers of these values, over AXI addresses of `laid`."""
    (folder / "bridge.c").write_text(BRIDGE, encoding="utf-8")
    (folder / "layers.c").write_text(_layers(values), encoding="utf-8")
    library, ours = folder / "program.so", [str(folder / name) for name in ("bridge.c", "layers.c")]
    gcc("-fPIC", "-shared", "-I", str(DRIVERS), "foreshift.c", "example.c", *ours, "-o", str(library))
    return Program(library, laid.descriptors, len(values), sleep)


def _layers(values: Sequence[dict[str, int]]) -> str:
    """`example_layers`, as a user writes it: field by field, all that is not 0."""
    lines = ['#include "example.h"', "void example_layers(struct foreshift_descriptor *list)", "{"]
    for number, each in enumerate(values):
        lines.append(f"    foreshift_describe(&list[{number}]);")
        for field in FIELDS:
            for place, name in enumerate(field.names):
                member = field.name if field.count == 1 else f"{field.name}[{place}]"
                if each[name]:
                    lines.append(f"    list[{number}].{member} = {each[name]:#x}u;")
    return "\n".join([*lines, "}", ""])


def run(config: SystemConfig, laid: Laid, programs: Sequence[Program]) -> list[Outcome]:
    """One program behind the other, on one accelerator, in a memory without the descriptors that were laid out. Raises
    `SimulationError` if one of them does not end."""
    memory = bytearray(laid.memory.content)
    size = laid.count * DESCRIPTOR_BYTES
    memory[laid.descriptors : laid.descriptors + size] = bytes(size)
    given = (bytes(memory), list(programs))
    found: list[Outcome] = runner.run_jobs(build_for_cocotb(config), config.name, "sim.driver_bench", given)
    return found
