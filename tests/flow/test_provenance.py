# SPDX-License-Identifier: Apache-2.0
"""From what, and by what, figures were made."""

import subprocess
from importlib import metadata

import pytest

from foreshift import provenance


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository with one file."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "a").write_text("as it was")
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (("init", "-q"), ("add", "a"), (*who, "commit", "-qm", "One")):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_the_commit_and_whether_anything_was_changed(clone):
    found = provenance.commit()
    assert len(found) == 40
    (clone / "a").write_text("as it is")
    assert provenance.commit() == f"{found}, with changes"


def test_no_clone(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance.commit() == "unknown: not a git clone"
    monkeypatch.setenv("PATH", "")
    assert provenance.commit() == "unknown: not a git clone"


def test_tools_are_those_that_are_there(monkeypatch):
    found = provenance.tools()
    assert found["amaranth"] == metadata.version("amaranth")
    assert found["Verilator"].startswith("5.")
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert "no-such-package" not in provenance.tools()
