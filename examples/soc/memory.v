// SPDX-License-Identifier: Apache-2.0
// A memory behind an AXI4 master of words of 16 bytes: a word a cycle in each direction, one burst of each at a time.
// `sum` is the sum of all 32-bit parts of all words that were written, by which a run is recognised.
`default_nettype none

module memory #(
    parameter IMAGE = "",
    parameter INDEX_BITS = 11
) (
    input wire clk,
    input wire rst,
    output reg [31:0] sum,

    input wire [63:0] s_axi_araddr,
    input wire [7:0] s_axi_arlen,
    input wire s_axi_arvalid,
    output wire s_axi_arready,
    output reg [127:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output reg s_axi_rlast,
    output reg s_axi_rvalid,
    input wire s_axi_rready,

    input wire [63:0] s_axi_awaddr,
    input wire s_axi_awvalid,
    output wire s_axi_awready,
    input wire [127:0] s_axi_wdata,
    input wire [15:0] s_axi_wstrb,
    input wire s_axi_wlast,
    input wire s_axi_wvalid,
    output wire s_axi_wready,
    output wire [1:0] s_axi_bresp,
    output reg s_axi_bvalid,
    input wire s_axi_bready
);

    localparam LOW = 4;

    reg [127:0] words[0:(1 << INDEX_BITS) - 1];

    initial if (IMAGE != "") $readmemh(IMAGE, words);

    // Reads: while `reading`, a word is fetched in each cycle in which the one before is gone.
    reg reading;
    reg [INDEX_BITS-1:0] read_at;
    reg [7:0] left;
    wire fetch = reading && (!s_axi_rvalid || s_axi_rready);

    assign s_axi_arready = !reading;
    assign s_axi_rresp = 2'b00;

    always @(posedge clk) begin
        if (s_axi_arvalid && s_axi_arready) begin
            reading <= 1'b1;
            read_at <= s_axi_araddr[LOW+:INDEX_BITS];
            left <= s_axi_arlen;
        end
        if (s_axi_rready) s_axi_rvalid <= 1'b0;
        if (fetch) begin
            s_axi_rvalid <= 1'b1;
            s_axi_rlast <= left == 8'd0;
            read_at <= read_at + 1'b1;
            left <= left - 8'd1;
            if (left == 8'd0) reading <= 1'b0;
        end
        if (rst) begin
            reading <= 1'b0;
            s_axi_rvalid <= 1'b0;
        end
    end

    always @(posedge clk) if (fetch) s_axi_rdata <= words[read_at];

    // Writes: an address, its words, an answer.
    reg writing;
    reg [INDEX_BITS-1:0] write_at;
    wire store = s_axi_wvalid && s_axi_wready;

    assign s_axi_awready = !writing && !s_axi_bvalid;
    assign s_axi_wready = writing;
    assign s_axi_bresp = 2'b00;

    always @(posedge clk) begin
        if (s_axi_awvalid && s_axi_awready) begin
            writing <= 1'b1;
            write_at <= s_axi_awaddr[LOW+:INDEX_BITS];
        end
        if (s_axi_bready) s_axi_bvalid <= 1'b0;
        if (store) begin
            write_at <= write_at + 1'b1;
            if (s_axi_wlast) begin
                writing <= 1'b0;
                s_axi_bvalid <= 1'b1;
            end
        end
        if (rst) begin
            writing <= 1'b0;
            s_axi_bvalid <= 1'b0;
        end
    end

    integer n;
    always @(posedge clk)
        for (n = 0; n < 16; n = n + 1)
            if (store && s_axi_wstrb[n]) words[write_at][8*n+:8] <= s_axi_wdata[8*n+:8];

    always @(posedge clk)
        if (rst) sum <= 32'd0;
        else if (store) sum <= sum + s_axi_wdata[31:0] + s_axi_wdata[63:32] + s_axi_wdata[95:64] + s_axi_wdata[127:96];

endmodule
