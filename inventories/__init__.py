"""Declare: the nation written down once, in text, read strictly into one frozen typed model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inventories.loading import load_nation
    from inventories.model import Nation

__all__ = ["Nation", "load_nation"]

_HOMES = {"load_nation": "inventories.loading", "Nation": "inventories.model"}


def __getattr__(name: str) -> object:
    """Load the reader only when somebody reads: the command's help must not wait for it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
