"""The built-in provider, driven by the real Pulumi engine against a real API server: what a stack relies on."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi import automation as auto

from stacks.provider.install import install_builtin_provider
from tests.stacks.control_plane import PULUMI_VERSION, ControlPlane, program

pytestmark = pytest.mark.slow

_PROJECT = "conformance"
_PASSPHRASE = "not a secret: the state is in a test's folder"  # noqa: S105 - as it says
_SECRET = "s3cr3t-of-the-agency"  # noqa: S105 - looked for in the state, where it must not be

_NOT_OBJECTS = frozenset({"pulumi:pulumi:Stack", "pulumi:providers:kubernetes"})

Program = Callable[[pulumi.ResourceOptions], None]


@dataclass(frozen=True, kw_only=True)
class Room:
    """A stack of its own with a namespace name of its own."""

    stack: auto.Stack
    plane: ControlPlane
    name: str
    state: Path
    variables: dict[str, str]
    errors: list[str]

    def declare(self, build: Program) -> None:
        """Make *build* the stack's program; its resources go through an explicit provider, as in stacks/."""
        kubeconfig = str(self.plane.kubeconfig)

        def run() -> None:
            provider = k8s.Provider(
                "cluster", kubeconfig=kubeconfig, enable_config_map_mutable=True, enable_secret_mutable=True
            )
            build(pulumi.ResourceOptions(provider=provider))

        self.stack.workspace.program = run

    def preview(self, **options: Any) -> dict[str, int]:
        """Preview; answers how many resources of each operation, the stack and its provider left out."""
        counts: dict[str, int] = {}

        def note(event: auto.EngineEvent) -> None:
            step = event.resource_pre_event
            operation = step.metadata.op.value if step else "refresh"
            if step and operation != "refresh" and step.metadata.type not in _NOT_OBJECTS:
                counts[operation] = counts.get(operation, 0) + 1
            if event.diagnostic_event and event.diagnostic_event.severity in {"error", "warning"}:
                self.errors.append(event.diagnostic_event.message)

        self.stack.preview(on_event=note, **options)
        return counts

    def up(self, **options: Any) -> dict[str, int]:
        """Converge; answers the engine's count of resources by operation."""
        changes = self.stack.up(**options).summary.resource_changes or {}
        return {str(getattr(operation, "value", operation)): count for operation, count in changes.items()}

    def resource(self, kind: str) -> dict[str, Any]:
        """Answer the one resource of *kind* in the state."""
        deployment = self.stack.export_stack().deployment
        assert deployment is not None
        (found,) = [item for item in deployment["resources"] if item["type"].endswith(f":{kind}")]
        answer: dict[str, Any] = found
        return answer


@pytest.fixture(scope="session")
def pulumi_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Answer a PULUMI_HOME with the built-in provider and nothing else."""
    home = tmp_path_factory.mktemp("pulumi-home")
    install_builtin_provider(pulumi_home=home, python=Path(sys.executable))
    return home


def environment(pulumi_home: Path, state: Path) -> dict[str, str]:
    """Answer the environment of every `pulumi` of these tests."""
    state.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": f"{program('pulumi', PULUMI_VERSION).parent}:{os.environ['PATH']}",
        "PULUMI_HOME": str(pulumi_home),
        "PULUMI_BACKEND_URL": f"file://{state}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": _PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
        "PULUMI_SUPPRESS_NEO_LINK": "true",
    }


@pytest.fixture
def room(
    control_plane: ControlPlane, pulumi_home: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Room]:
    """Give each test a stack and a namespace named after it; the namespace goes with the test."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].rstrip("-")
    state = tmp_path / "state"
    variables = environment(pulumi_home, state)
    stack = auto.create_or_select_stack(
        name,
        _PROJECT,
        lambda: None,
        opts=auto.LocalWorkspaceOptions(
            work_dir=str(_work_directory(tmp_path)),
            env_vars=variables,
            pulumi_command=auto.PulumiCommand(root=_pulumi_root(tmp_path)),
            project_settings=auto.ProjectSettings(
                name=_PROJECT, runtime="python", backend=auto.ProjectBackend(url=variables["PULUMI_BACKEND_URL"])
            ),
        ),
    )
    yield Room(stack=stack, plane=control_plane, name=name, state=state, variables=variables, errors=[])
    if control_plane.exists(f"/api/v1/namespaces/{name}"):
        control_plane.request("DELETE", f"/api/v1/namespaces/{name}")


