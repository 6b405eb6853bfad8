"""`cgc converge`: make what runs as declared: nodes by their bundles, then clusters by their stacks.

Who is as declared is looked at and left alone: Ansible runs only on nodes whose fingerprint differs, Pulumi only where
an object of a cluster departs or its last run was another one. What converging cannot repair (a thing that nobody
declared) is named, never removed. Each applied run is sealed in the evidence.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from inventories import Nation, load_nation
from inventories.errors import CgcError, ExitCode
from inventories.model import Cluster
from playbooks.running import HostResult, HostState
from policies.drift import Drift, find_drift
from policies.observed import ClusterObservation, Observed, Planned, Silence
from scripts.access import STATE, Access
from scripts.drifting import drift_table
from scripts.errors import ScriptError
from scripts.evidence import open_log, this_actor
from scripts.invocation import ApplyOption, JsonOption, current
from scripts.observing import access_of, observe, observe_clusters
from scripts.planned import manifests_of
from scripts.playing import differing_bundles, raise_clusters, run_bundles
from scripts.presenting import Column, Table, examples, finish, present, progress
from scripts.stacking import run_stacks, settled_clusters
from stacks.changes import Operation, StackReport
from stacks.errors import StackError

LOCK = "converge.lock"


class Outcome(StrEnum):
    """What became of one node or cluster."""

    AS_DECLARED = "as declared"
    DIFFERS = "differs"
    APPLIED = "applied"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    NOT_REACHED = "not reached"  # another one failed first


@dataclass(frozen=True, kw_only=True)
class NodeOutcome:
    """What a run did to a node, or would do: the paths concerned, and the failure if there was one."""

    node: str
    outcome: Outcome
    paths: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ClusterOutcome:
    """What a run did to a cluster, or would do: how many objects by operation, the changed ones, the failure."""

    cluster: str
    outcome: Outcome
    objects: tuple[str, ...] = ()
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """A whole run; `remaining` is the drift that is left after an applied one, None after a dry one."""

    is_applied: bool
    nodes: tuple[NodeOutcome, ...]
    clusters: tuple[ClusterOutcome, ...]
    remaining: Drift | None
    seconds: float

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Every node's and every cluster's outcome."""
        return (*(node.outcome for node in self.nodes), *(cluster.outcome for cluster in self.clusters))

    @property
    def exit_codes(self) -> tuple[ExitCode, ...]:
        """The exit codes that apply."""
        codes: list[ExitCode] = []
        if Outcome.FAILED in self.outcomes or (self.is_applied and Outcome.UNREACHABLE in self.outcomes):
            codes.append(ExitCode.FAILED)
        if Outcome.UNREACHABLE in self.outcomes or (self.remaining is not None and self.remaining.silences):
            codes.append(ExitCode.UNKNOWN)
        if Outcome.DIFFERS in self.outcomes or (self.remaining is not None and self.remaining.items):
            codes.append(ExitCode.DIFFERS)
        return tuple(codes)


def converge(
    *,
    apply: ApplyOption = False,
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="Where the credentials lie.")] = STATE,
    as_json: JsonOption = False,
) -> None:
    """Make what runs as declared; without --apply, say what that would change.

    Ends with 0 if all is as declared, 1 if something failed, 3 if somebody did not answer, 5 if differences are left.
    """
    nation = load_nation(current().declaration)
    with progress("converging") as steps:
        done = converge_nation(nation, access_of(state), is_applied=apply, report=steps.step)
    show(done, as_json=as_json)
    finish(*done.exit_codes)


converge.epilog = examples(  # type: ignore[attr-defined] # cli.load reads it
    ("cgc converge", "what would change?"),
    ("cgc converge --apply", "change it, and prove that it holds"),
)


