# SPDX-License-Identifier: Apache-2.0
"""The protocol checkers, in Python and in Verilog: sound traffic passes, and each rule finds its own breach."""

import re

import pytest

from sim import runner
from sim.axi import PAYLOADS, RULES, AxiError, Checker
from sim.memory import RTL
from tests.system.axi_traces import READ, TRACES, WIDTH, WRITE, Trace, unknown

EVERY = [*TRACES, *unknown()]


def follow(trace: Trace) -> None:
    checker = Checker("port", WIDTH, lite=trace.lite, data_first=trace.data_first, patience=trace.patience)
    for wires in trace.cycles:
        checker.step(wires, reset=bool(wires["reset"]))
    if trace.settled:
        checker.finish()


@pytest.mark.parametrize("trace", EVERY, ids=[trace.name for trace in EVERY])
def test_a_breach_is_told_by_channel_cycle_and_rule(trace: Trace) -> None:
    if not trace.rule:
        follow(trace)
        return
    said = f"port, cycle {len(trace.cycles)}, channel {trace.channel}: {RULES[trace.rule]} ({trace.rule}): "
    with pytest.raises(AxiError, match=f"^{re.escape(said)}"):
        follow(trace)


def test_every_rule_is_broken_on_every_channel_that_it_has() -> None:
    broken = {(trace.rule, trace.channel) for trace in EVERY if trace.rule}
    assert {rule for rule, _ in broken} == set(RULES)
    for rule in ("stands", "steady", "patience"):
        assert {channel for each, channel in broken if each == rule} == set(PAYLOADS)


def test_the_checker_in_verilog_says_the_same() -> None:
    """Rule, channel and, but for resets, which it does not count, cycle of each trace."""
    text = (RTL / "axi_checker.sv").read_text(encoding="utf-8")
    top = "traces"
    ports = {
        **{f"{prefix}{name}": 1 for prefix in PAYLOADS for name in ("valid", "ready")},
        **{letters + name: bits(name) for letters, names in PAYLOADS.items() for name in names},
        "rst": 1,
        "lite": 1,
        "data_first": 1,
        "patience": 32,
        "ends": 1,
    }
    outputs = {"broken": 1, "rule": 8, "channel": 8, "cycle": 32}
    declared = ["input clk", *(f"input [{bits - 1}:0] {name}" for name, bits in ports.items())]
    declared += [f"output [{bits - 1}:0] {name}" for name, bits in outputs.items()]
    links = ", ".join(f".{name}({name})" for name in ("clk", *ports, *outputs))
    harness = (
        f"module {top}({', '.join(declared)}); axi_checker #(.BYTES({WIDTH}), .IDS(2)) follower({links}); endmodule"
    )
    folder = runner.build(f"{text}\n{harness}\n", top)
    found = runner.run_jobs(folder, top, "tests.system.axi_checker_bench", TRACES)
    rules, channels = list(RULES), list(PAYLOADS)
    for trace, (broken, rule, channel, now) in zip(TRACES, found, strict=True):
        assert bool(broken) == bool(trace.rule), trace.name
        if broken:
            assert (rules[rule], channels[channel]) == (trace.rule, trace.channel), trace.name
            resets = any(wires["reset"] for wires in trace.cycles)
            assert resets or now == len(trace.cycles), trace.name


def bits(name: str) -> int:
    """Of a port of the checker."""
    widths = {"id": 2, "addr": 64, "len": 8, "size": 3, "burst": 2, "cache": 4, "prot": 3, "resp": 2}
    return {**widths, "data": 8 * WIDTH, "strb": WIDTH}.get(name, 1)


def test_bursts_are_counted() -> None:
    checker = Checker("port", WIDTH)
    for wires in READ + WRITE + WRITE:
        checker.step(wires)
    assert checker.bursts == {"ar": 1, "aw": 2}


def test_a_port_may_lack_channels() -> None:
    checker = Checker("port", WIDTH)
    for wires in READ:
        checker.step({name: value for name, value in wires.items() if name[0] in "ar" and name[:2] != "aw"})
    checker.finish()
