"""Copies of the rehearsal's declaration to change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    """Return the directory of a copy of the rehearsal's declaration."""
    return shutil.copytree(REHEARSAL, tmp_path / "declaration")


@pytest.fixture
def change(declaration: Path) -> Callable[[str, str, str], Path]:
    """Return a function that replaces the first occurrence of a text in one file of the copy."""

    def changing(file: str, old: str, new: str) -> Path:
        path = declaration / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return declaration

    return changing
