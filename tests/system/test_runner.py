# SPDX-License-Identifier: Apache-2.0
"""What is built of a Verilog text: modules with many instances once, and no word more than is needed."""

from config.presets import pe_arrays
from hdl.emit import verilog
from hdl.execute.pe_array import PeArray
from sim import runner


def test_modules_with_several_instances_are_compiled_once() -> None:
    text = verilog(PeArray(pe_arrays("tiny")), "unit")
    shared = runner._shared(runner._modules(text))
    assert "unit_pe_line" in shared
    assert "unit" not in shared
    assert "unit_row_stores" not in shared


def test_a_module_in_one_that_has_several_instances_has_several() -> None:
    filler = "  // " + "x" * runner._WORTH_SHARING + "\n"
    modules = {
        "top": "  middle a (\n  middle b (\n",
        "middle": "  leaf only (\n",
        "leaf": filler,
        "alone": filler,
    }
    assert runner._shared(modules) == ["leaf"]


def test_repeated_words_are_written_once() -> None:
    assert runner._in_short("{ a, b, b, b, b, c, c }") == "{ a, {4{b}}, c, c }"
