# SPDX-License-Identifier: Apache-2.0
"""What a LayerNorm needs to know of a row: its sum, and D² variances as a normalised number. Exact.

x ─┬─► CSA ──────────► ± accumulate ─► Σr ─► (Σr)² ─┐
   └─► |x| ─► CSA ───► ± accumulate ─► Σr² ─────────┴─► D·Σr² - (Σr)² + eps ─► leading zeros out ─► o

Sums are accumulated as pairs of words, so no carry runs along them until the row is over.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.execute import EPS_BITS, ROOT_BITS, STREAM_BITS
from hdl.arith.adder import add_in_two
from hdl.arith.compress import CarrySaveTree, Word, cuts
from hdl.arith.leading_one import magnitude
from hdl.arith.multiply import MultiplyAdd
from hdl.delay import delayed
from hdl.execute.norm_widths import NormWidths
from hdl.shared import share

FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS = 5, 7
"""Carry-save levels that fit a nanosecond in 45 nm, behind a register and an AND, and behind a register."""

ZEROS = ((16,), (8,), (4, 2), (1,))
"""Pairs of leading zeros that go at a time, in four stages; together more than a number can have."""


def sums_layout(widths: NormWidths) -> data.StructLayout:
    """`v`: variances, normalised to 2·ROOT_BITS bits. `down`: places by which a centred value comes down. `total`."""
    return data.StructLayout({"v": 2 * ROOT_BITS, "down": widths.down, "total": signed(widths.total)})


class Accumulator(wiring.Component):
    """Σ of all `words` of each of a row's beats, plus `constant` a beat, modulo 2^bits.

    Parameters: words: count and width of what a beat has, as `Word`s. bits: of the sum. constant: any integer.
    Members: `i`: In, the words beside each other. `enable`: In, `latency`: bit k, stage k takes what stands in front of
    it. `first`: In, 1, in step with stage `latency - 3`: what came before is forgotten. `o`: Out, bits.
    """

    def __init__(self, *, words: list[Word], bits: int, constant: int = 0):
        self._constant = constant % (1 << bits)
        total = [*words, Word(bits)] if self._constant else words
        self._tree = CarrySaveTree(
            words=total, bits=bits, cuts=cuts(len(total), FIRST_STAGE_LEVELS, LATER_STAGE_LEVELS)
        )
        super().__init__(
            {
                "i": In(sum(word.bits for word in words)),
                "enable": In(self.latency),
                "first": In(1),
                "o": Out(bits),
            }
        )

    @property
    def latency(self) -> int:
        """The tree's stages, that of the accumulated pair, and two for its sum."""
        return self._tree.latency + 3

    def elaborate(self, platform):
        m = Module()
        tree, bits = self._tree, self._tree.bits
        stages = tree.latency
        merge = CarrySaveTree(words=[Word(bits)] * 4, bits=bits)
        m.submodules.tree = share(tree, f"accumulator_{len(self.i)}_{bits}_tree", platform)
        m.submodules.merge = share(merge, f"accumulator_{bits}_merge", platform)
        constant = [Const(self._constant, bits)] if self._constant else []
        pair = [Signal(bits, name=f"pair{i}", reset_less=True) for i in range(2)]
        m.d.comb += [tree.i.eq(Cat(self.i, *constant)), tree.enable.eq(self.enable[:stages])]
        m.d.comb += [merge.i[str(i)].eq(word) for i, word in enumerate(tree.o)]
        m.d.comb += [merge.i[str(2 + i)].eq(Mux(self.first, 0, word)) for i, word in enumerate(pair)]
        with m.If(self.enable[stages]):
            m.d.sync += [word.eq(merge.o[i]) for i, word in enumerate(pair)]
        m.d.comb += self.o.eq(add_in_two(m, pair, self.enable[stages + 1], self.enable[stages + 2]).as_signed())
        return m


