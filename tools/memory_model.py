# SPDX-License-Identifier: Apache-2.0
"""Makes what `synth.sram` was fitted to: memories of CACTI, and flip-flops that are mapped.

    python -m tools.memory_model

Writes tests/synth/cacti45.csv and tests/synth/flip_flops45.csv; tests/synth/test_sram.py makes the fit. Needs g++, make
and a minute. CACTI 7.0 (Hewlett-Packard, BSD licence) comes as source in a wheel of the Accelergy project on PyPI.
"""

import csv
import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from config.errors import Refusal, require
from synth import liberty
from synth.library import fetch
from tests.synth import flip_flops

WHEEL = "hwcomponents-cacti==1.0.40"
WHEEL_SHA256 = "0bec35a55fedef890b4c6e12e8c553f765e3eb0e00a7dce41062a35cf889669e"
INSIDE = "hwcomponents_cacti"
FOLDER = Path("build/memory-model")
TABLES = Path("tests/synth")

WORDS = [2**power for power in range(5, 15)]
BITS = [2**power for power in range(3, 8)]
SMALLEST = 512
"""Bits of the smallest memories for which CACTI finds an arrangement."""

# In place of the same lines of the wheel's settings; the rest of them hold.
SETTINGS = {
    "exclusive read port": "1",
    "exclusive write port": "1",
    "Data array cell type": '- "itrs-lstp"',
    "Data array peripheral type": '- "itrs-lstp"',
    "operating temperature (K)": "300",
    "access mode (normal, sequential, fast)": '- "normal"',
    # Delay, energy of a read, cycle time and area count alike; leakage follows the area.
    "design objective (weight delay, dynamic power, leakage power, cycle time, area)": "100:100:0:100:100",
    "deviate (delay, dynamic power, leakage power, cycle time, area)": "1000:1000:100000:1000:1000",
    "Optimize ED or ED^2 (ED, ED^2, NONE):": '"NONE"',
}
ADDED = """
-size (bytes) {bytes}
-block size (bytes) {block}
-output/input bus width {bits}
-associativity 1
-read-write port 0
-UCA bank count 1
-technology (u) 0.045
-cache type "ram"
-tag size (b) "default"
"""
FIGURES = {
    "access_ns": r"Access time \(ns\): (\S+)",
    "read_nj": r"Total dynamic read energy per access \(nJ\): (\S+)",
    "write_nj": r"Total dynamic write energy per access \(nJ\): (\S+)",
    "leakage_mw": r"Total leakage power of a bank \(mW\): (\S+)",
    "gate_leakage_mw": r"Total gate leakage power of a bank \(mW\): (\S+)",
    "area_mm2": r"Data array: Area \(mm2\): (\S+)",
}


def build() -> Path:
    """CACTI's folder, with the program `cacti` made in it."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    # It asks for a later Python than the project; only its C++ is taken.
    command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--python-version", "3.12"]
    subprocess.run([*command, "--only-binary", ":all:", "--dest", str(FOLDER), WHEEL], check=True)
    wheel = next(FOLDER.glob("*.whl"))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    require(digest == WHEEL_SHA256, f"{WHEEL} must have the SHA-256 {WHEEL_SHA256}, but the index gave {digest}.")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(FOLDER)
    folder = FOLDER / INSIDE / "cacti"
    # The one in the wheel is somebody else's build, and no longer marked as a program.
    (folder / "cacti").unlink()
    subprocess.run(["make", "opt"], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder


def settings(words: int, bits: int, base: str) -> str:
    """CACTI's input for one memory; `base`: the wheel's settings."""
    for name, value in SETTINGS.items():
        base, count = re.subn(rf"^-{re.escape(name)}.*$", f"-{name} {value}", base, flags=re.MULTILINE)
        require(count == 1, f"CACTI's settings must hold '{name}' once, not {count} times.")
    return base + ADDED.format(bytes=words * bits // 8, block=bits // 8, bits=bits)


def memory(words: int, bits: int, folder: Path, base: str) -> dict[str, float]:
    """CACTI's figures for one memory."""
    (folder / "memory.cfg").write_text(settings(words, bits, base), encoding="utf-8")
    done = subprocess.run(["./cacti", "-infile", "memory.cfg"], cwd=folder, capture_output=True, text=True, check=True)
    found = {name: re.search(pattern, done.stdout) for name, pattern in FIGURES.items()}
    missing = [name for name, match in found.items() if match is None]
    require(not missing, f"CACTI must give {', '.join(missing)} of {words} words of {bits} bits, and did not.")
    return {"words": words, "bits": bits} | {name: float(match[1]) for name, match in found.items() if match}


def write(path: Path, rows: Iterable[Mapping[str, float]]) -> None:
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)


def main() -> None:
    folder = build()
    base = (FOLDER / INSIDE / "default_cfg.cfg").read_text(encoding="utf-8")
    shapes = [(words, bits) for words in WORDS for bits in BITS if words * bits >= SMALLEST]
    write(TABLES / "cacti45.csv", [memory(words, bits, folder, base) for words, bits in shapes])
    path = fetch() / "stdcells.lib"
    cells = liberty.read(path)
    rows = [
        {"words": words, "bits": bits}
        | flip_flops.measure(words, bits, path, cells, FOLDER / f"flip_flops_{words}x{bits}")
        for words, bits in flip_flops.SHAPES
    ]
    write(TABLES / "flip_flops45.csv", rows)


if __name__ == "__main__":
    try:
        main()
    except Refusal as refusal:
        print(f"memory_model: {refusal}", file=sys.stderr)
        sys.exit(2)
