"""Read clusters through their API: one LIST a kind, with a client certificate that may only look.

A kind that cannot be listed makes the whole cluster silent: an object that was not looked at must not count as missing.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import msgspec
import yaml

from exporters.errors import CredentialsError
from inventories.model import Cluster
from policies.observed import ClusterObservation, Reason, Silence

Kind = tuple[str, str]
"""apiVersion and kind, such as ("apps/v1", "Deployment")."""

ALWAYS_READ: frozenset[Kind] = frozenset(
    {
        ("v1", "Pod"),
        ("v1", "Node"),
        ("v1", "Namespace"),
        ("v1", "Service"),
        ("v1", "ResourceQuota"),
        ("apps/v1", "Deployment"),
    }
)
"""What collectors and controls need beyond the kinds that a cluster's manifest names."""

CONNECT_SECONDS = 5.0  # a host that is off must not use up the whole deadline
CONCURRENT_LISTS = 4
_EXPECTED = (httpx.HTTPError, msgspec.DecodeError, LookupError, OSError)


@dataclass(frozen=True, kw_only=True)
class ApiAccess:
    """Where a cluster's API answers and how to prove who we are; made by `read_kubeconfig`."""

    server: str
    context: ssl.SSLContext = field(compare=False)


class _Resource(msgspec.Struct, frozen=True):
    name: str
    kind: str
    verbs: tuple[str, ...]


class _ResourceList(msgspec.Struct, frozen=True):
    resources: tuple[_Resource, ...]


class _ObjectList(msgspec.Struct, frozen=True):
    items: tuple[dict[str, Any], ...] | None  # Go writes an empty list as null


_DECODE_RESOURCES = msgspec.json.Decoder(_ResourceList).decode
_DECODE_OBJECTS = msgspec.json.Decoder(_ObjectList).decode


def kinds_of(objects: Iterable[Mapping[str, Any]]) -> frozenset[Kind]:
    """Return the kinds of these objects: what to LIST to find out whether the cluster has them."""
    return frozenset((item["apiVersion"], item["kind"]) for item in objects)


def read_kubeconfig(path: Path) -> ApiAccess:
    """Read a kubeconfig with an authority and a client certificate, inline or by path; CredentialsError CGC-401."""
    try:
        document = yaml.load(path.read_text(), Loader=yaml.CBaseLoader)  # noqa: S506 - a base loader: text stays text
        contexts = {item["name"]: item["context"] for item in document["contexts"]}
        context = contexts[document["current-context"]]
        cluster = {item["name"]: item["cluster"] for item in document["clusters"]}[context["cluster"]]
        user = {item["name"]: item["user"] for item in document["users"]}[context["user"]]
        server = _https_address(cluster["server"])
        trust = ssl.create_default_context(cadata=_material(cluster, "certificate-authority", path).decode())
        certificate, key = _material(user, "client-certificate", path), _material(user, "client-key", path)
        with tempfile.NamedTemporaryFile(prefix="cgc-") as both:  # OpenSSL reads key pairs from files only
            both.write(certificate + b"\n" + key)
            both.flush()
            trust.load_cert_chain(both.name)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, ssl.SSLError, binascii.Error) as err:
        raise CredentialsError(
            "CGC-401",
            f"not a kubeconfig with a client certificate: {type(err).__name__}: {err}",
            where=str(path),
            remedy="make the credentials again (`cgc rehearse up` does), or name the right file",
        ) from err
    return ApiAccess(server=server.rstrip("/"), context=trust)


def _https_address(server: str) -> str:
    if not server.startswith("https://"):
        raise ValueError(f"the server is {server!r}, not an https address")
    return server


def _material(entry: Mapping[str, str], name: str, kubeconfig: Path) -> bytes:
    if inline := entry.get(f"{name}-data"):
        return base64.b64decode(inline, validate=True)
    return (kubeconfig.parent / entry[name]).read_bytes()


async def no_changes(cluster: str) -> tuple[Mapping[str, Any], ...]:
    """Stand in where the API's audit log is not read: no change is known."""
    del cluster
    return ()


