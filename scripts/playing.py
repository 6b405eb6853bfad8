"""The operator's plays: which nodes are not what their bundles say, and Ansible on those."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from inventories import Nation
from inventories.model import Cluster
from playbooks.bundle import Bundle
from playbooks.rendering import render_all
from playbooks.running import HostResult, HostState, SshIdentity, run_play, write_bundles
from policies.observed import Silence
from scripts.access import Access
from scripts.enrolling import enrolment_of
from scripts.sweeping import sweep

CONFIRM_WITHIN_SECONDS = 60
FAILURES = (HostState.FAILED, HostState.UNREACHABLE, HostState.NOT_RUN)


def differing_bundles(nation: Nation, access: Access, *, report: Callable[[str], None]) -> Mapping[str, Bundle]:
    """Ask every node for its fingerprint; return the bundles of those that are not what theirs says, by node.

    A node without an agent answers nothing useful: it differs. Ansible tells it from one that is out of reach.
    """
    report("rendering bundles")
    bundles = render_all(nation, enrolment_of(nation, access.state, now=datetime.now(UTC)))
    report(f"sweeping {len(bundles)} nodes")
    return {
        name: bundles[name]
        for name, answer in sweep(nation.nodes, access).items()
        if isinstance(answer, Silence) or not answer.intact or answer.fingerprint != bundles[name].fingerprint
    }


def run_bundles(
    nation: Nation,
    access: Access,
    bundles: Mapping[str, Bundle],
    *,
    is_applied: bool,
    report: Callable[[str], None],
) -> tuple[HostResult, ...]:
    """Apply bundles to their nodes in waves, or say what that would change."""
    name = "network" if is_applied else "preview"  # a preview may run beside a converging, which has a lock of its own
    is_first = len(bundles) == len(nation.nodes)  # nothing carries traffic yet, so nothing is to be spared
    with _in_turn(access.state / f"{name}.lock"), access.network():
        directory = access.state / "bundles" / name
        write_bundles(bundles, directory)
        return run_play(
            "network",
            nation=nation,
            identity=identity_of(access),
            directory=access.state / "runs" / name,
            limit=bundles,
            variables={
                "node_bundle_directory": str(directory.absolute()),
                "node_confirm_within_seconds": CONFIRM_WITHIN_SECONDS,
            },
            in_waves=is_applied and not is_first,
            check=not is_applied,
            on_event=lambda host, _task, outcome: report(f"{host}: {outcome}"),
        ).hosts


@contextmanager
def _in_turn(path: Path) -> Iterator[None]:
    """Let one run at a time use a directory; the others wait. The kernel gives the lock back if this process dies."""
    with path.open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def raise_clusters(
    nation: Nation, access: Access, clusters: Iterable[Cluster], report: Callable[[str], None]
) -> dict[str, str]:
    """Run kubeadm where it has not run yet; return what failed, by cluster."""
    report(f"raising {', '.join(cluster.id for cluster in clusters)}")
    hosts = {host.name: cluster.id for cluster in clusters for host in cluster.hosts}
    with access.network():
        result = run_play(
            "kubernetes",
            nation=nation,
            identity=identity_of(access),
            directory=access.state / "runs" / "kubernetes",
            limit=hosts,
            on_event=lambda host, task, _outcome: report(f"{host}: {task}"),
        )
    return {hosts[item.host]: f"{item.failed_task}: {item.message}" for item in result.hosts if item.state in FAILURES}


def identity_of(access: Access) -> SshIdentity:
    """Return the operator's identity as plays take it."""
    return SshIdentity(
        private_key=access.ssh_key().absolute(),
        certificate=access.ssh_certificate().absolute(),
        known_hosts=access.known_hosts.absolute(),
    )
