# SPDX-License-Identifier: Apache-2.0
"""Reads the text of a Liberty file into nested groups, without regard to what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from config.errors import Refusal
from synth.boolean import Function, parse

# A comment, a group head `name (args) {`, a complex attribute `name (args);`, a simple one `name : value;`, or a `}`.
ARGS = r'\(((?:[^()"]|"[^"]*")*)\)'
STATEMENT = re.compile(
    rf'\s*(?:/\*.*?\*/|//[^\n]*|;|(\}})|([\w.]+)\s*(?:{ARGS}\s*(\{{)?|:\s*("[^"]*"|[^;\n}}]*)))', re.DOTALL
)
ARGUMENT = re.compile(r'"([^"]*)"|([^",]+)')


@dataclass
class Group:
    """One `name (args) { ... }` as written: attributes by name (the last one counts), groups in order."""

    name: str
    args: list[str]
    attributes: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, list[list[str]]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Group]:
        return (group for group in self.groups if group.name == name)

    def first(self, name: str) -> Group | None:
        return next(self.all(name), None)

    def number(self, name: str, default: float) -> float:
        return float(self.attributes[name]) if name in self.attributes else default

    def function(self, name: str) -> Function | None:
        return parse(self.attributes[name]) if self.attributes.get(name, "") else None


def tree(text: str) -> Group:
    """The file as nested groups. Raises Refusal where it cannot be read as Liberty."""
    text = re.sub(r"\\\s*?\n", " ", text)
    root = Group("", [])
    stack, at = [root], 0
    end = len(text.rstrip())
    while at < end:
        match = STATEMENT.match(text, at)
        if match is None:
            line = text.count("\n", 0, at) + 1
            raise Refusal(
                f"A Liberty file must be groups and attributes; near line {line} it holds {text[at : at + 40]!r}."
            )
        at = match.end()
        close, name, args, opens, value = match.groups()
        if close:
            if len(stack) == 1:
                raise Refusal("A Liberty file must close every group once; this one closes one group too many.")
            stack.pop()
        elif name and value is not None:
            stack[-1].attributes[name] = value.strip().strip('"').strip()
        elif name and args is not None:
            items = _split(args)
            if opens:
                stack[-1].groups.append(Group(name, items))
                stack.append(stack[-1].groups[-1])
            else:
                stack[-1].repeated.setdefault(name, []).append(items)
    if len(stack) > 1:
        raise Refusal(
            f"A Liberty file must close every group; {stack[-1].name!r} is still open at its end, fetch the file again."
        )
    return root


def _split(args: str) -> list[str]:
    return [
        quoted.strip() or plain.strip() for quoted, plain in ARGUMENT.findall(args) if quoted.strip() or plain.strip()
    ]


def numbers(items: list[str]) -> list[float]:
    return [float(item) for text in items for item in text.replace(",", " ").split()]
