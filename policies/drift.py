"""Drift: where reality is not as declared, who made it so and when, and whether converging repairs it. Pure.

A node compares itself with its bundle (NodeObservation.differences). A cluster's objects are compared here with its
manifest: what is missing, what was changed, what somebody else added to an object of ours, and what nobody declared in
a namespace of ours. Whoever did not answer is UNKNOWN, never "no drift".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from inventories.model import Nation
from policies.audit import Event, event_about, people_of, program_of, time_of
from policies.comparing import Path, differences, shown
from policies.control import Verdict
from policies.field_owners import IsOurs, foreign_fields, is_ours, overlap, owner_of, strange_managers, value_at
from policies.kubernetes import Identity, Object, controller_of, identity_of, instant, labels_of
from policies.observed import ClusterObservation, NodeObservation, Observed, Planned, Silence

WRITES = ("update", "patch", "apply")  # verbs of the audit log
# Namespaces that come with a cluster and that kubeadm fills, not we.
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
BORN_WITH_THE_CLUSTER = frozenset(
    {
        Identity("", "Namespace", "", "default"),
        *(Identity("", "Namespace", "", name) for name in SYSTEM_NAMESPACES),
        Identity("", "Service", "default", "kubernetes"),
        Identity("scheduling.k8s.io", "PriorityClass", "", "system-cluster-critical"),
        Identity("scheduling.k8s.io", "PriorityClass", "", "system-node-critical"),
    }
)
# What Kubernetes puts into every namespace.
BORN_WITH_A_NAMESPACE = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})
# Traces of work, not declarations of anything.
TRACES = frozenset({"Event", "Lease", "EndpointSlice", "Endpoints", "PodMetrics", "Node"})
# Kinds without a namespace in which a stranger matters: they open or close doors for the whole cluster.
CLUSTER_KINDS = frozenset(
    {"Namespace", "ClusterRole", "ClusterRoleBinding", "PriorityClass", "ValidatingAdmissionPolicy"}
    | {"ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}
)
BUILT_IN_PREFIXES = ("system:", "kubeadm:")  # Kubernetes, "Using RBAC": reserved; what kubeadm binds
BOOTSTRAPPED = "kubernetes.io/bootstrapping"  # label of the API server's own roles
# An owner that is gone is collected within moments; an object that names one for longer was never owned.
ORPHAN_AFTER = timedelta(minutes=5)

# What to LIST besides the manifest's kinds, as (apiVersion, kind): without these a stranger, or its owner, goes unseen.
WATCHED_KINDS = frozenset(
    {
        ("v1", "ConfigMap"),
        ("v1", "Namespace"),
        ("v1", "Pod"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "CronJob"),
        ("batch/v1", "Job"),
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    }
)


class Departure(StrEnum):
    """In which way reality departs from the declaration."""

    CHANGED = "changed"
    MISSING = "missing"
    ADDED = "added"  # to an object of ours, by somebody else
    UNDECLARED = "undeclared"


@dataclass(frozen=True, kw_only=True)
class DriftItem:
    """One departure. `subject` is node/NAME or cluster/ID, `where` the path or Kind/namespace/name, `part` what of it.

    `who` are people (SSH certificates' key ids, the audit log's users), `through` the program where it is known.
    """

    subject: str
    where: str
    departure: Departure
    part: str
    expected: str
    found: str
    who: tuple[str, ...] = ()
    through: str = ""
    when: datetime | None = None
    repairable: bool
    diff: str = ""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Everything found in one round: departures by subject and place, who did not answer, how many subjects did."""

    items: tuple[DriftItem, ...]
    silences: tuple[Silence, ...]
    heard: int

    @property
    def verdict(self) -> Verdict:
        """FAIL if anything departs, else UNKNOWN if anyone was silent, else PASS."""
        if self.items:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.silences else Verdict.PASS


