# SPDX-License-Identifier: Apache-2.0
"""The table of GELU against the function in sixty digits."""

import mpmath
import numpy as np
import pytest
import torch

from golden.execute.gelu import Steps, gelu, table


def exact(code: int, given: Steps, result: Steps) -> int:
    """Rounded half up from sixty digits."""
    with mpmath.workdps(60):
        x = mpmath.mpf(code - given.zero) * mpmath.mpf(given.scale)
        value = x * mpmath.ncdf(x) / mpmath.mpf(result.scale)
        return max(-128, min(127, int(mpmath.floor(value + mpmath.mpf("0.5"))) + result.zero))


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (Steps(0.05, 0), Steps(0.05, 0)),
        (Steps(0.04, -30), Steps(0.03, -122)),
        (Steps(1.0, 5), Steps(0.9, 0)),
        (Steps(1e-4, 0), Steps(1e-4, 9)),
        (Steps(0.013, -100), Steps(0.001, 100)),
    ],
)
def test_every_entry_is_correctly_rounded(given, result):
    assert table(given, result).tolist() == [exact(code, given, result) for code in range(-128, 128)]


def test_looks_up_every_operand():
    """In the table of its channel."""
    tables = np.stack([table(Steps(0.05, 0), Steps(0.02, -120)), table(Steps(0.2, 3), Steps(0.1, 0))])
    x = np.repeat(np.arange(-128, 128)[:, None], 3, axis=1).reshape(2, 128, 3)
    choice = np.array([0, 1, 0])
    found = gelu(x, tables, choice)
    for channel, chosen in enumerate(choice):
        assert np.array_equal(found[..., channel].reshape(-1), tables[chosen])
    twin = gelu(*(torch.asarray(given) for given in (x, tables, choice)))
    assert np.array_equal(twin.numpy(), found)
