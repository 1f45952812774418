# SPDX-License-Identifier: Apache-2.0
"""Writes to activations and reads of them at the same time, of different rows, as payloads of all streams."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from config.system import SystemConfig
from golden.system.activations import CONTEXT, HIDDEN, INPUT, Activations
from hdl.system.activations import READERS
from hdl.system.contexts import context_layout
from hdl.system.layouts import fetch_layout, hidden_layout, part_layout, reference_layout
from tests.speculate.plans import pack


@dataclass
class Round:
    """given: payloads of each stream in; due: of each stream out. contexts: how many are written."""

    given: dict[str, list[int]]
    due: dict[str, list[int]]
    contexts: int


def shaped(config: SystemConfig, *, scalers: int = 1, heads: int = 2, **changes: Any) -> SystemConfig:
    """Another one: `width` of the speculation unit, and other fields of its own."""
    attention, unit = config.attention, config.speculation
    arrays, items = replace(attention.arrays, scalers=scalers), replace(attention.items, heads=heads)
    unit = replace(unit, heads=heads, width=changes.pop("width", unit.width))
    return replace(config, speculation=unit, attention=replace(attention, arrays=arrays, items=items), **changes)


@dataclass
class Traffic:
    """Rounds of random traffic, and the golden activations behind it."""

    config: SystemConfig
    seed: int
    golden: Activations = field(init=False)

    def __post_init__(self) -> None:
        self.golden = Activations.of(self.config)
        self._rng = np.random.default_rng(self.seed)

    def fill(self) -> Round:
        """Everything is written, nothing read."""
        return self._writes(np.ones(self.config.tokens, bool))

    def round(self, reads: int) -> Round:
        """So many reads of each reader, of rows that others are not written to."""
        still = self._rng.random(self.config.tokens) < 0.5
        read = [self._reads(n, still, reads if still.any() else 0) for n in READERS]
        round_ = self._writes(~still)
        for n, (fetches, words) in enumerate(read):
            round_.given[f"fetch{n}"], round_.due[f"fetched{n}"] = fetches, words
        return round_

    def _reads(self, reader: int, still: np.ndarray, count: int) -> tuple[list[int], list[int]]:
        places = {region: self._places(region.value, still) for region in READERS[reader]}
        places = {region: found for region, found in places.items() if len(found)}
        fetches, words = [], []
        for _ in range(count):
            region = self._rng.choice(list(places))
            token, word = self._rng.choice(places[region]).tolist()
            fetches.append(pack(fetch_layout(self.config), region=region.value, token=token, word=word))
            words.append(self.word(region.value, token, word))
        return fetches, words

    def _places(self, region: int, still: np.ndarray) -> np.ndarray:
        """Words that stay as they are."""
        tokens, words, _ = self.golden.regions[region].shape
        stays = np.repeat(still[:, None], words, axis=1)
        if region == CONTEXT:
            stays = stays & still[self.golden.references.T]
        assert stays.shape == (tokens, words)
        return np.argwhere(stays)

    def _writes(self, rows: np.ndarray) -> Round:
        """Of all these rows, in any order."""
        config, tokens = self.config, np.flatnonzero(rows)
        contexts = self._places_of(tokens, config.heads)
        given = {f"context{n}": [] for n in range(config.attention.arrays.lines)} | {"hidden0": [], "hidden1": []}
        for token, head in contexts:
            given[f"context{self._rng.integers(config.attention.arrays.lines)}"] += self.context(token, head)
        for token, word in self._places_of(tokens, config.ffn_words):
            given[f"hidden{self._rng.integers(2)}"].append(self.hidden(token, word))
        given["input"] = [self.part(*at) for at in self._places_of(tokens, self._beats)]
        given["references"] = [self.reference(head, row) for row, head in self._places_of(tokens, config.heads)]
        return Round(given, {f"fetched{n}": [] for n in READERS}, len(contexts))

    @property
    def _beats(self) -> int:
        return self.golden.regions[INPUT][0].size // self.config.values

    def _places_of(self, tokens: np.ndarray, words: int) -> list[list[int]]:
        places = np.stack(np.meshgrid(tokens, np.arange(words), indexing="ij"), axis=-1).reshape(-1, 2)
        return self._rng.permutation(places).tolist()

    def _values(self, count: int) -> np.ndarray:
        return self._rng.integers(-128, 128, count)

    def word(self, region: int, token: int, word: int) -> int:
        """What is read there."""
        return as_word(self.golden.read(region, token, word))

    def hidden(self, token: int, index: int) -> int:
        """Writes a random word; so do the others below."""
        values = self._values(self.config.lanes)
        self.golden.write(HIDDEN, token, index, values)
        return pack(hidden_layout(self.config), token=token, index=index, word=as_word(values))

    def context(self, token: int, head: int) -> list[int]:
        """Its beats."""
        config, arrays = self.config, self.config.attention.arrays
        values, bits = self._values(config.lanes), (config.tokens - 1).bit_length()
        self.golden.write(CONTEXT, token, head, values)
        name = (head << bits | token) << 1
        groups = values.reshape(arrays.groups, arrays.scalers)
        return [
            pack(context_layout(config), values=as_word(group), tag=name | (n == len(groups) - 1))
            for n, group in enumerate(groups)
        ]

    def part(self, token: int, beat: int) -> int:
        """A beat of a row of INPUT."""
        values = self._values(self.config.values)
        self.golden.write_part(token, beat, values)
        return pack(part_layout(self.config), token=token, beat=beat, values=as_word(values))

    def reference(self, head: int, row: int) -> int:
        """To a random row."""
        reference = int(self._rng.integers(self.config.tokens))
        fields = {"head": head, "row": row, "reference": reference}
        if self.config.speculation.prunes:
            fields["nothing"] = int(self._rng.integers(2))
        self.golden.refer(*fields.values())
        return pack(reference_layout(self.config), **fields)


def as_word(values: np.ndarray) -> int:
    """Bytes, the first one lowest."""
    return int.from_bytes(values.astype(np.int8).tobytes(), "little")
