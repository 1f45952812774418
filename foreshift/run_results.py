# SPDX-License-Identifier: Apache-2.0
"""What a run of layers through an accelerator took: figures, and a table of them for a terminal."""

from typing import Any

from foreshift.accelerator import Result

_COUNTERS = (
    ("BUSY_ARRAY1", "array 1 works"),
    ("BUSY_ARRAY2", "array 2 works"),
    ("STALL_WEIGHTS", "waits for weights"),
    ("STALL_ROWS", "waits for rows"),
    ("STALL_PLAN", "waits for the plan"),
    ("PREDICTION_CYCLES", "prediction works"),
    ("BYTES_READ", "bytes read"),
    ("BYTES_WRITTEN", "bytes written"),
)


def figures(result: Result) -> dict[str, Any]:
    """In plain numbers. prediction_hidden: null where nothing was predicted."""
    return {
        "cycles": result.cycles,
        "prediction_hidden": result.hidden,
        "counters": result.counters,
        "cycles_per_second": result.rate,
    }


def table(heading: str, found: dict[str, Any], **others: str) -> str:
    """`figures` under a heading, and `others` by name, with underscores for spaces."""
    counters, hidden = found["counters"], found["prediction_hidden"]
    rows = [("cycles", str(found["cycles"])), *((text, str(counters[name])) for name, text in _COUNTERS)]
    if hidden is not None:
        rows.append(("of prediction hidden", f"{100 * hidden:.1f} %"))
    rows += [(name.replace("_", " "), value) for name, value in others.items()]
    return "\n".join([heading, *(f"  {name:20}{value:>12}" for name, value in rows)])
