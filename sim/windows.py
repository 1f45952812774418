# SPDX-License-Identifier: Apache-2.0
"""Windows of a run: what signals inside a simulated design are, in every cycle of short stretches at equal distances.

signals of a top ─► a probe in the harness ─► files with a record a cycle ─► Record: [window, cycle, bit]

A run of a million cycles is too much to keep; what is in them is much the same from one hundred to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import require

Bits = NDArray[np.uint8]
_CHUNK = 64
"""Bits written at once, if a signal is not wider: what the simulator puts together without effort."""
_CHUNKS = 500
"""In a file: what a compiler takes in one function."""
_WORD = 32


def file_name(number: int) -> str:
    """Of what a probe writes: several files, side by side."""
    return f"windows{number}.bin"


@dataclass(frozen=True)
class Windows:
    """`length` cycles of every `every`, from cycle `first` of the run on; where the probe looks closer, of every
    `closer`."""

    every: int
    length: int
    first: int = 0
    closer: int = 0

    def __post_init__(self) -> None:
        require(
            1 <= self.length <= self.every and self.first >= 0,
            f"windows must be 1 cycle or more, and no longer than their distance {self.every}, not {self.length}; "
            "choose others.",
        )
        require(
            self.closer == 0 or (self.length <= self.closer and self.every % self.closer == 0),
            f"closer must be a part of {self.every}, and {self.length} or more, not {self.closer}; choose another.",
        )

    @property
    def settings(self) -> dict[str, int]:
        """Values of `SETTINGS`."""
        distances = {"probe_every": self.every, "probe_closer": self.closer or self.every}
        return {"probe_first": self.first, "probe_length": self.length, **distances}


SETTINGS = {"probe_first": 32, "probe_every": 32, "probe_closer": 32, "probe_length": 32}
"""Inputs of a module that holds a probe, with their bits."""


@dataclass(frozen=True)
class Probe:
    """signals: what is recorded, by their paths below the instance that is looked into, with their bits. closer: the
    path of a signal of one bit, if there is one, that is high where windows are closer to each other."""

    signals: Mapping[str, int]
    closer: str = ""

    def text(self, inside: str) -> str:
        """SystemVerilog, for a module that has `clk`, the number of the cycle as `now`, `SETTINGS`, and an instance
        `inside`: writes files, in each cycle of a window a record of all signals. What is written is what has settled
        before the clock edge."""
        closer = f"{inside}.{self.closer}" if self.closer else "1'b0"
        lines = [
            "wire [31:0] probe_since = now - probe_first;",
            "wire probe_begins = now >= probe_first && "
            f"(probe_since % probe_every == 0 || {closer} && probe_since % probe_closer == 0);",
            "reg [31:0] probe_left = 0;",
            "always @(posedge clk)",
            "    probe_left <= probe_left != 0 ? probe_left - 1 : probe_begins ? probe_length - 1 : 0;",
            "wire probe_on = probe_left != 0 || probe_begins;",
        ]
        for number, chunks in enumerate(_files(self.signals)):
            lines += [
                f"integer probe_file{number};",
                f'initial probe_file{number} = $fopen("{file_name(number)}", "wb");',
                "always @(posedge clk) if (probe_on) begin",
            ]
            for chunk in chunks:
                filled = -sum(self.signals[name] for name in chunk) % _WORD
                # The last of a concatenation is its lowest part.
                parts = [f"{filled}'b0"] * bool(filled) + [f"{inside}.{name}" for name in reversed(chunk)]
                lines.append(f'    $fwrite(probe_file{number}, "%u", {{{", ".join(parts)}}});')
            lines.append("end")
        return "\n".join(lines)


def _files(signals: Mapping[str, int]) -> list[list[list[str]]]:
    """Chunks, as they are in each file."""
    chunks = _chunks(signals)
    return [chunks[at : at + _CHUNKS] for at in range(0, len(chunks), _CHUNKS)]


def _chunks(signals: Mapping[str, int]) -> list[list[str]]:
    """Names in order, parted where there is enough to be written."""
    found: list[list[str]] = [[]]
    size = 0
    for name, bits in signals.items():
        if found[-1] and size + bits > _CHUNK:
            found.append([])
            size = 0
        found[-1].append(name)
        size += bits
    return found


class Record:
    """What the probe of `signals` has written in `folder`: `count` windows of `length` cycles; a window that the run's
    end has cut short is left out."""

    def __init__(self, folder: Path, signals: Mapping[str, int], windows: Windows):
        self.length = windows.length
        self._places: dict[str, tuple[int, int, int]] = {}
        self._files: list[NDArray[np.uint8]] = []
        for number, chunks in enumerate(_files(signals)):
            at = 0
            for chunk in chunks:
                for name in chunk:
                    self._places[name] = number, at, signals[name]
                    at += signals[name]
                at += -at % _WORD
            self._files.append(_octets(folder / file_name(number)).reshape(-1, at // 8))
        self.count = min(len(octets) for octets in self._files) // self.length
        require(self.count > 0, f"A run must have at least one window of {self.length} cycles; simulate for longer.")

    def bits(self, name: str) -> Bits:
        """Of a signal, [window, cycle, bit], from the least significant."""
        number, at, width = self._places[name]
        octets = self._files[number][: self.count * self.length, at // 8 : -(-(at + width) // 8)]
        whole = np.unpackbits(octets, axis=1, bitorder="little")[:, at % 8 : at % 8 + width]
        return whole.reshape(self.count, self.length, width)


def _octets(file: Path) -> NDArray[np.uint8]:
    """Of a file, as it lies there: a record may be larger than what memory is left."""
    return np.memmap(file, np.uint8, mode="r") if file.stat().st_size else np.empty(0, np.uint8)
