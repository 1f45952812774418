// SPDX-License-Identifier: Apache-2.0
// A host at an AXI4-Lite slave, for simulation. It does what the lines of its file say, one behind the other:
//
//     w ADDRESS VALUE          writes
//     r ADDRESS                reads
//     i LIMIT                  waits for `irq`
//     p ADDRESS MASK VALUE LIMIT    reads until the bits of the mask are those of the value
//     n CYCLES                 waits
//     x CYCLES                 holds `reset` high
//     e WORD BURST             has the memory answer a word that is read, and a burst that is written, with an error:
//                              their numbers, counted from now on
//
// in hexadecimal, and notes the cycle, the value read (of `w` and `i` 0) and the answer (2 or 3: an error; 4: the limit
// was reached, and it gives up) of each.

module axi_host #(
    parameter ADDRESS = 12,
    parameter IN = "host.in",
    parameter OUT = "host.out",
    parameter GAP = 32
) (
    input clk,
    input rst,
    input irq,
    input [31:0] now,
    output reg over,
    output reg reset,
    output reg fails,
    output [31:0] fails_read,
    output [31:0] fails_write,

    output reg [ADDRESS-1:0] araddr,
    output [2:0] arprot,
    output reg arvalid,
    input arready,
    input [31:0] rdata,
    input [1:0] rresp,
    input rvalid,
    output rready,
    output reg [ADDRESS-1:0] awaddr,
    output [2:0] awprot,
    output reg awvalid,
    input awready,
    output reg [31:0] wdata,
    output [3:0] wstrb,
    output reg wvalid,
    input wready,
    input [1:0] bresp,
    input bvalid,
    output bready
);
    integer in, out;
    reg [7:0] what;
    reg [31:0] a, b, c, d;
    reg [31:0] since, gap;
    reg busy;
    initial begin
        in = $fopen(IN, "r");
        out = $fopen(OUT, "w");
    end
    assign {fails_read, fails_write} = {a, b};
    assign {arprot, awprot, wstrb, rready, bready} = {3'b0, 3'b0, 4'hF, 1'b1, 1'b1};

    task done(input [31:0] value, input [2:0] answer);
        $fwrite(out, "%0d %h %0d\n", now, value, answer);
        busy <= 0;
        if (answer == 4) begin
            over <= 1;
            $fflush(out);
        end
    endtask

    task take();
        if (in == 0 || $fscanf(in, "%c %h %h %h %h\n", what, a, b, c, d) != 5) begin
            over <= 1;
            $fflush(out);
        end else begin
            busy <= 1;
            since <= now;
            gap <= 0;
            araddr <= a[ADDRESS-1:0];
            awaddr <= a[ADDRESS-1:0];
            wdata <= b;
            arvalid <= what == "r" || what == "p";
            {awvalid, wvalid} <= {2{what == "w"}};
            reset <= what == "x";
            fails <= what == "e";
        end
    endtask

    always @(posedge clk)
        if (rst) begin
            over <= 0;
            busy <= 0;
            {arvalid, awvalid, wvalid, reset, fails} <= 0;
        end else if (!over) begin
            fails <= 0;
            if (arready) arvalid <= 0;
            if (awready) awvalid <= 0;
            if (wready) wvalid <= 0;
            if (!busy) take();
            else
                case (what)
                    "w": if (bvalid) done(0, {1'b0, bresp});
                    "r": if (rvalid) done(rdata, {1'b0, rresp});
                    "i": if (irq) done(0, 0);
                        else if (now - since >= a) done(0, 4);
                    "p": begin
                        if (gap != 0) begin
                            gap <= gap - 1;
                            if (gap == 1) arvalid <= 1;
                        end
                        if (rvalid) begin
                            if ((rdata & b) == c || rresp != 0) done(rdata, {1'b0, rresp});
                            else if (now - since >= d) done(rdata, 4);
                            else gap <= GAP;
                        end
                    end
                    "e": done(0, 0);
                    default: if (now - since >= a) begin
                        reset <= 0;
                        done(0, 0);
                    end
                endcase
        end
endmodule
