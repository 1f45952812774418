# SPDX-License-Identifier: Apache-2.0
"""Boolean functions as Liberty writes them: `(A & B) | !C`, `A*B+C'`, `A B`, `A ^ B`, `0`, `1`.

Operators, tightest first: `'` (after its operand) and `!` (before it), `^`, then `&`, `*` or nothing at all, then
`|` or `+`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from config.errors import Refusal

Floats = NDArray[np.float64]
MAX_VARIABLES = 12
"""Truth tables have one entry per combination of the variables; library cells have far fewer."""

TOKEN = re.compile(r"\s*(?:([A-Za-z_][\w\[\].]*|\\\S+)|(.))", re.DOTALL)


@dataclass(frozen=True)
class Node:
    """One operation: `op` is `var`, `const`, `not`, `and`, `or` or `xor`."""

    op: str
    name: str = ""
    args: tuple[Node, ...] = ()
    value: bool = False


ZERO, ONE = Node("const", value=False), Node("const", value=True)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [m.group(1) or m.group(2) for m in TOKEN.finditer(text.strip())]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1]

    def fail(self) -> Refusal:
        return Refusal(f"A Liberty function must be a Boolean expression, not {self.text!r}; correct the library file.")

    def whole(self) -> Node:
        node = self.either()
        if self.peek():
            raise self.fail()
        return node

    def either(self) -> Node:
        node = self.both()
        while self.peek() in ("|", "+"):
            self.take()
            node = Node("or", args=(node, self.both()))
        return node

    def both(self) -> Node:
        node = self.differ()
        while True:
            token = self.peek()
            if token in ("&", "*"):
                self.take()
            elif not token or token in ")|+^'":
                return node
            node = Node("and", args=(node, self.differ()))

    def differ(self) -> Node:
        node = self.unary()
        while self.peek() == "^":
            self.take()
            node = Node("xor", args=(node, self.unary()))
        return node

    def unary(self) -> Node:
        if self.at >= len(self.tokens):
            raise self.fail()
        token = self.take()
        if token == "!":
            return invert(self.unary())
        if token == "(":
            node = self.either()
            if self.peek() != ")":
                raise self.fail()
            self.take()
        elif token in ("0", "1"):
            node = ONE if token == "1" else ZERO
        elif re.match(r"[A-Za-z_\\]", token):
            node = Node("var", name=token)
        else:
            raise self.fail()
        while self.peek() == "'":
            self.take()
            node = invert(node)
        return node


def invert(node: Node) -> Node:
    return node.args[0] if node.op == "not" else Node("not", args=(node,))


def substitute(node: Node, replacements: Mapping[str, Node]) -> Node:
    """The expression with variables replaced by expressions."""
    if node.op == "var":
        return replacements.get(node.name, node)
    return Node(node.op, node.name, tuple(substitute(arg, replacements) for arg in node.args), node.value)


def _names(node: Node, found: dict[str, None]) -> None:
    if node.op == "var":
        found[node.name] = None
    for arg in node.args:
        _names(arg, found)


def _evaluate(node: Node, values: Mapping[str, NDArray[np.bool_]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if node.op == "var":
        return values[node.name]
    if node.op == "const":
        return np.full(shape, node.value)
    args = [_evaluate(arg, values, shape) for arg in node.args]
    if node.op == "not":
        return ~args[0]
    if node.op == "and":
        return args[0] & args[1]
    return args[0] | args[1] if node.op == "or" else args[0] ^ args[1]


@dataclass(frozen=True)
class Function:
    """A Boolean function of named variables, with its truth table."""

    node: Node

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Variables in order of first appearance."""
        found: dict[str, None] = {}
        _names(self.node, found)
        if len(found) > MAX_VARIABLES:
            raise Refusal(f"A cell function must have at most {MAX_VARIABLES} variables, not {len(found)}.")
        return tuple(found)

    @cached_property
    def table(self) -> NDArray[np.bool_]:
        """Shape (2,) * len(names): the value at each combination, axis i for names[i]."""
        count = len(self.names)
        grid = np.indices((2,) * count).astype(bool)
        return _evaluate(self.node, dict(zip(self.names, grid, strict=True)), (2,) * count)

    def probability(self, duty: Mapping[str, Floats]) -> Floats:
        """Probability of a one if the variables are independent; `duty[name]`, shape [cells], is that of each."""
        return _fold(self.table.astype(float), [duty[name] for name in self.names])

    def difference(self, name: str) -> Function:
        """One where a change of `name` alone changes the function."""
        return Function(Node("xor", args=(substitute(self.node, {name: ZERO}), substitute(self.node, {name: ONE}))))

    def substitute(self, replacements: Mapping[str, Node]) -> Function:
        return Function(substitute(self.node, replacements))


def _fold(values: Floats, duties: list[Floats]) -> Floats:
    result = values[..., np.newaxis]
    for duty in duties:
        result = result[0] * (1.0 - duty) + result[1] * duty
    return result


@cache
def parse(text: str) -> Function:
    """Reads a Liberty expression. Raises Refusal where it is none."""
    return Function(_Parser(text).whole())
