"""The few requests of the Kubernetes API that the provider makes: discovery, get, list, server-side apply, delete.

Every error says which request, of which object, on which server, and what to do next.
"""

from __future__ import annotations

import json
import ssl
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from stacks.errors import StackError
from stacks.provider.kubeconfig import ClusterAccess
from stacks.provider.values import JsonObject

_CONNECT_TIMEOUT_SECONDS = 5.0
_READ_TIMEOUT_SECONDS = 60.0
_CONNECTIONS = 32  # as many as the servicer has threads
_USER_AGENT = "cgc-builtin-provider"
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
# The server asks for patience: too many requests, or not ready to serve. Every request here may be repeated.
_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, kw_only=True)
class ObjectReference:
    """Which object: *namespace* is None for cluster-wide kinds and where the context's default is meant."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        """`Kind namespace/name`, as operators write it."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def reference_of(manifest: Mapping[str, Any]) -> ObjectReference:
    """Answer the reference that *manifest*'s apiVersion, kind and metadata give."""
    metadata = manifest["metadata"]
    return ObjectReference(
        api_version=manifest["apiVersion"],
        kind=manifest["kind"],
        name=metadata["name"],
        namespace=metadata.get("namespace"),
    )


class KubeApiError(StackError):
    """The API server refused a request (CGC-232) or another field manager is in the way (CGC-233)."""

    def __init__(self, *, status: int, reason: str, message: str, request: str, server: str) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        conflict = status == HTTPStatus.CONFLICT and "conflict" in message
        super().__init__(
            "CGC-233" if conflict else "CGC-232",
            f"{request} was refused: {status} {reason}: {message[:_LONGEST_MESSAGE]}",
            where=server,
            remedy=_remedy(status, conflict=conflict),
        )


class KindUnknownError(StackError):
    """The API server does not serve this kind (CGC-235)."""

    def __init__(self, *, api_version: str, kind: str, server: str) -> None:
        super().__init__(
            "CGC-235",
            f"the API server does not serve {api_version} {kind}",
            where=server,
            remedy="correct apiVersion and kind, or register its CustomResourceDefinition first (depends_on)",
        )


class ServerUnreachableError(StackError):
    """The API server did not answer (CGC-231)."""

    def __init__(self, *, server: str, request: str, cause: Exception) -> None:
        super().__init__(
            "CGC-231",
            f"the Kubernetes API server is unreachable ({request}): {cause}",
            where=server,
            remedy="check that the cluster is up and that this machine has a route to it, then run the command again",
        )


