"""What the provider does to one object of a cluster: preview, create, update, read for drift, delete.

No gRPC here: the servicer translates. Every object of a stack has the same field manager, so that a create that was cut
off before the engine could save its state is taken up again by the next run, and an object of anybody else is refused.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from stacks.errors import StackError
from stacks.provider.differences import as_imported, declared_part, observed_inputs
from stacks.provider.kube_api import KindUnknownError, KubeApi, KubeApiError, ObjectReference, reference_of
from stacks.provider.readiness import (
    Progress,
    Readiness,
    event_complaints,
    judge_readiness,
    needs_endpoints,
    pod_complaints,
    pod_selector,
)
from stacks.provider.values import UNKNOWN, JsonObject, has_unknown

_WAIT_SECONDS = 300.0  # where neither custom_timeouts nor the annotation says otherwise
_LONGEST_PAUSE_SECONDS = 2.0
_PAUSE_STEP_SECONDS = 0.1
_DISCOVERY_WAIT_SECONDS = 10.0  # the server announces a new CustomResourceDefinition's kind a little after Established
_LONGEST_FIELD_MANAGER = 128  # metav1.PatchOptions
_SKIP_AWAIT = "pulumi.com/skipAwait"
_TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"
_PATCH_FORCE = "pulumi.com/patchForce"
_APPLIED_BY = "cgc/applied-by"
_DELETION_PROPAGATION = "pulumi.com/deletionPropagationPolicy"
_NAMES_WITH_A_MEANING = frozenset({"APIService", "CustomResourceDefinition"})  # another name makes them invalid
_UNKNOWN_WHEN_NEW = ("uid", "resourceVersion", "creationTimestamp", "generation")
_UNKNOWN_WHEN_CHANGED = ("resourceVersion", "generation")


class NotReadyError(StackError):
    """The object was written but is not what it should be (CGC-236); *live* is it as it was seen last."""

    def __init__(self, *, live: JsonObject, inputs: JsonObject, reasons: list[str]) -> None:
        self.live = live
        self.inputs = inputs
        self.reasons = reasons
        super().__init__(
            "CGC-236",
            "; ".join(reasons),
            where=str(reference_of(live)),
            remedy="mend what is named here and run the command again: the object is kept and waited for again",
        )


@dataclass(frozen=True, kw_only=True)
class ReadAnswer:
    """A running object and what it says about the resource's inputs."""

    live: JsonObject
    inputs: JsonObject


def field_manager_of(urn: str) -> str:
    """Answer the field manager of a stack's objects, `pulumi-<project>-<stack>`, from the URN of any of them."""
    stack, project = urn.split("::")[:2]
    return f"pulumi-{project}-{stack.rsplit(':', 1)[-1]}"[:_LONGEST_FIELD_MANAGER]


