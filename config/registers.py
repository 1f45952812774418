# SPDX-License-Identifier: Apache-2.0
"""The registers of an accelerator: one table, from which come the register block, its page, the C header and the
SystemRDL text.

The table is the same for every accelerator; what one is built for stands in its CAPABILITY registers.
"""

from dataclasses import dataclass
from enum import Enum

from config.system import TOPS, SystemConfig

REGISTER_BITS = 32
REGISTER_BYTES = REGISTER_BITS // 8
ADDRESS_BITS = 12
"""Of the port: a page of 4 KiB."""
COUNTER_BITS = 64
IDENTITY = int.from_bytes(b"FORE", "little")
MAJOR, MINOR = 1, 0
"""Of the registers and of the descriptor: another MAJOR means that software for an older one does not work."""


class Access(Enum):
    """What software can do with a field, by its name in the documents."""

    RO = "read only"
    RW = "read and write"
    W1C = "set by the accelerator, cleared by writing 1"
    W1P = "writing 1 does it once; reads 0"


@dataclass(frozen=True)
class Field:
    """Bits `low` to `low` + `bits` - 1 of a register.

    reset: what it holds; of a read-only field without a port, what it is where `constants` says nothing else. port: of
    the register block: RO, the input that is shown; RW, the output; W1C, the input that sets it; W1P, the output that
    is 1 for a cycle. part: the lowest bit of the port that the field is.
    """

    name: str
    low: int
    bits: int
    access: Access
    text: str
    reset: int = 0
    port: str = ""
    part: int = 0

    @property
    def mask(self) -> int:
        """Its bits in the register."""
        return ((1 << self.bits) - 1) << self.low


@dataclass(frozen=True)
class Register:
    """A word at byte address `offset`. high_of: this is the high word of a pair, and reads as what it was when the low
    one, `high_of`, was read."""

    name: str
    offset: int
    text: str
    fields: tuple[Field, ...]
    high_of: str = ""


@dataclass(frozen=True)
class Counter:
    """Two registers, NAME_LOW and NAME_HIGH; its port has the name in lower case."""

    name: str
    text: str

    @property
    def port(self) -> str:
        """Of the register block."""
        return self.name.lower()


COUNTERS = (
    Counter("CYCLES", "Cycles from a start to its end, of all starts together."),
    Counter("BUSY_ARRAY1", "Cycles in which array 1 multiplied; those of attention all count."),
    Counter("BUSY_ARRAY2", "Cycles in which array 2 multiplied; those of attention all count."),
    Counter("STALL_WEIGHTS", "Cycles in which an array waited for weights."),
    Counter("STALL_ROWS", "Cycles in which an array waited for rows of activations."),
    Counter("STALL_PLAN", "Cycles in which both arrays had no work because prediction had not gone far enough."),
    Counter("PREDICTION_CYCLES", "Cycles in which the speculation unit was at work."),
    Counter("PREDICTION_HIDDEN", "Of these, cycles in which the arrays did not wait for it."),
    Counter("RECORDS_PREDICTED", "Records of plans."),
    Counter("ITEMS_EXECUTED", "Items of attention: a critical row and its kept keys, of one head."),
    Counter("BYTES_READ", "Bytes read from memory, descriptors included."),
    Counter("BYTES_WRITTEN", "Bytes written to memory."),
    Counter("LAYERS", "Layers that were finished."),
    Counter("CYCLES_LOAD", "Cycles of a layer until its parameters and x are on chip."),
    Counter("CYCLES_GENERATION", "Cycles from then on until Q, K and V are."),
    Counter("CYCLES_ATTENTION", "Cycles from then on until all contexts are."),
    Counter("CYCLES_PROJECTION", "Cycles from then on until the arrays have made the projection of all rows."),
    Counter("CYCLES_FFN", "Cycles from then on until the layer is finished."),
)
FIRST_COUNTER = 0x080


def _build(name: str, low: int, bits: int, text: str) -> Field:
    """What the accelerator is built for."""
    return Field(name, low, bits, Access.RO, text)