def _remedy(status: int, *, conflict: bool) -> str:
    if conflict:
        return (
            "another field manager owns these fields: agree with it, or take them over with the annotation "
            'pulumi.com/patchForce: "true" or with PULUMI_K8S_ENABLE_PATCH_FORCE=true'
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return "renew the credentials in the stack's kubeconfig"
    if status == HTTPStatus.FORBIDDEN:
        return "grant the stack's user this permission, or change what the admission policy named here objects to"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "look at the API server's own log, then run the command again"
    return "correct the resource in the program"


@dataclass(frozen=True, kw_only=True)
class _ServedKind:
    plural: str
    namespaced: bool


class KubeApi:
    """One API server, spoken to from many threads at once."""

    def __init__(self, access: ClusterAccess) -> None:
        self._access = access
        self._served: dict[str, dict[str, _ServedKind]] = {}
        self._served_lock = threading.Lock()
        retries = urllib3.Retry(
            connect=0,
            read=1,  # a kept-alive connection that the server has closed meanwhile
            status=5,
            other=0,
            redirect=0,
            allowed_methods=None,
            status_forcelist=_RETRIED,
            backoff_factor=0.2,
            raise_on_status=False,
        )
        timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT_SECONDS, read=_READ_TIMEOUT_SECONDS)
        tls: dict[str, Any] = {"ssl_context": _tls_context(access)} if access.server.startswith("https:") else {}
        if tls and access.server_name:
            tls["server_hostname"] = access.server_name
        self._http = urllib3.PoolManager(maxsize=_CONNECTIONS, block=True, retries=retries, timeout=timeout, **tls)

    @property
    def default_namespace(self) -> str:
        """The namespace of objects that name none."""
        return self._access.default_namespace

    def is_namespaced(self, api_version: str, kind: str) -> bool:
        """Say whether objects of this kind live in a namespace. Raises KindUnknownError, ServerUnreachableError."""
        return self._served_kind(api_version, kind).namespaced

    def get(self, reference: ObjectReference) -> JsonObject | None:
        """Answer the object as it is, or None when there is none."""
        try:
            return self._request("GET", self._path(reference), doing=f"reading {reference}")
        except KubeApiError as err:
            if err.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def list_in_namespace(
        self, *, group_version: str, plural: str, namespace: str, query: Mapping[str, str]
    ) -> Sequence[JsonObject]:
        """Answer the objects of one kind in a namespace that *query* (labelSelector, fieldSelector, limit) selects."""
        path = f"{_prefix(group_version)}/namespaces/{quote(namespace)}/{plural}"
        answer = self._request("GET", path, query=query, doing=f"listing {plural} of namespace {namespace}")
        items: Sequence[JsonObject] = answer.get("items") or ()
        return items

    def apply(self, manifest: JsonObject, *, field_manager: str, force: bool, dry_run: bool = False) -> JsonObject:
        """Server-side apply; answers the object as it is afterwards (or, dry, would be).

        Unknown and duplicate fields are refused (`fieldValidation=Strict`): a typo must not pass silently.
        """
        reference = reference_of(manifest)
        query = {"fieldManager": field_manager, "fieldValidation": "Strict", "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        doing = f"{'the dry run of ' if dry_run else ''}applying {reference}"
        return self._request("PATCH", self._path(reference), body=manifest, media=_APPLY, query=query, doing=doing)

    def delete(self, reference: ObjectReference, *, propagation: str, uid: str | None) -> bool:
        """Ask for deletion of the object with this *uid*; False when it is no longer there.

        An object that somebody made anew under the same name has another uid and is left alone.
        """
        body: JsonObject = {"propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._request("DELETE", self._path(reference), body=body, doing=f"deleting {reference}")
        except KubeApiError as err:
            changed_hands = err.status == HTTPStatus.CONFLICT and "UID" in err.message
            if err.status == HTTPStatus.NOT_FOUND or changed_hands:
                return False
            raise
        return True

    def _path(self, reference: ObjectReference) -> str:
        served = self._served_kind(reference.api_version, reference.kind)
        path = _prefix(reference.api_version)
        if served.namespaced:
            path += f"/namespaces/{quote(reference.namespace or self.default_namespace, safe='')}"
        return f"{path}/{served.plural}/{quote(reference.name, safe=':')}"

    def _served_kind(self, api_version: str, kind: str) -> _ServedKind:
        with self._served_lock:
            served = self._served.get(api_version, {}).get(kind)
        if served is None:  # first use, or registered since by a CustomResourceDefinition
            discovered = self._discover(api_version)  # outside the lock: a silent server must not queue the threads up
            served = discovered.get(kind)
            with self._served_lock:
                self._served[api_version] = discovered
        if served is None:
            raise KindUnknownError(api_version=api_version, kind=kind, server=self._access.server)
        return served

    def _discover(self, api_version: str) -> dict[str, _ServedKind]:
        try:
            answer = self._request("GET", _prefix(api_version), doing=f"discovering the kinds of {api_version}")
        except KubeApiError as err:
            if err.status == HTTPStatus.NOT_FOUND:
                return {}
            raise
        return {
            resource["kind"]: _ServedKind(plural=resource["name"], namespaced=resource["namespaced"])
            for resource in answer["resources"]
            if "/" not in resource["name"]  # `deployments/scale` is a part, not a kind of its own
        }

    def _request(
        self,
        method: str,
        path: str,
        *,
        doing: str,
        body: JsonObject | None = None,
        media: str = _JSON,
        query: Mapping[str, str] | None = None,
    ) -> JsonObject:
        url = self._access.server + path + (f"?{urlencode(query)}" if query else "")
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = media
        encoded = json.dumps(body).encode() if body is not None else None
        try:
            response = self._http.request(method, url, body=encoded, headers=headers)
        except urllib3.exceptions.HTTPError as err:
            raise ServerUnreachableError(server=self._access.server, request=doing, cause=err) from err
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise self._refusal(response, doing)
        try:
            answer: JsonObject = json.loads(response.data)
        except ValueError as err:  # something else than an API server listens there
            raise ServerUnreachableError(server=self._access.server, request=doing, cause=err) from err
        return answer

    def _headers(self) -> urllib3.HTTPHeaderDict:
        headers = urllib3.HTTPHeaderDict({"User-Agent": _USER_AGENT, "Accept": _JSON})
        token = self._access.token
        if token is None and self._access.token_file is not None:
            try:
                token = self._access.token_file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as err:
                where = str(self._access.token_file)
                remedy = "put a fresh token there, or correct tokenFile in the kubeconfig"
                raise StackError("CGC-230", f"the token cannot be read: {err}", where=where, remedy=remedy) from err
        if token:
            headers["Authorization"] = f"Bearer {token}"
        for name, value in self._access.impersonation:
            headers.add(name, value)
        return headers

    def _refusal(self, response: urllib3.BaseHTTPResponse, doing: str) -> KubeApiError:
        text = response.data.decode("utf-8", "replace")
        try:
            status = json.loads(text)
        except ValueError:  # a proxy or a server that is starting answers in plain text
            status = {}
        if not isinstance(status, dict):
            status = {}
        return KubeApiError(
            status=response.status,
            reason=status.get("reason", response.reason or ""),
            message=status.get("message") or text,
            request=doing,
            server=self._access.server,
        )


def _prefix(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _tls_context(access: ClusterAccess) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if access.authority is not None:
            context = ssl.create_default_context(cadata=access.authority.decode("ascii"))
        if access.client_certificate is not None and access.client_key is not None:
            _load_client_certificate(context, access.client_certificate, access.client_key)
    except (ssl.SSLError, UnicodeDecodeError) as err:
        remedy = "put PEM texts that belong together into the kubeconfig"
        raise StackError(
            "CGC-230", f"the kubeconfig's certificates are not usable: {err}", where=access.server, remedy=remedy
        ) from err
    if not access.verify_certificate:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load through a file that only this user can read and that is gone afterwards: `ssl` takes no text here."""
    with tempfile.TemporaryDirectory(prefix="cgc-provider-") as folder:
        path = Path(folder) / "client.pem"
        path.touch(mode=0o600)
        path.write_bytes(certificate.rstrip() + b"\n" + key)
        context.load_cert_chain(path)
