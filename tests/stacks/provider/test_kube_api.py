from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stacks.provider.kube_api import (
    KindUnknownError,
    KubeApi,
    KubeApiError,
    ObjectReference,
    ServerUnreachableError,
    reference_of,
)
from stacks.provider.kubeconfig import ClusterAccess

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "facts", "namespace": "n"}}


class _Server(ThreadingHTTPServer):
    """Answers from `answers` ((method, path without query) → status, body) and notes what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        resources = [
            {"kind": "ConfigMap", "name": "configmaps", "namespaced": True},
            {"kind": "Namespace", "name": "namespaces", "namespaced": False},
            {"kind": "Scale", "name": "deployments/scale", "namespaced": True},
        ]
        self.answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.answers["GET", "/api/v1"] = [(200, {"resources": resources})]
        self.asked: list[tuple[str, str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, self.path, body))
        answers = self.server.answers.get((self.command, self.path.split("?")[0]), [(404, {"message": "not found"})])
        status, answer = answers[0] if len(answers) == 1 else answers.pop(0)
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        del format, args


@pytest.fixture
def server() -> Iterator[_Server]:
    """Give a server on loopback for one test."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _api(server: _Server, **access: Any) -> KubeApi:
    return KubeApi(
        ClusterAccess(server=f"http://127.0.0.1:{server.server_port}", default_namespace="default", **access)
    )


def test_paths_follow_the_kind(server: _Server) -> None:
    """A namespaced object lies in its namespace or the default one, a cluster-wide one in none."""
    path = "/api/v1/namespaces/n/configmaps/facts"
    server.answers["GET", path] = [(200, MAP)]
    server.answers["GET", "/api/v1/namespaces/default/configmaps/facts"] = [(200, {"default": True})]
    server.answers["GET", "/api/v1/namespaces/n"] = [(200, {"cluster": True})]
    api = _api(server)
    assert api.get(reference_of(MAP)) == MAP
    assert api.get(ObjectReference(api_version="v1", kind="ConfigMap", name="facts")) == {"default": True}
    assert api.get(ObjectReference(api_version="v1", kind="Namespace", name="n")) == {"cluster": True}
    assert api.get(ObjectReference(api_version="v1", kind="ConfigMap", name="none", namespace="n")) is None
    assert [asked[1] for asked in server.asked].count("/api/v1") == 1


def test_a_kind_that_is_not_served_is_named(server: _Server) -> None:
    """A wrong group, a wrong kind and a part of a kind are not served; a kind registered later is found later."""
    api = _api(server)
    for api_version, kind in (("v1", "Secret"), ("nowhere.example/v1", "Site"), ("v1", "Scale")):
        with pytest.raises(KindUnknownError, match=rf"CGC-235 .*{api_version} {kind}"):
            api.is_namespaced(api_version, kind)
    resources = [{"kind": "Site", "name": "sites", "namespaced": False}]
    server.answers["GET", "/apis/nowhere.example/v1"] = [(200, {"resources": resources})]
    assert api.is_namespaced("nowhere.example/v1", "Site") is False


def test_apply_is_strict_and_names_its_manager(server: _Server) -> None:
    """Every apply says who applies, refuses unknown fields, and forces only when told to."""
    server.answers["PATCH", "/api/v1/namespaces/n/configmaps/facts"] = [(200, MAP)]
    api = _api(server)
    api.apply(MAP, field_manager="pulumi-p-s", force=False)
    api.apply(MAP, field_manager="pulumi-p-s", force=True, dry_run=True)
    queries = [asked[1].split("?")[1] for asked in server.asked if asked[0] == "PATCH"]
    assert queries == [
        "fieldManager=pulumi-p-s&fieldValidation=Strict&force=false",
        "fieldManager=pulumi-p-s&fieldValidation=Strict&force=true&dryRun=All",
    ]


def test_a_conflict_names_the_other_manager_and_the_way_out(server: _Server) -> None:
    """Two owners of one field: the error carries the server's words and both remedies."""
    status = {"reason": "Conflict", "message": 'Apply failed with 1 conflict: conflict with "kubectl-edit"'}
    server.answers["PATCH", "/api/v1/namespaces/n/configmaps/facts"] = [(409, status)]
    with pytest.raises(KubeApiError) as caught:
        _api(server).apply(MAP, field_manager="m", force=False)
    assert caught.value.code == "CGC-233"
    assert "kubectl-edit" in str(caught.value)
    assert "pulumi.com/patchForce" in caught.value.remedy
    assert f":{server.server_port}" in caught.value.where


@pytest.mark.parametrize("body", ["the proxy says no", "[]", {"message": "no"}])
def test_a_refusal_is_shown_whatever_its_form(server: _Server, body: Any) -> None:
    """Plain text of a proxy and a Status of the API server both reach the operator."""
    server.answers["PATCH", "/api/v1/namespaces/n/configmaps/facts"] = [(403, body)]
    with pytest.raises(KubeApiError, match=r"CGC-232 .*applying ConfigMap n/facts was refused: 403"):
        _api(server).apply(MAP, field_manager="m", force=False)


def test_a_busy_server_is_asked_again(server: _Server) -> None:
    """429 and 503 mean "later": the request is repeated and succeeds."""
    busy = (429, {"message": "too many requests"})
    server.answers["GET", "/api/v1/namespaces/n/configmaps/facts"] = [busy, (503, {}), (200, MAP)]
    assert _api(server).get(reference_of(MAP)) == MAP


def test_delete_spares_an_object_with_another_uid(server: _Server) -> None:
    """The deletion names the uid; "gone" and "another's by now" both mean that there is nothing to delete."""
    path = "/api/v1/namespaces/n/configmaps/facts"
    changed = {"reason": "Conflict", "message": "Precondition failed: UID in precondition: 1, UID in object meta: 2"}
    api = _api(server)
    assert not api.delete(reference_of(MAP), propagation="Foreground", uid="1")
    server.answers["DELETE", path] = [(409, changed)]
    assert not api.delete(reference_of(MAP), propagation="Foreground", uid="1")
    server.answers["DELETE", path] = [(200, {})]
    assert api.delete(reference_of(MAP), propagation="Orphan", uid="1")
    assert server.asked[-1][2] == {"propagationPolicy": "Orphan", "preconditions": {"uid": "1"}}


def test_a_server_that_does_not_listen_is_unreachable() -> None:
    """The error names the server, and what was being done."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServerUnreachableError, match=f"CGC-231 {server}"):
            KubeApi(ClusterAccess(server=server, default_namespace="default")).is_namespaced("v1", "Pod")


def test_something_else_on_the_port_is_no_api_server(server: _Server) -> None:
    """A web page where JSON should be is reported as a server that cannot be used."""
    server.answers["GET", "/api/v1"] = [(200, "<html>")]
    with pytest.raises(ServerUnreachableError):
        _api(server).is_namespaced("v1", "Pod")
