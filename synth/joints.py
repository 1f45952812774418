# SPDX-License-Identifier: Apache-2.0
"""What a piece drives beyond itself: the input pins of the pieces that it is joined to, bit by bit.

From below: the pins behind each input of a piece are a load of what holds it. From above: all that a net drives in what
holds a piece is a load of the piece's output; of a piece that occurs in several places, the mean of all of them.
"""

from collections.abc import Mapping

import numpy as np

from synth.boolean import Floats
from synth.liberty import Library
from synth.netlist import SEPARATOR, Netlist
from synth.pieces import Design
from synth.replay import Place, place_of
from synth.roles import roles_of
from synth.slews import loads

Outside = dict[str, Floats]
"""Port → fF of each of its bits."""


def outside(design: Design, netlists: Mapping[str, Netlist], library: Library) -> dict[str, Outside]:
    """What is behind the outputs of each piece, by name. A memory's input pin is as large as a flip-flop's."""
    register = roles_of(library).flip_flop
    pin = library.cells[register.cell].pins[register.data].rise_cap
    return _Joints(design, netlists, library, pin).found()


class _Joints:
    def __init__(self, design: Design, netlists: Mapping[str, Netlist], library: Library, memory_pin: float):
        self._design, self._netlists, self._library, self._pin = design, netlists, library, memory_pin
        self._behind: dict[str, dict[Place, float]] = {}
        """Piece → what each bit of its inputs drives."""

    def found(self) -> dict[str, Outside]:
        order = list(dict.fromkeys(each.piece for each in self._design.instances))
        below = {piece: self._below(piece) for piece in order}
        above: dict[str, dict[Place, float]] = {piece: {} for piece in order}
        # What holds a piece comes before it: whatever is above that is known.
        done: set[str] = set()
        while len(done) < len(order):
            for piece in order:
                parents = {other for other in order if piece in self._design.parts(other).values()}
                if piece not in done and parents <= done:
                    done.add(piece)
                    self._hand_down(piece, self._joined(piece, below[piece], above[piece]), above)
        return {piece: self._joined(piece, below[piece], above[piece]) for piece in order}

    def _below(self, piece: str) -> dict[Place, float]:
        """Of each bit that goes down to a piece or a memory below: what it drives there. Fills in what is behind the
        piece's own inputs."""
        parts, found = self._design.parts(piece), {}
        for place in self._outputs(piece):
            path, _, port = place[0].rpartition(SEPARATOR)
            if path in parts:
                if parts[path] not in self._behind:
                    self._below(parts[path])
                found[place] = self._behind[parts[path]].get((port, place[1]), 0.0)
            elif path:
                found[place] = self._pin
        whole, netlist = self._loads(piece, self._joined(piece, found, {})), self._netlists[piece]
        self._behind[piece] = {
            (name, at + bit): float(whole[net])
            for port in netlist.ports.values()
            if port.direction == "input"
            for name, at in [place_of(port.name)]
            for bit, net in enumerate(port.nets.tolist())
        }
        return found

    def _outputs(self, piece: str) -> list[Place]:
        found = []
        for port in self._netlists[piece].ports.values():
            if port.direction == "output":
                name, at = place_of(port.name)
                found += [(name, at + bit) for bit in range(len(port.nets))]
        return found

    def _joined(self, piece: str, below: Mapping[Place, float], above: Mapping[Place, float]) -> Outside:
        known, found = {**below, **above}, {}
        for port in self._netlists[piece].ports.values():
            if port.direction == "output":
                name, at = place_of(port.name)
                found[port.name] = np.array([known.get((name, at + bit), 0.0) for bit in range(len(port.nets))])
        return found

    def _loads(self, piece: str, outside: Outside) -> Floats:
        return loads(self._netlists[piece], self._library, port_loads=outside).worst

    def _hand_down(self, piece: str, outside: Outside, above: dict[str, dict[Place, float]]) -> None:
        """To each piece below, its share of what its outputs drive here."""
        parts, netlist = self._design.parts(piece), self._netlists[piece]
        whole, counts = self._loads(piece, outside), self._design.counts
        for port in netlist.ports.values():
            name, at = place_of(port.name)
            path, _, inner = name.rpartition(SEPARATOR)
            if port.direction == "input" and path in parts:
                share = counts[piece] / counts[parts[path]]
                into = above[parts[path]]
                for bit, net in enumerate(port.nets.tolist()):
                    into[inner, at + bit] = into.get((inner, at + bit), 0.0) + share * float(whole[net])
