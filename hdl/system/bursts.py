# SPDX-License-Identifier: Apache-2.0
"""Bursts of a job of the memory's port: rows, cut where a burst may not go on.

job ─► row ─► length ─► burst
        ▲       ▲         │
        └───────┴─────────┘ next row, rest of the row
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import require_range
from config.errors import require
from config.system import ADDRESS_BITS, SystemConfig
from hdl.arith.adder import add_in_slices
from hdl.system.axi import COUNT_BITS, PAGE, TRANSFER


def burst_layout(config: SystemConfig, burst: int) -> data.StructLayout:
    """`word`: address in words of the port; `len`: words behind the first."""
    return data.StructLayout({"word": ADDRESS_BITS - low_bits(config), "len": range(burst)})


def low_bits(config: SystemConfig) -> int:
    """Bits of an address within a word of the port; AXI's size of a beat."""
    return (config.bus_bytes - 1).bit_length()


def require_sizes(config: SystemConfig, burst: int, depth: int, outstanding: int) -> None:
    """Raises `Refusal` for bursts that AXI does not have, that a page does not hold, or a queue."""
    require_range("beats of a burst", burst, 2, min(256, PAGE // config.bus_bytes))
    require(burst & (burst - 1) == 0, f"beats of a burst must be a power of two, not {burst}; choose the next one.")
    require_range("depth", depth, burst, 1 << 16)
    require_range("outstanding", outstanding, 1, 64)


class _Phase(enum.Enum, shape=2):
    IDLE = 0
    ROW = 1
    LENGTH = 2
    OFFER = 3


class Bursts(wiring.Component):
    """Cuts jobs into bursts: at the ends of rows, and at multiples of a burst's bytes.

    So none lies on both sides of a multiple of 4096, all but the first and last of a row are whole, and the address of
    the next is an increment away (the project's choice; AXI would allow longer ones).

    Parameters
    ----------
    config: `SystemConfig`. burst: beats of the longest, as `require_sizes` has it: a power of two, 2 to 256, of no more
    than 4096 bytes.

    Members
    -------
    job: In, stream of `TRANSFER`, taken when the one before is over.
    o: Out, stream of `burst_layout`: 2 cycles behind the one before in its row, 3 cycles behind that of another row.
    active: Out, 1: a job is under way: from the cycle behind that in which it is taken until its last burst is.
    clear: In, 1: the job is dropped.
    """

    def __init__(self, config: SystemConfig, burst: int):
        self._low, self._burst = low_bits(config), burst
        super().__init__(
            {
                "job": In(stream.Signature(TRANSFER)),
                "o": Out(stream.Signature(burst_layout(config, burst))),
                "active": Out(1),
                "clear": In(1),
            }
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return f"bursts_{self._burst}"

    def elaborate(self, platform):
        m = Module()
        low, job, o = self._low, self.job.payload, self.o.payload
        inside = len(o.len)
        words_bits = COUNT_BITS - low
        phase = Signal(_Phase)
        words, rows, stride = Signal(words_bits), Signal(COUNT_BITS), Signal(words_bits)
        start, following = Signal(len(o.word)), Signal(len(o.word))
        rest, ends = Signal(words_bits), Signal()
        # Words behind the first, up to where a burst ends at the latest.
        reach = Signal(inside)
        fits = Signal()
        m.d.comb += [
            self.job.ready.eq((phase == _Phase.IDLE) & ~self.clear),
            self.o.valid.eq(phase == _Phase.OFFER),
            self.active.eq(phase != _Phase.IDLE),
            reach.eq(~o.word[:inside]),
            fits.eq(~rest[inside:].any() & (rest[:inside] <= reach)),
        ]
        m.d.sync += following.eq(_sum(start, stride))
        with m.Switch(phase):
            with m.Case(_Phase.IDLE):
                m.d.sync += [words.eq(job.bytes[low:]), rows.eq(job.rows), stride.eq(job.stride[low:])]
                m.d.sync += [start.eq(job.address[low:]), o.word.eq(job.address[low:])]
                with m.If(self.job.valid):
                    m.d.sync += phase.eq(_Phase.ROW)
            with m.Case(_Phase.ROW):
                m.d.sync += [rest.eq(_sum(words, Const(-1, words_bits))), rows.eq(_sum(rows, Const(-1, COUNT_BITS)))]
                m.d.sync += phase.eq(Mux(rows.any() & words.any(), _Phase.LENGTH, _Phase.IDLE))
            with m.Case(_Phase.LENGTH):
                m.d.sync += [o.len.eq(Mux(fits, rest[:inside], reach)), ends.eq(fits), phase.eq(_Phase.OFFER)]
            with m.Case(_Phase.OFFER):
                with m.If(self.o.ready):
                    beyond = _sum(o.word[inside:], Const(0), 1)
                    m.d.sync += [
                        rest.eq(_sum(rest, ~Cat(o.len, Const(0, words_bits - inside)))),
                        phase.eq(Mux(ends, _Phase.ROW, _Phase.LENGTH)),
                        o.word.eq(Mux(ends, following, Cat(Const(0, inside), beyond))),
                    ]
                    with m.If(ends):
                        m.d.sync += start.eq(following)
        with m.If(self.clear):
            m.d.sync += phase.eq(_Phase.IDLE)
        return m


def _sum(a, b, carry: int = 0):
    """a + b + carry, modulo the width of a."""
    widened = Cat(b, Const(0, len(a) - len(b))) if len(b) < len(a) else b
    return add_in_slices(a, widened, carry)[: len(a)]
