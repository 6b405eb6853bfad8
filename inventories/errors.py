"""What every error of the toolkit carries, so that a user always learns what, where and what next."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every `cgc` command; the smallest non-zero one that applies wins."""

    AS_DECLARED = 0
    FAILED = 1
    WRONG_INPUT = 2
    UNKNOWN = 3
    NOT_ALLOWED = 4
    DIFFERS = 5


class CgcError(Exception):
    """The root of all errors that reach a user; each room derives one root class of its own from it.

    `code` is a stable `CGC-nnn` with a paragraph in docs/errors.md, `what` says what went wrong, `where` names the
    place (file:line, host, object; may be empty), `remedy` says what to do next.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, code: str, what: str, *, where: str = "", remedy: str) -> None:
        self.code = code
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(f"{code} {where + ': ' if where else ''}{what}; {remedy}")


class InventoryError(CgcError):
    """A declaration that cannot be accepted as it is written."""

    exit_code = ExitCode.WRONG_INPUT
