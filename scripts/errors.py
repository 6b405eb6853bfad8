"""The roots of the errors of the commands (CGC-6xx), the rehearsal (7xx) and the toolchain (8xx)."""

from __future__ import annotations

from inventories.errors import CgcError


class ScriptError(CgcError):
    """Something in `scripts/` could not be done; the message says what, where and what next."""
