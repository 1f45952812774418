# SPDX-License-Identifier: Apache-2.0
"""Energy of a product in a line of either array, from the toggles of its mapped netlist while it computes dense tiles.

Each line of the array has a token x of its own; all of them meet the same weights w [N, D]:

    dot line   N items of ⌈D / lanes⌉ beats: as many terms of an output at once
    PE line    ⌈N / lanes⌉ items of D beats: a term of as many outputs at once

Every sum must be the golden model's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import data

from config.array import number_system
from config.attention import AttentionConfig
from config.pe_arrays import PeArraysConfig
from golden.speculate import array as golden
from hdl.execute import dot_line, line
from hdl.execute.pe_lane import SLICE
from synth import netlist, power
from synth.energy import INPUT_SLEW_NS, WrongTotalError
from synth.gatesim import Bits, Run, Simulator, to_bits, to_integers
from synth.liberty import Library
from synth.netlist import Netlist, Port
from synth.stimulus import Integers

DRAIN = 8
"""Cycles behind the last beat, beside those in which a PE line's sums are read: more than either line is deep."""


@dataclass(frozen=True)
class Energy:
    """fJ per product: `internal`, `switching`, `leakage`; `clock` is the part of the first two that clock pins cause,
    `joint` the total when a flip-flop's QN is taken as the complement of its Q. annotated: share of cell pins with
    observed activity. products: of a line; cycles: that they took."""

    internal: float
    switching: float
    leakage: float
    clock: float
    joint: float
    annotated: float
    products: int
    cycles: int

    @property
    def total(self) -> float:
        return self.internal + self.switching + self.leakage


def measure(
    netlist_json: Path, config: AttentionConfig, library: Library, x: Integers, w: Integers, period_ns: float
) -> dict[str, Energy]:
    """Of `dot_line` and `pe_line`, while each computes x [T, D] times w [N, D] transposed, a token in a line.

    netlist_json: of the whole unit, as `synth.hierarchy` maps it. Of x and w only what makes whole tiles of no more
    than `terms` terms; those must be enough for a PE line's sums to be read meanwhile. Raises `WrongTotalError` if a
    sum differs from the golden model.
    """
    x, w = whole_tiles(config.arrays, x, w)
    found = {}
    for name in ("dot_line", "pe_line"):
        net = whole_ports(netlist.read(netlist_json, library, f"{config.name}_{name}"))
        run = multiply(name, Simulator(net, library, len(x)), config.arrays, x, w)
        found[name] = _energy(net, library, run, w.size, period_ns)
    return found