class RowSums(wiring.Component):
    """Sums of each row, `latency` cycles after its last beat; a beat a cycle.

    Parameters: lanes: values of a beat. widths: of the numbers.

    Members
    -------
    width, eps: In. Settings that stand while rows pass.
    i: In, stream of `lanes` signed(16), 0 beyond the end of a row. first, last: In, 1: of a row, with its beat.
    o: Out, stream of `sums_layout`, one a row. `i.ready` hangs on registers alone: a row's sums that wait for `o.ready`
    have a place of their own.
    """

    def __init__(self, lanes: int, widths: NormWidths):
        self._lanes, self._widths = lanes, widths
        self._total = Accumulator(
            words=[Word(STREAM_BITS)] * lanes, bits=widths.total, constant=-lanes << (STREAM_BITS - 1)
        )
        self._squares = Accumulator(words=_square_words() * lanes, bits=widths.squares)
        variance = widths.variance
        self._square = MultiplyAdd(a_bits=widths.total, b_bits=widths.total, signed_b=True, bits=variance)
        self._product = MultiplyAdd(
            a_bits=widths.squares + 1, b_bits=widths.count, addends=(variance, EPS_BITS + 1), constant=1, bits=variance
        )
        # Stages in front of the product: the values, then either way.
        self._squared = 1 + self._total.latency + self._square.latency
        self._summed = 2 + self._squares.latency
        self._product_at = max(self._squared, self._summed)
        # The last stage has a row's sums; those of one before it still wait.
        self._comes, self._held = Signal(), Signal()
        super().__init__(
            {
                "width": In(range(widths.width + 1)),
                "eps": In(EPS_BITS),
                "i": In(stream.Signature(data.ArrayLayout(signed(STREAM_BITS), lanes))),
                "first": In(1),
                "last": In(1),
                "o": Out(stream.Signature(sums_layout(widths))),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat to its sums."""
        return self._product_at + self._product.latency + len(ZEROS)

    def elaborate(self, platform):
        m = Module()
        widths = self._widths
        beats, rows, first = self._control(m)
        total_at = 1 + self._total.latency
        values = Signal.like(self.i.payload, reset_less=True)
        with m.If(beats[0]):
            m.d.sync += values.eq(self.i.payload)
        total, squares = self._accumulate(m, values, beats, rows, first, platform)

        m.submodules.square = share(self._square, self._square.kind, platform)
        m.submodules.product = share(self._product, self._product.kind, platform)
        square, product, at = self._square, self._product, self._product_at
        m.d.comb += [
            square.a.eq(total),
            square.b.eq(total),
            square.enable.eq(Cat(rows[total_at : total_at + square.latency])),
            product.a.eq(Cat(delayed(m, squares, "squares_later", rows[self._summed : at]), Const(0, 1))),
            product.b.eq(self.width),
            product.addend0.eq(~delayed(m, square.o, "square_later", rows[self._squared : at])),
            product.addend1.eq(self.eps),
            product.enable.eq(Cat(rows[at : at + product.latency])),
        ]
        v, down = self._normalise(m, product.o.as_unsigned(), rows[at + product.latency : -1])
        sums = Signal(self.o.payload.shape())
        m.d.comb += [
            sums.v.eq(v),
            sums.down.eq(widths.variance // 2 - 1 - down),
            sums.total.eq(delayed(m, total, "total_later", rows[total_at:-1])),
        ]
        self._offer(m, sums)
        return m

    def _offer(self, m: Module, sums: data.View) -> None:
        """What comes and is not taken at once goes to a place of its own, and all else stands still until it leaves."""
        spare = Signal(sums.shape(), reset_less=True)
        comes, held = self._comes, self._held
        m.d.comb += [self.o.valid.eq(held | comes), self.o.payload.eq(Mux(held, spare, sums))]
        m.d.sync += held.eq(self.o.valid & ~self.o.ready)
        with m.If(comes & ~held & ~self.o.ready):
            m.d.sync += spare.eq(sums)

    def _control(self, m: Module) -> tuple[list[Value], list[Value], list[Value]]:
        """For each stage: whether it takes a beat, whether that ends a row, whether what stands in front begins one."""
        advance = Signal()
        m.d.comb += [advance.eq(~self._held), self.i.ready.eq(advance)]
        valid, first, last = [self.i.valid], [self.first], [self.last]
        for stage in range(self.latency):
            chain = [Signal(name=f"{name}{stage}", reset_less=name != "valid") for name in ("valid", "first", "last")]
            with m.If(advance):
                m.d.sync += chain[0].eq(valid[-1])
                with m.If(valid[-1]):
                    m.d.sync += [chain[1].eq(first[-1]), chain[2].eq(last[-1])]
            for known, each in zip((valid, first, last), chain, strict=True):
                known.append(each)
        m.d.comb += self._comes.eq(valid[-1] & last[-1])
        beats = [advance & v for v in valid]
        return beats, [beat & end for beat, end in zip(beats, last, strict=True)], first

    def _accumulate(self, m: Module, values, beats, rows, first, platform) -> tuple[Value, Value]:
        """Sum, and sum of squares, of the row that ends."""
        sizes = Signal(data.ArrayLayout(STREAM_BITS, self._lanes), reset_less=True)
        with m.If(beats[1]):
            m.d.sync += [size.eq(magnitude(value, STREAM_BITS)) for size, value in zip(sizes, values, strict=True)]
        inputs = [value.as_unsigned() ^ (1 << (STREAM_BITS - 1)) for value in values], [_square_rows(s) for s in sizes]
        both = zip(("total", "squares"), (self._total, self._squares), (1, 2), inputs, strict=True)
        for name, accumulator, at, words in both:
            m.submodules[f"{name}_sum"] = share(accumulator, f"norm_{name}", platform)
            pair_at = at + accumulator.latency - 3
            taken = [*beats[at : pair_at + 1], *rows[pair_at + 1 : pair_at + 3]]
            m.d.comb += [
                accumulator.i.eq(Cat(words)),
                accumulator.enable.eq(Cat(taken)),
                accumulator.first.eq(first[pair_at]),
            ]
        return self._total.o.as_signed(), self._squares.o

    @staticmethod
    def _normalise(m: Module, v: Value, enable: list[Value]) -> tuple[Value, Value]:
        """v without leading pairs of zeros, at the root's width; and how many pairs have gone. 0 stays 0."""
        down = Const(0, 0)
        for stage, (pairs, moves) in enumerate(zip(ZEROS, enable, strict=True)):
            gone = []
            for pair in pairs:
                few = 2 * pair < len(v)
                empty = ~v[-2 * pair :].any() if few else Const(0, 1)
                v = Mux(empty, (v << 2 * pair)[: len(v)], v) if few else v
                gone.insert(0, empty)
            held = Signal(len(v), name=f"normal{stage}", reset_less=True)
            held_down = Signal(len(down) + len(gone), name=f"pairs{stage}", reset_less=True)
            with m.If(moves):
                m.d.sync += [held.eq(v), held_down.eq(Cat(*gone, down))]
            v, down = held, held_down
        return v[-2 * ROOT_BITS :], down


def _square_words() -> list[Word]:
    """Where the rows of a square lie: bit i alone in column 2i, and with each bit j above it, twice, in i + j + 1."""
    top = STREAM_BITS - 1
    return [*(Word(top - i + 2, 2 * i) for i in range(top)), Word(1, 2 * top)]


def _square_rows(size: Value) -> Value:
    """The rows of the square of a magnitude."""
    rows = []
    for i in range(len(size)):
        above = size[i + 1 :]
        rows.append(Cat(size[i], Const(0, 1), above & size[i].replicate(len(above))) if len(above) else size[i])
    return Cat(rows)
