"""The stacks, converged by the real engine on a real API server: the manifest holds there, letter by letter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from inventories import Nation
from inventories.errors import ExitCode
from inventories.labels import Label, managed
from inventories.model import Cluster
from stacks.assignment import Assignment
from stacks.changes import Operation, StackReport
from stacks.errors import StackError
from stacks.fleet import Result, Task, run_fleet
from stacks.objects import cluster_manifest, identity_of
from stacks.plugins import Plugin
from stacks.provider.install import plugin_path
from stacks.workshop import Workshop, locks_of, open_workshop
from tests.stacks.control_plane import PULUMI_VERSION, ControlPlane, program, running_control_plane

pytestmark = pytest.mark.slow

IMAGE = "registry.rehearsal.test/cgc/platform-standin:0a1b2c"
CLUSTER = "cgc-north"
ALLOW_ALL: dict[str, Any] = {"spec": {"ingress": [{}]}}
OWN_PORT = "/apis/networking.k8s.io/v1/namespaces/mic-ndxp/networkpolicies/allow-own-port"
START_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A workshop, a control plane, and the nation whose cluster it plays."""

    nation: Nation
    cluster: Cluster
    workshop: Workshop
    plane: ControlPlane

    def run(self, *, apply: bool = False, refresh: bool = True, **facts: Any) -> Result:
        """Run the cluster's stack, as `cgc preview` and `cgc converge` do."""
        plugin = open_workshop(self.workshop, report=print)
        task = Task(workshop=self.workshop, plugin=plugin, is_applied=apply, refresh=refresh)
        return run_fleet(task, [self.assignment(**facts)], report=print)[self.cluster.id]

    def assignment(self, **facts: Any) -> Assignment:
        """Return what the run is given; `facts` differ from the usual."""
        usual = Assignment(nation=self.nation, cluster=self.cluster, image=IMAGE, kubeconfig=self.plane.kubeconfig)
        return replace(usual, **facts)

    def reported(self, **options: Any) -> StackReport:
        """Run, and have it succeed."""
        result = self.run(**options)
        assert isinstance(result, StackReport), result
        return result


@pytest.fixture(scope="module")
def ground(nation: Nation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Play one cluster on a control plane of its own, with a node that takes every pod and finds it ready."""
    folder = tmp_path_factory.mktemp("stacks")
    (folder / "plane").mkdir()
    engine = program("pulumi", PULUMI_VERSION)
    workshop = Workshop(directory=folder / "pulumi", pulumi=engine, python=Path(sys.executable), is_air_gapped=True)
    cluster = nation.cluster_by_id[CLUSTER]
    with running_control_plane(folder / "plane") as plane, _a_node(plane, nation, cluster):
        ground = Ground(nation=nation, cluster=cluster, workshop=workshop, plane=plane)
        ground.reported(apply=True)
        yield ground


class _a_node:  # noqa: N801 - it reads as what it is: with a node
    """A node that takes every pod of the cluster's platforms and says at once that it runs."""

    def __init__(self, plane: ControlPlane, nation: Nation, cluster: Cluster) -> None:
        self._plane = plane
        self._rooms = [platform.namespace for platform in nation.platforms_on(cluster)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self.failure: Exception | None = None

    def __enter__(self) -> None:
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"}}
        self._plane.request("POST", "/api/v1/nodes", node)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        assert self.failure is None, self.failure

    def _play(self) -> None:
        try:
            while not self._stop.wait(0.5):
                for room in self._rooms:
                    if self._plane.exists(f"/api/v1/namespaces/{room}"):
                        self._take_pods(room)
        except Exception as err:  # noqa: BLE001 - told by the main thread, at the end
            self.failure = err

    def _take_pods(self, room: str) -> None:
        for pod in self._plane.request("GET", f"/api/v1/namespaces/{room}/pods")["items"]:
            path = f"/api/v1/namespaces/{room}/pods/{pod['metadata']['name']}"
            if pod["metadata"].get("deletionTimestamp"):
                if self._plane.exists(path):
                    self._plane.request("DELETE", f"{path}?gracePeriodSeconds=0")
            elif not pod["spec"].get("nodeName"):
                target = {"apiVersion": "v1", "kind": "Node", "name": "worker"}
                binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod["metadata"]["name"]}}
                self._plane.request("POST", f"{path}/binding", {**binding, "target": target})
        self._plane.make_pods_ready(room)


