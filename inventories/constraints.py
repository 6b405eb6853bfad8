"""Constraints that a field's annotation carries, so that the reader can say what was expected."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """A text must match the whole expression; `meaning` says so in words."""

    expression: str
    meaning: str

    def admits(self, value: object) -> bool:
        """Whether the value keeps the constraint."""
        return isinstance(value, str) and re.fullmatch(self.expression, value) is not None


@dataclass(frozen=True)
class Between:
    """A number must lie in the closed interval."""

    least: float
    most: float

    @property
    def meaning(self) -> str:
        """The interval in words."""
        return f"from {self.least} to {self.most}"

    def admits(self, value: object) -> bool:
        """Whether the value keeps the constraint."""
        return isinstance(value, int | float) and self.least <= value <= self.most