def whole_tiles(arrays: PeArraysConfig, x: Integers, w: Integers) -> tuple[Integers, Integers]:
    """Of x [T, D] and w [N, D] what makes whole tiles of no more than `terms` terms."""
    depth = min(x.shape[1], arrays.terms) // arrays.lanes * arrays.lanes
    return x[:, :depth], w[: len(w) // arrays.lanes * arrays.lanes, :depth]


def multiply(line: str, simulator: Simulator, arrays: PeArraysConfig, x: Integers, w: Integers) -> Run:
    """The run of a `dot_line` or `pe_line` that computes whole tiles, a token a stream. Raises `WrongTotalError` if a
    sum differs from the golden model."""
    tiles = {"dot_line": _dot_tiles, "pe_line": _pe_tiles}[line]
    run, sums = tiles(simulator, arrays, x, w)
    if not np.array_equal(sums, golden.dot(x, w, number_system("int8"))):
        raise WrongTotalError(f"{simulator.netlist.name}: the mapped netlist does not compute the golden sums")
    return run


def _dot_tiles(simulator: Simulator, config: PeArraysConfig, x: Integers, w: Integers) -> tuple[Run, Integers]:
    """An item for each row of w."""
    (outputs, depth), lanes = w.shape, config.lanes
    beats = depth // lanes
    number = np.arange(outputs * beats) % beats
    fields = {
        "a": np.tile(x.reshape(len(x), beats, lanes).swapaxes(0, 1), (outputs, 1, 1)),
        "b": w.reshape(outputs * beats, 1, lanes),
        "first": number == 0,
        "last": number == beats - 1,
    }
    run = simulator.run(_beats(simulator, partial(dot_line.beat_layout, config), fields, config.groups + DRAIN))
    there = run.outputs["o__valid"][:, 0, 0] == 1
    return run, to_integers(run.outputs["o__payload"][there, :, : config.acc_bits], signed=True).T


def _pe_tiles(simulator: Simulator, config: PeArraysConfig, x: Integers, w: Integers) -> tuple[Run, Integers]:
    """An item for each `lanes` rows of w; its sums are read, group by group, while the next one is under way."""
    (outputs, depth), lanes, groups = w.shape, config.lanes, config.groups
    tiles = outputs // lanes
    number = np.arange(tiles * depth) % depth
    fields = {
        "a": np.tile(x.T, (tiles, 1))[..., np.newaxis],
        "b": w.reshape(tiles, lanes, depth).swapaxes(1, 2).reshape(tiles * depth, 1, lanes),
        "first": number == 0,
        "last": number == depth - 1,
    }
    stimulus = _beats(simulator, partial(line.beat_layout, config), fields, groups + DRAIN)
    whole = depth - 1 + line.LATENCY + depth * np.arange(tiles)
    reads = (whole[:, np.newaxis] + np.arange(groups)).ravel()
    shown = np.zeros(len(stimulus["rst"]), np.int64)
    shown[reads] = np.tile(np.arange(groups), tiles)
    consumed = np.zeros_like(shown)
    consumed[whole + groups - 1] = 1
    select = np.eye(groups, dtype=np.uint8)[shown, np.newaxis]
    run = simulator.run(stimulus | {"select": select, "consumed": consumed})
    sums = _pairs(run.outputs["sums"][reads], config)
    return run, sums.swapaxes(0, 1).reshape(len(x), outputs)


def _pairs(bits: Bits, config: PeArraysConfig) -> Integers:
    """`line.sums_layout` as the sums that it stands for."""
    layout, acc = line.sums_layout(config), config.acc_bits
    pairs = bits[..., : layout["offset"].offset].reshape(*bits.shape[:2], config.scalers, -1)
    places = 1 << SLICE * np.arange(1, 1 + pairs.shape[-1] - acc)
    offset = to_integers(bits[..., layout["offset"].offset :], signed=False)
    total = to_integers(pairs[..., :acc], signed=False) + pairs[..., acc:] @ places + offset[..., np.newaxis]
    return to_integers(to_bits(total, acc), signed=True)


def _beats(
    simulator: Simulator, layout_of: Callable[[int], data.Layout], fields: Mapping[str, Integers], behind: int
) -> dict[str, Integers | Bits]:
    """Stimulus of a line's `i` and `rst`: fields of a beat [cycles] or [cycles, streams or 1, lanes], then none for so
    many cycles. layout_of: a beat's layout by the bits of its tag; tags are 0."""
    width = next(len(port.nets) for port in simulator.inputs if port.name == "i__payload")
    layout = layout_of(width - layout_of(0).size)
    cycles = len(fields["first"])
    payload = np.zeros((cycles + behind, simulator.streams, width), np.uint8)
    for name, values in fields.items():
        shape, low = Shape.cast(layout[name].shape), layout[name].offset
        beats = values.reshape(cycles, -1, values.shape[-1] if values.ndim > 1 else 1)
        bits = to_bits(beats, shape.width // beats.shape[-1]).reshape(*beats.shape[:2], shape.width)
        payload[:cycles, :, low : low + shape.width] = bits
    valid = np.arange(cycles + behind) < cycles
    return {"i__payload": payload, "i__valid": valid.astype(np.int64), "rst": np.zeros(cycles + behind, np.int64)}


def _energy(net: Netlist, library: Library, run: Run, products: int, period_ns: float) -> Energy:
    cycles = len(next(iter(run.outputs.values())))
    kept = power.estimate(net, library, run.activity, period_ns, input_slew_ns=INPUT_SLEW_NS)
    both = power.estimate(net, library, run.activity, period_ns, input_slew_ns=INPUT_SLEW_NS, joint_states=True)
    scale, split = cycles / products, kept.total
    return Energy(
        internal=split.internal * scale,
        # Nets that come in are charged by whoever drives them, and counted here, where their load is known.
        switching=(split.switching + kept.ports) * scale,
        leakage=split.leakage * scale,
        clock=split.clock * scale,
        joint=(both.total.total + both.ports) * scale,
        annotated=kept.annotated,
        products=products,
        cycles=cycles,
    )


def whole_ports(net: Netlist) -> Netlist:
    """Ports that were split into bits, `name[index]`, as one each."""
    bits: dict[str, dict[int, Port]] = {}
    for name, port in net.ports.items():
        base, _, index = name.rstrip("]").partition("[")
        bits.setdefault(base, {})[int(index or 0)] = port
    ports = {
        name: Port(name, found[0].direction, np.concatenate([found[index].nets for index in range(len(found))]))
        for name, found in bits.items()
    }
    return replace(net, ports=ports)