def seconds_passed_until(condition: Callable[[], bool]) -> float:
    """Wait for a condition; answer for how long."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < START_SECONDS
        time.sleep(0.05)
    return time.monotonic() - started


def test_what_was_applied_is_exactly_the_manifest_and_holds(ground: Ground) -> None:
    """A second run changes nothing, also after reading the cluster: no field is spelled otherwise there."""
    again = ground.reported()
    assert again.changes == ()
    assert again.is_applied is False
    manifest = cluster_manifest(ground.nation, ground.cluster, image=IMAGE)
    planned = {identity_of(dict(each)): each for each in again.planned}
    assert planned == {identity_of(each): each for each in manifest}


def test_the_server_keeps_every_declared_field_as_it_is_written(ground: Ground) -> None:
    """What runs contains what is declared, letter by letter, so that comparing them raises no false alarm."""
    for declared in cluster_manifest(ground.nation, ground.cluster, image=IMAGE):
        live = ground.plane.request("GET", path_of(declared))
        assert list(missing(declared, live)) == []


def path_of(manifest: dict[str, Any]) -> str:
    """Return the API's path of an object."""
    group, kind, namespace, name = identity_of(manifest)
    irregular = {
        "NetworkPolicy": "networkpolicies",
        "PriorityClass": "priorityclasses",
        "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    }
    plural = irregular.get(kind, f"{kind.lower()}s")
    root = f"/api/{group}" if group == "v1" else f"/apis/{group}"
    return f"{root}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{root}/{plural}/{name}"


def missing(declared: Any, live: Any, path: str = "") -> Iterator[str]:
    """Yield what is declared and does not run as it is written."""
    if isinstance(declared, dict) and isinstance(live, dict):
        for name, value in declared.items():
            yield from missing(value, live.get(name), f"{path}.{name}")
    elif isinstance(declared, list) and isinstance(live, list) and len(declared) == len(live):
        for position, value in enumerate(declared):
            yield from missing(value, live[position], f"{path}[{position}]")
    elif declared != live and not (declared == [] and live is None):  # the API leaves empty lists out of its answers
        yield f"{path}: {declared!r} runs as {live!r}"


def test_a_rule_added_by_hand_is_seen_and_taken_back(ground: Ground) -> None:
    """An allow-all rule in a network policy shows field by field, and converging removes it."""
    ground.plane.edit(OWN_PORT, ALLOW_ALL)
    (change,) = ground.reported().changes
    assert (change.operation, change.kind, change.namespace) == (Operation.UPDATE, "NetworkPolicy", "mic-ndxp")
    assert {field.path for field in change.fields} == {"spec.ingress[0].from", "spec.ingress[0].ports"}
    repaired = ground.reported(apply=True)
    assert repaired.is_applied is True
    assert [each.name for each in repaired.changes] == ["allow-own-port"]
    assert ground.plane.request("GET", OWN_PORT)["spec"]["ingress"] != [{}]
    assert ground.reported().changes == ()


def test_a_deleted_object_is_made_again(ground: Ground) -> None:
    """What somebody deleted shows as one to create, and comes back."""
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/mic-ndxp/roles/agency-reader"
    ground.plane.request("DELETE", path)
    assert [(each.operation, each.name) for each in ground.reported().changes] == [("create", "agency-reader")]
    ground.reported(apply=True)
    assert ground.plane.exists(path)


def test_a_changed_declaration_shows_what_it_touches(ground: Ground) -> None:
    """A new image is one changed field in each platform's Deployment, and nothing is changed by looking."""
    report = ground.reported(image=f"{IMAGE}-next", refresh=False)
    assert {(each.operation, each.kind) for each in report.changes} == {("update", "Deployment")}
    assert {field.path for each in report.changes for field in each.fields} == {
        "spec.template.spec.containers[0].image"
    }
    assert ground.reported().changes == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": "elsewhere.test/cgc/x:1"}, "images of managed namespaces come from registry.rehearsal.test"),
        ({"priorityClassName": "cgc-level-5"}, "priority is that of its platform's security level"),
        ({"hostNetwork": True}, "no pod shares its host's network"),
        ({"hostPID": True}, "no pod shares its host's network, processes"),
        ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "no pod mounts a directory of its host"),
        ({"privileged": True}, "no container is privileged"),
    ],
)
def test_the_guardrails_hold(ground: Ground, lawless: str, change: dict[str, Any], reason: str) -> None:
    """The API server refuses pods from elsewhere, of another priority, on the host, or privileged, and says why."""
    with pytest.raises(AssertionError, match=reason):
        ground.plane.request("POST", f"/api/v1/namespaces/{lawless}/pods?dryRun=All", a_pod(**change))
    if change != {"priorityClassName": "cgc-level-5"} and "image" not in change:
        with pytest.raises(AssertionError, match="restricted"):
            ground.plane.request("POST", "/api/v1/namespaces/mic-ndxp/pods?dryRun=All", a_pod(**change))