def find_drift(nation: Nation, planned: Planned, observed: Observed, *, ours: IsOurs = is_ours) -> Drift:
    """Compare everything that was looked at with what is declared."""
    items: list[DriftItem] = []
    silences: list[Silence] = []
    heard = 0
    for node in nation.nodes:
        seen = observed.nodes.get(node.name)
        if isinstance(seen, NodeObservation):
            items += node_drift(seen, fingerprint=planned.fingerprints.get(node.name))
            heard += 1
        elif seen is not None:
            silences.append(seen)
    for cluster in nation.clusters:
        looked = observed.clusters.get(cluster.id)
        if isinstance(looked, ClusterObservation):
            items += cluster_drift(planned.cluster_objects.get(cluster.id, ()), looked, ours=ours)
            heard += 1
        elif looked is not None:
            silences.append(looked)
    return Drift(items=tuple(items), silences=tuple(silences), heard=heard)


def node_drift(seen: NodeObservation, *, fingerprint: str | None = None) -> tuple[DriftItem, ...]:
    """Return a node's own differences, and whether its bundle is another than the declared one (`fingerprint`)."""
    subject = f"node/{seen.node}"
    items = [
        DriftItem(
            subject=subject,
            where=difference.path,
            departure=Departure.MISSING if difference.aspect == "missing" else Departure.CHANGED,
            part=difference.aspect,
            expected=difference.expected,
            found=difference.found,
            who=difference.changed_by,
            through="ssh" if difference.changed_by else "",
            when=difference.changed_at,
            repairable=True,
            diff=difference.diff,
        )
        for difference in seen.differences
    ]
    if fingerprint is not None and fingerprint != seen.fingerprint:
        items.append(
            DriftItem(
                subject=subject,
                where="bundle",
                departure=Departure.CHANGED if seen.fingerprint else Departure.MISSING,
                part="fingerprint",
                expected=fingerprint,
                found=seen.fingerprint,
                repairable=True,
            )
        )
    return tuple(sorted(items, key=lambda item: (item.where, item.part)))


def cluster_drift(
    manifest: Iterable[Object], seen: ClusterObservation, *, ours: IsOurs = is_ours
) -> tuple[DriftItem, ...]:
    """Compare a cluster's manifest with the objects that its API returned."""
    declared = {identity_of(item): item for item in manifest}
    live = {identity_of(item): item for item in seen.objects}
    subject = f"cluster/{seen.cluster}"
    items: list[DriftItem] = []
    for identity, wanted in declared.items():
        found = live.get(identity)
        if found is None:
            items.append(_missing(subject, identity, seen.changes))
            continue
        items += _changed(subject, identity, wanted=wanted, found=found, changes=seen.changes, ours=ours)
    items += [
        _undeclared(subject, identity, item, seen.changes, ours)
        for identity, item in live.items()
        if identity not in declared and _is_stranger(identity, item, declared, live, seen.seen_at)
    ]
    return tuple(sorted(items, key=lambda item: (item.where, item.part)))


def state_hash(seen: ClusterObservation) -> str:
    """Return the SHA-256, in hexadecimal, over what people declare in a cluster, without what it notes by itself.

    Left out: status, versions, times, field owners; traces (events, leases, endpoints, nodes); and whatever a
    controller made, since it follows from its owner.
    """
    kept = [
        [str(identity_of(item)), identity_of(item).group, _lasting(item)]
        for item in sorted(seen.objects, key=identity_of)
        if item.get("kind") not in TRACES and controller_of(item) is None
    ]
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _lasting(item: Object) -> dict[str, Any]:
    content = {name: value for name, value in item.items() if name not in ("apiVersion", "kind", "metadata", "status")}
    metadata = item.get("metadata") or {}
    noted = {"labels": dict(labels_of(item)), "annotations": dict(metadata.get("annotations") or {})}
    return {**content, "metadata": noted}


def _missing(subject: str, identity: Identity, changes: Iterable[Event]) -> DriftItem:
    event = event_about(changes, identity, verbs=("delete", "deletecollection"))
    return DriftItem(
        subject=subject,
        where=str(identity),
        departure=Departure.MISSING,
        part="",
        expected="present",
        found="absent",
        who=people_of(event),
        through=program_of(event),
        when=time_of(event),
        repairable=True,
    )