class KubernetesReader:
    """Observes clusters, each within `deadline_seconds`, over lasting connections.

    `kinds` gives the kinds to read besides `ALWAYS_READ`, by cluster; `read_changes` returns a cluster's audit events.
    """

    def __init__(
        self,
        kubeconfigs: Mapping[str, Path],
        *,
        seen_from: str,
        kinds: Mapping[str, frozenset[Kind]] = MappingProxyType({}),
        read_changes: Callable[[str], Coroutine[Any, Any, tuple[Mapping[str, Any], ...]]] = no_changes,
        deadline_seconds: float = 10.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._seen_from = seen_from
        self._kinds = kinds
        self._read_changes = read_changes
        self._deadline_seconds = deadline_seconds
        self._now = now
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._paths: dict[tuple[str, Kind], str] = {}
        for cluster, path in kubeconfigs.items():
            access = read_kubeconfig(path)
            self._clients[cluster] = httpx.AsyncClient(
                base_url=access.server,
                verify=access.context,
                timeout=httpx.Timeout(deadline_seconds, connect=min(CONNECT_SECONDS, deadline_seconds)),
                follow_redirects=False,
                trust_env=False,  # no proxy of whose environment we run in
                headers={"accept": "application/json", "user-agent": "cgc-observer"},
                limits=httpx.Limits(max_connections=CONCURRENT_LISTS, keepalive_expiry=60),
            )

    async def observe_all(self, clusters: Iterable[Cluster]) -> Mapping[str, ClusterObservation | Silence]:
        """Observe the clusters side by side; every one of them is in the answer."""
        asked = tuple(clusters)
        answers = await asyncio.gather(*(self.observe(cluster) for cluster in asked))
        return MappingProxyType({cluster.id: answer for cluster, answer in zip(asked, answers, strict=True)})

    async def observe(self, cluster: Cluster) -> ClusterObservation | Silence:
        """Return the cluster's objects (apiVersion and kind set on each), or why nothing is known."""
        client = self._clients.get(cluster.id)
        if client is None:
            return self._silence(cluster, Reason.MISSING, "there is no kubeconfig for it")
        kinds = sorted(ALWAYS_READ | self._kinds.get(cluster.id, frozenset()))
        try:
            async with asyncio.timeout(self._deadline_seconds), asyncio.TaskGroup() as group:
                lists = [group.create_task(self._list(client, cluster.id, kind)) for kind in kinds]
                changes = group.create_task(self._read_changes(cluster.id))
        except TimeoutError:
            return self._silence(cluster, Reason.DID_NOT_FINISH, f"no answer within {self._deadline_seconds:g} seconds")
        except ExceptionGroup as errors:
            expected, others = errors.split(_EXPECTED)
            if others is not None or expected is None:
                raise
            return self._silence(cluster, *_why(_first(expected)))
        return ClusterObservation(
            cluster=cluster.id,
            seen_at=self._now(),
            seen_from=self._seen_from,
            objects=tuple(item for task in lists for item in task.result()),
            changes=changes.result(),
        )

    async def close(self) -> None:
        """End every connection."""
        for client in self._clients.values():
            await client.aclose()

    async def _list(self, client: httpx.AsyncClient, cluster: str, kind: Kind) -> list[dict[str, Any]]:
        path = self._paths.get((cluster, kind)) or await self._find_path(client, cluster, kind)
        # resourceVersion=0 answers from the API server's cache (Kubernetes API concepts, "Resource versions").
        answer = await client.get(path, params={"resourceVersion": "0"})
        answer.raise_for_status()
        version, name = kind
        # Lists leave apiVersion and kind out of their items; whole objects have them.
        return [{**item, "apiVersion": version, "kind": name} for item in _DECODE_OBJECTS(answer.content).items or ()]

    async def _find_path(self, client: httpx.AsyncClient, cluster: str, kind: Kind) -> str:
        """Ask the API under which path it serves the kind; remembered until the process ends."""
        version, name = kind
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        answer = await client.get(root)
        answer.raise_for_status()
        for resource in _DECODE_RESOURCES(answer.content).resources:
            if resource.kind == name and "list" in resource.verbs and "/" not in resource.name:
                self._paths[cluster, kind] = f"{root}/{resource.name}"
                return self._paths[cluster, kind]
        raise LookupError(f"the API does not serve {name} of {version}")

    def _silence(self, cluster: Cluster, reason: Reason, detail: str) -> Silence:
        return Silence(subject=cluster.id, seen_at=self._now(), seen_from=self._seen_from, reason=reason, detail=detail)


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    error: Exception = errors
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _why(error: Exception) -> tuple[Reason, str]:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx.HTTPStatusError):
        return Reason.MISSING, f"{error.request.url.path} answered {error.response.status_code}"
    if isinstance(error, LookupError):
        return Reason.MISSING, str(error.args[0]) if error.args else detail
    if isinstance(error, msgspec.DecodeError):
        return Reason.DID_NOT_FINISH, detail
    return Reason.UNREACHABLE, detail