@pytest.fixture(scope="module")
def lawless(ground: Ground) -> str:
    """Return a namespace that is managed, yet under no Pod Security profile: only our own rules hold there."""
    labels = {**managed(ground.nation), Label.LEVEL.on(ground.nation): "4"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lawless", "labels": labels}}
    ground.plane.request("POST", "/api/v1/namespaces", namespace)
    seconds_passed_until(lambda: ground.plane.exists("/api/v1/namespaces/lawless/serviceaccounts/default"))
    return "lawless"


def test_a_lawful_pod_passes_the_guardrails(ground: Ground, lawless: str) -> None:
    """The same pod without the fault is admitted, so that the refusals above are of the fault."""
    for namespace in ("mic-ndxp", lawless):
        ground.plane.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", a_pod())


def a_pod(*, image: str = IMAGE, privileged: bool = False, **spec: Any) -> dict[str, Any]:
    """Return a pod that keeps to every rule, but for what is given."""
    security: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    if privileged:
        security = {"privileged": True}
    container = {"name": "x", "image": image, "securityContext": security}
    profile = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "by-hand"},
        "spec": {"containers": [container], "securityContext": profile, **spec},
    }


def test_a_cluster_that_does_not_answer_is_unknown_not_unchanged(ground: Ground) -> None:
    """Its error says that nothing could be found out, names the cluster, and what to look at."""
    path = ground.plane.kubeconfig
    good = path.read_text()
    port = ground.plane.server.rpartition(":")[2]
    path.write_text(good.replace(f":{port}", ":1"))
    try:
        result = ground.run()
    finally:
        path.write_text(good)
    assert isinstance(result, StackError)
    assert (result.code, result.exit_code) == ("CGC-258", ExitCode.UNKNOWN)
    assert CLUSTER in result.where
    assert ground.reported().changes == ()


def test_another_plugin_is_refused_before_anything_is_done(ground: Ground) -> None:
    """The state records who converged it; the other plugin would read it wrongly."""
    task = Task(workshop=ground.workshop, plugin=Plugin.OFFICIAL, is_applied=False, refresh=False)
    result = run_fleet(task, [ground.assignment()], report=print)[CLUSTER]
    assert isinstance(result, StackError)
    assert result.code == "CGC-254"


def test_no_key_is_in_any_file_of_the_workshop(ground: Ground) -> None:
    """Neither the client's key nor the passphrase is anywhere but in its own file."""
    key = (ground.plane.folder / "admin.key").read_text().splitlines()[1]
    passphrase = ground.workshop.passphrase.read_text()
    for path in ground.workshop.directory.rglob("*"):
        if path.is_file() and path != ground.workshop.passphrase and path != plugin_path(ground.workshop.home):
            text = path.read_bytes()
            assert key.encode() not in text, path
            assert passphrase.encode() not in text, path


_UPDATE = """
import pickle, sys
from stacks.fleet import Task, run_fleet
if __name__ == "__main__":
    task, assignments = pickle.loads(sys.stdin.buffer.read())
    result = run_fleet(task, assignments, report=lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("whom", ["engine", "command"])
def test_a_killed_run_is_taken_up(ground: Ground, tmp_path: Path, whom: str) -> None:
    """The engine or the whole command is killed in the middle: the next run lifts the hold and finishes the work."""
    for room in ("mic-ndxp", "vpcp-dvcqg", "vpcp-document-axis", "bca-nixa"):
        ground.plane.request("DELETE", f"/apis/apps/v1/namespaces/{room}/deployments/{room.partition('-')[2]}")
    script = tmp_path / "update.py"
    script.write_text(_UPDATE)
    command = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.stdin is not None
    assert command.stdout is not None
    command.stdin.write(_pickled(ground))
    command.stdin.close()
    try:
        for line in command.stdout:
            if b"create Deployment" in line:
                break
        victim = command.pid if whom == "command" else locks_of(ground.workshop, CLUSTER)[0].process
        os.kill(victim, signal.SIGKILL)
        command.stdout.read()
        command.wait(START_SECONDS)
    finally:
        command.kill()
        command.stdout.close()
    finished = ground.reported(apply=True)
    assert finished.is_applied
    assert locks_of(ground.workshop, CLUSTER) == ()
    assert ground.reported().changes == ()


def _pickled(ground: Ground) -> bytes:
    import pickle  # noqa: PLC0415 - only here, and of our own making

    task = Task(workshop=ground.workshop, plugin=Plugin.BUILT_IN, is_applied=True, refresh=True)
    return pickle.dumps((task, [ground.assignment()]))


def test_a_run_that_vanishes_is_told_and_stops_no_other(ground: Ground) -> None:
    """A process that ends without a word is an error of its cluster alone."""
    task = Task(workshop=ground.workshop, plugin=Plugin.BUILT_IN, is_applied=False, refresh=False, enter=_vanish)
    result = run_fleet(task, [ground.assignment()], report=print)[CLUSTER]
    assert isinstance(result, StackError)
    assert (result.code, "exit code 9" in result.what) == ("CGC-260", True)


def _vanish() -> None:
    os._exit(9)
