# SPDX-License-Identifier: Apache-2.0
"""SpAtten's cascade pruning: from layer to layer, fewer tokens and heads, those that have mattered most so far."""
