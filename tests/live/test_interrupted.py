"""`cgc converge --apply` killed at random moments is taken up by the next run, whatever it left behind.

`cgc rehearse up` killed is in test_way_down.py: it begins with nothing.
"""

from __future__ import annotations

import pytest

from scripts.rehearsal import faults
from tests.live.conftest import KILLS, UP_SECONDS, Rehearsal, cgc, kill_halfway

pytestmark = pytest.mark.live

CONVERGE_SECONDS = 30.0  # about what it takes with this damage
DAMAGE = ("file-edited", "policy-opened")  # what converging repairs: a file on a node, an object in a cluster


@pytest.mark.parametrize("number", KILLS)
def test_a_killed_converge_is_taken_up_by_the_next(rehearsal: Rehearsal, number: int) -> None:
    """However far it came, `cgc rehearse up` succeeds afterwards and nothing departs from the declaration."""
    for name in DAMAGE:
        faults.fault_called(name).inflict(rehearsal.ground)
    what = kill_halfway("converge", "--apply", number=number, within_seconds=CONVERGE_SECONDS)
    again = cgc("rehearse", "up", "--no-day", seconds=UP_SECONDS)
    assert again.code == 0, f"{what}; {again.err[-3000:]}"
    drift = cgc("drift")
    assert drift.code == 0, f"{what}; {drift.out}"
