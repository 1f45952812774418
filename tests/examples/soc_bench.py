# SPDX-License-Identifier: Apache-2.0
"""cocotb bench of examples/soc: nothing but clock and reset, and a look at the lamps."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer

PERIOD, LIMIT = 2, 20_000
"""Of the clock, in ns; cycles within which the layer must be done."""


@cocotb.test
async def lamps(dut):
    Clock(dut.clk, PERIOD, unit="ns").start()
    dut.resetn.value = 0
    await ClockCycles(dut.clk, 8)
    dut.resetn.value = 1
    await ClockCycles(dut.clk, 2)
    assert not dut.done.value, "nothing can be done so soon"
    await First(RisingEdge(dut.done), Timer(LIMIT * PERIOD, "ns"))
    assert dut.done.value, "the system must end"
    await ClockCycles(dut.clk, 1)
    assert dut.good.value, "the layer must be the golden one"
