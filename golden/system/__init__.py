# SPDX-License-Identifier: Apache-2.0
"""Bit-exact models of what a whole accelerator is made of."""
