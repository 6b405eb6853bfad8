"""Gather what runs: every node over SSH, every cluster over its API, read-only, in one round.

In a rehearsal that is up, from inside its operations namespace; elsewhere over this machine's own network. Whoever does
not answer is in the result as a Silence.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporters.readers.kubernetes import KubernetesReader, kinds_of
from exporters.readers.ssh import SshCredentials, SshReader
from inventories.labels import OBSERVER
from inventories.model import Nation
from policies.drift import WATCHED_KINDS
from policies.observed import ClusterObservation, NodeObservation, Observed, Silence
from scripts.access import Access
from scripts.errors import ScriptError
from scripts.rehearsal.identity import OPERATIONS, checkout_id, part_name
from scripts.rehearsal.namespace import network_namespaces

Manifests = Mapping[str, tuple[Mapping[str, Any], ...]]
"""The objects that each cluster must have, by cluster."""

_LOG = logging.getLogger(__name__)
SEEN_FROM = "operator"
DEADLINE_SECONDS = 45.0  # a person waits; a scrape would not
# Where kubeadm's API server logs who wrote what (audit.k8s.io/v1, one event a line), on the cluster's first host.
AUDIT_LOG = "/var/log/kubernetes/audit.log"
MOST_EVENTS = 2000
_LAST_WRITES = (
    f'grep -hE \'"verb":"(create|update|patch|apply|delete|deletecollection)"\' {AUDIT_LOG} 2>/dev/null'
    f' | grep -vE \'"user":[{{]"username":"system:\' | tail -n {MOST_EVENTS} || true'
)


def access_of(state: Path) -> Access:
    """Return how to reach what the credentials in `state` are for: through the rehearsal's namespace if it is up."""
    namespace = part_name(checkout_id(state.resolve().parent), OPERATIONS)
    return Access(state=state.absolute(), namespace=namespace if namespace in network_namespaces() else None)


def observe(
    nation: Nation,
    state: Path,
    *,
    manifests: Manifests,
) -> Observed:
    """Look at every node and cluster once. `manifests` say which kinds of objects to ask for, by cluster.

    ScriptError CGC-650 without credentials.
    """
    access = access_of(state)
    access.require()

    async def look() -> Observed:
        nodes, clusters = await asyncio.gather(_look_at_nodes(nation, access), _look_at(nation, access, manifests))
        return Observed(nodes=nodes, clusters=clusters)

    with access.network():
        return asyncio.run(look())


def observe_clusters(
    nation: Nation, access: Access, *, manifests: Manifests
) -> Mapping[str, ClusterObservation | Silence]:
    """Look at every cluster once; those that were never raised are silent, too."""
    with access.network():
        return asyncio.run(_look_at(nation, access, manifests))


async def _look_at_nodes(nation: Nation, access: Access) -> Mapping[str, NodeObservation | Silence]:
    credentials = SshCredentials(
        private_key=access.ssh_key(OBSERVER),
        certificate=access.ssh_certificate(OBSERVER),
        known_hosts=access.known_hosts,
    )
    nodes = SshReader(credentials, seen_from=SEEN_FROM, deadline_seconds=DEADLINE_SECONDS)
    try:
        return await nodes.observe_all(nation.nodes)
    finally:
        await nodes.close()


async def _look_at(nation: Nation, access: Access, manifests: Manifests) -> Mapping[str, ClusterObservation | Silence]:
    kubeconfigs = {cluster.id: path for cluster in nation.clusters if (path := access.kubeconfig(cluster.id)).exists()}

    async def changes(cluster: str) -> tuple[Mapping[str, Any], ...]:
        return await asyncio.to_thread(_changes, nation, access, cluster)

    clusters = KubernetesReader(
        kubeconfigs,
        seen_from=SEEN_FROM,
        kinds={cluster: kinds_of(objects) | WATCHED_KINDS for cluster, objects in manifests.items()},
        read_changes=changes,
        deadline_seconds=DEADLINE_SECONDS,
    )
    try:
        return await clusters.observe_all(nation.clusters)
    finally:
        await clusters.close()


def _changes(nation: Nation, access: Access, cluster: str) -> tuple[Mapping[str, Any], ...]:
    """Return people's writes to a cluster as its API server logged them; none, said so, where the log cannot be had.

    Without the log drift is still seen and its field manager named; only the person is not.
    """
    host = nation.hosts_of(nation.cluster_by_id[cluster])[0]
    try:
        lines = access.run_on(host, _LAST_WRITES)
    except ScriptError as err:
        _LOG.warning("who changed %s is not known: %s", cluster, err)
        return ()
    return tuple(event for line in lines.splitlines() if (event := event_of(line)) is not None)


def event_of(line: str) -> Mapping[str, Any] | None:
    """Return a line of the audit log as the event of an answered request, None if it is none (the last may be cut)."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and event.get("stage") == "ResponseComplete" else None
