# SPDX-License-Identifier: Apache-2.0
"""Bit-exact golden model: integers only, at the same paths as `hdl/`.

Every function takes NumPy arrays or torch tensors (CPU or GPU) and gives back the same kind: one text is both the
NumPy model and its PyTorch twin.
"""
