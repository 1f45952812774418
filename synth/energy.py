# SPDX-License-Identifier: Apache-2.0
"""Energy of an array per term, from the toggles of its mapped netlist while it computes real products.

The three blocks are simulated one behind the other, each with what the one before it put out:

    integers ─► encode ─► codes ─► front ─► multiples, control, load ─► row, with the weights of each of the R rows
                                                                         │ partial sums, known exactly
                                                                         ▼
                                                       totals, which must equal the golden model's, every one
"""

from dataclasses import dataclass

import numpy as np

from config.array import ArrayConfig
from golden.speculate import array as golden
from synth import gatesim, netlist, power
from synth.activity import Activity
from synth.gatesim import to_integers
from synth.liberty import Library
from synth.mapping import Mapped
from synth.stimulus import Bits, Integers, Schedule, schedule, to_bits

DRAIN = 12
"""Cycles after the last beat: more than any array is deep."""

# Inputs come from the registers of the block before.
INPUT_SLEW_NS = 0.02


@dataclass(frozen=True)
class Energy:
    """fJ per term: `encode`, `front` and all rows together, and by cause: `internal`, `switching`, `leakage`.

    `clock` is the part of internal and switching that clock pins cause. `joint` is the total when a flip-flop's QN is
    taken as the complement of its Q, not as independent of it. `annotated`: share of cell pins with observed activity.
    """

    encode: float
    front: float
    rows: float
    internal: float
    switching: float
    leakage: float
    clock: float
    joint: float
    annotated: float
    terms: int
    cycles: int

    @property
    def total(self) -> float:
        return self.encode + self.front + self.rows


class WrongTotalError(AssertionError):
    """The mapped netlist computes other sums than the golden model."""


def measure(
    mapped: Mapped, config: ArrayConfig, library: Library, x: Integers, w: Integers, period_ns: float = 1.0
) -> Energy:
    """Run x [T, D] times w [N, D] transposed through the mapped netlist and add up what its cells take.

    Raises `WrongTotalError` if a single total differs from the golden model.
    """
    run = schedule(config, x, w, DRAIN)
    runs = _Chain(mapped, config, library, run).runs()
    count = {"encode": 1, "front": 1, "row": config.rows}
    terms = run.terms * config.rows
    total: dict[str, float] = {}
    joint, annotated = 0.0, 1.0
    for name, (net, activity) in runs.items():
        scale = count[name] * run.cycles / terms
        found = power.estimate(net, library, activity, period_ns, input_slew_ns=INPUT_SLEW_NS)
        both = power.estimate(net, library, activity, period_ns, input_slew_ns=INPUT_SLEW_NS, joint_states=True)
        annotated = min(annotated, found.annotated)
        split = found.total
        # Nets that come in from another block are charged by it, and counted here, where their load is known.
        total[name] = (split.total + found.ports) * scale
        joint += (both.total.total + both.ports) * scale
        for cause in ("internal", "leakage", "clock"):
            total[cause] = total.get(cause, 0.0) + getattr(split, cause) * scale
        total["switching"] = total.get("switching", 0.0) + (split.switching + found.ports) * scale
    return Energy(
        total["encode"], total["front"], total["row"],
        total["internal"], total["switching"], total["leakage"], total["clock"],
        joint, annotated, terms, run.cycles,
    )  # fmt: skip


@dataclass(frozen=True)
class RowRun:
    """What the rows of an array see, as streams; `done`: the cycles in which their totals stand, `sums` [done, rows]:
    what these must be. terms: products computed in a row."""

    stimulus: dict[str, np.ndarray]
    done: Integers
    sums: Integers
    terms: int


def row_run(mapped: Mapped, config: ArrayConfig, library: Library, x: Integers, w: Integers) -> RowRun:
    """Of the array that computes x [T, D] times w [N, D] transposed."""
    run = schedule(config, x, w, DRAIN)
    stimulus, done = _Chain(mapped, config, library, run).row_inputs()
    return RowRun(stimulus, done, run.sums[run.beat >= 0], run.terms)


