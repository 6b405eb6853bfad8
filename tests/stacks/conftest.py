from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inventories import Nation, load_nation
from tests.stacks.control_plane import ControlPlane, running_control_plane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane for the whole run; each test works in stacks and namespaces of its own."""
    with running_control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def nation() -> Nation:
    """Return the rehearsal's nation; it is frozen, so that all tests may share it."""
    return load_nation(Path(__file__).parents[2] / "inventories" / "rehearsal")
