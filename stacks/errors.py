"""The root of this room's errors (codes CGC-2xx)."""

from __future__ import annotations

from inventories.errors import CgcError, ExitCode


class StackError(CgcError):
    """Something in `stacks/` could not be done; the message says what, where and what next."""


class UnreachableError(StackError):
    """The cluster's API did not answer, so nothing can be said about the cluster."""

    exit_code = ExitCode.UNKNOWN
