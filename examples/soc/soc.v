// SPDX-License-Identifier: Apache-2.0
// The smallest system around an accelerator: host, memory, two lamps. A layer lies in the memory from the beginning.
//
//   host ── s_axi_ctrl ─► esact_top_4x4 ── m_axi ─► memory
//    ▲ └────────── interrupt ◄──┘                     │ sum of what was written
//    └── ended, failed ─► done, good ◄────────────────┘
`default_nettype none

module soc (
    input wire clk,
    input wire resetn,
    output wire done,
    output wire good
);

    // Where the layer's descriptor is, and the sum of a right result: written by image.py, with image.hex.
`include "image.vh"

    reg [1:0] settled;
    always @(posedge clk) settled <= {settled[0], resetn};
    wire aresetn = settled[1];
    wire rst = !aresetn;

    wire [11:0] ctrl_araddr, ctrl_awaddr;
    wire [31:0] ctrl_rdata, ctrl_wdata;
    wire [1:0] ctrl_rresp, ctrl_bresp;
    wire ctrl_arvalid, ctrl_arready, ctrl_rvalid, ctrl_rready;
    wire ctrl_awvalid, ctrl_awready, ctrl_wvalid, ctrl_wready, ctrl_bvalid, ctrl_bready;

    wire [63:0] araddr, awaddr;
    wire [7:0] arlen;
    wire [127:0] rdata, wdata;
    wire [15:0] wstrb;
    wire [1:0] rresp, bresp;
    wire arvalid, arready, rvalid, rready, rlast;
    wire awvalid, awready, wvalid, wready, wlast, bvalid, bready;

    wire interrupt, ended, failed;
    wire [31:0] sum;
    assign done = ended;
    assign good = ended && !failed && sum == SUM;

    host #(
        .DESCRIPTORS(DESCRIPTORS)
    ) host (
        .clk(clk),
        .rst(rst),
        .interrupt(interrupt),
        .ended(ended),
        .failed(failed),
        .m_axi_awaddr(ctrl_awaddr),
        .m_axi_awvalid(ctrl_awvalid),
        .m_axi_awready(ctrl_awready),
        .m_axi_wdata(ctrl_wdata),
        .m_axi_wvalid(ctrl_wvalid),
        .m_axi_wready(ctrl_wready),
        .m_axi_bresp(ctrl_bresp),
        .m_axi_bvalid(ctrl_bvalid),
        .m_axi_bready(ctrl_bready),
        .m_axi_araddr(ctrl_araddr),
        .m_axi_arvalid(ctrl_arvalid),
        .m_axi_arready(ctrl_arready),
        .m_axi_rdata(ctrl_rdata),
        .m_axi_rresp(ctrl_rresp),
        .m_axi_rvalid(ctrl_rvalid),
        .m_axi_rready(ctrl_rready)
    );

    // The memory knows words of 16 bytes at rising addresses alone, and one ID, which is what this master asks for.
    /* verilator lint_off PINCONNECTEMPTY */
    esact_top_4x4 accelerator (
        .aclk(clk),
        .aresetn(aresetn),
        .interrupt(interrupt),
        .s_axi_ctrl_araddr(ctrl_araddr),
        .s_axi_ctrl_arprot(3'd0),
        .s_axi_ctrl_arvalid(ctrl_arvalid),
        .s_axi_ctrl_arready(ctrl_arready),
        .s_axi_ctrl_rdata(ctrl_rdata),
        .s_axi_ctrl_rresp(ctrl_rresp),
        .s_axi_ctrl_rvalid(ctrl_rvalid),
        .s_axi_ctrl_rready(ctrl_rready),
        .s_axi_ctrl_awaddr(ctrl_awaddr),
        .s_axi_ctrl_awprot(3'd0),
        .s_axi_ctrl_awvalid(ctrl_awvalid),
        .s_axi_ctrl_awready(ctrl_awready),
        .s_axi_ctrl_wdata(ctrl_wdata),
        .s_axi_ctrl_wstrb(4'hf),
        .s_axi_ctrl_wvalid(ctrl_wvalid),
        .s_axi_ctrl_wready(ctrl_wready),
        .s_axi_ctrl_bresp(ctrl_bresp),
        .s_axi_ctrl_bvalid(ctrl_bvalid),
        .s_axi_ctrl_bready(ctrl_bready),
        .m_axi_arid(),
        .m_axi_araddr(araddr),
        .m_axi_arlen(arlen),
        .m_axi_arsize(),
        .m_axi_arburst(),
        .m_axi_arlock(),
        .m_axi_arcache(),
        .m_axi_arprot(),
        .m_axi_arvalid(arvalid),
        .m_axi_arready(arready),
        .m_axi_rid(1'b0),
        .m_axi_rdata(rdata),
        .m_axi_rresp(rresp),
        .m_axi_rlast(rlast),
        .m_axi_rvalid(rvalid),
        .m_axi_rready(rready),
        .m_axi_awid(),
        .m_axi_awaddr(awaddr),
        .m_axi_awlen(),
        .m_axi_awsize(),
        .m_axi_awburst(),
        .m_axi_awlock(),
        .m_axi_awcache(),
        .m_axi_awprot(),
        .m_axi_awvalid(awvalid),
        .m_axi_awready(awready),
        .m_axi_wdata(wdata),
        .m_axi_wstrb(wstrb),
        .m_axi_wlast(wlast),
        .m_axi_wvalid(wvalid),
        .m_axi_wready(wready),
        .m_axi_bid(1'b0),
        .m_axi_bresp(bresp),
        .m_axi_bvalid(bvalid),
        .m_axi_bready(bready)
    );
    /* verilator lint_on PINCONNECTEMPTY */

    memory #(
        .IMAGE("image.hex")
    ) memory (
        .clk(clk),
        .rst(rst),
        .sum(sum),
        .s_axi_araddr(araddr),
        .s_axi_arlen(arlen),
        .s_axi_arvalid(arvalid),
        .s_axi_arready(arready),
        .s_axi_rdata(rdata),
        .s_axi_rresp(rresp),
        .s_axi_rlast(rlast),
        .s_axi_rvalid(rvalid),
        .s_axi_rready(rready),
        .s_axi_awaddr(awaddr),
        .s_axi_awvalid(awvalid),
        .s_axi_awready(awready),
        .s_axi_wdata(wdata),
        .s_axi_wstrb(wstrb),
        .s_axi_wlast(wlast),
        .s_axi_wvalid(wvalid),
        .s_axi_wready(wready),
        .s_axi_bresp(bresp),
        .s_axi_bvalid(bvalid),
        .s_axi_bready(bready)
    );

endmodule
