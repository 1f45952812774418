# SPDX-License-Identifier: Apache-2.0
"""Widths of what a transformer layer computes in integers; the formulas are in docs/numerics.md."""

STREAM_BITS = 16
"""Residual sums, and the results that are added to them."""

# Softmax: powers of two by a table of 2^-(n/64), as codes beside the row's largest.
FRACTION_BITS = 6
"""Of an exponent, to the base of 2."""
ENTRY_BITS = 15
"""The table's first entry is 2^15."""
POWER_BITS = 21
"""2^0 is 2^21 in a sum: what 4096 keys far below the largest add up to must not be lost."""
DIVISOR_BITS = 16
"""Of a row's sum, when it divides."""
PROBABILITY_BITS = 8
LARGEST_PROBABILITY = (1 << PROBABILITY_BITS) - 1
"""Code of the row's largest probability."""

GELU_TABLES = 2
"""A few channels of a trained FFN are several times as large as all others: they have a table of their own."""

# LayerNorm: a normalised root and its reciprocal.
ROOT_BITS = 16
"""Of the root's mantissa."""
RECIPROCAL_SHIFT = 2 * ROOT_BITS - 1
"""The reciprocal is 2^31 over the mantissa."""
CENTRED_SHIFT = 4
"""Low bits that a centred value does without, at the scale of the mantissa."""
NORMAL_BITS = 10
"""Fraction bits of a value over the deviation."""
GAIN_BITS = 16
"""Of a gain, signed."""
OFFSET_BITS = 32
"""Of what is added to a product with a gain, signed."""
EPS_BITS = 40
"""Of what is added to D² variances, unsigned."""
