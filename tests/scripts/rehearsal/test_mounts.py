"""Mounts are read from the kernel's own list."""

from __future__ import annotations

from pathlib import Path

from scripts.rehearsal.mounts import parse_mountinfo

TEXT = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
99 22 0:52 / /srv/a\040b/root rw,relatime - overlay cgc-0a1b2c-north rw,lowerdir=/x,upperdir=/y
this line is broken
"""


def test_an_overlay_is_recognised_by_its_source() -> None:
    """The source that we chose, and a target with a space in it, come back as they were given."""
    mounts = parse_mountinfo(TEXT)
    assert [(mount.kind, mount.source, mount.target) for mount in mounts] == [
        ("ext4", "/dev/vda", Path("/")),
        ("overlay", "cgc-0a1b2c-north", Path("/srv/a b/root")),
    ]
