"""Every fault of the catalogue is seen, by an alert or as drift, and mended."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from scripts.rehearsal.faults import CATALOGUE, Fault
from scripts.rehearsal.receiver import alerts_since
from tests.live.conftest import Rehearsal, cgc

pytestmark = pytest.mark.live

SEEN_WITHIN_SECONDS = 180
MENDED_WITHIN_SECONDS = 180
POLL_SECONDS = 3


def departures() -> set[tuple[str, str]]:
    """Return where reality departs now: (subject, place), for nodes only which node."""
    items = cgc("drift", "--json").json()["drift"]
    return {(item["subject"], "" if item["subject"].startswith("node/") else item["where"]) for item in items}


def test_the_catalogue_lists_at_least_eight_faults() -> None:
    """An operator has enough to practise on, each with a name of its own."""
    assert len({fault.name for fault in CATALOGUE}) == len(CATALOGUE) >= 8


@pytest.mark.parametrize("fault", CATALOGUE, ids=lambda fault: fault.name)
def test_a_fault_is_seen_and_mended(rehearsal: Rehearsal, fault: Fault) -> None:
    """The fault's alerts fire and its drift is named; after `mend` nothing departs any more."""
    since = datetime.now(UTC)
    expected = set(fault.drift(rehearsal.ground))
    assert cgc("rehearse", "break", fault.name).code == 0
    try:
        if expected:
            assert expected <= departures()
        wanted, fired = set(fault.alerts), set[str]()
        deadline = time.monotonic() + SEEN_WITHIN_SECONDS
        while not wanted <= fired and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            fired = {alert.name for alert in alerts_since(rehearsal.ground, since) if alert.is_firing}
        assert wanted <= fired, f"fired: {sorted(fired)}"
        assert expected or wanted, "nobody was to notice it"
    finally:
        assert cgc("rehearse", "mend").code == 0
    deadline = time.monotonic() + MENDED_WITHIN_SECONDS
    while (found := cgc("drift")).code != 0 and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    assert found.code == 0, found.out
    assert cgc("rehearse", "status").code == 0
