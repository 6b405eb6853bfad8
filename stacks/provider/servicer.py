"""The gRPC side: Pulumi's `ResourceProvider` protocol, translated to and from `ClusterObjects`.

Protocol: pulumi/proto/provider.proto of the pinned SDK. Raw gRPC rather than `pulumi.provider.experimental`, which (in
3.259) loses an object whose initialisation failed, hides the old inputs from Diff and Delete, and runs one call at a
time.
"""

# ruff: noqa: N802 - the methods have the names of the protocol

from __future__ import annotations

import base64
import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from stacks.errors import StackError
from stacks.provider import PLUGIN_NAME, PLUGIN_VERSION
from stacks.provider.differences import Change, compare, replacing_paths, top_level_names, without_ignored
from stacks.provider.kube_api import KindUnknownError, KubeApi, ObjectReference
from stacks.provider.kubeconfig import read_access
from stacks.provider.operations import ClusterObjects, NotReadyError, identity_of
from stacks.provider.values import (
    UNKNOWN,
    JsonObject,
    has_unknown,
    read_properties,
    sealed_object,
    write_properties,
)

_AUTONAMED = "pulumi.com/autonamed"
_RANDOM_BYTES = 4  # of an auto-name's suffix, as the official provider
_UNSUPPORTED_TYPES = ("kubernetes:helm", "kubernetes:kustomize", "kubernetes:yaml")
# Options of the SDK's Provider that would change what happens to the cluster and that this provider does not do.
_UNSUPPORTED_OPTIONS = (
    "alwaysRender",
    "cluster",
    "deleteUnreachable",
    "renderYamlToDirectory",
    "skipUpdateUnreachable",
    "upsertExistingObjects",
)
_KINDS_OF_CHANGE: Mapping[Change, tuple[Any, Any]] = {  # in place, replacing
    Change.ADDED: (provider_pb2.PropertyDiff.ADD, provider_pb2.PropertyDiff.ADD_REPLACE),
    Change.DELETED: (provider_pb2.PropertyDiff.DELETE, provider_pb2.PropertyDiff.DELETE_REPLACE),
    Change.UPDATED: (provider_pb2.PropertyDiff.UPDATE, provider_pb2.PropertyDiff.UPDATE_REPLACE),
}
_INIT_FAILED_METADATA = "grpc-status-details-bin"

_Servicer = TypeVar("_Servicer", bound="KubernetesProvider")
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class CallContext(Protocol):
    """The part of `grpc.ServicerContext` that answers need."""

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """End the call with an error status."""

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, bytes], ...]) -> None:
        """Send details along with the status."""


@dataclass(frozen=True, kw_only=True)
class ProviderOptions:
    """What a stack's Provider resource asks for."""

    namespace: str | None = None
    mutable_kinds: frozenset[str] = frozenset()
    force_conflicts: bool = False


def _errors_reach_the_engine(
    method: Callable[[_Servicer, _Request, CallContext], _Response],
) -> Callable[[_Servicer, _Request, CallContext], _Response]:
    """Turn a StackError into a gRPC status; anything else is a defect, which gRPC itself reports with its text."""

    @functools.wraps(method)
    def answering(servicer: _Servicer, request: _Request, context: CallContext) -> _Response:
        try:
            return method(servicer, request, context)
        except NotReadyError as err:
            _abort_with_object(context, err)
        except StackError as err:
            context.abort(grpc.StatusCode.UNKNOWN, str(err))

    return answering


