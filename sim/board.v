// SPDX-License-Identifier: Apache-2.0
// A board for an accelerator in simulation: its memory, its host, and the rules of its bus.
// A memory behind an AXI4 port: bursts in order, a word a cycle, after a latency; rests at random; answers some words
// with an error.
module board_memory #(parameter BYTES = 16, parameter WORDS = 1024) (
    input clk, input rst, input [8:0] stall, input [15:0] latency, input [31:0] now,
    input [63:0] bad_read, input [63:0] bad_write,
    input [63:0] araddr, input [7:0] arlen, input arvalid, output reg arready,
    output reg [8*BYTES-1:0] rdata, output reg [1:0] rresp, output reg rlast, output reg rvalid, input rready,
    input [63:0] awaddr, input [7:0] awlen, input awvalid, output reg awready,
    input [8*BYTES-1:0] wdata, input wlast, input wvalid, output reg wready,
    output reg [1:0] bresp, output reg bvalid, input bready
);
    localparam LOW = $clog2(BYTES);
    reg [8*BYTES-1:0] words [0:WORDS-1];
    initial $readmemh("memory.hex", words);
    // Requests that wait: address, length, and the cycle from which on they may be answered.
    reg [63:0] reads [0:63];
    reg [7:0] read_lengths [0:63];
    reg [31:0] read_times [0:63];
    reg [63:0] writes [0:63];
    reg [5:0] read_in, read_out, write_in, write_out, answer_in, answer_out;
    reg [7:0] read_beat, write_beat;
    reg write_bad;
    reg [1:0] answers [0:63];
    reg [31:0] answer_times [0:63];
    wire [63:0] read_at = reads[read_out] + ({56'b0, read_beat} << LOW);
    wire [63:0] write_at = writes[write_out] + ({56'b0, write_beat} << LOW);
    wire [63:0] read_word = read_at >> LOW, write_word = write_at >> LOW;
    wire bad = write_bad || write_word == bad_write || write_word >= WORDS;
    function rests(input integer nothing);
        rests = ($urandom & 255) < {23'b0, stall};
    endfunction
    always @(posedge clk)
        if (rst) begin
            {arready, rvalid, awready, wready, bvalid} <= 0;
            {read_in, read_out, write_in, write_out, answer_in, answer_out, read_beat, write_beat} <= 0;
            write_bad <= 0;
        end else begin
            arready <= !rests(0) && read_in - read_out < 6'd60;
            awready <= !rests(0) && write_in - write_out < 6'd60;
            if (arvalid && arready) begin
                reads[read_in] <= araddr;
                read_lengths[read_in] <= arlen;
                read_times[read_in] <= now + {16'b0, latency};
                read_in <= read_in + 1;
            end
            if (awvalid && awready) begin
                writes[write_in] <= awaddr;
                write_in <= write_in + 1;
            end
            if (!rvalid || rready) begin
                rvalid <= 0;
                if (read_in != read_out && now >= read_times[read_out] && !rests(0)) begin
                    rvalid <= 1;
                    rresp <= read_word == bad_read || read_word >= WORDS ? 2'b10 : 2'b00;
                    rdata <= words[read_word % WORDS];
                    rlast <= read_beat == read_lengths[read_out];
                    read_beat <= read_beat == read_lengths[read_out] ? 0 : read_beat + 1;
                    if (read_beat == read_lengths[read_out]) read_out <= read_out + 1;
                end
            end
            // Data is taken behind its address only.
            wready <= !rests(0) && (write_in - write_out > ((wvalid && wready && wlast) ? 6'd1 : 6'd0));
            if (wvalid && wready) begin
                if (!bad) words[write_word % WORDS] <= wdata;
                write_beat <= wlast ? 0 : write_beat + 1;
                write_bad <= !wlast && bad;
                if (wlast) begin
                    write_out <= write_out + 1;
                    answers[answer_in] <= bad ? 2'b10 : 2'b00;
                    answer_times[answer_in] <= now + {16'b0, latency};
                    answer_in <= answer_in + 1;
                end
            end
            if (!bvalid || bready) begin
                bvalid <= 0;
                if (answer_in != answer_out && now >= answer_times[answer_out] && !rests(0)) begin
                    bvalid <= 1;
                    bresp <= answers[answer_out];
                    answer_out <= answer_out + 1;
                end
            end
        end
endmodule

// What is offered stands until it is taken.
module board_stable #(parameter BITS = 1, parameter NAME = "") (
    input clk, input rst, input valid, input ready, input [BITS-1:0] payload, output reg failed
);
    reg waits;
    reg [BITS-1:0] held;
    always @(posedge clk) begin
        waits <= !rst && valid && !ready;
        held <= payload;
        failed <= 0;
        if (!rst && waits && !(valid && payload == held)) begin
            $display("%s: what is offered must stand until it is taken", NAME);
            failed <= 1;
        end
    end
endmodule

// A burst of rising addresses, of whole words, within a page.
module board_burst #(parameter BYTES = 16, parameter NAME = "") (
    input clk, input rst, input valid, input [63:0] addr, input [7:0] len, input [2:0] size, input [1:0] burst,
    output reg failed
);
    wire [63:0] last = addr + ({56'b0, len} << $clog2(BYTES));
    always @(posedge clk) begin
        failed <= 0;
        if (!rst && valid && (last[63:12] != addr[63:12] || burst != 1 || size != $clog2(BYTES) || addr % BYTES != 0)) begin
            $display("%s: a burst must be of whole words with rising addresses within 4 KB", NAME);
            failed <= 1;
        end
    end
endmodule

// As many words of a burst as its address said.
module board_lengths (
    input clk, input rst, input awvalid, input awready, input [7:0] awlen, input wvalid, input wready, input wlast,
    output reg failed
);
    reg [7:0] lengths [0:63];
    reg [5:0] in, out;
    reg [7:0] beat;
    always @(posedge clk)
        if (rst) begin
            {in, out, beat} <= 0;
            failed <= 0;
        end else begin
            failed <= 0;
            if (awvalid && awready) begin
                lengths[in] <= awlen;
                in <= in + 1;
            end
            if (wvalid && wready) begin
                beat <= wlast ? 0 : beat + 1;
                if (wlast) out <= out + 1;
                if (in == out || wlast != (beat == lengths[out])) begin
                    $display("w: the last word of a burst must be the one that its address says");
                    failed <= 1;
                end
            end
        end
endmodule

// Reads what to do from a file: writes and reads registers, waits for the interrupt.
module board_host (
    input clk, input rst, input go, input interrupt, output reg done,
    output reg [11:0] awaddr, output reg awvalid, input awready,
    output reg [31:0] wdata, output reg wvalid, input wready, input bvalid, output reg bready,
    output reg [11:0] araddr, output reg arvalid, input arready,
    input [31:0] rdata, input rvalid, output reg rready,
    output reg dump, output reg [63:0] first, output reg [63:0] last
);
    integer script, seen, count;
    reg [63:0] what, where, value;
    reg busy;
    initial begin
        script = $fopen("host.in", "r");
        seen = $fopen("host.out", "w");
    end
    always @(posedge clk)
        if (rst) begin
            {awvalid, wvalid, bready, arvalid, rready, busy, done, dump} <= 0;
        end else if (go && !done) begin
            dump <= 0;
            if (!busy) begin
                count = $fscanf(script, "%h %h %h\n", what, where, value);
                busy <= 1;
                if (count != 3 || what == 4) done <= 1;
                if (what == 0) begin
                    awaddr <= where[11:0];
                    wdata <= value[31:0];
                    {awvalid, wvalid, bready} <= 3'b111;
                end
                if (what == 1) begin
                    araddr <= where[11:0];
                    {arvalid, rready} <= 2'b11;
                end
                if (what == 3) begin
                    first <= where;
                    last <= value;
                    dump <= 1;
                    busy <= 0;
                end
            end else begin
                if (awready) awvalid <= 0;
                if (wready) wvalid <= 0;
                if (arready) arvalid <= 0;
                if (bvalid && bready) {bready, busy} <= 0;
                if (rvalid && rready) begin
                    $fwrite(seen, "%h\n", rdata);
                    {rready, busy} <= 0;
                end
                if (what == 2 && interrupt) busy <= 0;
            end
            if (done) $fflush(seen);
        end
endmodule

module board #(parameter BYTES = 16, parameter WORDS = 1024) (
    input clk, input rst, input go, input [8:0] stall, input [15:0] latency, input [31:0] now,
    input [63:0] bad_read, input [63:0] bad_write, output done, output failed
);
    wire [63:0] araddr, awaddr, first, last;
    wire [7:0] arlen, awlen;
    wire [2:0] arsize, awsize;
    wire [1:0] arburst, awburst, rresp, bresp;
    wire arvalid, arready, rvalid, rready, rlast, awvalid, awready, wvalid, wready, wlast, bvalid, bready;
    wire [8*BYTES-1:0] rdata, wdata;
    wire [11:0] ctrl_awaddr, ctrl_araddr;
    wire [31:0] ctrl_wdata, ctrl_rdata;
    wire ctrl_awvalid, ctrl_awready, ctrl_wvalid, ctrl_wready, ctrl_bvalid, ctrl_bready;
    wire ctrl_arvalid, ctrl_arready, ctrl_rvalid, ctrl_rready, interrupt, dump;
    ACCELERATOR unit (
        .aclk(clk), .aresetn(!rst), .interrupt(interrupt),
        .s_axi_ctrl_awaddr(ctrl_awaddr), .s_axi_ctrl_awprot(3'b0), .s_axi_ctrl_awvalid(ctrl_awvalid),
        .s_axi_ctrl_awready(ctrl_awready), .s_axi_ctrl_wdata(ctrl_wdata), .s_axi_ctrl_wstrb(4'hf),
        .s_axi_ctrl_wvalid(ctrl_wvalid), .s_axi_ctrl_wready(ctrl_wready), .s_axi_ctrl_bresp(),
        .s_axi_ctrl_bvalid(ctrl_bvalid), .s_axi_ctrl_bready(ctrl_bready),
        .s_axi_ctrl_araddr(ctrl_araddr), .s_axi_ctrl_arprot(3'b0), .s_axi_ctrl_arvalid(ctrl_arvalid),
        .s_axi_ctrl_arready(ctrl_arready), .s_axi_ctrl_rdata(ctrl_rdata), .s_axi_ctrl_rresp(),
        .s_axi_ctrl_rvalid(ctrl_rvalid), .s_axi_ctrl_rready(ctrl_rready),
        .m_axi_arid(), .m_axi_araddr(araddr), .m_axi_arlen(arlen), .m_axi_arsize(arsize), .m_axi_arburst(arburst),
        .m_axi_arlock(), .m_axi_arcache(), .m_axi_arprot(), .m_axi_arvalid(arvalid), .m_axi_arready(arready),
        .m_axi_rid(1'b0), .m_axi_rdata(rdata), .m_axi_rresp(rresp), .m_axi_rlast(rlast), .m_axi_rvalid(rvalid),
        .m_axi_rready(rready),
        .m_axi_awid(), .m_axi_awaddr(awaddr), .m_axi_awlen(awlen), .m_axi_awsize(awsize), .m_axi_awburst(awburst),
        .m_axi_awlock(), .m_axi_awcache(), .m_axi_awprot(), .m_axi_awvalid(awvalid), .m_axi_awready(awready),
        .m_axi_wdata(wdata), .m_axi_wstrb(), .m_axi_wlast(wlast), .m_axi_wvalid(wvalid), .m_axi_wready(wready),
        .m_axi_bid(1'b0), .m_axi_bresp(bresp), .m_axi_bvalid(bvalid), .m_axi_bready(bready));
    board_memory #(.BYTES(BYTES), .WORDS(WORDS)) memory (.*);
    board_host host (
        .clk(clk), .rst(rst), .go(go), .interrupt(interrupt), .done(done),
        .awaddr(ctrl_awaddr), .awvalid(ctrl_awvalid), .awready(ctrl_awready),
        .wdata(ctrl_wdata), .wvalid(ctrl_wvalid), .wready(ctrl_wready), .bvalid(ctrl_bvalid), .bready(ctrl_bready),
        .araddr(ctrl_araddr), .arvalid(ctrl_arvalid), .arready(ctrl_arready),
        .rdata(ctrl_rdata), .rvalid(ctrl_rvalid), .rready(ctrl_rready), .dump(dump), .first(first), .last(last));
    always @(posedge clk) if (dump) $writememh("memory.out", memory.words, first, last);
    wire [6:0] wrong;
    board_stable #(.BITS(77), .NAME("ar")) ar (.clk(clk), .rst(rst), .valid(arvalid), .ready(arready),
        .payload({araddr, arlen, arsize, arburst}), .failed(wrong[0]));
    board_stable #(.BITS(77), .NAME("aw")) aw (.clk(clk), .rst(rst), .valid(awvalid), .ready(awready),
        .payload({awaddr, awlen, awsize, awburst}), .failed(wrong[1]));
    board_stable #(.BITS(8*BYTES+1), .NAME("w")) w (.clk(clk), .rst(rst), .valid(wvalid), .ready(wready),
        .payload({wdata, wlast}), .failed(wrong[2]));
    board_stable #(.BITS(32), .NAME("ctrl r")) r (.clk(clk), .rst(rst), .valid(ctrl_rvalid), .ready(ctrl_rready),
        .payload(ctrl_rdata), .failed(wrong[3]));
    board_burst #(.BYTES(BYTES), .NAME("ar")) reads (.clk(clk), .rst(rst), .valid(arvalid), .addr(araddr), .len(arlen),
        .size(arsize), .burst(arburst), .failed(wrong[4]));
    board_burst #(.BYTES(BYTES), .NAME("aw")) writes (.clk(clk), .rst(rst), .valid(awvalid), .addr(awaddr), .len(awlen),
        .size(awsize), .burst(awburst), .failed(wrong[5]));
    board_lengths lengths (.clk(clk), .rst(rst), .awvalid(awvalid), .awready(awready), .awlen(awlen), .wvalid(wvalid),
        .wready(wready), .wlast(wlast), .failed(wrong[6]));
    assign failed = |wrong;
endmodule
