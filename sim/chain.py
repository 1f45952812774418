# SPDX-License-Identifier: Apache-2.0
"""A layer through the execution unit's parts in RTL simulation, phase by phase: every tensor checked, cycles counted.

x ─► generation ─► attention ─► projection ─► + ─► norm ─► up ─► GELU ─► down ─► + ─► norm

Each part is given golden tensors and has to give golden ones, so together they make the layer's. The arrays take no
part in sums, norms and GELU, which keep up with them and have benches of their own (`sim.execution`).

`python -m sim.chain` measures MiniLM's layers under the plans of the chosen settings, and prints a table.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from config import presets
from config.attention import AttentionConfig
from config.errors import Refusal
from config.items import ItemsConfig
from config.pe_arrays import PeArraysConfig
from golden.cycles.gather import Gather, items_of
from sim import attention, dense, planned
from sim.phases import ARRAYS, check, phases
from sim.planned import LAYERS, METHODS, SENTENCES, Planned

ATTENTION = "attention"


@dataclass(frozen=True)
class Spent:
    """Of a phase, on both arrays. cycles: of the one that takes longer. useful: multiplications that the plan asks for.
    rate: cycles simulated in a second, of one array; 0 if not measured."""

    cycles: int
    useful: int
    rate: float = 0.0

    def use(self, config: PeArraysConfig) -> float:
        """Share of what the lanes of both arrays could have multiplied in that time."""
        return self.useful / (ARRAYS * config.lines * config.lanes * self.cycles)


def run_dense(config: PeArraysConfig, layer: Planned, *, behavioural: bool = False) -> dict[str, Spent]:
    """The dense phases of a layer, by name, on arrays as they are built or `behavioural`, as of `hdl.emit`. Raises
    AssertionError at the first value that is not golden."""
    spent = {}
    sides = [side(config, behavioural=behavioural) for side in (dense.Inner, dense.Outer)]
    for phase in phases(layer):
        cycles, useful, rates = 0, 0, []
        for side, parts in zip(sides, phase.arrays, strict=True):
            found = dense.run(side, [part.product for part in parts])
            for part, result in zip(parts, found.results, strict=True):
                check(part, result)
            cycles, useful = max(cycles, found.cycles), useful + found.useful
            rates.append(found.rate)
        spent[phase.name] = Spent(cycles, useful, min(rates))
    return spent


def run_attention(unit: AttentionConfig, layers: Sequence[Planned]) -> list[Spent]:
    """Of each layer, from its first item to its last context, by `hdl.behaviour`. Raises AssertionError for a context
    that is not golden."""
    operands = [_operands(each) for each in layers]
    runs = attention.run(unit.items, unit.arrays, operands, stores=unit.stores, behavioural=True)
    return [Spent(each.cycles, ARRAYS * each.keys * unit.arrays.lanes) for each in runs]


def _operands(layer: Planned) -> attention.Operands:
    tensors, heads = layer.tensors, len(layer.plan.columns)
    scales = [attention.of_heads(each, heads) for each in (layer.layer.exponent, layer.layer.context)]
    return attention.Operands(tensors["q"], tensors["k"], tensors["v"], layer.plan.mask, *scales)


def run_layers(unit: AttentionConfig, layers: Sequence[Planned]) -> list[dict[str, Spent]]:
    """Every phase of each layer, by name, by `hdl.behaviour`."""
    found = [run_dense(unit.arrays, each, behavioural=True) for each in layers]
    for spent, kept in zip(found, run_attention(unit, layers), strict=True):
        spent[ATTENTION] = kept
    return found


def total(spent: dict[str, Spent]) -> Spent:
    """Of a layer, phase behind phase."""
    return Spent(sum(each.cycles for each in spent.values()), sum(each.useful for each in spent.values()))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sim.chain", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sentences", type=int, default=len(SENTENCES), help="how many sentences of 128 tokens")
    parser.add_argument("--methods", nargs="+", choices=METHODS[1:], default=list(METHODS[1:]))
    parser.add_argument("--layers", type=int, default=LAYERS, help="how many layers")
    given = parser.parse_args(arguments)
    try:
        for line in _table(given.sentences, given.methods, given.layers):
            print(line, flush=True)
    except (Refusal, AssertionError) as error:
        print(f"foreshift: {error}", file=sys.stderr)
        return 1
    return 0


def static_use(items: ItemsConfig, layer: Planned) -> float:
    """Share of the lines' cycles in which they would score a key, were each row's line fixed: by the model that is the
    unit to the cycle."""
    fixed = replace(items, allocation="static")
    return Gather(fixed).run(items_of(layer.plan.mask, fixed)).use(items.lines)


def _table(sentences: int, methods: Sequence[str], count: int) -> Iterator[str]:
    """Of each layer: what the plan leaves; how busy the lanes are, phase by phase, and in attention with static
    allocation; cycles; their share of the dense layer's; and how much more that is than what is left."""
    unit = presets.attention("minilm")
    assert unit is not None
    config, items, tokens = unit.arrays, unit.items, unit.items.tokens
    names = ("generation", ATTENTION, "projection", "up", "down")
    yield "| sentence | plan | layer | left | " + " | ".join(names) + " | static | cycles | of dense | over left |"
    yield "|" + "---|" * 3 + "---:|" * (len(names) + 5)
    with tqdm(total=sentences * (1 + len(methods)) * count, unit="layer") as progress:
        for sentence in range(sentences):
            ids = planned.sentence(sentence, tokens)
            exact: list[Spent] = []
            for method in ("dense", *methods):
                layers = planned.layers(ids, method, count)
                found = run_layers(unit, layers)
                exact = exact or [total(each) for each in found]
                for number, spent in enumerate(found):
                    whole = total(spent)
                    left, time = whole.useful / exact[number].useful, whole.cycles / exact[number].cycles
                    uses = " | ".join(f"{spent[name].use(config):.3f}" for name in names)
                    yield (
                        f"| {sentence} | {method} | {number} | {left:.3f} | {uses} | "
                        f"{static_use(items, layers[number]):.3f} | {whole.cycles} | {time:.3f} | {time / left:.3f} |"
                    )
                progress.update(count)


if __name__ == "__main__":
    sys.exit(main())
