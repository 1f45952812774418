# SPDX-License-Identifier: Apache-2.0
"""Windows of a run: what signals inside a simulated design are, in every cycle of short stretches at equal distances.

signals of a top ─► a probe in the harness ─► windows.bin, a record a cycle: [window, cycle, bits] ─► Record

A run of a million cycles is too much to keep; what is in them is much the same from one hundred to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.errors import require

Bits = NDArray[np.uint8]
FILE = "windows.bin"
_CHUNK = 2048
"""Bits written at once."""
_WORD = 32


@dataclass(frozen=True)
class Windows:
    """The first `length` cycles of every `every`, from cycle `first` of the run on."""

    every: int
    length: int
    first: int = 0

    def __post_init__(self) -> None:
        require(
            1 <= self.length <= self.every and self.first >= 0,
            f"windows must be 1 cycle or more, and no longer than their distance {self.every}, not {self.length}; "
            "choose others.",
        )

    @property
    def settings(self) -> dict[str, int]:
        """Values of `SETTINGS`."""
        return {"probe_first": self.first, "probe_every": self.every, "probe_length": self.length}


SETTINGS = {"probe_first": 32, "probe_every": 32, "probe_length": 32}
"""Inputs of a module that holds a probe, with their bits."""


def probe(signals: Mapping[str, int], inside: str) -> str:
    """SystemVerilog, for a module that has `clk`, the number of the cycle as `now`, `SETTINGS`, and an instance
    `inside`: writes `FILE`, in each cycle of a window a record of all signals, which are given by their paths below the
    instance, with their bits. What is written is what has settled before the clock edge."""
    lines = [
        "integer probe_file;",
        f'initial probe_file = $fopen("{FILE}", "wb");',
        "wire probe_on = now >= probe_first && (now - probe_first) % probe_every < probe_length;",
        "always @(posedge clk) if (probe_on) begin",
    ]
    for chunk in _chunks(signals):
        filled = -sum(signals[name] for name in chunk) % _WORD
        # The last of a concatenation is its lowest part.
        parts = [f"{filled}'b0"] * bool(filled) + [f"{inside}.{name}" for name in reversed(chunk)]
        lines.append(f'    $fwrite(probe_file, "%u", {{{", ".join(parts)}}});')
    return "\n".join([*lines, "end"])


def _chunks(signals: Mapping[str, int]) -> list[list[str]]:
    """Names in order, parted where there is enough to be written."""
    found: list[list[str]] = []
    size = _CHUNK
    for name, bits in signals.items():
        if size >= _CHUNK:
            found.append([])
            size = 0
        found[-1].append(name)
        size += bits
    return found


class Record:
    """What the probe of `signals` has written: `count` windows of `length` cycles; a window that the run's end has cut
    short is left out."""

    def __init__(self, path: Path, signals: Mapping[str, int], windows: Windows):
        self.length = windows.length
        self._places: dict[str, tuple[int, int]] = {}
        at = 0
        for chunk in _chunks(signals):
            for name in chunk:
                self._places[name] = at, signals[name]
                at += signals[name]
            at += -at % _WORD
        octets = np.fromfile(path, np.uint8).reshape(-1, at // 8)
        self.count = len(octets) // self.length
        require(self.count > 0, f"{path} must hold at least one window of {self.length} cycles; simulate for longer.")
        self._octets = octets[: self.count * self.length].reshape(self.count, self.length, -1)

    def bits(self, name: str) -> Bits:
        """Of a signal, [window, cycle, bit], from the least significant."""
        at, width = self._places[name]
        low, high = at // 8, -(-(at + width) // 8)
        whole = np.unpackbits(self._octets[:, :, low:high], axis=2, bitorder="little")
        return whole[:, :, at - 8 * low :][:, :, :width]
