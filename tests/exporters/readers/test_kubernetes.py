"""The Kubernetes reader against a small API over TLS on this machine, with client certificates as the real one has."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from exporters.errors import CredentialsError
from exporters.readers.kubernetes import ALWAYS_READ, KubernetesReader, kinds_of, read_kubeconfig
from inventories.model import Nation
from policies.observed import ClusterObservation, Reason, Silence
from tests.exporters.conftest import Identities
from tests.exporters.serving_here import served

PLURALS = {
    "/api/v1": {"Pod": "pods", "Node": "nodes", "Namespace": "namespaces", "Service": "services",
                "ResourceQuota": "resourcequotas"},
    "/apis/apps/v1": {"Deployment": "deployments"},
    "/apis/networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies"},
}  # fmt: skip


class Api:
    """Serves discovery and lists; `items` by path, `broken` paths answer with a status, `slow` ones not in time."""

    def __init__(self, items: Mapping[str, list[dict[str, Any]]], **more: Any) -> None:
        self._items = items
        self._broken: Mapping[str, int] = more.get("broken", {})
        self._text: Mapping[str, bytes] = more.get("text", {})
        self._slow: frozenset[str] = more.get("slow", frozenset())
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await (await self._answer(Request(scope)))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(f"{path}?{request.url.query}" if request.url.query else path)
        if path in self._slow:
            await asyncio.sleep(30)
        if path in self._broken:
            return JSONResponse({"kind": "Status", "message": "no"}, status_code=self._broken[path])
        if path in self._text:
            return Response(self._text[path], media_type="application/json")
        if path in PLURALS:
            resources = [
                {"name": plural, "kind": kind, "verbs": ["get", "list", "watch"], "namespaced": True}
                for kind, plural in PLURALS[path].items()
            ]
            resources += [{"name": f"{one['name']}/status", "kind": one["kind"], "verbs": ["get"]} for one in resources]
            return JSONResponse({"kind": "APIResourceList", "resources": resources})
        root, _, plural = path.rpartition("/")
        if plural in PLURALS.get(root, {}).values():
            return JSONResponse({"kind": "List", "metadata": {}, "items": self._items.get(path)})
        return PlainTextResponse("404 page not found", status_code=404)


def kubeconfig(directory: Path, identities: Identities, port: int, **changes: Any) -> Path:
    """Write a kubeconfig with everything inside."""

    def inside(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "c",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority-data": inside(identities.authority.certificate_path),
                },
            }
        ],
        "users": [
            {
                "name": "u",
                "user": {
                    "client-certificate-data": inside(identities.client[0]),
                    "client-key-data": inside(identities.client[1]),
                },
            }
        ],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        **changes,
    }
    path = directory / "cgc-north.yaml"
    path.write_text(json.dumps(document))
    return path


def observed(
    nation: Nation, identities: Identities, directory: Path, api: Api, **more: Any
) -> ClusterObservation | Silence:
    """Observe cgc-north once."""
    with served(api, identities.server) as port:
        path = kubeconfig(directory, identities, port)

        async def ask() -> ClusterObservation | Silence:
            reader = KubernetesReader({"cgc-north": path}, seen_from="noc", **more)
            try:
                return await reader.observe(nation.cluster_by_id["cgc-north"])
            finally:
                await reader.close()

        return asyncio.run(ask())


def test_every_object_of_every_kind_is_whole(nation: Nation, identities: Identities, tmp_path: Path) -> None:
    """Lists leave out what an item is; the observation has it on each, and asks the API's cache once for each kind."""
    api = Api(
        {
            "/api/v1/pods": [{"metadata": {"name": "p", "namespace": "n"}}],
            "/apis/apps/v1/deployments": [{"metadata": {"name": "d"}}],
            "/apis/networking.k8s.io/v1/networkpolicies": [{"metadata": {"name": "w"}}],
        }
    )
    kinds = {"cgc-north": frozenset({("networking.k8s.io/v1", "NetworkPolicy")})}
    found = observed(nation, identities, tmp_path, api, kinds=kinds)
    assert isinstance(found, ClusterObservation)
    assert {(item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in found.objects} == {
        ("v1", "Pod", "p"),
        ("apps/v1", "Deployment", "d"),
        ("networking.k8s.io/v1", "NetworkPolicy", "w"),
    }
    lists = [path for path in api.asked if "?" in path]
    assert len(lists) == len(ALWAYS_READ) + 1
    assert all(path.endswith("?resourceVersion=0") for path in lists)


def test_one_kind_that_cannot_be_listed_silences_the_cluster(
    nation: Nation, identities: Identities, tmp_path: Path
) -> None:
    """Forbidden, failing, not served: an object that was not looked at must not count as missing."""
    for broken, detail in (
        ({"/api/v1/pods": 403}, "/api/v1/pods answered 403"),
        ({"/apis/apps/v1": 503}, "/apis/apps/v1 answered 503"),
    ):
        found = observed(nation, identities, tmp_path, Api({}, broken=broken))
        assert isinstance(found, Silence)
        assert (found.reason, found.detail) == (Reason.MISSING, detail)
    kinds = {"cgc-north": frozenset({("v1", "Widget")})}
    found = observed(nation, identities, tmp_path, Api({}), kinds=kinds)
    assert isinstance(found, Silence)
    assert found.detail == "the API does not serve Widget of v1"


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"items": [1]}', b'{"items": [{}', b"\xff"])
def test_an_answer_that_is_no_list_silences_the_cluster(
    nation: Nation, identities: Identities, tmp_path: Path, text: bytes
) -> None:
    """Cut short or another shape: it did not finish."""
    found = observed(nation, identities, tmp_path, Api({}, text={"/api/v1/pods": text}))
    assert isinstance(found, Silence)
    assert found.reason is Reason.DID_NOT_FINISH


def test_an_api_that_hangs_is_given_up_at_the_deadline(nation: Nation, identities: Identities, tmp_path: Path) -> None:
    """One list that does not come makes the whole observation late."""
    api = Api({}, slow=frozenset({"/api/v1/pods"}))
    found = observed(nation, identities, tmp_path, api, deadline_seconds=0.3)
    assert isinstance(found, Silence)
    assert found.reason is Reason.DID_NOT_FINISH


def test_an_empty_list_is_an_empty_list(nation: Nation, identities: Identities, tmp_path: Path) -> None:
    """Go writes an empty list's items as null; that is no error, and no object."""
    found = observed(nation, identities, tmp_path, Api({}))
    assert isinstance(found, ClusterObservation)
    assert found.objects == ()


def test_an_api_that_is_not_there_is_unreachable(nation: Nation, identities: Identities, tmp_path: Path) -> None:
    """A closed port, and a cluster without a kubeconfig, are silences of their own kinds."""
    with served(Api({}), identities.server) as port:
        path = kubeconfig(tmp_path, identities, port)

    async def ask() -> Mapping[str, ClusterObservation | Silence]:
        reader = KubernetesReader({"cgc-north": path}, seen_from="noc")
        try:
            return await reader.observe_all(nation.clusters)
        finally:
            await reader.close()

    found = asyncio.run(ask())
    assert set(found) == {cluster.id for cluster in nation.clusters}
    gone, without = found["cgc-north"], found["cgc-south"]
    assert isinstance(gone, Silence)
    assert isinstance(without, Silence)
    assert (gone.reason, without.reason) == (Reason.UNREACHABLE, Reason.MISSING)


def test_a_server_of_another_authority_is_not_believed(nation: Nation, identities: Identities, tmp_path: Path) -> None:
    """The API must show a certificate of the kubeconfig's authority; its answers are not read otherwise."""
    api = Api({})
    stranger = base64.b64encode(identities.stranger_authority.certificate_path.read_bytes()).decode()
    with served(api, identities.server) as port:
        server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": stranger}
        path = kubeconfig(tmp_path, identities, port, clusters=[{"name": "c", "cluster": server}])

        async def ask() -> ClusterObservation | Silence:
            reader = KubernetesReader({"cgc-north": path}, seen_from="noc")
            try:
                return await reader.observe(nation.cluster_by_id["cgc-north"])
            finally:
                await reader.close()

        found = asyncio.run(ask())
    assert isinstance(found, Silence)
    assert found.reason is Reason.UNREACHABLE
    assert api.asked == []


@pytest.mark.parametrize(
    "changes",
    [
        {"current-context": "missing"},
        {"users": [{"name": "u", "user": {"token": "secret"}}]},
        {"users": [{"name": "u", "user": {"client-certificate-data": "!", "client-key-data": "!"}}]},
        {"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1"}}]},
        {"clusters": "text"},
    ],
)
def test_a_kubeconfig_without_a_client_certificate_is_refused(
    identities: Identities, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """CGC-401 names the file, and nothing secret of it is in the message."""
    path = kubeconfig(tmp_path, identities, 1, **changes)
    with pytest.raises(CredentialsError) as refusal:
        read_kubeconfig(path)
    assert (refusal.value.code, refusal.value.where) == ("CGC-401", str(path))
    assert "secret" not in str(refusal.value)


def test_the_kinds_of_a_manifest_are_what_is_listed() -> None:
    """Each kind once, with its version."""
    manifest = [
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": "a/v1", "kind": "B"},
    ]
    assert kinds_of(manifest) == {("v1", "Pod"), ("a/v1", "B")}
