# SPDX-License-Identifier: Apache-2.0
"""A transformer layer in integers, as the execution unit computes it; NumPy arrays or torch tensors."""
