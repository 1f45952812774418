# SPDX-License-Identifier: Apache-2.0
"""Co-simulation: the emitted Verilog in Verilator, driven by cocotb, held against the golden model."""
