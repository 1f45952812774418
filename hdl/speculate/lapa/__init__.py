# SPDX-License-Identifier: Apache-2.0
"""LAPA's selection: bit-slice sums in, kept keys out."""
