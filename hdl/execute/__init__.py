# SPDX-License-Identifier: Apache-2.0
"""What computes a layer exactly, as plans ask for it."""
