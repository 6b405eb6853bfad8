"""The root of this room's errors (codes CGC-5xx)."""

from __future__ import annotations

from inventories.errors import CgcError


class PolicyError(CgcError):
    """Something in `policies/` could not be done; the message says what, where and what next."""