def _pair(text: str) -> tuple[Field, Field]:
    """Two events, of a list of layers."""
    return (
        Field("done", 0, 1, Access.W1C, f"{text}: all layers of the list are finished.", port="done"),
        Field("error", 1, 1, Access.W1C, f"{text}: the list was given up; ERROR_CODE says why.", port="error"),
    )


_METHODS = ", ".join(f"{number}: {method}" for number, method in enumerate(TOPS))

_BUILD = (
    Register(
        "ID",
        0x000,
        "Which device this is.",
        (Field("id", 0, 32, Access.RO, "The letters FORE, the first one in the lowest byte.", reset=IDENTITY),),
    ),
    Register(
        "VERSION",
        0x004,
        "Of registers and descriptor. Software must refuse another `major` than its own.",
        (
            Field("minor", 0, 16, Access.RO, "Rises with what is added.", reset=MINOR),
            Field("major", 16, 16, Access.RO, "Rises with what is changed.", reset=MAJOR),
        ),
    ),
    Register(
        "CAPABILITY_UNIT",
        0x008,
        "Prediction and memory port.",
        (
            _build("method", 0, 8, f"Method of speculation, {_METHODS}."),
            _build("rounds", 8, 8, "Rounds of scoring: how many values of eta count."),
            _build("bus_bytes", 16, 16, "Bytes of a word of the memory's port; addresses are multiples of it."),
        ),
    ),
    Register(
        "CAPABILITY_SEQUENCE",
        0x00C,
        "The largest layer.",
        (_build("tokens", 0, 16, "Tokens at the most."), _build("width", 16, 16, "Channels of a token at the most.")),
    ),
    Register(
        "CAPABILITY_HEADS",
        0x010,
        "The largest layer.",
        (
            _build("heads", 0, 16, "Heads at the most."),
            _build("head_width", 16, 16, "Channels of a head at the most."),
        ),
    ),
    Register(
        "CAPABILITY_FFN",
        0x014,
        "The largest layer.",
        (_build("ffn", 0, 16, "Hidden channels of the FFN at the most."),),
    ),
    Register(
        "CAPABILITY_ARRAYS",
        0x018,
        "Of both arrays.",
        (
            _build("lines", 0, 16, "Lines of an array."),
            _build("lanes", 16, 16, "Lanes of a line: columns of a tile; width and ffn are multiples of it."),
        ),
    ),
    Register(
        "CAPABILITY_PREDICTION",
        0x01C,
        "The array of the speculation unit, after which the codes of its weights lie in memory.",
        (
            _build("rows", 0, 16, "Outputs side by side."),
            _build("load", 16, 16, "Outputs whose codes are taken in a cycle."),
        ),
    ),
)

