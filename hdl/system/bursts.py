# SPDX-License-Identifier: Apache-2.0
"""Bursts of a job of the memory's port: rows, cut where a burst may not go on.

job ─► begin ─► row ─► length ─► burst
                 ▲       ▲         │
                 └───────┴─────────┘ next row, rest of the row
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from config.array import require_range
from config.errors import require
from config.system import ADDRESS_BITS, SystemConfig
from hdl.arith.adder import LONGEST_SLICE, add_in_two
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


class _Phase(enum.Enum, shape=3):
    IDLE = 0
    BEGIN = 1
    ROW = 2
    LENGTH = 3
    OFFER = 4


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
    o: Out, stream of `burst_layout`: 4 cycles behind the job, 2 behind the one before in its row, 3 behind that of
    another row.
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
        phase = Signal(_Phase)
        words, stride = Signal(COUNT_BITS - low), Signal(COUNT_BITS - low)
        rows, start = Signal(COUNT_BITS), Signal(len(o.word))
        # Words of the row behind the first of its next burst; the row ends with that.
        rest, ends = Signal(len(words)), Signal()
        measures = phase == _Phase.LENGTH
        wide = Cat(stride, Const(0, len(start) - len(stride)))
        following = add_in_two(m, [start, wide], phase == _Phase.ROW, measures)
        beyond = _stepped(m, "beyond", o.word[inside:], 1, measures)
        fewer_rows = _stepped(m, "fewer_rows", rows, -1, measures)
        fewer_words = _stepped(m, "fewer_words", words, -1, phase == _Phase.BEGIN)
        fewer_bursts = _stepped(m, "fewer_bursts", rest[inside:], -1, measures)
        m.d.comb += [
            self.job.ready.eq((phase == _Phase.IDLE) & ~self.clear),
            self.o.valid.eq(phase == _Phase.OFFER),
            self.active.eq(phase != _Phase.IDLE),
        ]
        with m.Switch(phase):
            with m.Case(_Phase.IDLE):
                with m.If(self.job.valid):
                    m.d.sync += [words.eq(job.bytes[low:]), rows.eq(job.rows), stride.eq(job.stride[low:])]
                    m.d.sync += [start.eq(job.address[low:]), o.word.eq(job.address[low:])]
                    m.d.sync += phase.eq(_Phase.BEGIN)
            with m.Case(_Phase.BEGIN):
                m.d.sync += phase.eq(_Phase.ROW)
            with m.Case(_Phase.ROW):
                m.d.sync += rest.eq(fewer_words)
                m.d.sync += phase.eq(Mux(rows.any() & words.any(), _Phase.LENGTH, _Phase.IDLE))
            with m.Case(_Phase.LENGTH):
                # Words behind the first, up to where a burst ends at the latest.
                reach = ~o.word[:inside]
                fits = ~rest[inside:].any() & (rest[:inside] <= reach)
                m.d.sync += [o.len.eq(Mux(fits, rest[:inside], reach)), ends.eq(fits), phase.eq(_Phase.OFFER)]
            with m.Case(_Phase.OFFER):
                with m.If(self.o.ready):
                    # A burst that does not end its row takes what it can reach.
                    within = (rest[:inside] + o.word[:inside])[: inside + 1]
                    m.d.sync += rest.eq(Cat(within[:-1], Mux(within[-1], rest[inside:], fewer_bursts)))
                    m.d.sync += o.word.eq(Mux(ends, following, Cat(Const(0, inside), beyond)))
                    m.d.sync += phase.eq(Mux(ends, _Phase.ROW, _Phase.LENGTH))
                    with m.If(ends):
                        m.d.sync += [start.eq(following), rows.eq(fewer_rows)]
        with m.If(self.clear):
            m.d.sync += phase.eq(_Phase.IDLE)
        return m


def _stepped(m: Module, name: str, value: Value, step: int, enable: Value) -> Value:
    """value + step, 1 or -1, of a value that has stood since a cycle with `enable`: slices, and which of them change,
    are ready in registers."""
    parts = []
    for low in range(0, len(value), LONGEST_SLICE):
        part, below = value[low : low + LONGEST_SLICE], value[:low]
        changed = Signal(len(part), name=f"{name}{low}")
        with m.If(enable):
            m.d.sync += changed.eq(part + step)
        if low:
            changes = Signal(name=f"{name}{low}_changes")
            with m.If(enable):
                m.d.sync += changes.eq(below.all() if step == 1 else ~below.any())
            parts.append(Mux(changes, changed, part))
        else:
            parts.append(changed)
    return Cat(parts)
