# SPDX-License-Identifier: Apache-2.0
"""The activations of a layer on chip: rows of int8 words, and which row's contexts a row takes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from config.system import SystemConfig

Int64 = NDArray[np.int64]
INPUT, CONTEXT, HIDDEN = range(3)
"""As `Region` of `hdl/system/layouts.py` has them."""


@dataclass(frozen=True)
class Activations:
    """Words of `lanes` bytes, int64 [T, words, lanes] of each region by its number; references: int64 [H, T], the row
    whose context a row takes; nothing: bool [H, T], it keeps no key, and its context is 0. What has not been written is
    0."""

    regions: list[Int64]
    references: Int64
    nothing: NDArray[np.bool_]
    values: int

    @classmethod
    def of(cls, config: SystemConfig) -> "Activations":
        """For layers of up to `config.tokens` tokens."""
        words = (config.width_words, config.heads, config.ffn_words)
        regions = [np.zeros((config.tokens, count, config.lanes), np.int64) for count in words]
        rows = config.heads, config.tokens
        return cls(regions, np.zeros(rows, np.int64), np.zeros(rows, np.bool_), config.values)

    def write_part(self, token: int, beat: int, values: Int64) -> None:
        """Beat `beat` of a row of INPUT."""
        self.regions[INPUT][token].reshape(-1, self.values)[beat] = values

    def write(self, region: int, token: int, word: int, values: Int64) -> None:
        """A word."""
        self.regions[region][token, word] = values

    def refer(self, head: int, row: int, reference: int, nothing: bool = False) -> None:
        """The row of this head takes the context of another one, or its own; or has none."""
        self.references[head, row], self.nothing[head, row] = reference, nothing

    def read(self, region: int, token: int, word: int) -> Int64:
        """A word of a token's row; of CONTEXT, of the row that this one refers to."""
        if region == CONTEXT:
            if self.nothing[word, token]:
                return np.zeros_like(self.regions[region][token, word])
            token = int(self.references[word, token])
        return np.asarray(self.regions[region][token, word])
