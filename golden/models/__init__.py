# SPDX-License-Identifier: Apache-2.0
"""Real models whose activations and weights feed the golden functions and the hardware."""
