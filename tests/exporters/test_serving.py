"""Who is let in, what they get, and how long anyone may take over it."""

from __future__ import annotations

import socket
import ssl
import time

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.errors import CredentialsError, ExporterError
from exporters.network import NetworkCollector
from exporters.serving import Admission, MetricsApplication, TlsMaterial, listen, tls_context
from inventories.model import Nation
from tests.exporters.conftest import Identities
from tests.exporters.serving_here import served
from tests.exporters.world import VANTAGE, World

PASSWORDS = Admission(passwords={"prometheus": "correct horse"})


@pytest.fixture(scope="module")
def application(nation: Nation) -> MetricsApplication:
    """Return an exporter's application over a nation without faults."""
    registry = CollectorRegistry()
    reading = World(nation=nation).network_reading()
    registry.register(NetworkCollector(nation, vantage=VANTAGE, source=lambda: reading))
    return MetricsApplication(registry)


def test_metrics_come_in_the_format_that_is_asked_for(application: MetricsApplication, identities: Identities) -> None:
    """OpenMetrics, the older text format, compressed or not: each parses, and all hold the same samples."""
    with served(application, identities.server) as port:
        context = identities.client_context(identities.client)
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False) as client:
            new = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
            old = client.get("/metrics", headers={"accept": "text/plain", "accept-encoding": "identity"})
            assert new.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
            assert new.headers["content-encoding"] == "gzip"
            assert old.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert "content-encoding" not in old.headers
            metrics = parse_openmetrics(new.text)  # type: ignore[no-untyped-call] # the library has no types there
            newer = {(s.name, tuple(s.labels.items()), s.value) for m in metrics for s in m.samples}
            older = {(s.name, tuple(s.labels.items()), s.value) for m in parse_text(old.text) for s in m.samples}
            assert newer == older
            assert len(newer) > 500
            assert client.get("/healthz").status_code == 200
            assert client.get("/").status_code == 404
            assert client.post("/metrics").status_code == 405


def test_nobody_without_a_certificate_of_the_authority_is_let_in(
    application: MetricsApplication, identities: Identities
) -> None:
    """No certificate, and a stranger's, end in the handshake; plain HTTP gets nothing."""
    with served(application, identities.server) as port:
        for shown in (None, identities.stranger):
            with pytest.raises(httpx.TransportError):
                httpx.get(f"https://127.0.0.1:{port}/metrics", verify=identities.client_context(shown), trust_env=False)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)


def test_a_certificate_that_is_not_on_the_list_is_refused(
    application: MetricsApplication, identities: Identities
) -> None:
    """With names given, another name of the same authority gets 403 and the named one gets in."""
    context = identities.client_context(identities.client)
    for name, expected in (("alertmanager", 403), ("prometheus", 200)):
        admission = Admission(client_names=frozenset({name}))
        with served(application, identities.server, admission=admission) as port:
            answer = httpx.get(f"https://127.0.0.1:{port}/metrics", verify=context, trust_env=False)
            assert answer.status_code == expected


def test_a_password_lets_in_where_passwords_are_given(application: MetricsApplication, identities: Identities) -> None:
    """The right name and password, or a certificate; anything else is 401 with a challenge."""
    context = identities.client_context(None)
    with served(application, identities.server, admission=PASSWORDS) as port:
        url = f"https://127.0.0.1:{port}/metrics"
        with httpx.Client(verify=context, trust_env=False) as client:
            assert client.get(url, auth=("prometheus", "correct horse")).status_code == 200
            for refused in (("prometheus", "wrong"), ("nobody", "correct horse"), ("nobody", ""), ("", "")):
                answer = client.get(url, auth=refused)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Basic ")
            for header in ("Basic !!!", "Basic /w==", "Bearer x", "Basic"):
                assert client.get(url, headers={"authorization": header}).status_code == 401
        shown = identities.client_context(identities.client)
        assert httpx.get(url, verify=shown, trust_env=False).status_code == 200


def is_dropped(connection: socket.socket) -> bool:
    """Whether the other side ends the connection before our patience does."""
    try:
        while True:
            if not connection.recv(1024):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_slow_and_silent_clients_are_dropped_and_others_served_meanwhile(
    application: MetricsApplication, identities: Identities
) -> None:
    """Silent before the handshake, silent after it, half a request, a request in drips: all dropped in time."""
    context = identities.client_context(identities.client)
    with served(application, identities.server, patience_seconds=1.0) as port:
        address = ("127.0.0.1", port)
        silent = [socket.create_connection(address, timeout=8) for _ in range(50)]
        half = socket.create_connection(address, timeout=8)
        half.send(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a ClientHello
        shaken = context.wrap_socket(socket.create_connection(address, timeout=8), server_hostname="127.0.0.1")
        begun = context.wrap_socket(socket.create_connection(address, timeout=8), server_hostname="127.0.0.1")
        begun.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\n")
        dripping = context.wrap_socket(socket.create_connection(address, timeout=8), server_hostname="127.0.0.1")
        began_at = time.monotonic()
        answer = httpx.get(f"https://127.0.0.1:{port}/metrics", verify=context, trust_env=False)
        assert answer.status_code == 200
        dropped_dripping = False
        for byte in b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nx: ":
            try:
                dripping.send(bytes([byte]))
            except OSError:
                dropped_dripping = True
                break
            time.sleep(0.1)
        for connection in (*silent, half, shaken, begun):
            assert is_dropped(connection)
        assert dropped_dripping or is_dropped(dripping)
        assert time.monotonic() - began_at < 7
        for connection in (*silent, half, shaken, begun, dripping):
            connection.close()


def test_a_connection_is_kept_between_scrapes(application: MetricsApplication, identities: Identities) -> None:
    """Patience counts each request, not the pause between two: a scraper keeps its connection."""
    context = identities.client_context(identities.client)
    with served(application, identities.server, patience_seconds=0.3) as port:
        connection = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), timeout=5), server_hostname="127.0.0.1"
        )
        for _ in range(2):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            received = b""
            while b"serving" not in received:
                part = connection.recv(4096)
                assert part
                received += part
            time.sleep(0.5)
        connection.close()


def test_wrong_tls_material_is_an_error_with_a_remedy(identities: Identities) -> None:
    """A missing key, or one that is not the certificate's, is CGC-401 and names the certificate."""
    for key in (identities.client[1], identities.server.key.with_name("missing.key")):
        material = TlsMaterial(
            certificate=identities.server.certificate, key=key, client_authority=identities.server.client_authority
        )
        with pytest.raises(CredentialsError) as refusal:
            tls_context(material, Admission())
        assert refusal.value.code == "CGC-401"
        assert refusal.value.where == str(identities.server.certificate)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_old_protocols_are_refused(application: MetricsApplication, identities: Identities) -> None:
    """TLS 1.1 and older get no handshake (RFC 8996)."""
    context = identities.client_context(identities.client)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with served(application, identities.server) as port, pytest.raises(httpx.TransportError):
        httpx.get(f"https://127.0.0.1:{port}/metrics", verify=context, trust_env=False)


def test_an_address_that_is_taken_is_said_to_be() -> None:
    """Two servers at one address: the second one gets CGC-404 and leaves no socket open."""
    first = listen((("127.0.0.1", 0),))
    first[0].listen()
    port = first[0].getsockname()[1]
    with pytest.raises(ExporterError) as refusal:
        listen((("127.0.0.1", 0), ("127.0.0.1", port)))
    assert (refusal.value.code, refusal.value.where) == ("CGC-404", f"127.0.0.1 port {port}")
    first[0].close()
