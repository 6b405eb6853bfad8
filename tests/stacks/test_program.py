"""The Pulumi program, run against a recording engine: it registers exactly the cluster manifest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from pulumi.runtime.settings import Settings, configure, reset_options

from inventories import Nation
from stacks.components import register
from stacks.errors import StackError
from stacks.objects import cluster_manifest
from stacks.plugins import Plugin
from stacks.program import register_cluster

IMAGE = "registry.rehearsal.test/cgc/platform-standin:0a1b2c"


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """An engine that keeps what it is asked to register."""

    registered: list[pulumi.runtime.MockResourceArgs] = field(default_factory=list)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """Keep the resource; it becomes what it was asked to be."""
        self.registered.append(args)
        return args.name, args.inputs

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Refuse: the program asks the world nothing."""
        raise AssertionError(f"the program called {args.token}")

    def objects(self) -> list[dict[str, Any]]:
        """Return the inputs of the cluster's objects; the engine's numbers are floating ones."""
        return [whole(args.inputs) for args in self.registered if args.typ.startswith("kubernetes:")]


def whole(value: Any) -> Any:
    """Return a JSON value with its whole numbers as integers again."""
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(member) for member in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Put a recording engine in place of the real one, for one test."""
    recorder = Recorder()
    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(recorder, project="cgc", stack="cgc-north", preview=False)
    yield recorder
    reset_options()
    configure(Settings("project", "stack"))
    asyncio.get_event_loop().close()
    asyncio.set_event_loop(None)


def run(nation: Nation, cluster: str) -> None:
    """Run the program to its end."""

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # the SDK's
    def program() -> None:
        register_cluster(
            nation,
            nation.cluster_by_id[cluster],
            image=IMAGE,
            kubeconfig="/state/kubeconfig/cluster.yaml",
            plugin=Plugin.BUILT_IN,
        )

    program()


def by_identity(objects: list[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the objects by what tells them apart; two with one identity are a defect."""
    found: dict[tuple[str, ...], dict[str, Any]] = {
        (each["apiVersion"], each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each
        for each in objects
    }
    assert len(found) == len(objects)
    return found


@pytest.mark.parametrize("cluster", ["cgc-north", "cgc-south", "agc-thainguyen", "egc-demo"])
def test_the_program_registers_exactly_the_manifest(nation: Nation, recorder: Recorder, cluster: str) -> None:
    """Nothing more, nothing less, and field by field the same: what is judged is what is applied."""
    run(nation, cluster)
    manifest = cluster_manifest(nation, nation.cluster_by_id[cluster], image=IMAGE)
    assert by_identity(recorder.objects()) == by_identity(list(manifest))


def test_the_components_are_things_a_citizen_would_name(nation: Nation, recorder: Recorder) -> None:
    """Guardrails and monitoring access once, and for each tenancy its room and its platform's release."""
    run(nation, "agc-thainguyen")
    components = {(args.typ, args.name) for args in recorder.registered if args.typ.startswith("cgc:")}
    assert components == {
        ("cgc:stacks:Guardrails", "agc-thainguyen"),
        ("cgc:stacks:MonitoringAccess", "agc-thainguyen"),
        ("cgc:stacks:Tenancy", "ubnd-thainguyen-lgsp-thainguyen"),
        ("cgc:stacks:PlatformRelease", "lgsp-thainguyen"),
    }


def test_no_key_enters_the_state(nation: Nation, recorder: Recorder) -> None:
    """The provider is given the path of the kubeconfig, never its content, and its name records the plugin."""
    run(nation, "egc-demo")
    (provider,) = [args for args in recorder.registered if args.typ == "pulumi:providers:kubernetes"]
    assert provider.name == "kubernetes-built-in"
    assert provider.inputs["kubeconfig"] == "/state/kubeconfig/cluster.yaml"


def test_a_kind_that_no_component_knows_is_refused() -> None:
    """A manifest that grows a new kind says where to teach it, instead of leaving it out."""
    unknown = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    with pytest.raises(StackError, match=r"CGC-253 x: .*Secret of v1.*components\.py"):
        register(unknown, opts=pulumi.ResourceOptions())