class _Chain:
    """The blocks of one array, simulated in turn."""

    def __init__(self, mapped: Mapped, config: ArrayConfig, library: Library, run: Schedule) -> None:
        self._mapped, self._config, self._library, self._run = mapped, config, library, run

    def runs(self) -> dict[str, tuple[netlist.Netlist, Activity]]:
        encode_net, encoded = self._simulate("encode", self._encode_inputs(), 1)
        front_net, fronted = self._simulate("front", self._front_inputs(encoded.outputs), 1)
        row_net, totals = self._simulate("row", self._row_inputs(fronted.outputs), self._config.rows)
        self._check(fronted.outputs, totals.outputs)
        return {
            "encode": (encode_net, encoded.activity),
            "front": (front_net, fronted.activity),
            "row": (row_net, totals.activity),
        }

    def row_inputs(self) -> tuple[dict[str, np.ndarray], Integers]:
        """And the cycles in which totals stand."""
        _, encoded = self._simulate("encode", self._encode_inputs(), 1)
        _, fronted = self._simulate("front", self._front_inputs(encoded.outputs), 1)
        return self._row_inputs(fronted.outputs), np.flatnonzero(fronted.outputs["done"][:, 0, 0])

    def _simulate(
        self, block: str, stimulus: dict[str, np.ndarray], streams: int
    ) -> tuple[netlist.Netlist, gatesim.Run]:
        net = netlist.read(self._mapped.netlist_json, self._library, f"{self._mapped.top}_{block}")
        # A block without a register that is reset has no reset port.
        inputs = {name: values for name, values in stimulus.items() if name != "rst" or "rst" in net.ports}
        return net, gatesim.Simulator(net, self._library, streams).run(inputs)

    def _encode_inputs(self) -> dict[str, np.ndarray]:
        """Beats reach the encoders one cycle before they enter the array."""
        run, bits = self._run, self._config.system.bits
        flags = np.stack([run.clear, run.emit, run.last], axis=-1)
        payload = np.concatenate([to_bits(run.x, bits), flags], axis=-1)
        ready = (run.beat >= 0).astype(np.int64)
        return {
            "rst": np.zeros(run.cycles, np.int64),
            "i__valid": np.roll(ready, -1),
            "i__payload": np.roll(payload, -1, axis=0)[:, np.newaxis],
            "o__ready": ready,
        }

    def _front_inputs(self, encoded: dict[str, Bits]) -> dict[str, np.ndarray]:
        run, system = self._run, self._config.system
        codes = golden.encode(run.weights, system.w)
        return {
            "rst": np.zeros(run.cycles, np.int64),
            "advance": np.ones(run.cycles, np.int64),
            "w__valid": (run.row >= 0).astype(np.int64),
            "w__payload": to_bits(codes, system.w.code_bits)[:, np.newaxis],
            "x__valid": encoded["o__valid"],
            "x__payload": encoded["o__payload"],
        }

    def _row_inputs(self, front: dict[str, Bits]) -> dict[str, np.ndarray]:
        """Every row sees the same x and control; its weights are those on the port while it is told to load."""
        run, config = self._run, self._config

        def all_rows(bits: Bits) -> Bits:
            return np.repeat(bits, config.rows, axis=1)

        codes = to_bits(golden.encode(run.weights, config.system.w), config.system.w.code_bits)
        return {
            "rst": np.zeros(run.cycles, np.int64),
            "load": front["load"][:, 0, :],
            "w": all_rows(codes[:, np.newaxis]),
            "x": all_rows(front["multiples"]),
            "control": all_rows(front["control"]),
            "psum": self._partial_sums(self._latency(front)),
        }

    def _latency(self, front: dict[str, Bits]) -> int:
        """Cycles from a beat's entering to its total standing: until the first valid `done`."""
        first_done = int(np.flatnonzero(front["done"][:, 0, 0])[0])
        return first_done - int(np.flatnonzero(self._run.beat >= 0)[0])

    def _partial_sums(self, latency: int) -> Bits:
        """What the accumulators give out: the sum before the beat, one cycle before its total stands; else held."""
        run, bits = self._run, self._config.acc_bits
        psum = np.zeros((run.cycles, self._config.rows), np.int64)
        kept: dict[int, Integers] = {}
        for cycle in range(1, run.cycles):
            entered = cycle - (latency - 1)
            psum[cycle] = psum[cycle - 1]
            if entered >= 0 and run.beat[entered] >= 0:
                beat = int(run.beat[entered])
                if not run.clear[entered]:
                    psum[cycle] = kept[beat]
                kept[beat] = run.sums[entered]
        return gatesim.to_bits(psum, bits)

    def _check(self, front: dict[str, Bits], row: dict[str, Bits]) -> None:
        done = np.flatnonzero(front["done"][:, 0, 0])
        entered = np.flatnonzero(self._run.beat >= 0)
        totals = to_integers(row["total"], signed=True)[done]
        if len(done) != len(entered) or not np.array_equal(totals, self._run.sums[entered]):
            raise WrongTotalError(f"{self._mapped.top}: the mapped netlist does not compute the golden sums")
