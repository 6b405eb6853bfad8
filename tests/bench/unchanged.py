"""P5: a run that changes nothing over the rehearsal's hosts: one fingerprint a host, beside plain Ansible tasks.

The peer's play has six files and two units a host. Both must say that nothing changed.
"""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from pathlib import Path

from playbooks.rendering import render_all
from playbooks.running import HostState, run_play
from scripts.converging import Outcome, converge_nodes
from scripts.enrolling import enrolment_of
from scripts.playing import identity_of
from tests.bench.measuring import ROUNDS, BenchError, Figure, Measurement, Row, say, wall_and_processor
from tests.bench.raising import ground, is_up, raise_it

LIMIT_WALL_SECONDS, LIMIT_PROCESSOR_SECONDS = 2.0, 1.0
PLAIN = Path(__file__).with_name("plain_tasks.yml")
FILES = (
    "/etc/chrony/chrony.conf",
    "/etc/frr/daemons",
    "/etc/frr/frr.conf",
    "/etc/nftables.conf",
    "/etc/resolv.conf",
    "/etc/sysctl.d/60-cgc.conf",
)
UNITS = ("frr.service", "chrony.service")


def measure() -> Measurement:
    """Measure ours and the peer's in turn, and hold their answers against each other; the rehearsal is raised first."""
    here = ground()
    if not is_up(here):
        say("  raising the rehearsal")
        raise_it()
    access, nation = here.access, here.nation
    bundles = render_all(nation, enrolment_of(nation, access.state, now=datetime.now(UTC)))
    plain = access.state / "plain"
    for name, bundle in bundles.items():
        for file in bundle.files:
            if file.path in FILES:
                path = Path(f"{plain}/{name}{file.path}")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(file.content)
                path.chmod(file.mode)

    def ours() -> None:
        outcomes = converge_nodes(nation, access, is_applied=True, report=lambda _line: None)
        if {node.outcome for node in outcomes} != {Outcome.AS_DECLARED}:
            raise BenchError(f"ours found something to change: {outcomes}")

    def peer() -> None:
        with access.network():
            result = run_play(
                PLAIN,
                nation=nation,
                identity=identity_of(access),
                directory=access.state / "runs" / "plain",
                variables={"plain_directory": str(plain), "plain_files": FILES, "plain_units": UNITS},
            )
        if {host.state for host in result.hosts} != {HostState.UNCHANGED}:
            raise BenchError(f"the peer found something to change: {result.hosts}")

    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
    for number in range(ROUNDS):
        for name, work in (("ours", ours), ("peer", peer)):
            say(f"  {name}, round {number + 1} of {ROUNDS}")
            taken[name].append(wall_and_processor(work))
    figures = (("wall", LIMIT_WALL_SECONDS), ("controller's processor", LIMIT_PROCESSOR_SECONDS))
    return Measurement(
        figures=tuple(
            Figure(
                name=f"P5 no change, {part} (s)",
                ours=statistics.median(pair[index] for pair in taken["ours"]),
                limit=limit,
                peer=statistics.median(pair[index] for pair in taken["peer"]),
                peer_name="plain Ansible tasks",
            )
            for index, (part, limit) in enumerate(figures)
        ),
        notes={"hosts": len(nation.nodes), "compared": "both said of every host that nothing changed"},
    )


ROW = Row(
    code="P5",
    title="a run that changes nothing",
    needs="root and the set-up of `make bench`; it raises the rehearsal where it is not up",
    measure=measure,
    needs_root=True,
)