def _work_directory(tmp_path: Path) -> Path:
    """Answer where the engine keeps a stack's settings; left to itself it makes a directory that nobody removes."""
    work = tmp_path / "work"
    work.mkdir()
    return work


def _pulumi_root(tmp_path: Path) -> str:
    """Answer a root as `PulumiCommand` wants it (ROOT/bin/pulumi), of the toolchain's binary."""
    root = tmp_path / "pulumi"
    root.mkdir()
    (root / "bin").symlink_to(program("pulumi", PULUMI_VERSION).parent)
    return str(root)


def walls(name: str, *, extra_label: str = "", replicas_quota: str = "10") -> Program:
    """Declare a namespace with a quota, a default-deny policy, a role and its binding, a config map and a secret."""

    def build(options: pulumi.ResourceOptions) -> None:
        labels = {"app.kubernetes.io/managed-by": "cgc"} | ({"extra": extra_label} if extra_label else {})
        namespace = k8s.core.v1.Namespace("room", metadata={"name": name, "labels": labels}, opts=options)
        inside = pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[namespace]))

        def named(own: str) -> Any:
            return {"name": own, "namespace": namespace.metadata["name"]}

        k8s.core.v1.ResourceQuota(
            "share",
            metadata=named("share"),
            spec={"hard": {"pods": replicas_quota, "requests.cpu": "4000m"}},
            opts=inside,
        )
        k8s.networking.v1.NetworkPolicy(
            "deny",
            metadata=named("deny"),
            spec={
                "pod_selector": {},
                "policy_types": ["Ingress", "Egress"],
                "ingress": [{"from_": [{"pod_selector": {}}], "ports": [{"port": 8080}]}],
            },
            opts=inside,
        )
        k8s.rbac.v1.Role(
            "reader",
            metadata=named("reader"),
            rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
            opts=inside,
        )
        k8s.core.v1.ConfigMap("facts", metadata=named("facts"), data={"a": "1", "b": "2"}, opts=inside)
        k8s.core.v1.Secret(
            "key",
            metadata=named("key"),
            string_data={"password": pulumi.Output.secret(_SECRET)},
            opts=inside,
        )

    return build


WALLS = 6


def test_creates_and_then_has_nothing_to_do(room: Room) -> None:
    """A preview announces every object, an update makes them, and every later preview and update is `same`."""
    room.declare(walls(room.name))
    assert room.preview() == {"create": WALLS}
    assert not room.plane.exists(f"/api/v1/namespaces/{room.name}")
    assert room.up()["create"] == WALLS + 2
    assert room.plane.exists(f"/apis/networking.k8s.io/v1/namespaces/{room.name}/networkpolicies/deny")
    assert room.preview(refresh=True, expect_no_changes=True) == {"same": WALLS}
    assert room.up() == {"same": WALLS + 2}


def test_updates_in_place_what_the_server_lets_change(room: Room) -> None:
    """A changed quota and label are updates; a field that the program drops is dropped from the object."""
    room.declare(walls(room.name, extra_label="x"))
    room.up()
    room.declare(walls(room.name, replicas_quota="20"))
    assert room.preview() == {"update": 2, "same": WALLS - 2}
    assert room.up()["update"] == 2
    namespace = room.plane.request("GET", f"/api/v1/namespaces/{room.name}")
    assert "extra" not in namespace["metadata"]["labels"]
    quota = room.plane.request("GET", f"/api/v1/namespaces/{room.name}/resourcequotas/share")
    assert quota["spec"]["hard"]["pods"] == "20"


def binding(name: str, role: str) -> Program:
    """Declare a namespace with a binding of *role*."""

    def build(options: pulumi.ResourceOptions) -> None:
        namespace = k8s.core.v1.Namespace("room", metadata={"name": name}, opts=options)
        k8s.rbac.v1.RoleBinding(
            "readers",
            metadata={"name": "readers", "namespace": name},
            role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            subjects=[{"kind": "Group", "name": "noc", "api_group": "rbac.authorization.k8s.io"}],
            opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[namespace])),
        )

    return build


