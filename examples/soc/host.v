// SPDX-License-Identifier: Apache-2.0
// In place of a processor: an AXI4-Lite master that starts a list of layers and waits for the interrupt.
`default_nettype none

module host #(
    parameter [31:0] DESCRIPTORS = 32'd0,
    parameter [31:0] COUNT = 32'd1
) (
    input wire clk,
    input wire rst,
    input wire interrupt,
    output reg ended,
    output reg failed,

    output reg [11:0] m_axi_awaddr,
    output reg m_axi_awvalid,
    input wire m_axi_awready,
    output reg [31:0] m_axi_wdata,
    output reg m_axi_wvalid,
    input wire m_axi_wready,
    input wire [1:0] m_axi_bresp,
    input wire m_axi_bvalid,
    output wire m_axi_bready,

    output wire [11:0] m_axi_araddr,
    output reg m_axi_arvalid,
    input wire m_axi_arready,
    input wire [31:0] m_axi_rdata,
    input wire [1:0] m_axi_rresp,
    input wire m_axi_rvalid,
    output wire m_axi_rready
);

    // Offsets and bits are those of docs/registers.md.
    localparam [11:0] CONTROL = 12'h020, STATUS = 12'h024, LOW = 12'h030, HIGH = 12'h034, NUMBER = 12'h038;
    localparam [11:0] ENABLE = 12'h040;
    localparam [31:0] START = 32'd1, EVENTS = 32'd3, DONE = 32'd2;
    localparam [2:0] WRITES = 3'd5;

    reg [2:0] step;
    reg writing, reading;

    always @*
        case (step)
            3'd0: {m_axi_awaddr, m_axi_wdata} = {LOW, DESCRIPTORS};
            3'd1: {m_axi_awaddr, m_axi_wdata} = {HIGH, 32'd0};
            3'd2: {m_axi_awaddr, m_axi_wdata} = {NUMBER, COUNT};
            3'd3: {m_axi_awaddr, m_axi_wdata} = {ENABLE, EVENTS};
            default: {m_axi_awaddr, m_axi_wdata} = {CONTROL, START};
        endcase

    assign m_axi_araddr = STATUS;
    assign m_axi_bready = 1'b1;
    assign m_axi_rready = 1'b1;

    always @(posedge clk) begin
        if (m_axi_awready) m_axi_awvalid <= 1'b0;
        if (m_axi_wready) m_axi_wvalid <= 1'b0;
        if (m_axi_arready) m_axi_arvalid <= 1'b0;
        if (!writing && step < WRITES) begin
            {writing, m_axi_awvalid, m_axi_wvalid} <= 3'b111;
        end
        if (m_axi_bvalid) begin
            writing <= 1'b0;
            step <= step + 3'd1;
            if (m_axi_bresp != 2'b00) failed <= 1'b1;
        end
        if (interrupt && !reading) {reading, m_axi_arvalid} <= 2'b11;
        if (m_axi_rvalid) begin
            ended <= 1'b1;
            if (m_axi_rresp != 2'b00 || m_axi_rdata != DONE) failed <= 1'b1;
        end
        if (rst) begin
            step <= 3'd0;
            {writing, reading, ended, failed} <= 4'd0;
            {m_axi_awvalid, m_axi_wvalid, m_axi_arvalid} <= 3'd0;
        end
    end

endmodule
