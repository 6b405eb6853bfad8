"""What can go wrong with the toolchain (CGC-8xx)."""

from __future__ import annotations

from inventories.errors import ExitCode
from scripts.errors import ScriptError


class ToolchainError(ScriptError):
    """A program, a bundle or the machine is not as the toolkit needs it."""


class BundleRefusedError(ToolchainError):
    """A bundle that is damaged, or made for another version of the toolkit."""

    exit_code = ExitCode.WRONG_INPUT