def identity_of(manifest: Mapping[str, Any]) -> str:
    """Answer the resource's id in the state: `namespace/name`, or `name` where there is no namespace."""
    metadata = manifest["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


def with_owner(inputs: JsonObject, manager: str) -> JsonObject:
    """Answer *inputs* with an annotation that names *manager* where they have no field that it could own.

    The server keeps no entry in `managedFields` for a manager without fields (a bare Namespace, say), so that the
    object could not be told from anybody else's.
    """
    identity = ("apiVersion", "kind", "metadata")
    metadata = {name: value for name, value in inputs["metadata"].items() if name not in {"name", "namespace"}}
    if _has_leaf(metadata) or _has_leaf({name: value for name, value in inputs.items() if name not in identity}):
        return inputs
    annotations = {**_annotations(inputs), _APPLIED_BY: manager}
    return {**inputs, "metadata": {**inputs["metadata"], "annotations": annotations}}


def _has_leaf(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_leaf(member) for member in value.values())
    return any(_has_leaf(element) for element in value) if isinstance(value, list) else True


class ClusterObjects:
    """The objects of one stack on one API server. Calls come from many threads at once.

    *report* takes (urn, sentence) and shows a passing state to the operator, *warn* what he must know afterwards;
    *cancelled* ends every wait.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        force_conflicts: bool,
        report: Callable[[str, str], None],
        warn: Callable[[str, str], None],
        cancelled: threading.Event,
    ) -> None:
        self._api = api
        self._force_conflicts = force_conflicts
        self._report = report
        self._warn = warn
        self._cancelled = cancelled
        self._made_uids: set[str] = set()

    def preview_create(self, urn: str, inputs: JsonObject, *, replacing: bool) -> JsonObject:
        """Foresee what `create` would leave, from a dry run; what only the real run can know is UNKNOWN.

        *replacing*: the object is still there because its deletion comes first; it is judged under another name.
        """
        planned = inputs if has_unknown(inputs) else self._dry_run_of_new(urn, inputs, replacing=replacing)
        return _with_unknowns(planned, inputs, new=True)

    def preview_update(self, urn: str, inputs: JsonObject) -> JsonObject:
        """Foresee what `update` would leave, from a dry run; what only the real run can know is UNKNOWN."""
        planned = inputs if has_unknown(inputs) else self._apply(urn, inputs, dry_run=True)
        return _with_unknowns(planned, inputs, new=False)

    def create(self, urn: str, inputs: JsonObject, *, timeout_seconds: float) -> JsonObject:
        """Make the object and wait until it is ready; answers it.

        An object that this stack's field manager already applied is taken up (the state of an earlier run was lost);
        one that is being deleted is waited for. Raises StackError CGC-234 for somebody else's object and
        NotReadyError when it exists but did not become ready.
        """
        reference = reference_of(inputs)
        deadline = _deadline(inputs, timeout_seconds)
        self._wait_for_kind(reference)
        existing = self._api.get(reference)
        if existing is not None and existing["metadata"].get("deletionTimestamp"):
            existing = self._wait_until_gone(urn, reference, uid=existing["metadata"]["uid"], deadline=deadline)
        if existing is not None:
            self._refuse_foreign(urn, reference, existing)
        live = self._apply(urn, inputs)
        self._made_uids.add(live["metadata"]["uid"])
        return self._wait_until_ready(urn, inputs, live, deadline)

    def update(self, urn: str, inputs: JsonObject, *, timeout_seconds: float) -> JsonObject:
        """Bring the object to *inputs* and wait until it is ready; answers it. Raises NotReadyError, KubeApiError."""
        return self._wait_until_ready(urn, inputs, self._apply(urn, inputs), _deadline(inputs, timeout_seconds))

    def read(self, urn: str, reference: ObjectReference, inputs: JsonObject) -> ReadAnswer | None:
        """Answer the running object and the inputs as it has them; None when there is none.

        With *inputs* (refresh) they differ exactly where an update would change something; without (import) they are
        the object less what the server added.
        """
        try:
            live = self._api.get(reference)
        except KindUnknownError:
            return None  # its CustomResourceDefinition is gone, and every object of that kind with it
        if live is None:
            return None
        if not inputs:
            return ReadAnswer(live=live, inputs=as_imported(live))
        wanted = self._dry_run_for_drift(urn, inputs)
        observed = observed_inputs(declared_part(inputs), declared_part(live), wanted and declared_part(wanted))
        return ReadAnswer(live=live, inputs=observed)

    def delete(self, urn: str, reference: ObjectReference, last: JsonObject, *, timeout_seconds: float) -> None:
        """Delete the object and wait until it is gone, even with skipAwait: a replacement is made right after.

        *last* is the object as the state has it. Raises StackError CGC-237 when finalizers keep it.
        """
        metadata = last.get("metadata") or {}
        propagation = str(_annotations(last).get(_DELETION_PROPAGATION, "foreground")).capitalize()
        uid = metadata.get("uid")
        if uid in self._made_uids:
            # A resource that the program renamed: the engine first creates the new one, which is this very object.
            self._warn(urn, f"{reference} is kept: another resource of this run has taken it over")
            return
        try:
            if self._api.delete(reference, propagation=propagation, uid=uid):
                deadline = _deadline(last, timeout_seconds)
                self._wait_until_gone(urn, reference, uid=uid, deadline=deadline)
        except KindUnknownError:
            return  # the kind is gone, and every object of it

    def _dry_run_of_new(self, urn: str, inputs: JsonObject, *, replacing: bool) -> JsonObject:
        reference = reference_of(inputs)
        try:
            existing = self._api.get(reference)
            if existing is None:
                return self._apply(urn, inputs, dry_run=True)
            if not replacing:
                self._refuse_foreign(urn, reference, existing)
                return inputs
            if reference.kind in _NAMES_WITH_A_MEANING:
                return inputs
            return self._dry_run_under_another_name(urn, inputs)
        except KindUnknownError as err:
            self._warn(urn, f"{err.what}: {reference} could not be checked beforehand")
            return inputs
        except KubeApiError as err:
            if err.status != HTTPStatus.NOT_FOUND:
                raise
            return inputs  # its namespace comes with the same run

    def _dry_run_under_another_name(self, urn: str, inputs: JsonObject) -> JsonObject:
        other = copy.deepcopy(inputs)
        other["metadata"]["name"] = f"{inputs['metadata']['name'][:50]}-dryrun"
        answer = self._apply(urn, other, dry_run=True)
        answer["metadata"]["name"] = inputs["metadata"]["name"]
        return answer

    def _dry_run_for_drift(self, urn: str, inputs: JsonObject) -> JsonObject | None:
        """Answer what applying *inputs* would leave; None, with a warning, where the server would not let it."""
        try:
            return self._apply(urn, inputs, dry_run=True, force=True)
        except KubeApiError as err:
            if err.status not in {HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.FORBIDDEN, HTTPStatus.BAD_REQUEST}:
                raise
            refusal = err
        # An immutable field was changed by making the object anew, or the rules have become stricter since.
        if refusal.status == HTTPStatus.UNPROCESSABLE_ENTITY and inputs.get("kind") not in _NAMES_WITH_A_MEANING:
            try:
                return self._dry_run_under_another_name(urn, inputs)
            except KubeApiError as err:
                refusal = err
        self._warn(urn, f"the declared object could not be re-applied, so it is compared as written: {refusal}")
        return None

    def _apply(self, urn: str, inputs: JsonObject, *, dry_run: bool = False, force: bool | None = None) -> JsonObject:
        if force is None:
            force = self._force_conflicts or _is_true(_annotations(inputs).get(_PATCH_FORCE))
        manager = field_manager_of(urn)
        return self._api.apply(with_owner(inputs, manager), field_manager=manager, force=force, dry_run=dry_run)

    def _refuse_foreign(self, urn: str, reference: ObjectReference, existing: JsonObject) -> None:
        ours = field_manager_of(urn)
        entries = existing["metadata"].get("managedFields") or ()
        if any(entry.get("manager") == ours and entry.get("operation") == "Apply" for entry in entries):
            return
        owners = sorted({str(entry.get("manager")) for entry in entries})
        raise StackError(
            "CGC-234",
            f"it already exists and is not of this stack (written by {', '.join(owners) or 'nobody named'})",
            where=str(reference),
            remedy=f"import it (option import_={identity_of(existing)!r}), give ours another name, or delete it",
        )

    def _wait_for_kind(self, reference: ObjectReference) -> None:
        give_up = time.monotonic() + _DISCOVERY_WAIT_SECONDS
        while True:
            try:
                self._api.is_namespaced(reference.api_version, reference.kind)
            except KindUnknownError:
                if time.monotonic() > give_up or self._cancelled.wait(_LONGEST_PAUSE_SECONDS / 4):
                    raise
            else:
                return

    def _wait_until_ready(self, urn: str, inputs: JsonObject, live: JsonObject, deadline: float) -> JsonObject:
        if _is_true(_annotations(inputs).get(_SKIP_AWAIT)):
            return live
        pauses, reported = 0, ""
        while True:
            try:
                readiness = self._judge(live)
            except StackError as err:  # the object exists: its state must be kept whatever happens to the waiting
                reasons = [f"waiting for it to be ready was cut short: {err}"]
                raise NotReadyError(live=live, inputs=inputs, reasons=reasons) from err
            if readiness.progress is Progress.READY:
                return live
            pauses += 1
            ending = self._ending(readiness, deadline, pauses)
            if ending:
                reasons = [f"it {ending}: {readiness.reason}", *self._complaints(live)]
                raise NotReadyError(live=live, inputs=inputs, reasons=reasons)
            if readiness.reason != reported:
                reported = readiness.reason
                self._report(urn, reported)
            try:
                current = self._api.get(reference_of(live))
            except StackError as err:
                reasons = [f"waiting for it to be ready was cut short: {err}"]
                raise NotReadyError(live=live, inputs=inputs, reasons=reasons) from err
            if current is None:
                raise NotReadyError(live=live, inputs=inputs, reasons=["somebody deleted it while it was waited for"])
            live = current

    def _ending(self, readiness: Readiness, deadline: float, pauses: int) -> str:
        """Say how the waiting ends; empty, after a pause, when it goes on."""
        if readiness.progress is Progress.FAILED:
            return "failed"
        if time.monotonic() > deadline:
            return "was not ready in time"
        if self._cancelled.wait(min(_PAUSE_STEP_SECONDS * pauses, _LONGEST_PAUSE_SECONDS)):
            return "was not ready when the run was cancelled"
        return ""

    def _judge(self, live: JsonObject) -> Readiness:
        if not needs_endpoints(live):
            return judge_readiness(live)
        slices = self._api.list_in_namespace(
            group_version="discovery.k8s.io/v1",
            plural="endpointslices",
            namespace=live["metadata"]["namespace"],
            query={"labelSelector": f"kubernetes.io/service-name={live['metadata']['name']}"},
        )
        return judge_readiness(live, endpoint_slices=slices)

    def _complaints(self, live: JsonObject) -> list[str]:
        """Gather what pods and events say about why *live* is not ready; empty for cluster-wide objects."""
        name, namespace = live["metadata"]["name"], live["metadata"].get("namespace")
        if not namespace:
            return []
        selector = pod_selector(live)
        try:
            pods = (
                self._api.list_in_namespace(
                    group_version="v1", plural="pods", namespace=namespace, query={"labelSelector": selector}
                )
                if selector
                else ()
            )
            events = self._api.list_in_namespace(
                group_version="v1", plural="events", namespace=namespace, query={"fieldSelector": "type=Warning"}
            )
        except StackError as err:
            return [f"its pods and events could not be read: {err}"]
        return [*pod_complaints(pods), *event_complaints(events, name)]

    def _wait_until_gone(
        self, urn: str, reference: ObjectReference, *, uid: str | None, deadline: float
    ) -> JsonObject | None:
        """Wait until the object with *uid* is gone; answers what stands under its name then, usually None."""
        pauses = 0
        while True:
            live = self._api.get(reference)
            if live is None or (uid and live["metadata"]["uid"] != uid):
                return live
            pauses += 1
            finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers") or []
            stopped = self._cancelled.wait(min(_PAUSE_STEP_SECONDS / 2 * pauses, _LONGEST_PAUSE_SECONDS / 2))
            if stopped or time.monotonic() > deadline:
                conditions = (live.get("status") or {}).get("conditions") or ()
                detail = "; ".join(str(c.get("message")) for c in conditions if c.get("status") == "True")
                raise StackError(
                    "CGC-237",
                    f"it was not gone {'when the run was cancelled' if stopped else 'in time'}; "
                    f"finalizers: {', '.join(finalizers) or 'none'}{'; ' + detail if detail else ''}",
                    where=str(reference),
                    remedy="see what holds the finalizer (its controller may be down), then run the command again",
                )
            self._report(urn, f"waiting for its deletion; finalizers: {', '.join(finalizers) or 'none'}")


def _with_unknowns(planned: JsonObject, inputs: JsonObject, *, new: bool) -> JsonObject:
    """Answer *planned* with UNKNOWN wherever a dry run shows a value that the real run will not have."""
    answer = copy.deepcopy(planned)
    if isinstance(answer.get("metadata"), dict):
        for name in _UNKNOWN_WHEN_NEW if new else _UNKNOWN_WHEN_CHANGED:
            answer["metadata"][name] = UNKNOWN
    answer["status"] = UNKNOWN
    if new and inputs.get("kind") == "Service" and isinstance(answer.get("spec"), dict):
        _forget_invented_addresses(answer["spec"], inputs.get("spec") or {})
    return answer


def _forget_invented_addresses(spec: JsonObject, declared: JsonObject) -> None:
    """Hide addresses and ports of a Service: a dry run allocates some and gives them back at once."""
    for name in ("clusterIP", "clusterIPs"):
        if name not in declared:
            spec[name] = UNKNOWN
    declared_ports = declared.get("ports") or []
    for position, port in enumerate(spec.get("ports") or []):
        given = declared_ports[position] if position < len(declared_ports) else {}
        if "nodePort" in port and "nodePort" not in given:
            port["nodePort"] = UNKNOWN


def _annotations(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    annotations: Mapping[str, Any] = (manifest.get("metadata") or {}).get("annotations") or {}
    return annotations


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def _deadline(manifest: Mapping[str, Any], timeout_seconds: float) -> float:
    """Answer the monotonic time at which waiting ends: custom_timeouts, else the annotation, else the default."""
    annotated = str(_annotations(manifest).get(_TIMEOUT_SECONDS, ""))
    if timeout_seconds > 0:
        return time.monotonic() + timeout_seconds
    return time.monotonic() + (float(annotated) if annotated.isdecimal() else _WAIT_SECONDS)
