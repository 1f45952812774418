# SPDX-License-Identifier: Apache-2.0
"""Docstrings as text: real prose that lies on every machine that has the project, in ten corpora that do not overlap.

An object belongs to the first module that offers it, in the order of `MODULES`, so what is reachable by two names is
counted once; so is a docstring that several objects share. The texts are those of the packages as installed: they
change with the versions that `versions` names.
"""

import importlib
import importlib.metadata
import inspect
import platform
import re
import sys
import types
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from config.errors import require
from tasks.likeness import alike, words
from tasks.split import share

MODULES: dict[str, tuple[str, ...]] = {
    "numpy": ("numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.polynomial", "numpy.lib", "numpy.ma"),
    "scipy.stats": ("scipy.stats",),
    "scipy.signal": ("scipy.signal", "scipy.ndimage", "scipy.fft"),
    "scipy.optimize": (
        *("scipy.optimize", "scipy.integrate", "scipy.interpolate", "scipy.linalg", "scipy.spatial"),
        *("scipy.sparse", "scipy.special", "scipy.cluster.hierarchy"),
    ),
    "torch.nn": (
        *("torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "torch.optim"),
        *("torch.optim.lr_scheduler", "torch.distributions"),
    ),
    "torch": ("torch", "torch.linalg", "torch.fft", "torch.special", "torch.autograd", "torch.utils.data"),
    "sklearn": (
        *("sklearn.base", "sklearn.cluster", "sklearn.compose", "sklearn.datasets", "sklearn.decomposition"),
        *("sklearn.ensemble", "sklearn.feature_extraction", "sklearn.feature_selection", "sklearn.gaussian_process"),
        *("sklearn.impute", "sklearn.linear_model", "sklearn.manifold", "sklearn.metrics", "sklearn.mixture"),
        *("sklearn.model_selection", "sklearn.naive_bayes", "sklearn.neighbors", "sklearn.neural_network"),
        *("sklearn.pipeline", "sklearn.preprocessing", "sklearn.svm", "sklearn.tree", "sklearn.utils"),
    ),
    "stdlib.text": (
        *("string", "re", "textwrap", "difflib", "unicodedata", "codecs", "html", "html.parser", "json", "csv"),
        *("configparser", "tomllib", "email.message", "email.header", "email.utils", "argparse", "optparse", "gettext"),
        *("locale", "pprint", "tokenize", "ast", "inspect", "doctest", "unittest", "unittest.mock", "logging"),
        *("logging.handlers", "shlex", "cmd", "xml.etree.ElementTree", "xml.sax.handler", "xml.dom.minidom"),
        *("traceback", "warnings", "typing", "pdb", "trace", "dis", "pydoc"),
    ),
    "stdlib.data": (
        *("builtins", "collections", "collections.abc", "itertools", "functools", "operator", "heapq", "bisect"),
        *("array", "copy", "datetime", "calendar", "time", "zoneinfo", "decimal", "fractions", "math", "cmath"),
        *("random", "statistics", "numbers", "enum", "dataclasses", "types", "contextlib", "struct", "pickle"),
        *(
            "shelve",
            "dbm",
            "sqlite3",
            "hashlib",
            "hmac",
            "secrets",
            "base64",
            "binascii",
            "uuid",
            "weakref",
            "graphlib",
        ),
        *("gc", "sys", "colorsys", "timeit", "sched", "abc"),
    ),
    "stdlib.system": (
        *("os", "os.path", "io", "pathlib", "shutil", "tempfile", "glob", "fnmatch", "stat", "filecmp", "fileinput"),
        *("zipfile", "tarfile", "zlib", "gzip", "bz2", "lzma", "socket", "ssl", "select", "selectors", "asyncio"),
        *("socketserver", "http.client", "http.server", "http.cookies", "http.cookiejar", "urllib.request"),
        *("urllib.parse", "urllib.error", "urllib.robotparser", "ftplib", "smtplib", "imaplib", "poplib", "mailbox"),
        *("mimetypes", "ipaddress", "xmlrpc.client", "subprocess", "threading", "multiprocessing", "queue"),
        *("concurrent.futures", "signal", "mmap", "contextvars", "importlib", "importlib.metadata", "zipimport"),
        *("pkgutil", "runpy", "getpass", "platform", "ctypes", "errno", "wsgiref.handlers", "webbrowser"),
    ),
}
"""The modules of each corpus. Those of the standard library are there from Python 3.11 to 3.14."""
CORPORA = tuple(MODULES)
PACKAGES = ("numpy", "scipy", "torch", "scikit-learn")
PAIRS = 200
"""At most so many pairs of a corpus are asked for at a time."""
PARTS = ("test", "calibration")
_REWRITTEN = tuple(f"scipy.stats.{name}" for name in ("Binomial", "Logistic", "Normal", "Uniform"))
UNSTEADY = frozenset((*_REWRITTEN, "scipy.signal.lombscargle", "pdb.set_trace"))
"""Left out: docstrings written anew at each import, with random examples or in the order of a set, and a function that
pytest puts another in the place of."""
_TEST_SHARE = 0.7
_START = 60
_SHORTEST_TEXT, _SHORTEST_SUMMARY, _LONGEST_SUMMARY, _SHORTEST_REST = 40, 20, 240, 80
_SIGNATURE = re.compile(r"[A-Za-z_][\w.]*\(")


@dataclass(frozen=True)
class Docstring:
    """The cleaned docstring of the object that `name` leads to from outside, such as numpy.ndarray.sum."""

    name: str
    text: str


@dataclass(frozen=True)
class Pair:
    """The one-sentence summary of `name`, and what its docstring says besides."""

    name: str
    summary: str
    rest: str


def versions() -> dict[str, str]:
    """What the texts depend on: the version of Python and of each package."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}


def docstrings(corpus: str) -> tuple[Docstring, ...]:
    """All docstrings of a corpus, sorted by name. Raises Refusal for a corpus that is none of `CORPORA`."""
    require(corpus in CORPORA, f"A corpus must be one of {', '.join(CORPORA)}, not {corpus!r}; choose one.")
    return _collected()[corpus]


def pairs(corpus: str, part: str = "test", limit: int = PAIRS) -> tuple[Pair, ...]:
    """At most `limit` pairs of a corpus, sorted by name and taken evenly over all there are in that part.

    Part "test" is what is reported; "calibration" shares no object with it, and is for finding settings. Raises Refusal
    for an unknown corpus or part, and for a limit below 1.
    """
    require(part in PARTS, f"A part must be one of {', '.join(PARTS)}, not {part!r}; choose one.")
    require(limit >= 1, f"The limit must be at least 1, not {limit}; ask for one pair or more.")
    found = [each for each in _paired(corpus) if (share(each.name) < _TEST_SHARE) == (part == "test")]
    count = min(limit, len(found))
    return tuple(found[i * len(found) // count] for i in range(count))


def unlabelled() -> list[str]:
    """All docstrings of the calibration part, those included that make no pair: text to fine-tune on."""
    found = (each for corpus in CORPORA for each in docstrings(corpus))
    return [each.text for each in found if share(each.name) >= _TEST_SHARE]


def pair(docstring: Docstring) -> Pair | None:
    """The docstring in its two halves; None where one is too short, or the rest repeats the summary."""
    body = _without_signatures(docstring.text)
    paragraph, _, after = body.partition("\n\n")
    sentence, *more = re.split(r"(?<=[.!?])\s+", _flat(paragraph), maxsplit=1)
    rest = "\n\n".join(part for part in (*more, after.strip()) if part)
    if not _SHORTEST_SUMMARY <= len(sentence) <= _LONGEST_SUMMARY or len(rest) < _SHORTEST_REST:
        return None
    if sentence.rstrip(".").casefold() in _flat(rest).casefold():
        return None
    return Pair(docstring.name, sentence, rest)


def _without_signatures(text: str) -> str:
    """Without the lines at the start that only say how to call the object."""
    while _SIGNATURE.match(text):
        depth = 0
        for end, letter in enumerate(text):
            depth += (letter in "([{") - (letter in ")]}")
            if letter == "\n" and depth <= 0:
                text = text[end:].strip()
                break
        else:
            return ""
    return text


def _flat(text: str) -> str:
    return " ".join(text.split())


@cache
def _paired(corpus: str) -> tuple[Pair, ...]:
    """All pairs of a corpus; of those that nearly agree in one half, as amin and amax do, only the first."""
    kept: list[tuple[Pair, frozenset[str], frozenset[str]]] = []
    for found in filter(None, map(pair, docstrings(corpus))):
        summary = frozenset(words(found.summary))
        rest = frozenset(words(found.rest)[:_START])
        if not any(alike(summary, other) or alike(rest, another) for _, other, another in kept):
            kept.append((found, summary, rest))
    return tuple(found for found, _, _ in kept)


@cache
def _collected() -> dict[str, tuple[Docstring, ...]]:
    """Every docstring once, in the corpus that comes first."""
    objects: set[int] = set()
    texts: set[str] = set()
    result = {}
    # Some names are deprecated, and say so as soon as they are looked at.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # All first: SciPy, once it is imported, adds to a docstring of NumPy's.
        for module in (each for modules in MODULES.values() for each in modules):
            importlib.import_module(module)
        for corpus, modules in MODULES.items():
            found = {}
            for name, thing in (each for module in modules for each in _public(module)):
                text = _text(thing)
                if id(thing) in objects or name in UNSTEADY or len(text) < _SHORTEST_TEXT or text in texts:
                    continue
                objects.add(id(thing))
                texts.add(text)
                found[name] = text
            result[corpus] = tuple(Docstring(name, found[name]) for name in sorted(found))
    return result


def _public(name: str) -> Iterator[tuple[str, object]]:
    """A module's own callables, and the methods of its classes, with the names that lead to them."""
    module = importlib.import_module(name)
    root = name.partition(".")[0]
    announced = getattr(module, "__all__", None)
    for key in sorted(set(announced or dir(module))):
        try:
            # Of sys.excepthook and its like the one that Python came with, whatever has been hooked in since.
            kept = key.endswith("hook") and hasattr(module, f"__{key}__")
            thing = getattr(module, f"__{key}__" if kept else key, None)
        except ImportError:  # it is announced, but has to be switched on by another import
            continue
        if key.startswith("_") or not callable(thing) or not hasattr(thing, "__name__"):
            continue
        if _foreign(thing, root) or not (announced or not isinstance(thing, type) or thing.__module__ == name):
            continue
        yield f"{name}.{key}", thing
        if isinstance(thing, type) and not isinstance(thing, types.GenericAlias):
            for method, inner in sorted(vars(thing).items()):
                if _added(inner, root) or method.startswith("_"):
                    continue
                if callable(inner) or inspect.isdatadescriptor(inner):
                    yield f"{name}.{key}.{method}", inner


def _added(method: object, root: str) -> bool:
    """Whether a package that happens to be imported has put it into a class of the standard library."""
    home = str(getattr(method, "__module__", None) or root).partition(".")[0]
    return root in sys.stdlib_module_names and home not in sys.stdlib_module_names


def _foreign(thing: object, root: str) -> bool:
    """Whether it comes from a package of another corpus, and is only used in this one."""
    home = str(getattr(thing, "__module__", None) or root).partition(".")[0]
    packages = {modules[0].partition(".")[0] for corpus, modules in MODULES.items() if not corpus.startswith("stdlib")}
    return home != root and (root in packages or home in packages)


def _text(thing: object) -> str:
    text = getattr(thing, "__doc__", None)
    if not isinstance(text, str):
        return ""
    # Half a surrogate pair, as in one docstring on codecs, is no text that a tokenizer takes.
    return inspect.cleandoc(text).strip().encode("utf-8", "ignore").decode()
