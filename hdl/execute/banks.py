# SPDX-License-Identifier: Apache-2.0
"""Rows of K or V in banks, and the crossbar that brings them to the lines.

write ─► bank 0 ─┐   ┌─► line 0
         bank 1 ─┼─×─┼─► line 1
         …      ─┘   └─► …
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from config.items import ItemsConfig
from hdl.one_hot import one_of
from hdl.shared import share
from hdl.store import Store


def bytes_layout(config: ItemsConfig) -> data.ArrayLayout:
    """A row of a bank: as many bytes as a line has lanes."""
    return data.ArrayLayout(8, config.lanes)


def write_layout(config: ItemsConfig) -> data.StructLayout:
    """A row of K or V of a key."""
    return data.StructLayout({"b": bytes_layout(config), "head": range(config.heads), "key": range(config.tokens)})


def read_layout(config: ItemsConfig) -> data.StructLayout:
    """A word of a bank: `set`, head mod sets; `chunk` and `place`: of key (chunk·places + place)·banks + bank."""
    return data.StructLayout(
        {"place": range(config.places), "chunk": range(config.chunks), "set": range(config.sets)},
    )


def look_signature(config: ItemsConfig) -> wiring.Signature:
    """How somebody reads rows one by one while no item does, seen from there. `read`: Out, 1: the row `of`, Out, of a
    `head` and a `token`, is wanted; `row`: In, it is shown from the next cycle on, until a row is read again."""
    of = data.StructLayout({"head": range(config.heads), "token": range(config.tokens)})
    return wiring.Signature({"read": Out(1), "of": Out(of), "row": In(bytes_layout(config))})


class RowSelect(wiring.Component):
    """A line's part of the crossbar, combinational.

    Members: `select`: In, banks, one bit set; `rows`: In, what each bank shows; `row`: Out, that of the bank.
    """

    def __init__(self, config: ItemsConfig):
        super().__init__(
            {
                "select": In(config.banks),
                "rows": In(data.ArrayLayout(bytes_layout(config), config.banks)),
                "row": Out(bytes_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.row.as_value().eq(one_of(self.select, [Value.cast(row) for row in self.rows]))
        return m


class Banks(wiring.Component):
    """Rows of `sets` heads: that of key j in bank j mod banks. A bank reads a row a cycle, for all lines that want it.

    Parameters
    ----------
    config: `ItemsConfig`. looks: there is `look`.

    Members
    -------
    write: In, stream of `write_layout(config)`, a row a cycle, always taken. Head h takes the place of head h - sets.
    read: In, banks: those that read; read_at: In, `read_layout` for each.
    select: In, for each line, banks, one bit set: whose row, read in the cycle before or earlier, it is shown.
    rows: Out, for each line.
    look: In, `look_signature(config)`: likewise, a row a cycle in which no bank reads for the lines.
    """

    def __init__(self, config: ItemsConfig, *, looks: bool = False):
        self._config, self._looks = config, looks
        super().__init__(
            {
                "write": In(stream.Signature(write_layout(config))),
                "read": In(config.banks),
                "read_at": In(data.ArrayLayout(read_layout(config), config.banks)),
                "select": In(data.ArrayLayout(config.banks, config.lines)),
                "rows": Out(data.ArrayLayout(bytes_layout(config), config.lines)),
                **({"look": In(look_signature(config))} if looks else {}),
            }
        )

    @property
    def name(self) -> str:
        """Of a module of all its equals."""
        return "banks_that_show" if self._looks else "banks"

    def elaborate(self, platform):
        m = Module()
        config, stores, write = self._config, [], self.write.payload
        low = config.banks.bit_length() - 1
        sets = (config.sets - 1).bit_length()
        m.d.comb += self.write.ready.eq(1)
        for bank in range(config.banks):
            store = Store(1 << len(Value.cast(self.read_at[bank])), bytes_layout(config))
            m.submodules[f"bank{bank}"] = share(store, store.name, platform)
            m.d.comb += [
                store.write.eq(self.write.valid & (write.key[:low] == bank)),
                store.write_at.eq(Cat(write.key[low:], write.head[:sets])),
                store.word.eq(write.b),
            ]
            if not self._looks:
                m.d.comb += [store.read.eq(self.read[bank]), store.read_at.eq(self.read_at[bank])]
            stores.append(store)
        for line in range(config.lines):
            select = RowSelect(config)
            m.submodules[f"select{line}"] = share(select, "select", platform)
            m.d.comb += [select.select.eq(self.select[line]), self.rows[line].eq(select.row)]
            m.d.comb += [select.rows[bank].eq(store.stored) for bank, store in enumerate(stores)]
        if self._looks:
            self._show(m, stores, platform)
        return m

    def _show(self, m: Module, stores: list[Store], platform) -> None:
        """A row of one bank, past the lines."""
        config, look, select = self._config, self.look, RowSelect(self._config)
        m.submodules.select_look = share(select, "select", platform)
        of, low, sets = look.of, config.banks.bit_length() - 1, (config.sets - 1).bit_length()
        chosen, shown = Signal(config.banks), Signal(config.banks, reset_less=True)
        with m.If(look.read):
            m.d.sync += shown.eq(chosen)
        m.d.comb += [
            chosen.eq(Cat(look.read & (of.token[:low] == bank) for bank in range(config.banks))),
            select.select.eq(shown),
            look.row.eq(select.row),
            *(select.rows[bank].eq(store.stored) for bank, store in enumerate(stores)),
        ]
        for bank, store in enumerate(stores):
            m.d.comb += [
                store.read.eq(self.read[bank] | chosen[bank]),
                store.read_at.eq(Mux(look.read, Cat(of.token[low:], of.head[:sets]), self.read_at[bank].as_value())),
            ]
