"""Entering a network namespace from Python.

setns(2) moves one thread only, so a thread that is inside leaves the others where they are; programs it starts are
inside too. /proc/sys/net follows the thread as well. (os.setns is Python 3.12; this is its 3.11 stand-in.)
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.errors import ScriptError

NAMESPACES = Path("/run/netns")
CLONE_NEWNET = 0x40000000  # linux/sched.h

_libc = ctypes.CDLL(None, use_errno=True)


def network_namespaces() -> list[str]:
    """Names of the network namespaces of this machine, as `ip netns` knows them."""
    return sorted(entry.name for entry in NAMESPACES.iterdir()) if NAMESPACES.is_dir() else []


def _set_network_namespace(descriptor: int, *, shown: str) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise ScriptError(
            "CGC-711",
            f"cannot be entered: {os.strerror(number)}",
            where=f"network namespace {shown}",
            remedy="run as root; if the rehearsal is down, run `cgc rehearse up`",
        )


def enter_network_namespace(name: str) -> None:
    """Move the calling thread into the namespace *name* for good."""
    try:
        descriptor = os.open(NAMESPACES / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise ScriptError(
            "CGC-711",
            f"cannot be opened: {err.strerror}",
            where=f"network namespace {name}",
            remedy="run as root; if the rehearsal is down, run `cgc rehearse up`",
        ) from err
    try:
        _set_network_namespace(descriptor, shown=name)
    finally:
        os.close(descriptor)


@contextmanager
def inside_network_namespace(name: str) -> Iterator[None]:
    """Keep the calling thread in the namespace *name* for the length of the block, then move it back."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter_network_namespace(name)
        try:
            yield
        finally:
            _set_network_namespace(before, shown="of the caller")
    finally:
        os.close(before)
