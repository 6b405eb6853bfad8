"""Where the tests find Debian's checkers: in the root file system of the rehearsal's machines."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def cache_root() -> Path:
    """Return the directory that holds everything heavy."""
    return Path(os.environ.get("CGC_CACHE") or Path.home() / ".cache" / "cgc")


def tool(name: str) -> list[str]:
    """Return the command that runs a program of the machines' root file system with that system's own libraries.

    The test is skipped where no rehearsal has built one yet.
    """
    for folder in ("usr/bin", "usr/sbin"):
        for program in sorted(cache_root().glob(f"base/*/{folder}/{name}")):
            root = program.parents[2]
            libraries = ":".join(str(root / path) for path in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
            return [
                str(root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
                "--library-path",
                libraries,
                str(program),
            ]
    pytest.skip(f"{name} is in no root file system under {cache_root()}/base; `cgc rehearse up` builds one")


def run_tool(name: str, *arguments: str, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a checker; its output is in the answer, and so is its exit code."""
    return subprocess.run(
        [*tool(name), *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=120, cwd=cwd
    )
