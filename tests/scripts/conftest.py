"""What tests of commands share: a copy of the rehearsal's declaration, and the command line in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inventories import Nation, load_nation

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    """Return the directory of a copy of the rehearsal's declaration."""
    return shutil.copytree(REHEARSAL, tmp_path / "declaration")


@pytest.fixture(scope="session")
def nation() -> Nation:
    """Return the rehearsal nation."""
    return load_nation(REHEARSAL)