def test_replaces_what_the_server_does_not_let_change(room: Room) -> None:
    """A changed roleRef replaces the binding, in the preview too, and the old one is gone before the new one comes."""
    room.declare(binding(room.name, "reader"))
    room.up()
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{room.name}/rolebindings/readers"
    before = room.plane.request("GET", path)["metadata"]["uid"]
    room.declare(binding(room.name, "writer"))
    assert room.preview()["replace"] == 1
    room.up()
    after = room.plane.request("GET", path)
    assert after["roleRef"]["name"] == "writer"
    assert after["metadata"]["uid"] != before


def drift(room: Room) -> dict[str, list[str]]:
    """Answer what a dry refresh finds: the paths that differ by resource name; none for one that is gone."""
    found: dict[str, list[str]] = {}

    def note(event: auto.EngineEvent) -> None:
        step = event.res_outputs_event
        if step and step.metadata.op.value != "same":
            found[step.metadata.urn.rsplit("::", 1)[-1]] = sorted(step.metadata.detailed_diff or ())

    room.stack.preview_refresh(on_event=note)
    return found


def test_sees_and_repairs_every_drift_of_what_it_declared(room: Room) -> None:
    """An added allow-all rule, a changed quota, a changed key, a deleted role, a changed secret: seen, all and only.

    The official provider does not see the added rule. After `up` with forced conflicts the declaration holds again.
    """
    room.declare(walls(room.name))
    room.up()
    base, policies = f"/api/v1/namespaces/{room.name}", f"/apis/networking.k8s.io/v1/namespaces/{room.name}"
    assert drift(room) == {}

    policy = room.plane.request("GET", f"{policies}/networkpolicies/deny")
    room.plane.edit(f"{policies}/networkpolicies/deny", {"spec": {"ingress": [*policy["spec"]["ingress"], {}]}})
    assert drift(room) == {"deny": ["spec.ingress[1]"]}
    with pytest.raises(auto.CommandError):
        room.stack.preview(refresh=True, expect_no_changes=True)

    room.plane.edit(f"{base}/resourcequotas/share", {"spec": {"hard": {"pods": "99"}}})
    room.plane.edit(f"{base}/configmaps/facts", {"data": {"a": "9"}})
    room.plane.edit(f"{base}/secrets/key", {"data": {"password": base64.b64encode(b"stolen").decode()}})
    room.plane.request("DELETE", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{room.name}/roles/reader")
    assert drift(room) == {
        "deny": ["spec.ingress[1]"],
        "share": ["spec.hard.pods"],
        "facts": ["data.a"],
        "key": ["data.password"],
        "reader": [],
    }

    with pytest.raises(auto.CommandError, match="kubectl-edit"):
        room.up(refresh=True)  # another field manager owns the fields: nothing is taken back unasked
    room.variables["PULUMI_K8S_ENABLE_PATCH_FORCE"] = "true"
    assert room.preview(refresh=True)["update"] == 4  # the role may be back: the others failed beside it
    room.up(refresh=True)
    repaired = room.plane.request("GET", f"{policies}/networkpolicies/deny")
    assert repaired["spec"]["ingress"] == policy["spec"]["ingress"]
    assert drift(room) == {}


def test_leaves_to_others_what_it_did_not_declare(room: Room) -> None:
    """A label and a key that somebody else added are not the stack's drift, and an update leaves them."""
    room.declare(walls(room.name))
    room.up()
    room.plane.edit(f"/api/v1/namespaces/{room.name}/configmaps/facts", {"data": {"c": "3"}})
    room.plane.edit(f"/api/v1/namespaces/{room.name}", {"metadata": {"labels": {"theirs": "yes"}}})
    assert drift(room) == {}
    room.declare(walls(room.name, extra_label="ours"))
    room.up(refresh=True)
    labels = room.plane.request("GET", f"/api/v1/namespaces/{room.name}")["metadata"]["labels"]
    assert (labels["theirs"], labels["extra"]) == ("yes", "ours")


def test_refuses_an_object_that_is_somebody_elses(room: Room) -> None:
    """An object that exists and that another manager wrote is refused, in the preview and in the update, untouched."""
    room.plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": room.name, "labels": {"mine": "1"}}})
    room.declare(walls(room.name))
    with pytest.raises(auto.CommandError, match="CGC-234"):
        room.preview()
    with pytest.raises(auto.CommandError, match="CGC-234"):
        room.up()
    labels = room.plane.request("GET", f"/api/v1/namespaces/{room.name}")["metadata"]["labels"]
    assert "app.kubernetes.io/managed-by" not in labels


def test_keeps_secrets_out_of_the_state_and_the_output(room: Room) -> None:
    """Neither the text of a secret nor its base64 is in the state, the event stream or the output."""
    room.declare(walls(room.name))
    output: list[str] = []
    room.stack.preview(on_output=output.append, diff=True, on_event=lambda event: output.append(str(event.__dict__)))
    room.stack.up(on_output=output.append, diff=True)
    changed = base64.b64encode(b"changed-by-hand").decode()
    room.plane.edit(f"/api/v1/namespaces/{room.name}/secrets/key", {"data": {"password": changed}})
    room.stack.refresh(on_output=output.append)
    stored = "".join(path.read_text(errors="replace") for path in room.state.rglob("*") if path.is_file())
    assert "facts" in stored
    for hidden in (_SECRET, base64.b64encode(_SECRET.encode()).decode(), changed, "changed-by-hand"):
        assert hidden not in stored
        assert hidden not in "".join(output)


def test_takes_up_a_run_that_was_killed(room: Room, pulumi_home: Path) -> None:
    """After kill -9 in the middle of an update the next one adopts what was made; no provider process lingers."""
    count = 40
    script = room.state.parent / "killed.py"
    script.write_text(
        f"""
import pulumi, pulumi_kubernetes as k8s
from pulumi import automation as auto
from tests.stacks.provider.test_conformance import many

def run():
    provider = k8s.Provider("cluster", kubeconfig={str(room.plane.kubeconfig)!r}, enable_config_map_mutable=True)
    many({room.name!r}, {count})(pulumi.ResourceOptions(provider=provider))

settings = auto.ProjectSettings(name={_PROJECT!r}, runtime="python")
options = auto.LocalWorkspaceOptions(work_dir={str(room.state.parent / "work")!r}, project_settings=settings)
stack = auto.select_stack({room.name!r}, {_PROJECT!r}, run, opts=options)
stack.up(on_output=print)
""",
        encoding="utf-8",
    )
    variables = {**os.environ, **environment(pulumi_home, room.state), "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=variables, start_new_session=True, stdout=subprocess.PIPE
    )
    maps = f"/api/v1/namespaces/{room.name}/configmaps"
    _wait_for(lambda: room.plane.exists(f"{maps}/map-3"))
    engines = _children_named(process.pid, "pulumi")
    providers = [child for engine in engines for child in _children_named(engine, "python")]
    assert engines
    assert providers
    for engine in engines:
        os.kill(engine, signal.SIGKILL)
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    _wait_for(lambda: not any(Path(f"/proc/{provider}/status").exists() for provider in providers))
    made = len(room.plane.request("GET", f"{maps}?labelSelector=many=yes")["items"])
    assert made < count

    room.stack.cancel()
    room.declare(many(room.name, count))
    room.up()
    assert len(room.plane.request("GET", f"{maps}?labelSelector=many=yes")["items"]) == count
    room.stack.refresh(clear_pending_creates=True)
    assert room.preview(refresh=True, expect_no_changes=True) == {"same": count + 1}


def many(name: str, count: int) -> Program:
    """Declare *count* config maps, one after the other, so that a kill finds some made and some not."""

    def build(options: pulumi.ResourceOptions) -> None:
        namespace = k8s.core.v1.Namespace("room", metadata={"name": name}, opts=options)
        previous: pulumi.Resource = namespace
        for number in range(count):
            after = pulumi.ResourceOptions(depends_on=[previous])
            previous = k8s.core.v1.ConfigMap(
                f"map-{number}",
                metadata={"name": f"map-{number}", "namespace": name, "labels": {"many": "yes"}},
                data={"number": str(number)},
                opts=pulumi.ResourceOptions.merge(options, after),
            )

    return build


def web(name: str, *, replicas: int = 2, seconds: int = 60) -> Program:
    """Declare a namespace with a Deployment and its Service."""

    def build(options: pulumi.ResourceOptions) -> None:
        namespace = k8s.core.v1.Namespace("room", metadata={"name": name}, opts=options)
        timeouts = pulumi.CustomTimeouts(create=f"{seconds}s", update=f"{seconds}s")
        inside = pulumi.ResourceOptions.merge(
            options, pulumi.ResourceOptions(depends_on=[namespace], custom_timeouts=timeouts)
        )
        labels = {"app": "web"}
        container: Any = {"name": "web", "image": "example.invalid/web:1", "ports": [{"container_port": 8080}]}
        k8s.apps.v1.Deployment(
            "web",
            metadata={"name": "web", "namespace": name},
            spec={
                "replicas": replicas,
                "selector": {"match_labels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"node_name": "node-1", "containers": [container]},
                },
            },
            opts=inside,
        )
        service = k8s.core.v1.Service(
            "web",
            metadata={"name": "web", "namespace": name},
            spec={"selector": labels, "ports": [{"port": 80, "target_port": 8080}]},
            opts=inside,
        )
        pulumi.export("address", service.spec["cluster_ip"])

    return build


def test_keeps_an_object_that_did_not_become_ready(room: Room) -> None:
    """A Deployment without pods fails in its time with the reason, stays in the state, and the next run waits again."""
    room.declare(web(room.name, seconds=4))
    started = time.monotonic()
    with pytest.raises(auto.CommandError, match="0 of 2 replicas available"):
        room.up()
    assert time.monotonic() - started < 40
    kept = room.resource("Deployment")
    assert kept["id"] == f"{room.name}/web"
    assert any("was not ready in time" in error for error in kept["initErrors"])

    room.plane.request("POST", "/api/v1/nodes", {"metadata": {"name": "node-1"}})
    room.declare(web(room.name))
    stop = threading.Event()
    kubelet = threading.Thread(target=_play_kubelet, args=(room, stop))
    kubelet.start()
    try:
        room.up()
    finally:
        stop.set()
        kubelet.join()
        room.plane.request("DELETE", "/api/v1/nodes/node-1")
    assert not room.resource("Deployment").get("initErrors")
    assert room.stack.outputs()["address"].value.startswith("10.96.0.")


def _play_kubelet(room: Room, stop: threading.Event) -> None:
    while not stop.wait(0.5):
        room.plane.make_pods_ready(room.name)


def test_waits_until_what_it_deletes_is_gone(room: Room) -> None:
    """`destroy` returns only when the namespace has really gone, not when its deletion was accepted."""
    room.declare(walls(room.name))
    room.up()
    room.stack.destroy()
    assert not room.plane.exists(f"/api/v1/namespaces/{room.name}")


def test_leaves_an_object_that_somebody_made_anew_under_its_name(room: Room) -> None:
    """An object deleted and made again by hand has another uid: destroying the stack does not delete it."""

    def build(options: pulumi.ResourceOptions) -> None:
        k8s.core.v1.ConfigMap(
            "facts", metadata={"name": room.name, "namespace": "default"}, data={"a": "1"}, opts=options
        )

    room.declare(build)
    room.up()
    path = "/api/v1/namespaces/default/configmaps"
    room.plane.request("DELETE", f"{path}/{room.name}")
    room.plane.request("POST", path, {"metadata": {"name": room.name}, "data": {"a": "theirs"}})
    room.stack.destroy()
    assert room.plane.request("GET", f"{path}/{room.name}")["data"] == {"a": "theirs"}
    room.plane.request("DELETE", f"{path}/{room.name}")


def test_keeps_an_object_whose_resource_was_renamed(room: Room) -> None:
    """A resource renamed in the program is, for the engine, a new one and a deletion: the one object survives both."""

    def declared(resource_name: str) -> Program:
        def build(options: pulumi.ResourceOptions) -> None:
            k8s.core.v1.Namespace(resource_name, metadata={"name": room.name}, opts=options)

        return build

    room.declare(declared("old"))
    room.up()
    before = room.plane.request("GET", f"/api/v1/namespaces/{room.name}")["metadata"]["uid"]
    room.declare(declared("new"))
    room.up()
    after = room.plane.request("GET", f"/api/v1/namespaces/{room.name}")
    assert after["metadata"]["uid"] == before
    assert after["status"]["phase"] == "Active"
    assert room.preview(refresh=True, expect_no_changes=True) == {"same": 1}


def test_orders_a_definition_before_its_objects(room: Room) -> None:
    """A CustomResourceDefinition and an object of it can come in one update; the preview says what it cannot check."""
    plural, group = "sites", f"{room.name}.example"

    def build(options: pulumi.ResourceOptions) -> None:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version: Any = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        definition = k8s.apiextensions.v1.CustomResourceDefinition(
            "sites",
            metadata={"name": f"{plural}.{group}"},
            spec={
                "group": group,
                "names": {"plural": plural, "kind": "Site", "singular": "site"},
                "scope": "Cluster",
                "versions": [version],
            },
            opts=options,
        )
        k8s.apiextensions.CustomResource(
            "hanoi",
            api_version=f"{group}/v1",
            kind="Site",
            metadata={"name": "hanoi"},
            spec={"level": 4},
            opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[definition])),
        )

    room.declare(build)
    assert room.preview() == {"create": 2}
    assert any("could not be checked beforehand" in message for message in room.errors)
    room.up()
    assert room.preview(refresh=True, expect_no_changes=True) == {"same": 2}
    room.stack.destroy()
    assert not room.plane.exists(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}")


