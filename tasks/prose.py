# SPDX-License-Identifier: Apache-2.0
"""Text to fine-tune on: docstrings in the sources of Python and of packages that torch needs, none of them alike to any
half of a pair that settings are found or results are reported on."""

import ast
import importlib.metadata
import importlib.util
import sysconfig
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tasks import corpora
from tasks.likeness import unlike

PACKAGES = ("numpy", "scipy", "torch", "sklearn", "sympy", "networkx")
_SHORTEST = 80
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def versions() -> dict[str, str]:
    """What the texts depend on besides what the corpora do."""
    return {name: importlib.metadata.version(name) for name in PACKAGES if name not in ("sklearn", *corpora.PACKAGES)}


@cache
def texts() -> tuple[str, ...]:
    """Every docstring of at least 80 characters once, in the order of the files, private objects' included."""
    found = list(dict.fromkeys(text for path in _sources() for text in _docstrings(path)))
    known = [half for corpus in corpora.CORPORA for part in corpora.PARTS for half in _halves(corpus, part)]
    return tuple(text for text, fresh in zip(found, unlike(found, known), strict=True) if fresh)


def _halves(corpus: str, part: str) -> Iterator[str]:
    for pair in corpora.pairs(corpus, part, limit=len(corpora.docstrings(corpus))):
        yield pair.rest
        yield f"{pair.summary}\n\n{pair.rest}"


def _sources() -> Iterator[Path]:
    """Python files of the standard library and of the packages, in an order that is the same everywhere."""
    library = Path(sysconfig.get_paths()["stdlib"])
    yield from (path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts)
    for name in PACKAGES:
        where = importlib.util.find_spec(name)
        if where and where.origin:
            yield from sorted(Path(where.origin).parent.rglob("*.py"))


def _docstrings(path: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at escapes in strings of others
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # files that are there to be wrong, in tests
            return
    for node in ast.walk(tree):
        if isinstance(node, _Documented):
            text = ast.get_docstring(node)
            if text and len(text) >= _SHORTEST:
                yield text
