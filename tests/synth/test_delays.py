# SPDX-License-Identifier: Apache-2.0
import pytest

from config.errors import Refusal
from synth import delays, timing
from synth.library import fetch

SDF = """(DELAYFILE
 (CELL (CELLTYPE "top") (INSTANCE)
  (DELAY (ABSOLUTE
    (INTERCONNECT n1 u3/A (0.5::0.5) (0.5::0.5)))))
 (CELL
  (CELLTYPE "FA_X1")
  (INSTANCE u3)
  (DELAY
   (ABSOLUTE
    (COND (B == 1'b1) && (CI == 1'b1)
     (IOPATH A S (0.1::0.3) (0.5::0.5)))
    (COND (B == 1'b0)
     (IOPATH A S (0.4::0.4) ()))
    (IOPATH B S () (0.7::0.7))
    (COND (B == 1'b1)
     (IOPATH CI S (0.0000::0.0000)))
   )
  )
  (TIMINGCHECK
    (SETUP (posedge D) (posedge CK) (0.9::0.9))
  )
 )
 (CELL
  (CELLTYPE "INV_X1")
  (INSTANCE u12)
  (DELAY (ABSOLUTE
    (IOPATH A ZN (0.01::0.01) (0.02::0.02))
"""


def test_reads_what_opensta_writes():
    """Means over conditions and over least and most; one edge's where the other has none; nothing that stands still."""
    found = delays.read(SDF)
    assert found == {
        (3, "A", "S"): (pytest.approx((0.2 + 0.4) / 2), 0.5),
        (3, "B", "S"): (0.7, 0.7),
        (12, "A", "ZN"): (0.01, 0.02),
    }


def test_flat_netlist(mapped):
    net, library, _ = mapped("small_gated")
    design = delays.flat(net, library)
    lines = design.text.splitlines()
    assert lines[0].startswith("module flat (n")
    assert sum(line.split()[0] in library.cells for line in lines) == net.cells
    assert len(design.inputs) == 1 + 1 + 4 + 32
    number = int(net.groups["FA_X1"].cells[0])
    pins = ", ".join(f".{pin}(n{net.groups['FA_X1'].pins[pin][0]})" for pin in ("A", "B", "CI", "CO", "S"))
    assert f"  FA_X1 u{number} ({pins});" in lines
    grouped = delays.flat(net, library, inside="bench.d")
    assert grouped.text.count("module g") == -(-net.cells // delays.GROUP) == 2
    assert f"module g{number // delays.GROUP};" in grouped.text


def test_measured(mapped, tmp_path):
    net, library, _ = mapped("small_gated")
    path = fetch() / "stdcells.lib"
    if not timing.available():
        with pytest.raises(Refusal, match=r"^OpenSTA is missing"):
            delays.measured(net, library, path, tmp_path, period_ns=1.0, input_slew_ns=0.02)
        return
    found = delays.measured(net, library, path, tmp_path, period_ns=1.0, input_slew_ns=0.02)
    gates, adders, flops = (net.groups[kind].cells for kind in ("CLKGATE_X1", "FA_X1", "DFF_X1"))
    assert {found[cell, "CK", "GCK"] for cell in gates} == {(0.0, 0.0)}
    # What a cell of this library takes at a load of a few others.
    assert all(0.02 < edge < 0.5 for cell in adders for edge in found[cell, "A", "S"])
    assert all(0.05 < edge < 0.5 for cell in flops for edge in found[cell, "CK", "Q"])
    assert not any(start == "D" for _, start, _ in found)
    assert {key for _, key, _ in delays.paths(net, library, set())} == set(found)
    sdf = (tmp_path / "opensta.sdf").read_text()
    section = sdf[sdf.index(f"(INSTANCE u{flops[0]})") :]
    rise = section[section.index("IOPATH CK Q (") + len("IOPATH CK Q (") :].split("::")[0]
    assert found[flops[0], "CK", "Q"][0] == pytest.approx(float(rise))


def test_none(mapped):
    net, library, _ = mapped("small_gated")
    found = delays.none(net, library, 0.1)
    flops = {int(cell) for kind, group in net.groups.items() if library.cells[kind].state for cell in group.cells}
    assert {key: (0.1, 0.1) if key[0] in flops else (0.0, 0.0) for key in found} == found


def test_opensta_that_cannot_is_refused(mapped, tmp_path, monkeypatch):
    net, library, _ = mapped("small_gated")
    script = tmp_path / "sta"
    script.write_text("#!/bin/sh\necho 'Error: netlist.v line 1, syntax error'\n")
    script.chmod(0o755)
    monkeypatch.setattr(timing, "OPENSTA", str(script))
    with pytest.raises(Refusal, match=r"^OpenSTA must give the delays of small_gated, but said 'Error: netlist"):
        delays.measured(net, library, fetch() / "stdcells.lib", tmp_path, period_ns=1.0, input_slew_ns=0.02)


def test_sdf(mapped):
    net, library, _ = mapped("small_gated")
    flop, adder = int(net.groups["DFF_X1"].cells[0]), int(net.groups["FA_X1"].cells[0])
    text = delays.to_sdf({(flop, "CK", "Q"): (0.1, 0.25), (adder, "A", "S"): (0.0, 0.5)}, net, library)
    assert (
        f'(CELL (CELLTYPE "DFF_X1") (INSTANCE g{flop // 200}/u{flop}) (DELAY (ABSOLUTE (IOPATH (posedge CK) Q ' in text
    )
    assert "(0.1000:0.1000:0.1000) (0.2500:0.2500:0.2500))))" in text
    assert "(IOPATH A S (0.0000:0.0000:0.0000) (0.5000:0.5000:0.5000))" in text
