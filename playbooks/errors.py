"""The root of this room's errors (codes CGC-3xx)."""

from __future__ import annotations

from inventories.errors import CgcError


class PlaybookError(CgcError):
    """Something in `playbooks/` could not be done; the message says what, where and what next."""
