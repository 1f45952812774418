# SPDX-License-Identifier: Apache-2.0
"""Cycle model: cycles, operations and traffic of a layer, from its shape, what a plan leaves, and the hardware."""
