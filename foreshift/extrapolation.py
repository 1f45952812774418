# SPDX-License-Identifier: Apache-2.0
"""What longer texts, and more sparsity, would make of the energies that were measured: sums over them, no measurements.

dense phases, kept pairs, prediction ─► those that grow with tokens · n, with pairs of tokens · n² ─► energy at n tokens
"""

from collections.abc import Mapping
from typing import Any

from config import presets
from config.speculate import SYSTEM_OF
from foreshift.power_results import CLAIMED, NAMES, NODE_NM, Table
from foreshift.predictor_costs import FROM_X, HEAD_WIDTH, TOKENS, WIDTH
from synth import scaling, system
from synth.layers import ATTENTION
from synth.report import lines_of

LENGTHS = (128, 512, 2048)
REMOVED = (0.0, 0.15, 0.3, 0.52)
"""Shares of a layer's dense work; the last is what the paper of ESACT reports."""
OF_TOKENS = "prediction: projector"
OF_PAIRS = "prediction: selection"
FFN_WIDTH = presets.systems("minilm")["dense"].ffn
ROUNDS = {"lapa": presets.speculation("minilm")["lapa"].rounds}
"""How often a predictor from X scores its keys, in slices of their bits: each time as if none had been dropped."""

Figures = Mapping[str, Any]


def attention(own: Figures, method: str, tokens: int) -> float:
    """nJ of attention with its prediction, in texts of so many tokens that keep as large a share of all pairs."""
    longer = tokens / TOKENS
    return _prediction(own, method, longer) + float(own["phases_nj"][ATTENTION]) * longer**2


def chip(own: Figures, method: str, tokens: int) -> float:
    """nJ of a layer."""
    longer = tokens / TOKENS
    others = sum(energy for phase, energy in own["phases_nj"].items() if phase != ATTENTION)
    return attention(own, method, tokens) + float(others) * longer


def _prediction(own: Figures, method: str, longer: float) -> float:
    """A predictor from X does Q̂ and K̂ by the token, one from Q and K nothing; scores and choices are by the pair."""
    scores = HEAD_WIDTH * ROUNDS.get(method, 1)
    from_x = FROM_X / (FROM_X + scores) if method in SYSTEM_OF else 0.0
    by_block = {OF_TOKENS: 1.0, OF_PAIRS: 0.0}
    total = 0.0
    for block, line in own["blocks_nj"].items():
        if block.startswith(system.PREDICTION):
            by_token = by_block.get(block, from_x)
            total += (line["cells"] + line["memories"]) * (by_token * longer + (1 - by_token) * longer**2)
    return total


def operations(tokens: int) -> int:
    """Of a dense layer, two for each product."""
    return 2 * tokens * (4 * WIDTH**2 + 2 * WIDTH * FFN_WIDTH + 2 * tokens * WIDTH)


def by_length(power: Figures) -> Table:
    """Ratios of attention energy at each length, beside the claims; head first."""
    known = power["accelerators"]
    rows: Table = [("attention energy", *(f"{tokens} tokens" for tokens in LENGTHS), "claimed")]
    for (ours, other), claimed in CLAIMED.items():
        if ours in known and other in known:
            found = (attention(known[other], other, n) / attention(known[ours], ours, n) for n in LENGTHS)
            rows.append((f"{NAMES[other]} : {NAMES[ours]}", *(f"{each:.2f}" for each in found), f"{claimed:.2f}"))
    return rows


def efficiency(power: Figures) -> Table:
    """Effective TOPS/W at each length, scaled to 28 nm; head first."""
    rows: Table = [("TOPS/W, scaled to 28 nm", *(f"{tokens} tokens" for tokens in LENGTHS))]
    for method, own in power["accelerators"].items():
        found = (operations(n) / chip(own, method, n) * 1e-3 / scaling.scaled_power(1.0, NODE_NM) for n in LENGTHS)
        rows.append((NAMES[method], *(f"{each:.2f}" for each in found)))
    return rows


def by_work(power: Figures) -> Table:
    """Effective TOPS/W, scaled to 28 nm, were so much of each phase's work removed, at the prediction that was
    measured; head first."""
    known = power["accelerators"]
    rows: Table = [("TOPS/W at 28 nm, work removed", *(f"{100 * share:g} %" for share in REMOVED))]
    for method, own in known.items():
        if method in SYSTEM_OF:
            taken = (known["dense"]["chip_nj"] * (1 - share) + _prediction(own, method, 1.0) for share in REMOVED)
            found = (operations(TOKENS) / each * 1e-3 / scaling.scaled_power(1.0, NODE_NM) for each in taken)
            rows.append((NAMES[method], *(f"{each:.2f}" for each in found)))
    return rows


def tables(power: Figures) -> dict[str, Table]:
    """All of them, by what they vary."""
    return {"length": by_length(power), "length, TOPS/W": efficiency(power), "work removed, TOPS/W": by_work(power)}


def markdown(power: Figures) -> str:
    """A page. power: the figures of `make power`, dense among them."""
    text = [
        "# Longer texts, more sparsity",
        "",
        f"Sums over what was measured at {TOKENS} tokens, no measurements. Q, K, V, projection, FFN, load, and of "
        "prediction Q̂ and K̂ with what requantises them, grow with the tokens, as if weights were loaded as often as "
        "now for each; scores, selection and kept pairs with their square, at the share of pairs that is kept now. "
        f"LAPA scores all keys {ROUNDS['lapa']} times. What longer rows would take of memories is left out.",
        "",
        *(lines_of(by_length(power)) if len(by_length(power)) > 1 else []),
        "",
        *lines_of(efficiency(power)),
        "",
        "More sparsity, at the same length and the same prediction: every phase of dense, less so much of it.",
        "",
        *lines_of(by_work(power)),
        "",
    ]
    return "\n".join(text)