def converge_nation(nation: Nation, access: Access, *, is_applied: bool, report: Callable[[str], None]) -> Convergence:
    """Converge every node, then every cluster; a cluster whose host failed is not reached.

    CGC-653 if another run is under way, CGC-650 and CGC-652 without credentials or enrolment.
    """
    access.require()
    started = time.monotonic()
    with _alone(access.state):
        nodes = converge_nodes(nation, access, is_applied=is_applied, report=report)
        ailing = {node.node for node in nodes if node.outcome not in (Outcome.AS_DECLARED, Outcome.APPLIED)}
        planned = Planned(cluster_objects=manifests_of(nation))
        report("looking at the clusters")
        seen = observe_clusters(nation, access, manifests=planned.cluster_objects)
        clusters = converge_clusters(
            nation, access, planned=planned, seen=seen, ailing=ailing, is_applied=is_applied, report=report
        )
        remaining = None
        if is_applied:
            is_untouched = {*(n.outcome for n in nodes), *(c.outcome for c in clusters)} <= {Outcome.AS_DECLARED}
            if is_untouched:  # what was seen still holds: each node said that nothing about it departs
                drift = find_drift(nation, planned, Observed(nodes={}, clusters=seen))
                remaining = replace(drift, heard=drift.heard + len(nodes))
            else:
                report("looking at what is left")
                remaining = find_drift(
                    nation, planned, observe(nation, access.state, manifests=planned.cluster_objects)
                )
    done = Convergence(
        is_applied=is_applied,
        nodes=nodes,
        clusters=clusters,
        remaining=remaining,
        seconds=round(time.monotonic() - started, 1),
    )
    if is_applied:
        open_log(access.state / "evidence").append(kind="converge", actor=this_actor(), body=body_of(done))
    return done


def converge_nodes(
    nation: Nation, access: Access, *, is_applied: bool, report: Callable[[str], None]
) -> tuple[NodeOutcome, ...]:
    """Sweep every node, and apply (or compare, if dry) the bundles of those that differ, in waves."""
    differing = differing_bundles(nation, access, report=report)
    outcomes = {
        node.name: NodeOutcome(node=node.name, outcome=Outcome.AS_DECLARED)
        for node in nation.nodes
        if node.name not in differing
    }
    if differing:
        report(f"{'applying' if is_applied else 'comparing'} {len(differing)} bundles")
        results = run_bundles(nation, access, differing, is_applied=is_applied, report=report)
        outcomes |= {result.host: _node_outcome(result, is_applied=is_applied) for result in results}
    return tuple(outcomes[name] for name in sorted(outcomes))


def _node_outcome(result: HostResult, *, is_applied: bool) -> NodeOutcome:
    outcome = {
        HostState.UNCHANGED: Outcome.AS_DECLARED,
        HostState.CHANGED: Outcome.APPLIED if is_applied else Outcome.DIFFERS,
        HostState.FAILED: Outcome.FAILED,
        HostState.UNREACHABLE: Outcome.UNREACHABLE,
        HostState.NOT_RUN: Outcome.NOT_REACHED,
    }[result.state]
    paths = (*(file.path for file in result.files), *(str(item["path"]) for item in result.runtime))
    return NodeOutcome(node=result.host, outcome=outcome, paths=paths, message=result.message)


def converge_clusters(
    nation: Nation,
    access: Access,
    *,
    planned: Planned,
    seen: Mapping[str, ClusterObservation | Silence],
    ailing: set[str],
    is_applied: bool,
    report: Callable[[str], None],
) -> tuple[ClusterOutcome, ...]:
    """Raise the clusters that do not answer yet, then run the stack of each that is not settled.

    `seen` is what was observed of every cluster just now. One that keeps silence there may still answer the operator:
    on a new cluster nobody else may look yet.
    """
    outcomes: dict[str, ClusterOutcome] = {}
    reachable: list[Cluster] = []
    silent = [cluster for cluster in nation.clusters if isinstance(seen[cluster.id], Silence)]
    with ThreadPoolExecutor() as pool:
        answering = dict(zip(silent, pool.map(partial(_is_ready, access), silent), strict=True))
    ready = {cluster: answering.get(cluster, True) for cluster in nation.clusters}
    raised = [cluster for cluster in nation.clusters if not ready[cluster] and is_applied]
    healthy = [cluster for cluster in raised if not ailing & {host.name for host in cluster.hosts}]
    failures = raise_clusters(nation, access, healthy, report) if healthy else {}
    for cluster in nation.clusters:
        if ready[cluster] or (cluster in healthy and cluster.id not in failures):
            reachable.append(cluster)
        elif cluster.id in failures:
            outcomes[cluster.id] = ClusterOutcome(
                cluster=cluster.id, outcome=Outcome.FAILED, message=failures[cluster.id]
            )
        else:
            message = "its API does not answer" if not is_applied else "its host failed"
            outcomes[cluster.id] = ClusterOutcome(cluster=cluster.id, outcome=Outcome.UNREACHABLE, message=message)
    standing = settled_clusters(nation, access, reachable, planned, seen, report=report)
    outcomes |= {name: ClusterOutcome(cluster=name, outcome=Outcome.AS_DECLARED) for name in standing}
    unsettled = [cluster for cluster in reachable if cluster.id not in standing]
    if unsettled:
        report(f"running the stacks of {', '.join(cluster.id for cluster in unsettled)}")
        results = run_stacks(nation, access, unsettled, is_applied=is_applied, refresh=True, report=report)
        outcomes |= {name: _cluster_outcome(name, result, is_applied=is_applied) for name, result in results.items()}
    return tuple(outcomes[name] for name in sorted(outcomes))


