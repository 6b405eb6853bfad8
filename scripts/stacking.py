"""The operator's stacks: which clusters the engine would find nothing to do on, and Pulumi on the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from inventories import Nation
from inventories.model import Cluster
from policies.drift import Departure, cluster_drift
from policies.observed import ClusterObservation, Planned, Silence
from scripts.access import Access
from scripts.planned import STANDIN
from scripts.rehearsal.container_images import standin_image_name
from scripts.rehearsal.namespace import enter_network_namespace
from scripts.toolchain.cache import program_path
from stacks.assignment import Assignment
from stacks.changes import StackReport
from stacks.errors import StackError
from stacks.fleet import Task, run_fleet
from stacks.settled import settled, wanted
from stacks.workshop import Workshop, open_workshop


def settled_clusters(
    nation: Nation,
    access: Access,
    clusters: Iterable[Cluster],
    planned: Planned,
    seen: Mapping[str, ClusterObservation | Silence],
    *,
    report: Callable[[str], None],
) -> set[str]:
    """Return the clusters on which the engine would find nothing to do.

    Those whose last run brought about exactly what is wanted now, and where all of it still stands. Things that nobody
    declared are no concern of the engine's.
    """
    workshop = workshop_of(access)
    plugin = open_workshop(workshop, report=report)
    found = set()
    for cluster in clusters:
        looked = seen[cluster.id]
        if isinstance(looked, Silence):
            continue
        departures = cluster_drift(planned.cluster_objects[cluster.id], looked)
        stands = all(item.departure is Departure.UNDECLARED for item in departures)
        if stands and settled(workshop, cluster.id) == wanted(_assignment(nation, access, cluster), plugin):
            found.add(cluster.id)
    return found


def _assignment(nation: Nation, access: Access, cluster: Cluster) -> Assignment:
    image = standin_image_name(STANDIN)
    return Assignment(nation=nation, cluster=cluster, image=image, kubeconfig=access.kubeconfig(cluster.id))


def workshop_of(access: Access) -> Workshop:
    """Return where Pulumi works for this declaration."""
    return Workshop(
        directory=access.state.absolute() / "pulumi",
        pulumi=program_path("pulumi"),
        python=Path(sys.executable),
        is_air_gapped=access.namespace is not None,
    )


def run_stacks(
    nation: Nation,
    access: Access,
    clusters: list[Cluster],
    *,
    is_applied: bool,
    refresh: bool,
    report: Callable[[str], None],
) -> Mapping[str, StackReport | StackError]:
    """Preview or update the clusters' stacks side by side; return each one's report or error."""
    workshop = workshop_of(access)
    plugin = open_workshop(workshop, report=report)
    enter = partial(enter_network_namespace, access.namespace) if access.namespace else None
    task = Task(workshop=workshop, plugin=plugin, is_applied=is_applied, refresh=refresh, enter=enter)
    return run_fleet(task, [_assignment(nation, access, cluster) for cluster in clusters], report=report)
