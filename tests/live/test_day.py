"""The rehearsal comes up and everything its day is to prove is proven."""

from __future__ import annotations

import time

import pytest

from tests.live.conftest import Rehearsal, cgc

pytestmark = pytest.mark.live

CLOCKS_SETTLE_SECONDS = 180  # a time daemon trusts its servers after a few polls
POLL_SECONDS = 5


def test_the_rehearsal_comes_up_and_its_day_is_proven(rehearsal: Rehearsal) -> None:
    """`cgc rehearse up` ends with 0 and proves each of the day's seven acts."""
    done = rehearsal.raised or cgc("rehearse", "up", "--json", seconds=1800)
    assert done.code in (0, 1), done.err[-3000:]
    proofs = done.json()["proofs"] if done.out else []
    unproven = [f"{proof['what']}: {proof['detail']}" for proof in proofs if proof["verdict"] != "proven"]
    assert unproven == [], done.err[-3000:]
    assert done.code == 0, done.err[-3000:]
    assert len(proofs) == 7


def test_what_runs_is_as_declared(rehearsal: Rehearsal) -> None:
    """After the day nothing departs, nothing is off, everything that runs is lawful, and the evidence verifies."""
    evidence = rehearsal.ground.access.state / "evidence"
    assert cgc("drift").code == 0
    assert cgc("converge").code == 0
    assert cgc("rehearse", "status").code == 0
    deadline = time.monotonic() + CLOCKS_SETTLE_SECONDS
    while (judged := cgc("judge", "--live")).code != 0 and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    assert judged.code == 0, judged.out
    verified = cgc("evidence", "verify", str(evidence / "log.jsonl"), "--public-key", str(evidence / "public.pem"))
    assert verified.code == 0, verified.out


def test_every_session_of_the_nation_is_up(rehearsal: Rehearsal) -> None:
    """Each declared BGP session is Established in both address families, as the routers themselves say."""
    nation = rehearsal.ground.nation
    missing = []
    for node in nation.nodes:
        said = rehearsal.ground.access.run_on(node, "vtysh -c 'show bgp summary' 2>/dev/null || true")
        for session in node.sessions:
            for address in (session.peer_addresses.ipv4, session.peer_addresses.ipv6):
                line = next((line.split() for line in said.splitlines() if line.split()[:1] == [str(address)]), [])
                # the tenth column is a number of prefixes once the session is Established, else its state
                if len(line) < 10 or not line[9].isdigit():
                    missing.append(f"{node.name} {session.peer} {address}")
    assert missing == []


def test_nothing_of_the_rehearsal_is_in_the_machines_own_network(rehearsal: Rehearsal) -> None:
    """No interface, address or route of the rehearsal exists outside its namespaces, so nobody outside reaches it."""
    from tests.live.conftest import traces  # noqa: PLC0415 - what stands now, beside what stood before

    now = traces()
    assert now["interfaces"] == rehearsal.before["interfaces"]
    assert now["routes"] == rehearsal.before["routes"]