def _changed(
    subject: str, identity: Identity, *, wanted: Object, found: Object, changes: Iterable[Event], ours: IsOurs
) -> Iterator[DriftItem]:
    """Yield one item for each value that differs, and one for each owner of fields that nobody declared."""
    foreign = tuple(foreign_fields(wanted, found, ours))
    kept = tuple(changes)
    reported: list[Path] = []
    for difference in differences(wanted, found):
        reported.append(difference.path)
        owner = owner_of(difference.path, found, ours)
        event = event_about(kept, identity, verbs=WRITES, near=owner[1])
        yield DriftItem(
            subject=subject,
            where=str(identity),
            departure=Departure.CHANGED if difference.expected is not None else Departure.ADDED,
            part=shown(difference.path),
            expected=_text(difference.expected),
            found=_text(difference.found),
            who=people_of(event),
            through=owner[0] or program_of(event),
            when=time_of(event) or owner[1],
            repairable=difference.expected is not None,
        )
    by_owner: dict[tuple[str, datetime | None], list[Path]] = {}
    for path, manager, time in foreign:
        if not any(overlap(path, known) for known in reported):
            by_owner.setdefault((manager, time), []).append(path)
    for (manager, time), paths in by_owner.items():
        event = event_about(kept, identity, verbs=WRITES, near=time)
        yield DriftItem(
            subject=subject,
            where=str(identity),
            departure=Departure.ADDED,
            part=", ".join(shown(path) for path in paths),
            expected="not declared",
            found=_text(value_at(found, paths[0])),
            who=people_of(event),
            through=manager,
            when=time_of(event) or time,
            repairable=False,
        )


def _undeclared(subject: str, identity: Identity, item: Object, changes: Iterable[Event], ours: IsOurs) -> DriftItem:
    born = instant((item.get("metadata") or {}).get("creationTimestamp"))
    event = event_about(changes, identity, verbs=("create", *WRITES), near=born)
    managers = tuple(strange_managers(item, ours))
    return DriftItem(
        subject=subject,
        where=str(identity),
        departure=Departure.UNDECLARED,
        part="",
        expected="absent",
        found="present",
        who=people_of(event),
        through=managers[0] if managers else program_of(event),
        when=time_of(event) or born,
        repairable=False,
    )


# --- strangers


def _is_stranger(
    identity: Identity,
    item: Object,
    declared: Mapping[Identity, Object],
    live: Mapping[Identity, Object],
    seen_at: datetime,
) -> bool:
    """Whether the object is one that somebody must have made, in a place that is ours to declare."""
    if identity.kind in TRACES or identity in BORN_WITH_THE_CLUSTER:
        return False
    if not identity.namespace:
        return identity.kind in CLUSTER_KINDS and not _is_built_in(identity, item)
    if (identity.kind, identity.name) in BORN_WITH_A_NAMESPACE or identity.namespace in SYSTEM_NAMESPACES:
        return False
    room = Identity("", "Namespace", "", identity.namespace)
    if room not in declared and identity.namespace != "default":
        return False  # the namespace itself is the stranger, and is named
    owner = controller_of(item)
    if owner is None:
        return True
    uids = {str((thing.get("metadata") or {}).get("uid")) for thing in live.values()}
    if str(owner.get("uid")) in uids:
        return False  # if the owner is a stranger, it is named itself
    born = instant((item.get("metadata") or {}).get("creationTimestamp"))
    return born is not None and seen_at - born > ORPHAN_AFTER


def _is_built_in(identity: Identity, item: Object) -> bool:
    roles = ("ClusterRole", "ClusterRoleBinding")
    return identity.kind in roles and (identity.name.startswith(BUILT_IN_PREFIXES) or BOOTSTRAPPED in labels_of(item))


def _text(value: Any) -> str:
    if value is None:
        return "absent"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
