# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/plug.md run as they stand."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "plug.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_there_are_three_examples():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("example", EXAMPLES, ids=["attention", "transformers", "convert"])
def test_an_example_runs(example):
    exec(compile(example, str(PAGE), "exec"), {})
