"""What is mounted where, and mounting a machine's disk: the base below, what the machine wrote above."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.programs import run_program

MOUNT_SECONDS = 20
MNT_DETACH = 2  # linux/fs.h: gone from the tree at once, released when the last user leaves

# systemd-nspawn locks a root by device and inode, and leaves the lock's file when it is killed.
# For each machine it keeps a directory through which mounts could be added later; it stays when nspawn is killed.
NSPAWN_PROPAGATION = Path("/run/systemd/nspawn/propagate")
NSPAWN_LOCKS = Path("/run/systemd/nspawn/locks")

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5))."""

    source: str
    target: Path
    kind: str
    superblock_options: tuple[str, ...] = ()


def _unescape(field: str) -> str:
    r"""Undo the octal escapes of proc(5): a space is written \040."""
    return field.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in field else field


def parse_mountinfo(text: str) -> list[Mount]:
    """All mounts that a mountinfo file lists, in its order (a later mount hides an earlier one below it)."""
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        if not separator:
            continue
        kind, source, options = after.split(" ", 2)
        target = before.split(" ")[4]
        mounts.append(
            Mount(
                source=_unescape(source),
                target=Path(_unescape(target)),
                kind=kind,
                superblock_options=tuple(options.split(",")),
            )
        )
    return mounts


def current_mounts() -> list[Mount]:
    """All mounts that this process sees."""
    return parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="latin-1"))


def is_mounted(target: Path) -> bool:
    """Whether something is mounted exactly at *target*."""
    return any(mount.target == target for mount in current_mounts())


def mount_overlay(*, name: str, layers: tuple[Path, ...], upper: Path, work: Path, target: Path) -> None:
    """Mount *upper* over *layers* (topmost first) at *target*; the mount's source is *name*, by which it is found."""
    lower = ":".join(str(layer) for layer in layers)
    run_program(
        ["mount", "-t", "overlay", name, "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", target],
        timeout_seconds=MOUNT_SECONDS,
    )


def unmount(target: Path) -> None:
    """Take away every mount stacked exactly at *target*."""
    while is_mounted(target):
        if _libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise ScriptError("CGC-702", f"cannot be unmounted: {reason}", where=str(target), remedy="run as root")


def unmount_disk(root: Path) -> None:
    """Take away a machine's disk, and the lock files that its nspawn may have left for it."""
    if is_mounted(root):
        mounted = root.stat()
        (NSPAWN_LOCKS / f"inode-{mounted.st_dev}:{mounted.st_ino}").unlink(missing_ok=True)
        unmount(root)
    root.with_name(f".#{root.name}.lck").unlink(missing_ok=True)


def forget_nspawn(machine: str) -> None:
    """Remove what an ended systemd-nspawn left in /run for *machine*, and its directories there when they are empty."""
    directory = NSPAWN_PROPAGATION / machine
    if directory.is_dir():
        directory.rmdir()
    for shared in (NSPAWN_PROPAGATION, NSPAWN_LOCKS, NSPAWN_PROPAGATION.parent):
        if shared.is_dir() and not any(shared.iterdir()):
            shared.rmdir()
