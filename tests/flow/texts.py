# SPDX-License-Identifier: Apache-2.0
"""Reading emitted Verilog."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALLER = ("tiny", "minilm")
"""Presets that are quickly written."""


def modules(text: str) -> dict[str, str]:
    """Name → body of each module of a file."""
    return dict(re.findall(r"^module (\w+)(\(.*?^endmodule)", text, re.MULTILINE | re.DOTALL))
