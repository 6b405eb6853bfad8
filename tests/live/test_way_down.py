"""Taken down, the rehearsal leaves nothing, even one that was killed as it came up.

Last of the live tests: they end what the others stand on.
"""

from __future__ import annotations

import pytest

from tests.live.conftest import KILLS, UP_SECONDS, Rehearsal, cgc, kill_halfway, traces

pytestmark = pytest.mark.live


UP_FROM_NOTHING_SECONDS = 100.0  # about what `up --no-day` takes when the caches are full


def _left(rehearsal: Rehearsal) -> dict[str, list[str]]:
    """Return what is there now and was not before the rehearsal, or the other way round, by kind."""
    now = traces()
    return {kind: sorted(now[kind] ^ rehearsal.before[kind]) for kind in now if now[kind] != rehearsal.before[kind]}


@pytest.fixture
def ours(rehearsal: Rehearsal) -> Rehearsal:
    """Return the rehearsal if these tests raised it."""
    if rehearsal.raised is None:
        pytest.skip("the rehearsal was up before the tests: it is its owner's to take down")
    return rehearsal


def test_down_leaves_nothing(ours: Rehearsal) -> None:
    """After `down` the machine is as it was before `up`: interfaces, routes, namespaces, mounts, cgroups, limits."""
    assert cgc("rehearse", "down").code == 0
    assert _left(ours) == {}
    assert cgc("rehearse", "down").code == 0


@pytest.mark.parametrize("number", KILLS)
def test_a_killed_up_is_taken_up_by_the_next_and_taken_down(ours: Rehearsal, number: int) -> None:
    """However far it came, `up` succeeds afterwards, and `down` after that leaves nothing."""
    what = kill_halfway("rehearse", "up", "--no-day", number=number, within_seconds=UP_FROM_NOTHING_SECONDS)
    again = cgc("rehearse", "up", "--no-day", seconds=UP_SECONDS)
    assert again.code == 0, f"{what}; {again.err[-3000:]}"
    assert cgc("rehearse", "down").code == 0
    assert _left(ours) == {}
