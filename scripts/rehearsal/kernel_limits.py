"""Limits of the whole kernel that a rehearsal raises while it is up, and puts back afterwards.

`fs.inotify.max_user_instances` is 128 by default and shared by all machines: from the third cluster on, containerd and
kubelet fail with "too many open files", and machines booted meanwhile do not recover by themselves.
"""

from __future__ import annotations

from pathlib import Path

from scripts.rehearsal.identity import RUN_DIRECTORY

INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
NEEDED_INOTIFY_INSTANCES = 8192
VALUE_BEFORE = "inotify-instances-before"


def raise_inotify_instances() -> None:
    """Raise the limit, having written down what it was."""
    current = int(INOTIFY_INSTANCES.read_text())
    if current >= NEEDED_INOTIFY_INSTANCES:
        return
    note = RUN_DIRECTORY / VALUE_BEFORE
    if not note.exists():
        unfinished = note.with_suffix(".new")
        unfinished.write_text(str(current))
        unfinished.replace(note)
    INOTIFY_INSTANCES.write_text(str(NEEDED_INOTIFY_INSTANCES))


def restore_inotify_instances() -> None:
    """Put the limit back to what it was before the first rehearsal of this machine raised it."""
    note = RUN_DIRECTORY / VALUE_BEFORE
    if note.exists():
        INOTIFY_INSTANCES.write_text(note.read_text())
        note.unlink()
