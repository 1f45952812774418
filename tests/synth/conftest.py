# SPDX-License-Identifier: Apache-2.0
import pytest

from synth import liberty, netlist
from synth.library import fetch
from tests.synth import blocks, toy


@pytest.fixture(scope="session")
def cells(tmp_path_factory):
    """The toy library."""
    return toy.library(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def mapped(tmp_path_factory):
    """Netlist, library and folder of a block on the 45 nm cells; each is mapped once."""
    path = fetch() / "stdcells.lib"
    library = liberty.read(path)
    found = {}

    def get(block):
        if block not in found:
            folder = tmp_path_factory.mktemp(block)
            blocks.synthesise(block, path, folder)
            found[block] = (netlist.read(folder / "net.json", library), library, folder)
        return found[block]

    return get
