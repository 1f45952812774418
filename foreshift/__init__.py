# SPDX-License-Identifier: Apache-2.0
"""The `foreshift` command: Verilog, demonstration, synthesis and report of the sparsity predictors."""

__version__ = "0.1.0"
