"""The import table of docs/design.md, enforced from the import statements."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {
    "inventories": set(),
    "stacks": {"inventories"},
    "playbooks": {"inventories"},
    "exporters": {"inventories", "policies"},
    "policies": {"inventories"},
    "scripts": {"inventories", "stacks", "playbooks", "exporters", "policies"},
}
CLIENT_LIBRARIES = {
    "pulumi",
    "pulumi_kubernetes",
    "ansible_runner",
    "ansible",
    "paramiko",
    "asyncssh",
    "prometheus_client",
    "httpx",
    "urllib3",
    "kubernetes",
}
WITHOUT_CLIENT_LIBRARIES = ("inventories", "policies")
REFUSED_NAMES = {"utils", "helpers", "manager", "common", "misc"}


def imported(path: Path) -> Iterator[str]:
    """Yield the first part of the name of every module that the file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_the_table_allows(room: str) -> None:
    """Every import of another room is one that docs/design.md's table grants."""
    forbidden = set(ROOMS) - ROOMS[room] - {room}
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in imported(path)
        if name in forbidden or name == "tests"
    ]
    assert broken == []


@pytest.mark.parametrize("room", WITHOUT_CLIENT_LIBRARIES)
def test_declaring_and_judging_touch_no_client_library(room: str) -> None:
    """A declaration can be read and judged where nothing can be reached."""
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for name in imported(path)
        if name in CLIENT_LIBRARIES
    ]
    assert broken == []


def test_no_room_has_a_drawer_for_everything() -> None:
    """Names that say nothing about their content are refused, for files and folders."""
    found = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.stem in REFUSED_NAMES]
    assert found == []
