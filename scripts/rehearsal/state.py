"""What a rehearsal keeps in `.rehearsal/` besides its machines' disks and its authority."""

from __future__ import annotations

import shutil
from pathlib import Path

# The evidence is not among them: it is there to outlive what it tells of.
PASSING = ("bundles", "runs", "kubeconfig", "pulumi", "enrolment.json", "faults.json")
LOCKS = ("converge.lock", "network.lock", "preview.lock")


def forget_state(state: Path) -> None:
    """Remove what described machines that are no more; evidence stays."""
    for name in (*PASSING, *LOCKS):
        path = state / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
