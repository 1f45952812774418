# SPDX-License-Identifier: Apache-2.0
"""On-chip memories at 45 nm, one read and one write port: area, energy of an access, leakage; for all designs alike.

A memory of at least `SRAM_WORDS` words and `SRAM_BITS` bits is an SRAM, any smaller one an array of flip-flops:

    SRAM        Least squares of relative errors over 49 memories of CACTI 7.0, 32 to 16384 words of 8 to 128 bits, at
                45 nm, 300 K, with low-standby-power cells and periphery at 1.1 V, the cell library's own voltage.
                Largest deviation and root mean square: area 33 and 9 %, read 34 and 14 %, write 36 and 16 %, leakage
                31 and 10 %. The forms are the project's choice. All but leakage are proportional to the word's width,
                so that a wide word is as many narrow memories beside one another; CACTI's own widest ones are worse.
                Below the limits CACTI gives no answer; that it is also where SRAMs end is the project's choice.
    flip-flops  Least squares over 15 arrays, 2 to 32 words of 4 to 32 bits, mapped by `synth.mapping` onto the NanGate
                45 nm cells, energy by `synth.power` on random words (flip-flops joint). Largest deviation: area 2 %,
                write 7 %, read 13 %, leakage 4 %. While neither port works their clock is taken to stand still.
    banks       An SRAM of more than `BANK_WORDS` words, CACTI's largest here, is banks of so many and one for the
                rest. A whole one works, and half of the word's wires switch along a side of the square of them all.
                The energy of a wire is CACTI's, of a repeated one that may be 30 % slower than the fastest. What
                chooses among banks is left out.

Low-standby-power cells leak a ten-thousandth of CACTI's high-performance ones (64 kbit: 0.3 µW, 5.7 mW): which of them
a memory is made of decides its leakage, and little else. A factory's own memories have test and repair as well.

Held against M. Horowitz, Computing's energy problem (ISSCC 2014), 64 bits of a cache at 45 nm, 0.9 V: 10 pJ of 8 KB,
20 pJ of 32 KB, 100 pJ of 1 MB; here a read takes 7.3, 19.0 and 83.7 pJ. Both tables of what was fitted, and what makes
them again: `tools/memory_model.py`.
"""

from dataclasses import dataclass

from config.errors import require

SRAM_WORDS = 32
SRAM_BITS = 512
"""Of a whole memory."""
BANK_WORDS = 16384

# Of an SRAM's bank: per bit of its word, and per bit and power of its words.
_AREA = (21.01, 0.8303)
_READ, _READ_POWER = (14.25, 0.5511), 0.75
_WRITE, _WRITE_POWER = (6.630, 4.694), 0.5
# Per bank, and per bit stored.
_LEAKAGE = (2.530, 0.004945)

# Of flip-flops: per bit of the word, per bit stored, per word.
_FLIP_FLOP_AREA = (4.917, 5.898, 5.481)
_FLIP_FLOP_READ = (9.652, 2.323, 0.9083)
_FLIP_FLOP_WRITE = (17.32, 2.038, 10.68)
_FLIP_FLOP_LEAKAGE = (79.95, 108.1, 82.76)

_WIRE_FJ_PER_MM = 375.7
_SWITCHING = 0.5
"""Share of a word's wires that switch at an access."""


@dataclass(frozen=True)
class Macro:
    """A memory: µm², fJ for the read or write of a word, nW. `kind` is `SRAM` or `flip-flops`."""

    words: int
    bits: int
    kind: str
    area_um2: float
    read_fj: float
    write_fj: float
    leakage_nw: float


def macro(words: int, bits: int) -> Macro:
    """The memory of so many words of so many bits each. Raises `Refusal` unless both are integers above zero."""
    for name, value in (("words", words), ("bits of a word", bits)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        require(whole and value > 0, f"The {name} of a memory must be a positive integer, not {value!r}.")
    if words < SRAM_WORDS or words * bits < SRAM_BITS:
        return _flip_flops(words, bits)
    return _sram(words, bits)


def _sram(words: int, bits: int) -> Macro:
    banks, deepest = -(-words // BANK_WORDS), min(words, BANK_WORDS)
    area = bits * (_AREA[0] * banks + _AREA[1] * words)
    wires = _SWITCHING * bits * _WIRE_FJ_PER_MM * area**0.5 * 1e-3 if banks > 1 else 0.0
    return Macro(
        words,
        bits,
        "SRAM",
        area_um2=area,
        read_fj=bits * (_READ[0] + _READ[1] * deepest**_READ_POWER) + wires,
        write_fj=bits * (_WRITE[0] + _WRITE[1] * deepest**_WRITE_POWER) + wires,
        leakage_nw=_LEAKAGE[0] * banks + _LEAKAGE[1] * words * bits,
    )


def _flip_flops(words: int, bits: int) -> Macro:
    def sum_of(coefficients: tuple[float, float, float]) -> float:
        per_column, per_bit, per_word = coefficients
        return per_column * bits + per_bit * words * bits + per_word * words

    return Macro(
        words,
        bits,
        "flip-flops",
        area_um2=sum_of(_FLIP_FLOP_AREA),
        read_fj=sum_of(_FLIP_FLOP_READ),
        write_fj=sum_of(_FLIP_FLOP_WRITE),
        leakage_nw=sum_of(_FLIP_FLOP_LEAKAGE),
    )
