# SPDX-License-Identifier: Apache-2.0
"""Write the memory of the example system: a random layer for `esact_top_4x4`, where it is, and what is to come of it.

usage: python -m examples.soc.image FOLDER        (in the environment of `make sim`)

FOLDER/image.hex    words of 16 bytes, for $readmemh
FOLDER/image.vh     DESCRIPTORS: the layer's address; SUM: of the 32-bit parts of the golden y
"""

import sys
from pathlib import Path

import numpy as np

from config.presets import systems
from sim import accelerator, stack

TOKENS, SEED = 16, 3
WORD = 16


def write(folder: Path) -> None:
    """Both files; the folder must be there."""
    config = systems("tiny")["spls"]
    steps = stack.random_steps(config, "post", TOKENS, 1, SEED)
    laid = accelerator.lay_out(config, steps)
    content = bytes(laid.memory.content)
    words = (content[at : at + WORD] for at in range(0, len(content), WORD))
    (folder / "image.hex").write_text("".join(f"{int.from_bytes(word, 'little'):032x}\n" for word in words))
    # A row of y is whole words of the bus.
    golden = np.frombuffer(steps[0].y.astype(np.int8).tobytes(), "<u4")
    lines = [
        f"    localparam [31:0] DESCRIPTORS = 32'h{laid.descriptors:08x};",
        f"    localparam [31:0] SUM = 32'h{int(golden.sum()) & 0xFFFFFFFF:08x};",
    ]
    (folder / "image.vh").write_text("\n".join(["// Written by image.py.", *lines, ""]))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write(target)
