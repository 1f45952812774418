# SPDX-License-Identifier: Apache-2.0
"""LayerNorm of a row in integers: exact mean and variance, one root and one division a row.

r ─┬─► Σ ────────┬─► c = D·r - Σ ─────────────────► at the root's scale ─► × ─► z ─► · gain + offset ─► int8
   └─► Σ r² ─► D·Σ r² - Σ² ─► normalised ─► root ─► reciprocal ────────────┘
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from config.execute import CENTRED_SHIFT, NORMAL_BITS, RECIPROCAL_SHIFT, ROOT_BITS
from config.formats import OPERAND_BITS
from golden.arrays import Array, namespace, top_bit


@dataclass(frozen=True)
class Norm:
    """gain: int64 [D], 16 bits, signed; offset: int64 [D], within int32; shift: 1 to 40. A result is
    (z·gain + offset) / 2^shift, z in 1024ths. eps: what is added to D² variances, in units of the input."""

    gain: Array
    offset: Array
    shift: int
    eps: int = 0

    def map(self, change: Callable[[Array], Array]) -> "Norm":
        """Both arrays changed alike."""
        return replace(self, gain=change(self.gain), offset=change(self.offset))


def layer_norm(r: Array, norm: Norm) -> Array:
    """int64 [..., T, D] within int8, of r [..., T, D] within 16 bits.

    c = D·r - Σr and v = D·Σr² - (Σr)² + eps, which is D² variances. v is shifted by an even number of bits, 2h, to
    32 bits, low bits dropped or zeros added; root = floor(√ of that); reciprocal = 2^31 // root;
    z = (c·2^-(h + 4) · reciprocal + 2^16) >> 17, the first product floored; and
    y = (z·gain + offset + 2^(shift-1)) >> shift, saturated. Where v is 0, z is 0.
    """
    xp = namespace(r)
    z = normalised(r, norm.eps)
    y = (z * norm.gain + norm.offset + (1 << (norm.shift - 1))) >> norm.shift
    return xp.clip(y, -(1 << (OPERAND_BITS - 1)), (1 << (OPERAND_BITS - 1)) - 1)


def normalised(r: Array, eps: int) -> Array:
    """z: int64, in 1024ths of a standard deviation."""
    xp = namespace(r)
    width = r.shape[-1]
    total = xp.sum(r, axis=-1, keepdims=True)
    centred = width * r - total
    v = width * xp.sum(r * r, axis=-1, keepdims=True) - total * total + eps
    # Pairs of bits over 32, negative below.
    half = (top_bit(v) >> 1) - (ROOT_BITS - 1)
    root = whole_root(_shifted(v, 2 * half))
    reciprocal = (1 << RECIPROCAL_SHIFT) // xp.where(v == 0, 1, root)
    scaled = _shifted(centred, half + CENTRED_SHIFT)
    low = RECIPROCAL_SHIFT - NORMAL_BITS - CENTRED_SHIFT
    return xp.where(v == 0, 0, (scaled * reciprocal + (1 << (low - 1))) >> low)


def whole_root(v: Array) -> Array:
    """floor(√v) of integers below 2^52, which float64 holds and whose roots it rounds to the right side."""
    xp = namespace(v)
    return xp.astype(xp.floor(xp.sqrt(xp.astype(v, xp.float64))), xp.int64)


def _shifted(x: Array, by: Array) -> Array:
    """floor(x / 2^by), `by` of either sign."""
    xp = namespace(x)
    return (x << xp.clip(-by, 0, None)) >> xp.clip(by, 0, None)
