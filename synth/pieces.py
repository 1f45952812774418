# SPDX-License-Identifier: Apache-2.0
"""A large design cut into pieces, each mapped onto cells once, by itself, and kept.

design ─► pieces: a module with all that dissolves into it ─► Yosys, side by side ─► build/cache/mapped/NAME-HASH

Where pieces meet nothing is optimised, as with modules that a hierarchical mapping keeps, but nets that drive much get
buffers. A piece is known by its text: designs that have it in common map it once.
"""

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from config.errors import require
from hdl.emit import yosys_version
from synth import buffers, hierarchy, mapping, memory_ports
from synth import liberty as liberty_files
from synth.liberty import Library
from synth.roles import Roles, roles_of

CACHE = Path("build/cache/mapped")
PREFIX = "piece"
"""What every piece's modules are named after, whatever design they come from."""
_MODULE = re.compile(r"^module (\w+)\(.*?^endmodule\n", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(r"^  (\w+) (\w+) \($", re.MULTILINE)
_SHELL = "(* blackbox, keep *)\n"
_PORT = re.compile(r"^  (?:input|output) .*;$", re.MULTILINE)
_SIGNAL = re.compile(
    r"^  (?:(?:input|output|wire|reg) )+(?:signed )?(?:\[(\d+):0\] )?(\w+)(?: = [^;]*)?;$", re.MULTILINE
)
_WORDS = re.compile(r"^  reg \[(\d+):0\] (\w+) \[(\d+):0\];$", re.MULTILINE)


@dataclass(frozen=True)
class Instance:
    """A piece in its place: `path` from the top down, levels parted by dots, empty for the top."""

    path: str
    piece: str


class Design:
    """Verilog of module `top`, as `hdl.emit` writes it, and which of its modules are pieces: `kept`, named without the
    top's name in front. The top is one as well; it is called by the empty name. Raises `Refusal` if there is no such
    top."""

    def __init__(self, text: str, top: str, kept: Collection[str]):
        self.top = top
        self._texts = {self._short(found[1]): found[0] for found in _MODULE.finditer(text)}
        require("" in self._texts, f"The Verilog must have a module {top}, and has none; give the name of its top.")
        self._kept = {"", *kept} & self._texts.keys()
        self._children = {
            name: {found[2]: self._short(found[1]) for found in _INSTANCE.finditer(body)}
            for name, body in self._texts.items()
        }

    def _short(self, module: str) -> str:
        return "" if module == self.top else module.removeprefix(f"{self.top}_")

    @cached_property
    def instances(self) -> list[Instance]:
        """All pieces in their places, from the top down."""
        return list(self._below("", ""))

    def _below(self, module: str, path: str) -> Iterator[Instance]:
        if module in self._kept:
            yield Instance(path, module)
        for name, child in self._children[module].items():
            yield from self._below(child, f"{path}.{name}" if path else name)

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each piece occurs."""
        return Counter(each.piece for each in self.instances)

    def parts(self, piece: str) -> dict[str, str]:
        """Modules of the pieces directly below a piece, by their paths from there."""
        return dict(self._inner(piece, ""))

    def _inner(self, module: str, path: str) -> Iterator[tuple[str, str]]:
        for name, child in self._children[module].items():
            if child in self._kept:
                yield path + name, child
            else:
                yield from self._inner(child, f"{path}{name}.")

    def widths(self, piece: str) -> dict[str, int]:
        """Bits of each signal that a piece declares, and the modules that dissolve into it, by paths from there."""
        return dict(self._signals(piece, ""))

    def _signals(self, module: str, path: str) -> Iterator[tuple[str, int]]:
        for found in _SIGNAL.finditer(self._texts[module]):
            yield path + found[2], int(found[1] or 0) + 1
        for found in _WORDS.finditer(self._texts[module]):
            for word in range(int(found[3]) + 1):
                yield f"{path}{found[2]}[{word}]", int(found[1]) + 1
        for name, child in self._children[module].items():
            if child not in self._kept:
                yield from self._signals(child, f"{path}{name}.")

    def widths_joined(self, piece: str) -> dict[str, int]:
        """`widths`, and those of the signals that the pieces directly below declare themselves."""
        found = self.widths(piece)
        for path, child in self.parts(piece).items():
            own = {name: bits for name, bits in self.widths(child).items() if "." not in name}
            found |= {f"{path}.{name}": bits for name, bits in own.items()}
        return found

    def text(self, piece: str) -> str:
        """The piece's Verilog, its modules named after `PREFIX`; of the pieces below it their ports."""
        inside, outside, todo = set(), set(), [piece]
        while todo:
            module = todo.pop()
            inside.add(module)
            for child in self._children[module].values():
                if child in self._kept:
                    outside.add(child)
                elif child not in inside:
                    todo.append(child)
        texts = [self._texts[name] for name in sorted(inside)]
        whole = "".join([*texts, *(_shell(self._texts[name]) for name in sorted(outside))])
        return re.sub(rf"\b{self.top}(?=_|\b)", PREFIX, whole)


def _shell(text: str) -> str:
    head = text[: text.index(";\n") + 2]
    return "\n".join([f"{_SHELL}{head}" + "\n".join(_PORT.findall(text)), "endmodule\n"])


def named(piece: str) -> str:
    """The module of a piece."""
    return f"{PREFIX}_{piece}" if piece else PREFIX


@dataclass(frozen=True)
class Mapped:
    """A mapped piece in a design. modules: as of Yosys's `write_json`, the piece, and the ports of what is below it."""

    piece: str
    modules: dict[str, Any]

    @property
    def body(self) -> Any:
        """Its own module."""
        return self.modules[named(self.piece)]


def map_all(
    designs: Iterable[Design], liberty: Path, progress: Callable[[str, int, int], None] = lambda *_: None
) -> list[dict[str, Mapped]]:
    """The pieces of each design, mapped, by name, with buffers where they meet. progress: called with a piece's name as
    soon as it is there, how many are, and how many will be. Raises `Refusal` if Yosys fails."""
    asked = [{piece: design.text(piece) for piece in design.counts} for design in designs]
    library, digest = liberty_files.read(liberty), hashlib.sha256(liberty.read_bytes()).hexdigest()
    folders = {text: _folder(piece, text, digest, roles_of(library)) for each in asked for piece, text in each.items()}
    todo = {text: piece for each in asked for piece, text in each.items() if not folders[text].exists()}
    # The largest first: no core waits for one at the end.
    order = sorted(todo, key=len, reverse=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(_map, todo[text], text, folders[text], liberty) for text in order]
        for done, (text, job) in enumerate(zip(order, jobs, strict=True), 1):
            job.result()
            progress(todo[text], done, len(jobs))
    return [_joined({piece: folders[text] for piece, text in each.items()}, library) for each in asked]


def _joined(folders: Mapping[str, Path], library: Library) -> dict[str, Mapped]:
    found = {}
    for piece, folder in folders.items():
        found[piece] = Mapped(piece, json.loads((folder / "netlist.json").read_text(encoding="utf-8"))["modules"])
    buffers.insert({named(piece): one.body for piece, one in found.items()}, library)
    return found


def _script(piece: str, text: str) -> str:
    read = hierarchy.READ.format(top=named(piece))
    return hierarchy.SCRIPT.format(read=read, to_cells=hierarchy.to_cells(text.partition(_SHELL)[0], PREFIX, ()))


def _folder(piece: str, text: str, library: str, roles: Roles) -> Path:
    facts = (
        text,
        mapping.files(_script(piece, text), roles),
        memory_ports.STUBS,
        memory_ports.TECHMAP,
        library,
        yosys_version(),
    )
    return CACHE / f"{piece or 'top'}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"


def _map(piece: str, text: str, folder: Path, liberty: Path) -> None:
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    inputs = {"design.v": text, "stubs.v": memory_ports.STUBS, "memories.v": memory_ports.TECHMAP}
    mapping.run_yosys(_script(piece, text), named(piece), inputs, work, liberty)
    (work / "map.log").unlink()
    if folder.exists():
        shutil.rmtree(work)
    else:
        work.rename(folder)


def shares(kept: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Piece → the block it counts in, from block → pieces."""
    return {piece: block for block, pieces in kept.items() for piece in pieces}
