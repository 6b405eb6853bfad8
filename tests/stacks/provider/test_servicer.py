from __future__ import annotations

import base64
from typing import Any, NoReturn

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2, status_pb2

from stacks.provider.operations import NotReadyError, field_manager_of, identity_of, with_owner
from stacks.provider.servicer import KubernetesProvider, _abort_with_object
from stacks.provider.values import UNKNOWN, Sealed, read_properties, write_properties

URN = "urn:pulumi:cgc-north::nation::nation:stacks:Tenancy$kubernetes:core/v1:ConfigMap::facts"


class _Aborted(Exception):  # noqa: N818 - what grpc itself raises has no name
    """The call ended with an error status."""


class _Context:
    """The part of grpc's context that the servicer uses."""

    def __init__(self) -> None:
        self.trailing: dict[str, bytes] = {}

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        raise _Aborted(f"{code.name} {details}")

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, bytes], ...]) -> None:
        self.trailing = dict(trailing_metadata)


def _provider(**options: Any) -> KubernetesProvider:
    provider = KubernetesProvider(environment={})
    args = write_properties({"kubeconfig": UNKNOWN, **options})
    provider.Configure(provider_pb2.ConfigureRequest(args=args), _Context())
    return provider


def _check(new: dict[str, Any], *, old: dict[str, Any] | None = None, urn: str = URN, **more: Any) -> Any:
    request = provider_pb2.CheckRequest(urn=urn, olds=write_properties(old or {}), news=write_properties(new), **more)
    return _provider().Check(request, _Context())


def _checked(new: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = _check(new, **more)
    assert not answer.failures
    return read_properties(answer.inputs)


MAP: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "facts"}, "data": {"a": "1"}}


def test_a_name_is_given_once_and_kept() -> None:
    """An object without a name gets one from its resource's name and the engine's seed, and keeps it."""
    nameless = {**MAP, "metadata": {}}
    first = _checked(nameless, randomSeed=b"\x01\x02\x03\x04\x05")
    assert first["metadata"] == {"name": "facts-01020304", "annotations": {"pulumi.com/autonamed": "true"}}
    assert _checked(nameless, old=first, randomSeed=b"\xff" * 8)["metadata"]["name"] == "facts-01020304"
    assert _checked(MAP, old=first)["metadata"] == {"name": "facts"}


def test_the_stacks_configuration_of_names_is_obeyed() -> None:
    """A proposed name is taken; where automatic names are disabled a missing one is an error."""
    options = provider_pb2.CheckRequest.AutonamingOptions
    nameless = {**MAP, "metadata": {}}
    proposal = options(proposed_name="proposed", mode=options.ENFORCE)
    assert _checked(nameless, autonaming=proposal)["metadata"]["name"] == "proposed"
    failures = _check(nameless, autonaming=options(mode=options.DISABLE)).failures
    assert "metadata.name is missing" in failures[0].reason


def test_a_secrets_text_becomes_its_data_and_is_sealed() -> None:
    """`stringData` is encoded as the API server does it, and leaves Check as a secret whoever wrote it."""
    secret = {**MAP, "kind": "Secret", "data": {"b": "Yg=="}, "stringData": {"a": "1"}}
    answer = _check(secret)
    inputs = read_properties(answer.inputs)
    assert inputs["data"] == {"a": base64.b64encode(b"1").decode(), "b": "Yg=="}
    assert "stringData" not in inputs
    assert answer.inputs.fields["data"] == write_properties({"data": Sealed(value=inputs["data"])}).fields["data"]


def test_unknown_text_waits_for_the_update() -> None:
    """A secret text that is not known in the preview stays where it is."""
    assert _checked({**MAP, "kind": "Secret", "stringData": {"a": UNKNOWN}})["stringData"] == {"a": UNKNOWN}


@pytest.mark.parametrize(
    ("resource_type", "new", "named"),
    [
        ("kubernetes:core/v1:ConfigMapPatch", MAP, "ConfigMapPatch"),
        ("kubernetes:core/v1:ConfigMapList", {**MAP, "kind": "ConfigMapList", "items": []}, "ConfigMapList"),
        ("kubernetes:helm.sh/v3:Release", MAP, "helm.sh"),
        ("kubernetes:core/v1:ConfigMap", {"metadata": {}}, "apiVersion and kind"),
        ("kubernetes:core/v1:ConfigMap", {**MAP, "metadata": {"generateName": "x-"}}, "generateName"),
    ],
)
def test_what_it_does_not_do_fails_the_check(resource_type: str, new: dict[str, Any], named: str) -> None:
    """Types of the SDK that need more than one applied object are refused before anything happens."""
    failures = _check(new, urn=f"urn:pulumi:s::p::{resource_type}::x").failures
    assert named in failures[0].reason


def test_a_custom_kind_may_be_called_anything() -> None:
    """An object of a kind that merely ends in List or Patch is an object like any other."""
    for kind in ("AllowList", "RoutePatch"):
        custom = {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "x"}}
        assert _checked(custom, urn=f"urn:pulumi:s::p::kubernetes:example.com/v1:{kind}::x") == custom


def _diff(old: dict[str, Any], new: dict[str, Any], *, ignored: tuple[str, ...] = (), **options: Any) -> Any:
    request = provider_pb2.DiffRequest(
        urn=URN, old_inputs=write_properties(old), news=write_properties(new), ignoreChanges=ignored
    )
    return _provider(**options).Diff(request, _Context())


