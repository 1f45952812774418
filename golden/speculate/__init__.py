# SPDX-License-Identifier: Apache-2.0
"""Prediction arithmetic: dot products in the log domain and their yardsticks."""

from golden.speculate.array import aloc_dot, hlog_dot, int4_dot, int8_dot, pot_dot

__all__ = ["aloc_dot", "hlog_dot", "int4_dot", "int8_dot", "pot_dot"]
