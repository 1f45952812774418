# SPDX-License-Identifier: Apache-2.0
"""`foreshift report`: one page of what was measured, build/report/report.md, with its pictures beside it."""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

from foreshift import cycles, demo, synthesis
from foreshift.demo_results import staged

PARTS = (
    ("Arrays: area, clock, energy", synthesis.OUTPUT, "arrays.md", "make synth"),
    ("Speculation units: area, memory, clock, cycles", synthesis.OUTPUT, "speculation.md", "make synth"),
    ("Execution units: area, memory, clock, energy of the lines", synthesis.OUTPUT, "execution.md", "make synth"),
    ("Prediction of a sentence's attention", demo.OUTPUT, "demo.md", "make demo"),
)


def run(args: Namespace) -> None:
    """Measure what has not been measured yet, then gather it; measured figures are never made up or changed here."""
    if not (demo.OUTPUT / "demo.md").is_file():
        demo.run(Namespace(text=None))
    if not _synthesised():
        synthesis.run(Namespace(json=False))
    lines = ["# Report", ""]
    pictures: set[Path] = set()
    for title, folder, page, command in PARTS:
        body = (folder / page).read_text(encoding="utf-8").splitlines()
        # The pages' own titles become sections.
        lines += [f"## {title}", "", f"From `{command}`.", ""]
        lines += [f"#{line}" if line.startswith("#") else line for line in body if not line.startswith("# ")]
        lines.append("")
        pictures.update(folder.glob("*.png"))
    with staged(synthesis.OUTPUT) as folder:
        for picture in pictures:
            shutil.copyfile(picture, folder / picture.name)
        (folder / "report.md").write_text("\n".join(lines), encoding="utf-8")
    print(cycles.text(cycles.from_json(_unit_figures()[synthesis.HEADS])))
    print(synthesis.OUTPUT / "report.md")


def _synthesised() -> bool:
    """Is everything there that `foreshift synth` measures?"""
    pages = ("arrays.md", "speculation.md", "speculation.json", "execution.md")
    return all((synthesis.OUTPUT / page).is_file() for page in pages) and synthesis.HEADS in _unit_figures()


def _unit_figures() -> Any:
    return json.loads((synthesis.OUTPUT / "speculation.json").read_text(encoding="utf-8"))