def test_equal_inputs_have_no_diff() -> None:
    """Nothing changed, or only what is ignored: the engine calls it `same`."""
    changed = {**MAP, "data": {"a": "2"}}
    assert _diff(MAP, MAP).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert _diff(MAP, changed, ignored=("data",)).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_diff_says_where_and_how() -> None:
    """Each changed path has its kind; a replacement with a fixed name deletes first."""
    new = {**MAP, "data": {"b": "1"}, "metadata": {"name": "facts", "labels": {"x": "y"}}}
    replaced = _diff(MAP, new)
    kinds = {path: change.kind for path, change in replaced.detailedDiff.items()}
    difference = provider_pb2.PropertyDiff
    assert kinds == {
        "data.a": difference.DELETE_REPLACE,
        "data.b": difference.ADD_REPLACE,
        "metadata.labels": difference.ADD,
    }
    assert replaced.deleteBeforeReplace
    assert list(replaced.diffs) == ["data", "metadata"]
    updated = _diff(MAP, new, enableConfigMapMutable="true")
    assert not updated.replaces
    assert not updated.deleteBeforeReplace


def test_an_automatic_name_lets_the_replacement_come_first() -> None:
    """The engine draws a new name for it, so old and new can stand side by side."""
    named = {**MAP, "metadata": {"name": "facts-1", "annotations": {"pulumi.com/autonamed": "true"}}}
    replaced = _diff(named, {**named, "data": {}})
    assert list(replaced.replaces) == ["data.a"]
    assert not replaced.deleteBeforeReplace


@pytest.mark.parametrize(
    ("option", "value"), [("renderYamlToDirectory", "out"), ("deleteUnreachable", "true"), ("cluster", "other")]
)
def test_an_option_that_would_be_ignored_is_refused(option: str, value: str) -> None:
    """Rendering to files instead of applying, say, must not silently apply."""
    request = provider_pb2.CheckRequest(news=write_properties({option: value}))
    failures = KubernetesProvider(environment={}).CheckConfig(request, _Context()).failures
    assert [failure.property for failure in failures] == [option]
    harmless = provider_pb2.CheckRequest(news=write_properties({option: "", "enableServerSideApply": "true"}))
    assert not KubernetesProvider(environment={}).CheckConfig(harmless, _Context()).failures


def test_new_credentials_update_the_provider() -> None:
    """Another kubeconfig does not replace the provider, which would replace every object of the cluster."""
    request = provider_pb2.DiffRequest(
        old_inputs=write_properties({"kubeconfig": "a"}), news=write_properties({"kubeconfig": "b"})
    )
    answer = KubernetesProvider(environment={}).DiffConfig(request, _Context())
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert not answer.replaces


def test_a_cluster_of_the_same_run_can_be_previewed() -> None:
    """While the kubeconfig is unknown a preview shows the inputs; an update says what is missing."""
    provider = _provider()
    request = provider_pb2.CreateRequest(urn=URN, properties=write_properties(MAP), preview=True)
    assert read_properties(provider.Create(request, _Context()).properties) == {**MAP, "status": UNKNOWN}
    with pytest.raises(_Aborted, match="CGC-240"):
        provider.Create(provider_pb2.CreateRequest(urn=URN, properties=write_properties(MAP)), _Context())


def test_a_broken_kubeconfig_fails_the_first_object_not_the_start() -> None:
    """Unchanged objects can still be previewed when the cluster's credentials are broken."""
    provider = _provider(kubeconfig="/nowhere/kubeconfig")
    request = provider_pb2.CreateRequest(urn=URN, properties=write_properties(MAP), preview=True)
    with pytest.raises(_Aborted, match="CGC-230 /nowhere/kubeconfig"):
        provider.Create(request, _Context())


def test_a_failed_start_hands_the_object_over() -> None:
    """The error carries id, object, inputs and reasons as the engine wants them, so that the state keeps the object."""
    live = {**MAP, "metadata": {"name": "facts", "namespace": "n"}}
    context = _Context()
    with pytest.raises(_Aborted, match="CGC-236"):
        _abort_with_object(context, NotReadyError(live=live, inputs=MAP, reasons=["it failed"]))
    status = status_pb2.Status.FromString(context.trailing["grpc-status-details-bin"])
    failure = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(failure)
    assert failure.id == "n/facts"
    assert list(failure.reasons) == ["it failed"]
    assert read_properties(failure.inputs) == MAP


def test_functions_and_components_are_refused_by_name() -> None:
    """Helm, kustomize and YAML files are the official provider's."""
    provider = _provider()
    with pytest.raises(_Aborted, match=r"CGC-238 .*kubernetes:helm:template"):
        provider.Invoke(provider_pb2.InvokeRequest(tok="kubernetes:helm:template"), _Context())
    with pytest.raises(_Aborted, match=r"CGC-238 .*ConfigGroup"):
        provider.Construct(provider_pb2.ConstructRequest(type="kubernetes:yaml/v2:ConfigGroup"), _Context())


@pytest.mark.parametrize("bare", [{}, {"spec": {}}, {"data": {"a": {}}, "rules": []}])
def test_a_bare_object_carries_its_owner(bare: dict[str, Any]) -> None:
    """An object without any field to own is marked, as the server would forget who applied it; others are not."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}, **bare}
    marked = with_owner(namespace, "pulumi-p-s")
    assert marked["metadata"]["annotations"] == {"cgc/applied-by": "pulumi-p-s"}
    assert "annotations" not in namespace["metadata"]
    assert with_owner(MAP, "pulumi-p-s") == MAP
    labelled = {**namespace, "metadata": {"name": "n", "labels": {"a": "b"}}}
    assert with_owner(labelled, "pulumi-p-s") == labelled


def test_one_field_manager_per_stack() -> None:
    """Two stacks of one project, and one stack name in two projects, are different managers."""
    assert field_manager_of(URN) == "pulumi-nation-cgc-north"
    assert len(field_manager_of(f"urn:pulumi:{'s' * 200}::p::t::n")) == 128
    assert identity_of({"metadata": {"name": "a"}}) == "a"