def _abort_with_object(context: CallContext, error: NotReadyError) -> NoReturn:
    """Fail, yet hand over the object: the engine then keeps it in the state with its `initErrors`."""
    failure = provider_pb2.ErrorResourceInitFailed(
        id=identity_of(error.live),
        properties=write_properties(sealed_object(error.live)),
        inputs=write_properties(sealed_object(error.inputs)),
        reasons=error.reasons,
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(failure)
    context.set_trailing_metadata(((_INIT_FAILED_METADATA, status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, str(error))


class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process's answers; *environment* gives the same switches as to the official provider."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment
        self._cancelled = threading.Event()
        self._options = ProviderOptions()
        self._api: KubeApi | None = None
        self._objects: ClusterObjects | None = None
        self._not_usable = StackError(
            "CGC-240", "the provider was not configured", remedy="report this: the engine always configures first"
        )
        self._replacing: set[str] = set()
        self._engine: engine_pb2_grpc.EngineStub | None = None

    # --- the process

    def Handshake(self, request: Any, context: CallContext) -> Any:
        """Learn the engine's address; ask for opened secrets (the engine seals outputs again by their paths)."""
        del context
        self._connect(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False, supports_autonaming_configuration=True)

    def Attach(self, request: Any, context: CallContext) -> Any:
        """Learn the address of an engine that did not start this process."""
        del context
        self._connect(request.address)
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: CallContext) -> Any:
        """Say which SDK version's types this provider answers for."""
        del request, context
        return plugin_pb2.PluginInfo(version=PLUGIN_VERSION)

    def GetSchema(self, request: Any, context: CallContext) -> Any:
        """Answer a schema with no types: the SDK is generated elsewhere and checks are the API server's."""
        del request, context
        return provider_pb2.GetSchemaResponse(schema=json.dumps({"name": PLUGIN_NAME, "version": PLUGIN_VERSION}))

    def Cancel(self, request: Any, context: CallContext) -> Any:
        """End every wait at once; what was written stays in the state."""
        del request, context
        self._cancelled.set()
        return empty_pb2.Empty()

    # --- its configuration

    @_errors_reach_the_engine
    def CheckConfig(self, request: Any, context: CallContext) -> Any:
        """Refuse options that would be ignored to the cluster's harm."""
        del context
        options = _plain_options(read_properties(request.news))
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"the built-in provider does not do {name}")
            for name in _UNSUPPORTED_OPTIONS
            if options.get(name) not in {None, False, "", "false"}
        ]
        if str(options.get("enableServerSideApply", "true")).lower() == "false":
            reason = "the built-in provider always uses server-side apply"
            failures.append(provider_pb2.CheckFailure(property="enableServerSideApply", reason=reason))
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @_errors_reach_the_engine
    def DiffConfig(self, request: Any, context: CallContext) -> Any:
        """Show a changed configuration as an update: new credentials must not replace a cluster's objects."""
        del context
        old = read_properties(request.old_inputs) or read_properties(request.olds)
        changes = compare(old, read_properties(request.news))
        verdict = provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=verdict, diffs=top_level_names(changes))

    @_errors_reach_the_engine
    def Configure(self, request: Any, context: CallContext) -> Any:
        """Take the options. A kubeconfig that is unknown or unusable fails the first object that needs the server."""
        del context
        options = _plain_options(read_properties(request.args))
        for name, value in request.variables.items():
            options.setdefault(name.rsplit(":", 1)[-1], value)
        self._options = self._read_options(options)
        try:
            self._open(options)
        except StackError as err:
            self._not_usable = err
        return provider_pb2.ConfigureResponse(
            acceptSecrets=False, supportsPreview=True, supports_autonaming_configuration=True
        )

    # --- resources

    @_errors_reach_the_engine
    def Check(self, request: Any, context: CallContext) -> Any:
        """Complete the inputs: a name where there is none, the default namespace, a Secret's text as data."""
        del context
        old, new = read_properties(request.olds), read_properties(request.news)
        reason = _unsupported(_type_of(request.urn), new) or _nameless(request, new)
        if reason:
            failure = provider_pb2.CheckFailure(property="", reason=reason)
            return provider_pb2.CheckResponse(inputs=request.news, failures=[failure])
        if isinstance(new.setdefault("metadata", {}), dict):
            if not new["metadata"].get("name"):
                new["metadata"] |= _automatic_name(request, old, new["metadata"])
            if self._options.namespace and not new["metadata"].get("namespace"):
                self._default_namespace(new)
        if new["kind"] == "Secret":
            _encode_text(new)
        return provider_pb2.CheckResponse(inputs=write_properties(sealed_object(new)))

    @_errors_reach_the_engine
    def Diff(self, request: Any, context: CallContext) -> Any:
        """Compare the inputs of the state with the program's; say what changes in place and what replaces."""
        del context
        old, new = read_properties(request.old_inputs), read_properties(request.news)
        changes = without_ignored(compare(old, new), request.ignoreChanges)
        if not changes:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE, hasDetailedDiff=True)
        default_namespace = self._options.namespace or (self._api.default_namespace if self._api else "default")
        replaces = replacing_paths(
            changes,
            old=old,
            new=new,
            default_namespace=default_namespace,
            mutable_kinds=self._options.mutable_kinds,
        )
        if replaces:
            self._replacing.add(request.urn)
        else:
            self._replacing.discard(request.urn)
        detail = {
            path: provider_pb2.PropertyDiff(kind=_KINDS_OF_CHANGE[change][path in replaces], inputDiff=True)
            for path, change in changes.items()
        }
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME,
            replaces=replaces,
            diffs=top_level_names(changes),
            detailedDiff=detail,
            hasDetailedDiff=True,
            # Two objects cannot have one name. An automatic name is drawn anew for the replacement.
            deleteBeforeReplace=bool(replaces) and _same_name(old, new) and not _is_autonamed(new),
        )

    @_errors_reach_the_engine
    def Create(self, request: Any, context: CallContext) -> Any:
        """Make the object, or say what it would be."""
        del context
        inputs = read_properties(request.properties)
        if request.preview:
            planned = self._planned(request.urn, inputs, new=True)
            return provider_pb2.CreateResponse(properties=write_properties(sealed_object(planned)))
        live = self._ready().create(request.urn, inputs, timeout_seconds=request.timeout)
        return provider_pb2.CreateResponse(id=identity_of(live), properties=write_properties(sealed_object(live)))

    @_errors_reach_the_engine
    def Update(self, request: Any, context: CallContext) -> Any:
        """Change the object in place, or say what it would be."""
        del context
        inputs = read_properties(request.news)
        if request.preview:
            live = self._planned(request.urn, inputs, new=False)
        else:
            live = self._ready().update(request.urn, inputs, timeout_seconds=request.timeout)
        return provider_pb2.UpdateResponse(properties=write_properties(sealed_object(live)))

    @_errors_reach_the_engine
    def Read(self, request: Any, context: CallContext) -> Any:
        """Read the object for refresh or import; an empty answer tells the engine that it is gone."""
        del context
        inputs = read_properties(request.inputs)
        reference = _reference(request.id, _type_of(request.urn), inputs or read_properties(request.properties))
        answer = self._ready().read(request.urn, reference, inputs)
        if answer is None:
            return provider_pb2.ReadResponse()
        live = {"apiVersion": reference.api_version, "kind": reference.kind, **answer.live}
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=write_properties(sealed_object(live)),
            inputs=write_properties(sealed_object(answer.inputs)),
        )

    @_errors_reach_the_engine
    def Delete(self, request: Any, context: CallContext) -> Any:
        """Delete the object and wait until it is gone."""
        del context
        last = read_properties(request.properties)
        reference = _reference(request.id, _type_of(request.urn), read_properties(request.old_inputs) or last)
        self._ready().delete(request.urn, reference, last, timeout_seconds=request.timeout)
        return empty_pb2.Empty()

    @_errors_reach_the_engine
    def Invoke(self, request: Any, context: CallContext) -> Any:
        """Refuse: the SDK's functions (kustomize, helm, yaml) are the official provider's."""
        del context
        raise _not_ours(f"function {request.tok}")

    @_errors_reach_the_engine
    def Construct(self, request: Any, context: CallContext) -> Any:
        """Refuse: the SDK's components (Chart, ConfigGroup) are the official provider's."""
        del context
        raise _not_ours(f"component {request.type}")

    # --- inside

    def _connect(self, engine_address: str) -> None:
        # A proxy in the environment is for the world outside, not for the engine on loopback.
        channel = grpc.insecure_channel(engine_address, options=[("grpc.enable_http_proxy", 0)])
        self._engine = engine_pb2_grpc.EngineStub(channel)

    def _tell(self, urn: str, sentence: str, *, severity: int, passing: bool) -> None:
        if self._engine is None:
            sys.stderr.write(f"{urn}: {sentence}\n")
            return
        request = engine_pb2.LogRequest(severity=severity, message=sentence, urn=urn, ephemeral=passing)  # type: ignore[arg-type]  # enum values are ints at run time
        try:
            self._engine.Log(request)
        except grpc.RpcError as err:  # the engine is going away; it reads what a plugin prints to the last
            sys.stderr.write(f"{urn}: {sentence} (the engine does not listen: {err})\n")

    def _report(self, urn: str, sentence: str) -> None:
        self._tell(urn, sentence, severity=engine_pb2.INFO, passing=True)

    def _warn(self, urn: str, sentence: str) -> None:
        self._tell(urn, sentence, severity=engine_pb2.WARNING, passing=False)

    def _read_options(self, options: JsonObject) -> ProviderOptions:
        def switch(option: str, variable: str) -> bool:
            return str(options.get(option, self._environment.get(variable, ""))).lower() == "true"

        kinds = {
            "ConfigMap": switch("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
            "Secret": switch("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        }
        return ProviderOptions(
            namespace=options.get("namespace") or None,
            mutable_kinds=frozenset(kind for kind, mutable in kinds.items() if mutable),
            force_conflicts=switch("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
        )

    def _open(self, options: JsonObject) -> None:
        if UNKNOWN in {options.get("kubeconfig"), options.get("context")}:
            raise StackError(
                "CGC-240",
                "the cluster's kubeconfig is known only during the update",
                remedy="nothing in a preview; in an update, let the resource that makes the kubeconfig come first",
            )
        self._api = KubeApi(read_access(options.get("kubeconfig"), context=options.get("context")))
        self._objects = ClusterObjects(
            self._api,
            force_conflicts=self._options.force_conflicts,
            report=self._report,
            warn=self._warn,
            cancelled=self._cancelled,
        )

    def _ready(self) -> ClusterObjects:
        if self._objects is None:
            raise self._not_usable
        return self._objects

    def _planned(self, urn: str, inputs: JsonObject, *, new: bool) -> JsonObject:
        if self._objects is None and self._not_usable.code == "CGC-240":
            return {**inputs, "status": UNKNOWN}  # the cluster itself comes with this run
        objects = self._ready()
        if new:
            return objects.preview_create(urn, inputs, replacing=urn in self._replacing)
        return objects.preview_update(urn, inputs)

    def _default_namespace(self, manifest: JsonObject) -> None:
        if self._api is None:
            return  # known when the cluster is; Check runs again then
        try:
            namespaced = self._api.is_namespaced(manifest["apiVersion"], manifest["kind"])
        except KindUnknownError as err:
            self._warn("", f"{err.what}: its namespace is not defaulted; name it in the program")
            return
        if namespaced:
            manifest["metadata"]["namespace"] = self._options.namespace


def _not_ours(what: str) -> StackError:
    remedy = "write the objects in the program, or use a network that can reach the official plugin"
    return StackError("CGC-238", f"the built-in provider has no {what}", remedy=remedy)


def _plain_options(properties: JsonObject) -> JsonObject:
    return {name: value for name, value in properties.items() if value is not None}


def _type_of(urn: str) -> str:
    """`kubernetes:apps/v1:Deployment` from a URN (urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME)."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def _unsupported(resource_type: str, manifest: JsonObject) -> str:
    """Say why the built-in provider cannot take this resource; empty when it can."""
    kind = resource_type.rsplit(":", 1)[-1]
    is_list = kind.endswith("List") and "items" in manifest
    is_patch = kind.endswith("Patch") and manifest.get("kind") != kind
    if is_list or is_patch or resource_type.startswith(_UNSUPPORTED_TYPES):
        return f"the built-in provider does not do {resource_type}; write the objects one by one in the program"
    if not manifest.get("apiVersion") or not manifest.get("kind"):
        return "apiVersion and kind are required"
    metadata = manifest.get("metadata")
    if isinstance(metadata, dict) and metadata.get("generateName"):
        return "metadata.generateName does not go with server-side apply; give metadata.name, or neither"
    return ""


def _nameless(request: Any, manifest: JsonObject) -> str:
    """Say that a name is missing where the stack's configuration forbids automatic ones; empty when all is well."""
    forbidden = request.autonaming.mode == provider_pb2.CheckRequest.AutonamingOptions.DISABLE
    if forbidden and not (manifest.get("metadata") or {}).get("name"):
        return "metadata.name is missing, and the stack's configuration disables automatic names"
    return ""


def _automatic_name(request: Any, old: JsonObject, metadata: JsonObject) -> JsonObject:
    """Answer the members of *metadata* that an object without a name gets; a name once given is kept."""
    old_metadata = old.get("metadata") or {}
    if old_metadata.get("name") and _is_autonamed(old):
        name = old_metadata["name"]
    elif request.HasField("autonaming") and request.autonaming.proposed_name:
        name = request.autonaming.proposed_name
    else:
        suffix = (request.randomSeed or os.urandom(_RANDOM_BYTES))[:_RANDOM_BYTES].hex()
        name = f"{request.urn.rsplit('::', 1)[-1]}-{suffix}".lower()
    return {"name": name, "annotations": {**(metadata.get("annotations") or {}), _AUTONAMED: "true"}}


def _is_autonamed(manifest: JsonObject) -> bool:
    annotations = (manifest.get("metadata") or {}).get("annotations") or {}
    return isinstance(annotations, dict) and annotations.get(_AUTONAMED) == "true"


def _same_name(old: JsonObject, new: JsonObject) -> bool:
    keys = ("name", "namespace")
    return all((old.get("metadata") or {}).get(key) == (new.get("metadata") or {}).get(key) for key in keys)


def _encode_text(secret: JsonObject) -> None:
    """Move `stringData` into `data`, as the API server does, so that the state is comparable with what runs."""
    text = secret.get("stringData")
    if not isinstance(text, dict) or has_unknown(text):
        return
    encoded = {name: base64.b64encode(str(value).encode()).decode() for name, value in text.items()}
    secret["data"] = {**(secret.get("data") or {}), **encoded}
    del secret["stringData"]


def _reference(identity: str, resource_type: str, manifest: JsonObject) -> ObjectReference:
    """Tell which object an id (`[namespace/]name`) means, by its manifest or, on import, by the resource's type."""
    namespace, _, name = identity.rpartition("/")
    api_version, kind = manifest.get("apiVersion"), manifest.get("kind")
    if not api_version or not kind:
        _, group_version, kind = resource_type.split(":")
        api_version = group_version.removeprefix("core/")
    return ObjectReference(api_version=api_version, kind=kind, name=name, namespace=namespace or None)
