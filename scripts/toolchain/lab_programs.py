"""Running the daemons' own parsers (promtool, amtool, vtysh ...) without installing the daemons on the machine.

They lie in the root file system of the rehearsal's hosts, in the cache. Started through that file system's own dynamic
loader with its own libraries (ld.so(8), `--library-path`), they need neither root nor chroot.
"""

from __future__ import annotations

import platform
from pathlib import Path

from scripts.rehearsal.base_image import debian_fingerprint
from scripts.toolchain.errors import ToolchainError

FOLDERS = ("usr/bin", "usr/sbin")
LOADERS = {
    "x86_64": ("usr/lib/x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "aarch64": ("usr/lib/aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}
"""Where Debian keeps the libraries of an architecture, and the loader's name among them."""
PRIVATE_LIBRARIES = ("frr",)
"""Folders below that which programs find by a path compiled into them, which is another path here."""


def lab_command(program: str, cache: Path) -> list[str]:
    """Return the beginning of a command that runs *program* of the hosts' root file system on this machine.

    *cache* is the folder of `cache_root`. Raises ToolchainError CGC-818 while the root file system is not made yet, or
    when it holds no such program.
    """
    root = cache / "base" / f"debian-{debian_fingerprint()}"
    if not root.is_dir():
        remedy = "run `cgc rehearse up` once: it makes it (about two minutes)"
        raise ToolchainError("CGC-818", "the hosts' root file system is not made yet", where=str(root), remedy=remedy)
    return command_inside(root, program, architecture=platform.machine())


def command_inside(root: Path, program: str, *, architecture: str) -> list[str]:
    """Return the same for the Debian root file system *root*; raises ToolchainError CGC-818 if it lacks the program."""
    binary = next((root / folder / program for folder in FOLDERS if (root / folder / program).is_file()), None)
    if binary is None:
        remedy = "add its package to PACKAGES in scripts/rehearsal/base_image.py"
        raise ToolchainError("CGC-818", f"there is no {program}", where=str(root), remedy=remedy)
    folder, loader = LOADERS[architecture]
    libraries = [root / folder, *(root / folder / name for name in PRIVATE_LIBRARIES)]
    return [str(root / folder / loader), "--library-path", ":".join(str(path) for path in libraries), str(binary)]
