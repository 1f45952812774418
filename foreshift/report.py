# SPDX-License-Identifier: Apache-2.0
"""`foreshift report`: what was measured on one page: build/report/report.html, pictures and all, the same as Markdown
with its pictures beside it, and all figures in report.json."""

import base64
import json
import re
import shutil
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from foreshift import cycles, demo, design_space, extrapolation, power, predictor_costs, provenance, synthesis
from foreshift.demo_results import INDEX, staged

# Read by whoever looks for figures first: the whole before its parts.
PARTS = (
    ("Energy of a layer in every accelerator", power.OUTPUT, "power.md", "make power"),
    ("What a prediction costs", synthesis.OUTPUT, "predictors.md", "make report"),
    ("Longer texts, more sparsity", synthesis.OUTPUT, "longer.md", "make power report"),
    ("Energy against answers", synthesis.OUTPUT, "space.md", "make power sweep report"),
    ("Arrays: area, clock, energy", synthesis.OUTPUT, "arrays.md", "make synth"),
    ("Lanes of an array", synthesis.OUTPUT, "lanes.md", "make synth"),
    ("Speculation units: area, memory, clock, cycles", synthesis.OUTPUT, "speculation.md", "make synth"),
    ("Execution units: area, memory, clock, energy of the lines", synthesis.OUTPUT, "execution.md", "make synth"),
    ("Prediction of a sentence's attention", demo.OUTPUT, "demo.md", "make demo"),
)
MODEL = "minilm"
"""The preset whose layers are a model's: from them others can be told."""
OPTIONAL = ("power.md", "longer.md", "space.md")
"""Pages that `foreshift report` shows, but leaves it to others to measure."""
FIGURES = ("power.json", "derived.json", "arrays.json", "lanes.json", "speculation.json", "execution.json")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
img { max-width: 100%; }
"""


def run(args: Namespace) -> None:
    """Measure what has not been measured yet, then gather it; measured figures are never made up or changed here."""
    if not (demo.OUTPUT / "demo.md").is_file():
        demo.run(Namespace(text=None))
    if not _synthesised():
        synthesis.run(Namespace(json=False))
    _derive()
    lines = ["# Report", ""]
    pictures: set[Path] = set()
    for title, folder, page, command in PARTS:
        if page in OPTIONAL and not (folder / page).is_file():
            lines += [f"## {title}", "", f"Not measured here: `{command}` takes hours.", ""]
            continue
        body = (folder / page).read_text(encoding="utf-8").splitlines()
        # The pages' own titles become sections.
        lines += [f"## {title}", "", f"From `{command}`.", ""]
        lines += [f"#{line}" if line.startswith("#") else line for line in body if not line.startswith("# ")]
        lines.append("")
        pictures.update(folder.glob("*.png"))
    lines += ["## By what, from what", "", *(f"- {name}: {value}" for name, value in _made().items()), ""]
    with staged(synthesis.OUTPUT) as folder:
        for picture in pictures:
            shutil.copyfile(picture, folder / picture.name)
        page = "\n".join(lines)
        (folder / "report.json").write_text(json.dumps(_figures(), indent=2) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(page, encoding="utf-8")
        (folder / "report.html").write_text(html(page, folder), encoding="utf-8")
    print(cycles.text(cycles.from_json(_unit_figures()[synthesis.HEADS])))
    print(synthesis.OUTPUT / "report.html")


def _derive() -> None:
    """What follows from figures of several commands."""
    energy, settings = power.OUTPUT / "power.json", design_space.SETTINGS
    arrays, found = (_read(path) for path in (synthesis.OUTPUT / "arrays.json", demo.OUTPUT / INDEX))
    measured = _read(energy) if energy.is_file() else None
    costs = predictor_costs.costs(arrays, found)
    derived: dict[str, Any] = {"predictors": [asdict(each) for each in costs]}
    with staged(synthesis.OUTPUT) as folder:
        page = predictor_costs.markdown(costs, measured)
        (folder / "predictors.md").write_text(page, encoding="utf-8")
        if measured and measured["preset"] == MODEL and "dense" in measured["accelerators"]:
            derived["longer"] = extrapolation.tables(measured)
            (folder / "longer.md").write_text(extrapolation.markdown(measured), encoding="utf-8")
            if settings.is_file():
                known = design_space.Known(measured, _read(settings), predictor_costs.terms(arrays))
                derived["space"] = design_space.methods(known)
                design_space.draw(known, folder / "space.png")
                (folder / "space.md").write_text(design_space.markdown(known), encoding="utf-8")
        (folder / "derived.json").write_text(json.dumps(derived, indent=2) + "\n", encoding="utf-8")


def _made() -> dict[str, str]:
    """What made the page, and from what."""
    return {"commit": provenance.commit(), **provenance.tools()}


def _figures() -> dict[str, Any]:
    """All of them, by the name of their own file; those that were measured."""
    files = [*(synthesis.OUTPUT / name for name in FIGURES), demo.OUTPUT / INDEX, design_space.SETTINGS]
    return {"made": _made()} | {file.stem: _read(file) for file in files if file.is_file()}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def html(page: str, folder: Path) -> str:
    """A page of Markdown as HTML that holds its pictures, which lie in `folder`."""
    from markdown import markdown

    def held(found: re.Match[str]) -> str:
        data = base64.b64encode((folder / found[1]).read_bytes()).decode("ascii")
        return f'src="data:image/png;base64,{data}"'

    body = re.sub(r'src="([^":]+\.png)"', held, markdown(page, extensions=["tables", "toc"]))
    head = f'<meta charset="utf-8"><title>foreshift: report</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _synthesised() -> bool:
    """Is everything there that `foreshift synth` measures?"""
    pages = ("arrays.md", "lanes.md", "speculation.md", "speculation.json", "execution.md")
    return all((synthesis.OUTPUT / page).is_file() for page in pages) and synthesis.HEADS in _unit_figures()


def _unit_figures() -> Any:
    return _read(synthesis.OUTPUT / "speculation.json")
