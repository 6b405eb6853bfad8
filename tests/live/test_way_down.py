"""Taken down, the rehearsal leaves nothing. Last of the live tests: it ends what the others stand on."""

from __future__ import annotations

import pytest

from tests.live.conftest import Rehearsal, cgc, traces

pytestmark = pytest.mark.live


def test_down_leaves_nothing(rehearsal: Rehearsal) -> None:
    """After `down` the machine is as it was before `up`: interfaces, routes, namespaces, mounts, cgroups, limits."""
    if rehearsal.raised is None:
        pytest.skip("the rehearsal was up before the tests: it is its owner's to take down")
    assert cgc("rehearse", "down").code == 0
    now = traces()
    left = {kind: sorted(now[kind] - rehearsal.before[kind]) for kind in now if now[kind] != rehearsal.before[kind]}
    assert left == {}
    assert cgc("rehearse", "down").code == 0
