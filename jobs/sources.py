# SPDX-License-Identifier: Apache-2.0
"""What a result depends on: the sources that a module is made of, with all that it imports from this project."""

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def fingerprint(module: str, *more: str, data: Iterable[Path] = (), root: Path = ROOT) -> str:
    """Of a module's text, of those it imports, those that these import, and so on; of `more` words, such as versions of
    packages; and of the content of `data` files. 16 hexadecimal digits, the same on every machine."""
    total = hashlib.sha256()
    for path in [*sorted(closure(module, root)), *sorted(data)]:
        total.update(path.name.encode() + path.read_bytes())
    for word in more:
        total.update(b"\0" + word.encode())
    return total.hexdigest()[:16]


def closure(module: str, root: Path = ROOT) -> set[Path]:
    """The files of a module and of all it imports, directly or not, below `root`."""
    found: set[Path] = set()
    left = [module]
    while left:
        for path in _files(left.pop(), root) - found:
            found.add(path)
            left += _imported(path)
    return found


def _files(module: str, root: Path) -> set[Path]:
    """Of a module or package, and of the packages around it."""
    parts = module.split(".")
    tried = [root.joinpath(*parts).with_suffix(".py")]
    tried += [root.joinpath(*parts[: n + 1], "__init__.py") for n in range(len(parts))]
    return {path for path in tried if path.is_file()}


def _imported(path: Path) -> list[str]:
    """Names that may be modules: `from a import b` may mean a.b."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
    return names
