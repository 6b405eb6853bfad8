"""Serve metrics over TLS to those who prove who they are; drop whoever is slow or silent.

Every connection has `PATIENCE_SECONDS` for the TLS handshake and as long again for each request, from its first byte to
the last byte of the answer; a caller shows a client certificate of the nation's authority or, where passwords are
given, a name and a password (RFC 7617).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import gzip
import hmac
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from exporters.errors import CredentialsError, ExporterError

PATIENCE_SECONDS = 5.0
FAREWELL_SECONDS = 3
IDLE_SECONDS = 75  # longer than any scrape interval, so that scrapes share one connection
MOST_CONNECTIONS = 512
_BACKLOG = 2048
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78  # linux/in.h, linux/in6.h; a service may start before its addresses are there
_CLIENT = "client"  # the key of the connection's state that holds who the certificate says the caller is


@dataclass(frozen=True, kw_only=True)
class TlsMaterial:
    """The server's certificate and key, and the authority that vouches for clients."""

    certificate: Path
    key: Path
    client_authority: Path


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Who may ask: names in client certificates (any of the authority's if none are given), or names with passwords."""

    client_names: frozenset[str] = frozenset()
    passwords: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def tls_context(material: TlsMaterial, admission: Admission) -> ssl.SSLContext:
    """Return a server's TLS 1.2+ settings; without passwords, a client certificate is demanded in the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(material.certificate, material.key)
        context.load_verify_locations(material.client_authority)
    except (OSError, ssl.SSLError) as err:
        raise CredentialsError(
            "CGC-401",
            f"cannot serve with this certificate, key and client authority: {err}",
            where=str(material.certificate),
            remedy="make the credentials again (`cgc rehearse up` does), or name the right files",
        ) from err
    context.verify_mode = ssl.CERT_OPTIONAL if admission.passwords else ssl.CERT_REQUIRED
    return context


class Guarded:
    """Lets requests of admitted callers through to the application, and answers 401 or 403 to the others."""

    def __init__(self, application: ASGIApp, admission: Admission) -> None:
        self._application = application
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        client = scope.get("state", {}).get(_CLIENT)
        if client is not None:
            names = self._admission.client_names
            answer = None if not names or client in names else PlainTextResponse("not admitted\n", status_code=403)
        elif self._knows_password(Request(scope)):
            answer = None
        else:
            headers = {"www-authenticate": 'Basic realm="cgc", charset="UTF-8"'}
            answer = PlainTextResponse("who are you?\n", status_code=401, headers=headers)
        await (answer or self._application)(scope, receive, send)

    def _knows_password(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        known = self._admission.passwords.get(name)
        # Compared in any case, so that the time does not tell whether the name exists.
        is_equal = hmac.compare_digest((known or "").encode(), password.encode())
        return known is not None and is_equal


class MetricsApplication:
    """`GET /metrics` in the format the caller understands; `GET /healthz` says that the process serves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "http":
            await self._answer(Request(scope))(scope, receive, send)

    def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("only GET\n", status_code=405, headers={"allow": "GET, HEAD"})
        match request.url.path:
            case "/metrics":
                return exposition(self._registry, request.headers)
            case "/healthz":
                return PlainTextResponse("serving\n")
            case _:
                return PlainTextResponse("/metrics and /healthz are here\n", status_code=404)


def exposition(registry: CollectorRegistry, headers: Mapping[str, str]) -> Response:
    """Return the registry's metrics as the caller's Accept and Accept-Encoding ask for."""
    encode, content_type = choose_encoder(headers.get("accept", ""))
    body = encode(registry)
    answer = {"content-type": content_type, "vary": "accept, accept-encoding"}
    if "gzip" in headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1)
        answer["content-encoding"] = "gzip"
    return Response(body, headers=answer)


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that knows its peer's certificate, and hangs up on one that takes too long over a request."""

    patience_seconds = PATIENCE_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Begin with a new caller."""
        super().connection_made(transport)
        session = transport.get_extra_info("ssl_object")
        certificate = session.getpeercert() if session is not None else None
        if certificate:
            self.app_state = {**self.app_state, _CLIENT: _common_name(certificate)}
        self._begin_waiting()

    def data_received(self, data: bytes) -> None:
        """Take what came; the first bytes of a further request start its time."""
        if self._deadline is None:
            self._begin_waiting()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Stop the request's time."""
        self._stop_waiting()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a caller."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _begin_waiting(self) -> None:
        self._deadline = self.loop.call_later(self.patience_seconds, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._deadline = None
        self.transport.abort()


def _common_name(certificate: Mapping[str, Any]) -> str:
    return next((value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"), "")


class ImpatientServer(uvicorn.Server):
    """A uvicorn server that limits the TLS handshake's time too, which uvicorn has no setting for."""

    patience_seconds = PATIENCE_SECONDS

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the sockets; the rest of uvicorn's own startup, for sockets that are given."""
        await self.lifespan.startup()
        loop = asyncio.get_running_loop()
        config = self.config

        def protocol() -> asyncio.Protocol:
            made = ImpatientProtocol(
                config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
            )
            made.patience_seconds = self.patience_seconds
            return made

        self.servers = [
            await loop.create_server(
                protocol,
                sock=listening,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=self.patience_seconds if config.ssl is not None else None,
                ssl_shutdown_timeout=self.patience_seconds if config.ssl is not None else None,
            )
            for listening in sockets or ()
        ]
        self.started = True


def listen(addresses: tuple[tuple[str, int], ...]) -> list[socket.socket]:
    """Open listening sockets at literal addresses (IPv4 or IPv6) and ports; ExporterError CGC-404 if one cannot be."""
    opened: list[socket.socket] = []
    for host, port in addresses:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        opened.append(listening)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            else:
                listening.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            listening.bind((host, port))
            listening.setblocking(False)
        except OSError as err:
            for one in opened:
                one.close()
            raise ExporterError(
                "CGC-404",
                f"cannot listen: {err.strerror or err}",
                where=f"{host} port {port}",
                remedy="end what listens there, or name another address with --listen",
            ) from err
    return opened


async def serve(
    application: ASGIApp,
    *,
    sockets: list[socket.socket],
    admission: Admission,
    tls: ssl.SSLContext,
    background: tuple[Callable[[], Awaitable[None]], ...] = (),
    patience_seconds: float = PATIENCE_SECONDS,
    farewell_seconds: int = FAREWELL_SECONDS,
) -> None:
    """Serve the application on the sockets, with the background work beside it, until cancelled or signalled to end.

    Requests under way are given `farewell_seconds` to be answered then.
    The work of a background that ends with an error ends the whole, so that the unit restarts and is seen to.
    """
    config = uvicorn.Config(
        Guarded(application, admission),
        http=ImpatientProtocol,
        loop="asyncio",
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=farewell_seconds,
    )
    config.load()
    config.ssl = tls
    server = ImpatientServer(config)
    server.patience_seconds = patience_seconds
    works = [asyncio.ensure_future(work()) for work in background]
    serving = asyncio.ensure_future(server.serve(sockets=sockets))
    try:
        done, _ = await asyncio.wait([serving, *works], return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            ended.result()
    finally:
        server.should_exit = True
        for work in works:
            work.cancel()
        await asyncio.gather(serving, *works, return_exceptions=True)
        for listening in sockets:
            listening.close()
