# SPDX-License-Identifier: Apache-2.0
"""Matrix products of int8 operands, brought back to int8 or to the residual stream.

x ─► Σ x·w ─► + bias ─► requantise, each column by its own multiplier ─► y
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from config.formats import OPERAND_BITS
from golden.arith.requantise import rescaled
from golden.arrays import Array, matmul_transposed, namespace

LARGEST_PRODUCT = 1 << 2 * (OPERAND_BITS - 1)


@dataclass(frozen=True)
class Linear:
    """w: int8 [N, D]; bias: int64 [N], in units of the sums, within int32; mul, shift: int64 [N]. bits: of a result."""

    w: Array
    bias: Array
    mul: Array
    shift: Array
    bits: int = OPERAND_BITS

    def map(self, change: Callable[[Array], Array]) -> "Linear":
        """Every array changed alike."""
        given = {name: change(getattr(self, name)) for name in ("w", "bias", "mul", "shift")}
        return replace(self, **given)


def linear(x: Array, layer: Linear) -> Array:
    """int64 [..., T, N] within `bits` bits, for x [..., T, D] within int8."""
    xp = namespace(x)
    sums = matmul_transposed(x, layer.w, LARGEST_PRODUCT) + xp.astype(layer.bias, xp.int64)
    return rescaled(sums, layer.mul, layer.shift, layer.bits)
