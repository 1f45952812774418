# SPDX-License-Identifier: Apache-2.0
"""An accelerator on a board, at the simulator's own speed: a memory and a host beside it in Verilog, Python sleeps.

memory.hex ─► memory ◄─► checker ◄─► m_axi ─ accelerator ─ s_axi_ctrl ◄─► host ◄─ host.in
memory.out ◄───┘                                interrupt ─────────────────► └──► host.out
"""

import pickle
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sim import runner

FULL = 256
"""What chances of a pause are out of."""
NEVER = (1 << 64) - 1
WRITE, READ, WAIT, DUMP, END = range(5)
"""What a host does: writes a register; reads one; waits for the interrupt; writes words of the memory to a file."""

_MODULES = (Path(__file__).with_name("board.v")).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Board:
    """A model with its memory: of `words` words of `bus_bytes` bytes."""

    name: str
    bus_bytes: int
    words: int
    folder: Path


@dataclass(frozen=True)
class Script:
    """What the host does, step by step."""

    steps: list[tuple[int, int, int]] = field(default_factory=list)

    def write(self, offset: int, value: int) -> None:
        self.steps.append((WRITE, offset, value))

    def read(self, offset: int) -> None:
        self.steps.append((READ, offset, 0))

    def wait(self) -> None:
        self.steps.append((WAIT, 0, 0))


@dataclass(frozen=True)
class Weather:
    """How the memory behaves. stall: how often a channel rests. latency: cycles from a request to its first word.
    bad_read, bad_write: word addresses, of the memory's bytes, that are answered with an error."""

    stall: float = 0.0
    latency: int = 20
    bad_read: int = NEVER
    bad_write: int = NEVER
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """memory: bytes of what was asked for. values: what the host has read, in order. rate: cycles a second."""

    memory: bytes
    values: list[int]
    cycles: int
    rate: float


def build(text: str, name: str, bus_bytes: int, words: int, repeated: Sequence[str] = ()) -> Board:
    """Built if need be. text: Verilog of the accelerator `name`. repeated: as of `runner.build`."""
    top = f"""
module {name}_board (input clk, input rst, input go, input [8:0] stall, input [15:0] latency,
    input [63:0] bad_read, input [63:0] bad_write, output done, output failed, output reg [31:0] now);
board #(.BYTES({bus_bytes}), .WORDS({words})) board (.*);
always @(posedge clk) now <= rst ? 0 : now + 1;
endmodule
"""
    modules = _MODULES.replace("ACCELERATOR", name)
    folder = runner.build(f"{text}{modules}{top}", f"{name}_board", repeated=repeated)
    return Board(name, bus_bytes, words, folder)


def run(
    board: Board, memory: bytes, script: Script, dump: range, weather: Weather | None = None, limit: int = 10_000_000
) -> Outcome:
    """Content of the memory from address 0 on; dump: addresses whose bytes are wanted at the end, whole words.

    Raises `SimulationError` if the script does not come to its end within `limit` cycles, or for a rule of the bus that
    is broken.
    """
    size = board.bus_bytes
    assert len(memory) <= board.words * size, f"the board has {board.words * size} bytes, not {len(memory)}"
    runner.WORK.mkdir(parents=True, exist_ok=True)
    # A failed run leaves its folder.
    work = Path(tempfile.mkdtemp(prefix=f"{board.name}-", dir=runner.WORK)).resolve()
    words = (memory[at : at + size].ljust(size, b"\0") for at in range(0, len(memory), size))
    (work / "memory.hex").write_text("".join(f"{word[::-1].hex()}\n" for word in words), encoding="ascii")
    steps = [*script.steps, (DUMP, dump.start // size, dump.stop // size - 1), (END, 0, 0)]
    (work / "host.in").write_text("".join("{:x} {:x} {:x}\n".format(*step) for step in steps), encoding="ascii")
    (work / "jobs.pickle").write_bytes(pickle.dumps((weather or Weather(), limit)))
    runner.run(board.folder, f"{board.name}_board", "sim.board_bench", work, {runner.JOB: str(work)})
    cycles, rate = pickle.loads((work / "results.pickle").read_bytes())
    values = [int(line, 16) for line in (work / "host.out").read_text(encoding="ascii").split()]
    lines = (line for line in (work / "memory.out").read_text(encoding="ascii").split() if line[0] not in "/@")
    content = b"".join(bytes.fromhex(line)[::-1] for line in lines)
    shutil.rmtree(work)
    return Outcome(content, values, cycles, rate)
