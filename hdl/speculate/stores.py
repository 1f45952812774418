# SPDX-License-Identifier: Apache-2.0
"""What the predictor keeps on chip, all of it as codes: X, Q̂ and K̂."""

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from config.formats import Format
from config.speculate import SpeculationConfig
from hdl.shared import share
from hdl.speculate.encoder import code_shape
from hdl.store import Store


class HeadStore(wiring.Component):
    """Q̂ or K̂ of a head: a row of codes per token, written a group at a time, of which `together` are read at once.

    Parameters: `coding`, the codes' format; `together`, a power of two.
    Members: `write`: In, 1; `token`, `group`: In; `codes`: In, `rows` codes of that group. `read`: In, 1; `read_at`:
    In, tokens read_at·together onwards; `stored`: Out, `together` rows of head_slices·lanes codes, a cycle later on;
    codes beyond the head are zeros.
    """

    def __init__(self, config: SpeculationConfig, coding: Format, together: int = 1):
        self._config, self._coding, self._together = config, coding, together
        code = code_shape(coding)
        width = config.head_slices * config.lanes
        super().__init__(
            {
                "write": In(1),
                "token": In(range(config.tokens)),
                "group": In(range(config.groups)),
                "codes": In(data.ArrayLayout(code, config.rows)),
                "read": In(1),
                "read_at": In(range(config.tokens // together)),
                "stored": Out(data.ArrayLayout(data.ArrayLayout(code, width), together)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self._config
        shape = data.ArrayLayout(code_shape(self._coding), config.groups * config.rows)
        low = (self._together - 1).bit_length()
        for i in range(self._together):
            bank = Store(config.tokens // self._together, shape, config.groups)
            m.submodules[f"bank{i}"] = share(bank, bank.name, platform)
            m.d.comb += [
                bank.write.eq(
                    Cat(self.write & (self.group == g) & (self.token[:low] == i) for g in range(config.groups))
                ),
                bank.write_at.eq(self.token[low:]),
                bank.word.as_value().eq(self.codes.as_value().replicate(config.groups)),
                bank.read.eq(self.read),
                bank.read_at.eq(self.read_at),
            ]
            for place, code in enumerate(self.stored[i]):
                inside = place < config.head_width
                m.d.comb += Value.cast(code).eq(bank.stored[place] if inside else self._coding.zero_code)
        return m
