# SPDX-License-Identifier: Apache-2.0
"""What a memory is in a mapped netlist: a cell that says its size, and one for each pin of its ports. For the clock its
ports are flip-flops; its words are no cells."""

MEMORY = "FORESHIFT_MEMORY"
"""What the names of these cells begin with."""
STUBS = f"""
(* blackbox, keep *) module {MEMORY}; parameter SIZE = 0; parameter WIDTH = 0; parameter ABITS = 0;
parameter WR_PORTS = 0; endmodule
(* blackbox, keep *) module {MEMORY}_IN (input CK, D); endmodule
(* blackbox, keep *) module {MEMORY}_OUT (input CK, output Q); endmodule
"""
# What a memory's ports take and give, pin by pin; the words are only counted. Bits written together have one enable.
TECHMAP = f"""
(* techmap_celltype = "$mem_v2" *)
module memory_as_ports (RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA);
  parameter MEMID = "";
  parameter signed SIZE = 4, OFFSET = 0, ABITS = 2, WIDTH = 8, INIT = 0, RD_PORTS = 1, WR_PORTS = 1;
  parameter RD_CLK_ENABLE = 0, RD_CLK_POLARITY = 0, RD_TRANSPARENCY_MASK = 0, RD_COLLISION_X_MASK = 0;
  parameter RD_WIDE_CONTINUATION = 0, RD_CE_OVER_SRST = 0, RD_ARST_VALUE = 0, RD_SRST_VALUE = 0, RD_INIT_VALUE = 0;
  parameter WR_CLK_ENABLE = 0, WR_CLK_POLARITY = 0, WR_PRIORITY_MASK = 0, WR_WIDE_CONTINUATION = 0;
  input [RD_PORTS-1:0] RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [RD_PORTS*ABITS-1:0] RD_ADDR;
  output [RD_PORTS*WIDTH-1:0] RD_DATA;
  input [WR_PORTS-1:0] WR_CLK;
  input [WR_PORTS*WIDTH-1:0] WR_EN, WR_DATA;
  input [WR_PORTS*ABITS-1:0] WR_ADDR;
  localparam PINS = 1 + ABITS + WR_PORTS * (ABITS + 1 + WIDTH);
  wire _TECHMAP_FAIL_ = RD_PORTS != 1 || RD_CLK_ENABLE != 1;
  wire [WR_PORTS-1:0] enabled;
  wire [PINS-1:0] taken = {{RD_EN, RD_ADDR, WR_ADDR, enabled, WR_DATA}};
  {MEMORY} #(.SIZE(SIZE), .WIDTH(WIDTH), .ABITS(ABITS), .WR_PORTS(WR_PORTS)) _TECHMAP_REPLACE_ ();
  genvar i;
  generate
    for (i = 0; i < WR_PORTS; i = i + 1) begin : write
      assign enabled[i] = |WR_EN[i*WIDTH +: WIDTH];
    end
    for (i = 0; i < PINS; i = i + 1) begin : in
      {MEMORY}_IN pin (.CK(RD_CLK[0]), .D(taken[i]));
    end
    for (i = 0; i < WIDTH; i = i + 1) begin : out
      {MEMORY}_OUT pin (.CK(RD_CLK[0]), .Q(RD_DATA[i]));
    end
  endgenerate
endmodule
"""
PINS = f"""
module {MEMORY}_IN (CK, D); input CK, D; {{cell}} pin (.{{clock}}(CK), .{{data}}(D)); endmodule
module {MEMORY}_OUT (CK, Q); input CK; output Q; {{cell}} pin (.{{clock}}(CK), .{{output}}(Q)); endmodule
"""
