"""Files that survive a crash: written whole or not at all, and on the disk when the call returns.

The order of calls is the one of "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014): write a new file
beside, flush it, rename it, flush the directory.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path


def flush_directory(directory: Path) -> None:
    """Make the names inside a directory durable; OSError if the disk refuses."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file durably under a name that is the writer's alone; a leftover of a crash there is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)  # the umask must not decide who reads a key
        _write_all(descriptor, content)
        os.fsync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace a file (or make it) so that any reader sees the old content or the new, also after a crash."""
    beside = own_name_beside(path)
    write_new(beside, content, mode=mode)
    beside.replace(path)
    flush_directory(path.parent)


def create_file(path: Path, content: bytes, *, mode: int = 0o644) -> bool:
    """Make a file whole under its name and return True, or return False and leave the one that is there."""
    beside = own_name_beside(path)
    write_new(beside, content, mode=mode)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
    flush_directory(path.parent)
    return True


def own_name_beside(path: Path) -> Path:
    """Return a name in the same directory that no other process or thread uses."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