_CONTROL = (
    Register(
        "CONTROL",
        0x020,
        "Commands.",
        (
            Field("start", 0, 1, Access.W1P, "Begin with the list of layers; ignored while busy.", port="start"),
            Field(
                "soft_reset",
                1,
                1,
                Access.W1P,
                "End all work and forget it, without done or error; registers keep what they hold.",
                port="soft_reset",
            ),
            Field("clear_counters", 2, 1, Access.W1P, "Set all counters to 0.", port="clear_counters"),
        ),
    ),
    Register(
        "STATUS",
        0x024,
        "What the accelerator does, and what became of the list.",
        (
            Field("busy", 0, 1, Access.RO, "A list is under way.", port="busy"),
            *(Field(f.name, f.low + 1, 1, f.access, f.text, port=f.port) for f in _pair("Since it was cleared")),
        ),
    ),
    Register(
        "ERROR_CODE",
        0x028,
        "Why the last list was given up.",
        (Field("code", 0, 8, Access.RO, "See the error codes; 0 from a start on.", port="error_code"),),
    ),
    Register(
        "ERROR_DESCRIPTOR",
        0x02C,
        "Where the last list was given up.",
        (Field("index", 0, 16, Access.RO, "Number of the layer, from 0.", port="error_index"),),
    ),
    Register(
        "DESCRIPTORS_LOW",
        0x030,
        "Where the list of descriptors is, one behind the other; read when it starts.",
        (Field("address", 0, 32, Access.RW, "Bits 31 to 0, a multiple of bus_bytes.", port="descriptors"),),
    ),
    Register(
        "DESCRIPTORS_HIGH",
        0x034,
        "The same.",
        (Field("address", 0, 32, Access.RW, "Bits 63 to 32.", port="descriptors", part=32),),
    ),
    Register(
        "DESCRIPTOR_COUNT",
        0x038,
        "How many layers the list has; read when it starts.",
        (Field("count", 0, 16, Access.RW, "0: the list is done at once.", port="descriptor_count"),),
    ),
    Register(
        "MODE",
        0x03C,
        "How layers are run; results are the same. Change it only while not busy.",
        (
            Field(
                "overlap",
                0,
                1,
                Access.RW,
                "Heads are executed while later ones are predicted; else all are predicted first.",
                reset=1,
                port="overlap",
            ),
            Field(
                "eager",
                1,
                1,
                Access.RW,
                "K, V and Q of the first head are generated for all tokens while it is being predicted.",
                reset=1,
                port="eager",
            ),
        ),
    ),
    Register(
        "INTERRUPT_ENABLE",
        0x040,
        "Which events raise the interrupt.",
        (
            Field("done", 0, 1, Access.RW, "All layers of the list are finished.", port="enable_done"),
            Field("error", 1, 1, Access.RW, "The list was given up.", port="enable_error"),
        ),
    ),
    Register(
        "INTERRUPT_STATUS",
        0x044,
        "Events; the interrupt is raised while an enabled one stands.",
        _pair("Since it was cleared"),
    ),
)


def _words(counter: Counter, offset: int) -> tuple[Register, Register]:
    """The two registers of a counter."""
    low = Field("count", 0, 32, Access.RO, "Bits 31 to 0.", port=counter.port)
    high = Field("count", 0, 32, Access.RO, "Bits 63 to 32.", port=counter.port, part=32)
    name = f"{counter.name}_LOW"
    return (
        Register(name, offset, counter.text, (low,)),
        Register(f"{counter.name}_HIGH", offset + REGISTER_BYTES, counter.text, (high,), high_of=name),
    )


REGISTERS = (
    *_BUILD,
    *_CONTROL,
    *(word for n, counter in enumerate(COUNTERS) for word in _words(counter, FIRST_COUNTER + 2 * REGISTER_BYTES * n)),
)


def constants(config: SystemConfig) -> dict[tuple[str, str], int]:
    """(register, field) → value of each read-only field that an accelerator is built with."""
    unit, arrays = config.speculation, config.attention.arrays
    capabilities = {
        ("CAPABILITY_UNIT", "method"): list(TOPS).index(unit.method),
        ("CAPABILITY_UNIT", "rounds"): unit.rounds,
        ("CAPABILITY_UNIT", "bus_bytes"): config.bus_bytes,
        ("CAPABILITY_SEQUENCE", "tokens"): config.tokens,
        ("CAPABILITY_SEQUENCE", "width"): unit.width,
        ("CAPABILITY_HEADS", "heads"): config.heads,
        ("CAPABILITY_HEADS", "head_width"): unit.head_width,
        ("CAPABILITY_FFN", "ffn"): config.ffn,
        ("CAPABILITY_ARRAYS", "lines"): arrays.lines,
        ("CAPABILITY_ARRAYS", "lanes"): arrays.lanes,
        ("CAPABILITY_PREDICTION", "rows"): unit.rows,
        ("CAPABILITY_PREDICTION", "load"): unit.load,
    }
    fixed = {(r.name, f.name): f.reset for r in _BUILD for f in r.fields}
    return fixed | capabilities


def resets(config: SystemConfig) -> dict[str, int]:
    """Register → what it reads behind reset, where that does not hang on what its ports show."""
    fixed = constants(config)
    return {r.name: sum(fixed.get((r.name, f.name), f.reset) << f.low for f in r.fields) for r in REGISTERS}
