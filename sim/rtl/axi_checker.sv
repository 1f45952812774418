// SPDX-License-Identifier: Apache-2.0
// Follows an AXI4 or AXI4-Lite port at the simulator's speed; the rules and their numbers are those of sim/axi.py, in
// its order. At the first breach `broken` rises and stays; `rule`, `channel` (ar, r, aw, w, b from 0 on) and `cycle`
// say of what. For AXI4-Lite the inputs that it does not have are 0, and `lite` is 1.

// It keeps books with functions that change them in turn, and looks at a part of some.
// verilator lint_off BLKSEQ
// verilator lint_off UNUSEDSIGNAL
module axi_checker #(
    parameter BYTES = 16,
    parameter IDS = 1,
    parameter DEPTH = 64,
    parameter AHEAD = 1024
) (
    input clk,
    input rst,
    input lite,
    input data_first,
    input [31:0] patience,
    input ends,
    output reg broken,
    output reg [7:0] rule,
    output reg [7:0] channel,
    output reg [31:0] cycle,

    input [IDS-1:0] arid,
    input [63:0] araddr,
    input [7:0] arlen,
    input [2:0] arsize,
    input [1:0] arburst,
    input arlock,
    input [3:0] arcache,
    input [2:0] arprot,
    input arvalid,
    input arready,
    input [IDS-1:0] rid,
    input [8*BYTES-1:0] rdata,
    input [1:0] rresp,
    input rlast,
    input rvalid,
    input rready,
    input [IDS-1:0] awid,
    input [63:0] awaddr,
    input [7:0] awlen,
    input [2:0] awsize,
    input [1:0] awburst,
    input awlock,
    input [3:0] awcache,
    input [2:0] awprot,
    input awvalid,
    input awready,
    input [8*BYTES-1:0] wdata,
    input [BYTES-1:0] wstrb,
    input wlast,
    input wvalid,
    input wready,
    input [IDS-1:0] bid,
    input [1:0] bresp,
    input bvalid,
    input bready
);
    localparam bit [2:0] AR = 0, R = 1, AW = 2, W = 3, B = 4;
    localparam bit [7:0] RESET = 1, STANDS = 2, STEADY = 3, PATIENCE = 4, KIND = 5, SIZE = 6, LENGTH = 7, ALIGNED = 8, PAGE = 9,
        CACHE = 10, EXCLUSIVE = 11, DATA_AHEAD = 12, WLAST = 13, STROBES = 14, ANSWER = 15, READ = 16, RLAST = 17,
        OKAY = 18, OWED = 19;
    localparam [1:0] FIXED = 0, INCR = 1, WRAP = 2;
    localparam WIDTH = $clog2(BYTES);
    localparam LONGEST = 8 * BYTES + BYTES + 64 + IDS + 32;

    typedef struct packed {
        bit [IDS-1:0] id;
        bit [63:0] addr;
        bit [7:0] len;
        bit [2:0] size;
        bit [1:0] burst;
        bit lock;
    } request;

    function void breach(input bit [2:0] letters, input bit [7:0] what);
        if (!broken) begin
            broken = 1;
            rule = what;
            channel = {5'b0, letters};
        end
    endfunction

    // What waits at each channel, and for how long.
    bit waits[5];
    bit [LONGEST-1:0] offered[5];
    bit [31:0] waited[5];

    function void stands(input bit [2:0] n, input bit valid, input bit ready, input bit [LONGEST-1:0] payload);
        if (waits[n] && !valid) breach(n, STANDS);
        else if (waits[n] && payload != offered[n]) breach(n, STEADY);
        waited[n] = waits[n] ? waited[n] + 1 : 1;
        waits[n] = valid && !ready;
        offered[n] = payload;
        if (waits[n] && patience != 0 && waited[n] > patience) breach(n, PATIENCE);
    endfunction

    function void legal(input bit [2:0] n, input request q, input bit [3:0] cache);
        bit [63:0] size, start, whole;
        bit [8:0] beats;
        size = 64'd1 << q.size;
        start = q.addr & ~(size - 1);
        beats = {1'b0, q.len} + 1;
        whole = size * {55'b0, beats};
        if (q.burst > WRAP) breach(n, KIND);
        if (size > BYTES) breach(n, SIZE);
        if (q.burst == FIXED && beats > 16) breach(n, LENGTH);
        if (q.burst == WRAP && !(beats == 2 || beats == 4 || beats == 8 || beats == 16)) breach(n, LENGTH);
        if (q.burst == WRAP && start != q.addr) breach(n, ALIGNED);
        if (q.burst == INCR && (start & 4095) + whole > 4096) breach(n, PAGE);
        if (cache[3:2] != 0 && !cache[1]) breach(n, CACHE);
        if (q.lock && (beats > 16 || whole > 128 || (whole & (whole - 1)) != 0 || (q.addr & (whole - 1)) != 0))
            breach(n, EXCLUSIVE);
    endfunction

    function bit [BYTES-1:0] lanes(input request q, input bit [7:0] beat);
        bit [63:0] size, start, whole, low, stop;
        size = 64'd1 << q.size;
        start = q.burst == FIXED || beat == 0 ? q.addr : (q.addr & ~(size - 1)) + {56'b0, beat} * size;
        if (q.burst == WRAP) begin
            whole = size * ({56'b0, q.len} + 1);
            low = q.addr & ~(whole - 1);
            start = low + ((q.addr + {56'b0, beat} * size - low) & (whole - 1));
        end
        stop = (start & ~(size - 1)) + size;
        lanes = ((BYTES'(1) << (stop - start)) - 1) << start[WIDTH-1:0];
        if (stop - start == BYTES) lanes = ~BYTES'(0);
    endfunction

    // Bursts under way: reads and unanswered writes of each ID, writes whose data are to come, data ahead of them.
    request reads[1<<IDS][DEPTH], unanswered[1<<IDS][DEPTH], addressed[DEPTH];
    int read_in[1<<IDS], read_out[1<<IDS], answer_in[1<<IDS], answer_out[1<<IDS], address_in, address_out;
    bit [7:0] read_beat[1<<IDS], write_beat;
    bit [BYTES:0] ahead[AHEAD];
    int ahead_in, ahead_out, ahead_whole;

    function void match();
        request q;
        bit [BYTES-1:0] strobes;
        bit last;
        while (address_in != address_out && ahead_in != ahead_out) begin
            q = addressed[address_out%DEPTH];
            {last, strobes} = ahead[ahead_out%AHEAD];
            ahead_out++;
            if (last) ahead_whole--;
            if (last != (write_beat == q.len)) breach(W, WLAST);
            if ((strobes & ~lanes(q, write_beat)) != 0) breach(W, STROBES);
            write_beat++;
            if (last) begin
                write_beat = 0;
                unanswered[q.id][answer_in[q.id]%DEPTH] = q;
                answer_in[q.id]++;
                address_out++;
            end
        end
    endfunction

    function void read_step();
        request q;
        bit last;
        if (!rvalid) return;
        if (read_in[rid] == read_out[rid]) begin
            breach(R, READ);
            return;
        end
        q = reads[rid][read_out[rid]%DEPTH];
        last = read_beat[rid] == q.len;
        if ((rlast || lite) != last) breach(R, RLAST);
        if (rresp == 1 && !q.lock) breach(R, OKAY);
        if (rready) begin
            read_beat[rid] = last ? 0 : read_beat[rid] + 1;
            if (last) read_out[rid]++;
        end
    endfunction

    function void answer_step();
        request q;
        if (!bvalid) return;
        if (answer_in[bid] == answer_out[bid]) begin
            breach(B, ANSWER);
            return;
        end
        q = unanswered[bid][answer_out[bid]%DEPTH];
        if (bresp == 1 && !q.lock) breach(B, OKAY);
        if (bready) answer_out[bid]++;
    endfunction

    function void write_step();
        if (!wvalid) return;
        if (!data_first && address_in == address_out && !(awvalid && ahead_whole == 0)) breach(W, DATA_AHEAD);
        if (wready) begin
            ahead[ahead_in%AHEAD] = {wlast || lite, wstrb};
            if (wlast || lite) ahead_whole++;
            ahead_in++;
            match();
        end
    endfunction

    function void request_step();
        request q;
        if (arvalid) begin
            q = lite ? {arid, araddr, 8'd0, 3'(WIDTH), INCR, 1'b0} : {arid, araddr, arlen, arsize, arburst, arlock};
            if (!lite) legal(AR, q, arcache);
            if (arready) begin
                reads[arid][read_in[arid]%DEPTH] = q;
                read_in[arid]++;
            end
        end
        if (awvalid) begin
            q = lite ? {awid, awaddr, 8'd0, 3'(WIDTH), INCR, 1'b0} : {awid, awaddr, awlen, awsize, awburst, awlock};
            if (!lite) legal(AW, q, awcache);
            if (awready) begin
                addressed[address_in%DEPTH] = q;
                address_in++;
                match();
            end
        end
    endfunction

    function void forget();
        for (int n = 0; n < 5; n++) waits[n] = 0;
        for (int n = 0; n < 1 << IDS; n++) begin
            read_in[n] = 0;
            read_out[n] = 0;
            answer_in[n] = 0;
            answer_out[n] = 0;
            read_beat[n] = 0;
        end
        address_in = 0;
        address_out = 0;
        ahead_in = 0;
        ahead_out = 0;
        ahead_whole = 0;
        write_beat = 0;
    endfunction

    function void owed();
        for (int n = 0; n < 1 << IDS; n++) if (read_in[n] != read_out[n]) breach(R, OWED);
        if (address_in != address_out) breach(W, OWED);
        for (int n = 0; n < 1 << IDS; n++) if (answer_in[n] != answer_out[n]) breach(B, OWED);
        if (ahead_in != ahead_out) breach(AW, OWED);
    endfunction

    bit resetting;
    always @(posedge clk) begin
        if (rst) begin
            forget();
            broken = 0;
            cycle = 0;
            if (resetting) begin
                if (arvalid) breach(AR, RESET);
                if (rvalid) breach(R, RESET);
                if (awvalid) breach(AW, RESET);
                if (wvalid) breach(W, RESET);
                if (bvalid) breach(B, RESET);
            end
        end else if (!broken) begin
            cycle = cycle + 1;
            stands(AR, arvalid, arready, LONGEST'({arid, araddr, arlen, arsize, arburst, arlock, arcache, arprot}));
            stands(R, rvalid, rready, LONGEST'({rid, rdata, rresp, rlast}));
            stands(AW, awvalid, awready, LONGEST'({awid, awaddr, awlen, awsize, awburst, awlock, awcache, awprot}));
            stands(W, wvalid, wready, LONGEST'({wdata, wstrb, wlast}));
            stands(B, bvalid, bready, LONGEST'({bid, bresp}));
            read_step();
            answer_step();
            write_step();
            request_step();
            if (ends) owed();
        end
        resetting = rst;
    end
endmodule