def _cluster_outcome(name: str, result: StackReport | StackError, *, is_applied: bool) -> ClusterOutcome:
    if isinstance(result, StackError):
        is_unknown = result.exit_code is ExitCode.UNKNOWN
        outcome = Outcome.UNREACHABLE if is_unknown else Outcome.FAILED
        return ClusterOutcome(cluster=name, outcome=outcome, message=str(result))
    changed = tuple(
        f"{change.operation} {change.kind} {change.namespace + '/' if change.namespace else ''}{change.name}"
        for change in result.objects
        if change.operation is not Operation.SAME
    )
    if not changed:
        return ClusterOutcome(cluster=name, outcome=Outcome.AS_DECLARED)
    return ClusterOutcome(cluster=name, outcome=Outcome.APPLIED if is_applied else Outcome.DIFFERS, objects=changed)


def _is_ready(access: Access, cluster: Cluster) -> bool:
    try:
        return access.kubectl(cluster.id, "get", "--raw", "/readyz").strip() == "ok"
    except ScriptError:
        return False  # the caller says so: the cluster is raised, or reported as unreachable


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Hold the lock that lets one run change the nation at a time; the kernel gives it back if this process dies."""
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = os.read(descriptor, 64).decode() or "unknown"
            raise ScriptError(
                "CGC-653",
                f"another run (process {holder}) is converging",
                where=str(state / LOCK),
                remedy="wait for it to end",
            ) from err
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


def body_of(done: Convergence) -> dict[str, object]:
    """Return a run as evidence keeps it."""
    return {
        "nodes": {node.node: {"outcome": node.outcome.value, "paths": list(node.paths)} for node in done.nodes},
        "clusters": {
            cluster.cluster: {"outcome": cluster.outcome.value, "objects": list(cluster.objects)}
            for cluster in done.clusters
        },
        "remaining": [
            {"subject": item.subject, "where": item.where, "departure": item.departure.value}
            for item in (done.remaining.items if done.remaining else ())
        ],
        "seconds": done.seconds,
    }


def show(done: Convergence, *, as_json: bool) -> None:
    """Print what was done, or would be, and what is left."""
    columns = (
        Column(key="subject", en="subject", vi="đối tượng"),
        Column(key="outcome", en="outcome", vi="kết quả"),
        Column(key="what", en="what", vi="nội dung"),
        Column(key="message", en="message", vi="thông báo"),
    )
    rows = [
        {"subject": f"node/{node.node}", "outcome": node.outcome, "what": node.paths, "message": node.message}
        for node in done.nodes
    ]
    rows += [
        {
            "subject": f"cluster/{cluster.cluster}",
            "outcome": cluster.outcome,
            "what": cluster.objects,
            "message": cluster.message,
        }
        for cluster in done.clusters
    ]
    shown = rows if as_json else [row for row in rows if row["outcome"] is not Outcome.AS_DECLARED]
    tables = [Table(name="subjects", columns=columns, rows=tuple(shown))] if shown else []
    if done.remaining is not None and (done.remaining.items or as_json):
        tables.append(drift_table(done.remaining, as_json=as_json))
    facts = {
        "applied": done.is_applied,
        "as_declared": done.outcomes.count(Outcome.AS_DECLARED),
        "changed": done.outcomes.count(Outcome.APPLIED),
        "differing": done.outcomes.count(Outcome.DIFFERS),
        "failed": sum(done.outcomes.count(bad) for bad in (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.NOT_REACHED)),
        "seconds": done.seconds,
    }
    present(tables, facts=facts, as_json=as_json)


def failure_of(done: Convergence) -> CgcError | None:
    """Return the first failure as an error, None if there was none."""
    for subject, outcome, message in (
        *((node.node, node.outcome, node.message) for node in done.nodes),
        *((cluster.cluster, cluster.outcome, cluster.message) for cluster in done.clusters),
    ):
        if outcome in (Outcome.FAILED, Outcome.UNREACHABLE):
            remedy = "mend what it names and run `cgc converge --apply` again"
            return ScriptError("CGC-654", f"{outcome}: {message}", where=subject, remedy=remedy)
    return None