def test_shows_the_servers_objections_in_the_preview(room: Room) -> None:
    """A quantity that the API server refuses fails the preview, with its message, before anything is written."""
    room.declare(walls(room.name, replicas_quota="ten"))
    room.plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": f"{room.name}-other"}})

    def build(options: pulumi.ResourceOptions) -> None:
        k8s.core.v1.ResourceQuota(
            "share",
            metadata={"name": "share", "namespace": f"{room.name}-other"},
            spec={"hard": {"pods": "ten"}},
            opts=options,
        )

    room.declare(build)
    with pytest.raises(auto.CommandError, match="quantities must match"):
        room.preview()
    room.plane.request("DELETE", f"/api/v1/namespaces/{room.name}-other")


def test_says_which_server_does_not_answer(room: Room) -> None:
    """An unreachable API server fails at once, by name, and nothing is lost from the state."""
    room.declare(walls(room.name))
    room.up()
    nowhere = room.state.parent / "nowhere.kubeconfig"
    shutil.copy(room.plane.kubeconfig, nowhere)
    nowhere.write_text(nowhere.read_text().replace(room.plane.server, "https://127.0.0.1:9"))

    def run() -> None:
        provider = k8s.Provider("cluster", kubeconfig=str(nowhere), enable_config_map_mutable=True)
        walls(room.name, extra_label="x")(pulumi.ResourceOptions(provider=provider))

    room.stack.workspace.program = run
    started = time.monotonic()
    with pytest.raises(auto.CommandError, match=r"CGC-231 https://127\.0\.0\.1:9"):
        room.up()
    assert time.monotonic() - started < 30
    room.declare(walls(room.name))
    assert room.preview() == {"same": WALLS}


def _children_named(parent: int, name: str) -> list[int]:
    """Answer the living descendants of *parent* whose command name starts with *name*."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], check=True, capture_output=True, text=True).stdout
    rows = [(int(pid), int(ppid), comm) for pid, ppid, comm in (line.split(None, 2) for line in listing.splitlines())]
    found, pending = [], [parent]
    while pending:
        current = pending.pop()
        for pid, ppid, comm in rows:
            if ppid == current:
                pending.append(pid)
                if comm.startswith(name):
                    found.append(pid)
    return found


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "what the test waits for did not come"
        time.sleep(0.1)
