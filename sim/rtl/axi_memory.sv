// SPDX-License-Identifier: Apache-2.0
// A memory behind an AXI4 port, for simulation: whole words at rising addresses, answers in the order of the requests.
//
// It rests at will: `pace_*` of 256 cycles on each channel, and in `naps` of 256 such rests for `nap_length` cycles more.
// The first data of a burst, and the answer to one, come `latency` cycles behind it or later. Read beat number
// `bad_read`, and the answer to written burst number `bad_write`, counted from 0, are errors, or, from `fails` on, those
// that `fails_read` and `fails_write` count from there; so are all that lie outside the memory. `dump` writes words
// `dump_first` to `dump_last` to memory.out.

module axi_rests (
    input clk,
    input rst,
    input [31:0] seed,
    input [8:0] pace,
    input [8:0] naps,
    input [15:0] nap_length,
    output rests
);
    reg [31:0] state;
    reg [15:0] left;
    wire [31:0] one = state ^ (state << 13);
    wire [31:0] two = one ^ (one >> 17);
    wire begins = {1'b0, state[15:8]} < pace;
    assign rests = left != 0 || begins;
    always @(posedge clk) begin
        state <= rst ? seed | 1 : two ^ (two << 5);
        if (rst) left <= 0;
        else if (left != 0) left <= left - 1;
        else if (begins && {1'b0, state[31:24]} < naps) left <= nap_length;
    end
endmodule

module axi_memory #(
    parameter BYTES = 16,
    parameter IDS = 1,
    parameter WORDS = 1024,
    parameter DEPTH = 32,
    parameter IN = "memory.in",
    parameter OUT = "memory.out"
) (
    input clk,
    input rst,
    input [31:0] seed,
    input [63:0] base,
    input [8:0] pace_ar,
    input [8:0] pace_r,
    input [8:0] pace_aw,
    input [8:0] pace_w,
    input [8:0] pace_b,
    input [8:0] naps,
    input [15:0] nap_length,
    input [15:0] latency,
    input [31:0] bad_read,
    input [31:0] bad_write,
    input fails,
    input [31:0] fails_read,
    input [31:0] fails_write,
    input dump,
    input [31:0] dump_first,
    input [31:0] dump_last,
    output reg [31:0] words_read,
    output reg [31:0] words_written,
    output reg broken,

    input [IDS-1:0] arid,
    input [63:0] araddr,
    input [7:0] arlen,
    input [2:0] arsize,
    input [1:0] arburst,
    input arvalid,
    output arready,
    output reg [IDS-1:0] rid,
    output reg [8*BYTES-1:0] rdata,
    output reg [1:0] rresp,
    output reg rlast,
    output reg rvalid,
    input rready,
    input [IDS-1:0] awid,
    input [63:0] awaddr,
    input [2:0] awsize,
    input [1:0] awburst,
    input awvalid,
    output awready,
    input [8*BYTES-1:0] wdata,
    input [BYTES-1:0] wstrb,
    input wlast,
    input wvalid,
    output wready,
    output reg [IDS-1:0] bid,
    output reg [1:0] bresp,
    output reg bvalid,
    input bready
);
    localparam SIZE = $clog2(BYTES);
    localparam PLACES = $clog2(DEPTH);
    localparam [1:0] OKAY = 0, FAILS = 2, NOWHERE = 3;

    reg [8*BYTES-1:0] words [0:WORDS-1];
    initial $readmemh(IN, words);

    wire rest_ar, rest_r, rest_aw, rest_w, rest_b;
    axi_rests at_ar (clk, rst, seed ^ 32'h11111111, pace_ar, naps, nap_length, rest_ar);
    axi_rests at_r (clk, rst, seed ^ 32'h22222222, pace_r, naps, nap_length, rest_r);
    axi_rests at_aw (clk, rst, seed ^ 32'h33333333, pace_aw, naps, nap_length, rest_aw);
    axi_rests at_w (clk, rst, seed ^ 32'h44444444, pace_w, naps, nap_length, rest_w);
    axi_rests at_b (clk, rst, seed ^ 32'h55555555, pace_b, naps, nap_length, rest_b);

    reg [31:0] now;
    always @(posedge clk) now <= rst ? 0 : now + 1;

    function [63:0] place(input [63:0] address);
        place = (address - base) >> SIZE;
    endfunction

    // What it does not serve is told, not guessed at.
    wire served = (!arvalid || (arsize == SIZE[2:0] && arburst == 1 && araddr[SIZE-1:0] == 0))
        && (!awvalid || (awsize == SIZE[2:0] && awburst == 1 && awaddr[SIZE-1:0] == 0));
    always @(posedge clk)
        if (rst) broken <= 0;
        else if (!served) broken <= 1;

    reg [31:0] bursts_written;
    reg [31:0] read_fails_at, write_fails_at;
    always @(posedge clk)
        if (rst) begin
            read_fails_at <= bad_read;
            write_fails_at <= bad_write;
        end else if (fails) begin
            read_fails_at <= words_read + fails_read;
            write_fails_at <= bursts_written + fails_write;
        end

    // Reads.
    reg [IDS-1:0] read_id [0:DEPTH-1];
    reg [63:0] read_place [0:DEPTH-1];
    reg [7:0] read_len [0:DEPTH-1];
    reg [31:0] read_due [0:DEPTH-1];
    reg [PLACES:0] asked, served_reads;
    reg [7:0] read_beat;
    wire [PLACES-1:0] oldest_read = served_reads[PLACES-1:0];
    wire [63:0] read_at = read_place[oldest_read] + {56'b0, read_beat};
    wire read_goes = asked != served_reads && now - read_due[oldest_read] < 32'h80000000 && !rest_r;
    assign arready = !rest_ar && asked - served_reads != DEPTH[PLACES:0];
    always @(posedge clk)
        if (rst) begin
            asked <= 0;
            served_reads <= 0;
            read_beat <= 0;
            rvalid <= 0;
            words_read <= 0;
        end else begin
            if (arvalid && arready) begin
                read_id[asked[PLACES-1:0]] <= arid;
                read_place[asked[PLACES-1:0]] <= place(araddr);
                read_len[asked[PLACES-1:0]] <= arlen;
                read_due[asked[PLACES-1:0]] <= now + {16'b0, latency};
                asked <= asked + 1;
            end
            if (!rvalid || rready) begin
                rvalid <= read_goes;
                if (read_goes) begin
                    rid <= read_id[oldest_read];
                    rdata <= read_at < WORDS ? words[read_at[$clog2(WORDS)-1:0]] : {BYTES{8'hA5}};
                    rresp <= words_read == read_fails_at ? FAILS : read_at < WORDS ? OKAY : NOWHERE;
                    rlast <= read_beat == read_len[oldest_read];
                    words_read <= words_read + 1;
                    read_beat <= read_beat + 1;
                    if (read_beat == read_len[oldest_read]) begin
                        read_beat <= 0;
                        served_reads <= served_reads + 1;
                    end
                end
            end
        end

    // Writes: a beat is stored when its address is there.
    reg [IDS-1:0] write_id [0:DEPTH-1];
    reg [63:0] write_place [0:DEPTH-1];
    reg [PLACES:0] addressed, stored;
    reg [7:0] write_beat;
    reg write_fails;
    wire [PLACES-1:0] oldest_write = stored[PLACES-1:0];
    wire [63:0] write_at = write_place[oldest_write] + {56'b0, write_beat};
    reg [IDS-1:0] answer_id [0:DEPTH-1];
    reg [1:0] answer [0:DEPTH-1];
    reg [31:0] answer_due [0:DEPTH-1];
    reg [PLACES:0] answered;
    wire [PLACES-1:0] oldest_answer = answered[PLACES-1:0];
    wire write_goes = wvalid && wready;
    wire answer_goes = stored != answered && now - answer_due[oldest_answer] < 32'h80000000 && !rest_b;
    assign awready = !rest_aw && addressed - answered != DEPTH[PLACES:0];
    assign wready = !rest_w && addressed != stored;
    integer lane;
    always @(posedge clk)
        if (rst) begin
            addressed <= 0;
            stored <= 0;
            answered <= 0;
            write_beat <= 0;
            write_fails <= 0;
            bvalid <= 0;
            words_written <= 0;
            bursts_written <= 0;
        end else begin
            if (awvalid && awready) begin
                write_id[addressed[PLACES-1:0]] <= awid;
                write_place[addressed[PLACES-1:0]] <= place(awaddr);
                addressed <= addressed + 1;
            end
            if (write_goes) begin
                for (lane = 0; lane < BYTES; lane = lane + 1)
                    if (wstrb[lane] && write_at < WORDS)
                        words[write_at[$clog2(WORDS)-1:0]][8*lane+:8] <= wdata[8*lane+:8];
                words_written <= words_written + 1;
                write_beat <= wlast ? 0 : write_beat + 1;
                write_fails <= !wlast && (write_fails || write_at >= WORDS);
                if (wlast) begin
                    answer_id[oldest_write] <= write_id[oldest_write];
                    answer[oldest_write] <= bursts_written == write_fails_at ? FAILS
                        : write_fails || write_at >= WORDS ? NOWHERE : OKAY;
                    answer_due[oldest_write] <= now + {16'b0, latency};
                    stored <= stored + 1;
                    bursts_written <= bursts_written + 1;
                end
            end
            if (!bvalid || bready) begin
                bvalid <= answer_goes;
                if (answer_goes) begin
                    bid <= answer_id[oldest_answer];
                    bresp <= answer[oldest_answer];
                    answered <= answered + 1;
                end
            end
        end

    reg dumped;
    always @(posedge clk) begin
        dumped <= dump;
        if (dump && !dumped) $writememh(OUT, words, dump_first, dump_last);
    end
endmodule
