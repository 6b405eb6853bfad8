"""Probe what is declared, and nothing else, from one vantage: HTTP, TCP, ICMP, DNS and TLS, each over IPv4 and IPv6.

Targets come from the declaration alone (`targets_of`) and are addresses, not names, so that neither a caller, nor a
redirect, nor a name server can point the prober anywhere else.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import h11
from cryptography import x509

from exporters.errors import ExporterError, UndeclaredTargetError
from inventories.model import Addresses, Nation, Node, Role
from inventories.services import API_PORT, DNS_PORT

PLATFORM_PATH = "/"
NODE_INTERVAL = timedelta(seconds=5)
DEADLINE_SECONDS = 3.0
JITTER_RATIO = 0.2
LARGEST_HEAD_BYTES = 64 * 1024
MOST_REDIRECTS = 3
CONCURRENCY = 256
_LOG = logging.getLogger(__name__)
_USER_AGENT = b"cgc-prober"


class Probe(StrEnum):
    """How a target is asked."""

    HTTP = "http"
    TCP = "tcp"
    ICMP = "icmp"
    DNS = "dns"
    TLS = "tls"


class Phase(StrEnum):
    """What a probe spends its time on."""

    CONNECT = "connect"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    TOTAL = "total"


@dataclass(frozen=True, kw_only=True)
class Target:
    """One declared thing to ask; `subject` is the platform, cluster or node it stands for, `node` where it answers.

    `name` is what is asked for: the Host of an HTTP request, the name of a DNS question, the server name in TLS.
    `expected` holds the addresses that a DNS answer must have, all and only.
    """

    probe: Probe
    subject: str
    node: str
    address: IPv4Address | IPv6Address
    port: int = 0
    name: str = ""
    path: str = ""
    platform: str = ""
    cluster: str = ""
    tier: str = ""
    expected: tuple[IPv4Address | IPv6Address, ...] = ()
    interval: timedelta = NODE_INTERVAL

    @property
    def family(self) -> str:
        """`ipv4` or `ipv6`."""
        return f"ipv{self.address.version}"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a probe found; `reason` is empty on success. Phases are in seconds, those not reached are absent.

    `began_at` is on the prober's monotonic clock, in seconds.
    """

    target: Target
    seen_at: datetime
    began_at: float
    reason: str
    phases: Mapping[Phase, float]
    status: int | None = None
    certificate_expires_at: datetime | None = None

    @property
    def is_success(self) -> bool:
        """Whether the target answered as it should."""
        return not self.reason


class _Failed(Exception):  # noqa: N818 - it is an outcome, not an error of ours
    """The probe ended without what it wanted; the argument is the reason."""


def targets_of(nation: Nation, *, vantage: Node) -> tuple[Target, ...]:
    """Return what is declared to answer, as it is to be asked from the vantage: every target in both address families.

    Every other node's loopback by ICMP; every platform's every endpoint by HTTP; every cluster's API by TLS; every
    operations centre's name server by TCP, and by DNS for every platform's name.
    """
    targets: list[Target] = []
    for node in nation.nodes:
        if node.name == vantage.name:
            continue
        targets += [
            Target(probe=Probe.ICMP, subject=node.name, node=node.name, address=address)
            for address in _both(node.loopback)
        ]
    for platform in nation.platforms:
        for endpoint in nation.endpoints_of(platform):
            targets += [
                Target(
                    probe=Probe.HTTP,
                    subject=platform.id,
                    node=endpoint.node,
                    address=address,
                    port=endpoint.port,
                    name=f"{platform.id}.{nation.domain}",
                    path=PLATFORM_PATH,
                    platform=platform.id,
                    cluster=endpoint.cluster,
                    tier=platform.tier,
                    interval=nation.objective_by_id[platform.objective].probe_interval,
                )
                for address in _both(endpoint.addresses)
            ]
    for cluster in nation.clusters:
        for host in nation.hosts_of(cluster)[:1]:
            targets += [
                Target(
                    probe=Probe.TLS,
                    subject=cluster.id,
                    node=host.name,
                    address=address,
                    port=API_PORT,
                    cluster=cluster.id,
                    tier=cluster.tier,
                )
                for address in _both(host.loopback)
            ]
    for node in nation.with_role(Role.OPERATIONS):
        targets += [
            Target(probe=Probe.TCP, subject=node.name, node=node.name, address=address, port=DNS_PORT)
            for address in _both(node.loopback)
        ]
        targets += [
            Target(
                probe=Probe.DNS,
                subject=platform.id,
                node=node.name,
                address=address,
                port=DNS_PORT,
                name=f"{platform.id}.{nation.domain}",
                platform=platform.id,
                tier=platform.tier,
                expected=tuple(
                    sorted(
                        (one for endpoint in nation.endpoints_of(platform) for one in _both(endpoint.addresses)),
                        key=str,
                    )
                ),
                interval=nation.objective_by_id[platform.objective].probe_interval,
            )
            for platform in nation.platforms
            for address in _both(node.loopback)
        ]
    return tuple(targets)


def _both(addresses: Addresses) -> tuple[IPv4Address, IPv6Address]:
    return addresses.ipv4, addresses.ipv6


class Prober:
    """Asks declared targets; `trust` verifies certificates, by cluster, the system's authorities those of the rest.

    Each probe ends within `deadline_seconds`. `outcomes()` gives the last one of each target that is not stale: not
    older than three of its intervals and a deadline.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        *,
        trust: Mapping[str, ssl.SSLContext] = MappingProxyType({}),
        deadline_seconds: float = DEADLINE_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.targets = frozenset(targets)
        self._trust = trust
        self._system_trust = ssl.create_default_context()
        self._deadline_seconds = deadline_seconds
        self._now = now
        self._clock = clock
        self._jitter = jitter
        self._places = asyncio.Semaphore(CONCURRENCY)
        self._outcomes: dict[Target, Outcome] = {}
        self._pingers: dict[int, Pinger] = {}

    def outcomes(self) -> tuple[Outcome, ...]:
        """Return the last outcome of each target, without those too old to be shown."""
        now = self._clock()
        return tuple(
            outcome for outcome in self._outcomes.values() if now - outcome.began_at <= self._limit_seconds(outcome)
        )

    def _limit_seconds(self, outcome: Outcome) -> float:
        return 3 * outcome.target.interval.total_seconds() + self._deadline_seconds

    async def run(self) -> None:
        """Probe every target at its interval, spread over it, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for target in self.targets:
                group.create_task(self._repeat(target))

    async def _repeat(self, target: Target) -> NoReturn:
        interval = target.interval.total_seconds()
        await asyncio.sleep(interval * self._jitter())
        while True:
            began_at = self._clock()
            await self.probe(target)
            pause = interval * (1 + JITTER_RATIO * (self._jitter() - 0.5))
            await asyncio.sleep(max(pause - (self._clock() - began_at), 0))

    async def probe(self, target: Target) -> Outcome:
        """Ask one target now, and keep the outcome. UndeclaredTargetError CGC-402 if it is not a declared one."""
        if target not in self.targets:
            raise UndeclaredTargetError(
                "CGC-402",
                f"{target.address} port {target.port} is not declared, so it is not probed",
                where=target.subject,
                remedy="declare it in the nation's declaration",
            )
        async with self._places:
            asking = _Asking(target, clock=self._clock, now=self._now)
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    await self._ask(asking)
            except TimeoutError:
                reason = "timeout"
            except _Failed as failed:
                reason = str(failed)
            except OSError as err:
                reason = _reason_of(err)
            except Exception:  # noqa: BLE001 - one target's surprise must not end the others' probes: told, and shown
                _LOG.exception("the probe of %s at %s broke", target.subject, target.address)
                reason = "prober"
            else:
                reason = ""
        outcome = asking.outcome(reason)
        self._outcomes[target] = outcome
        return outcome

    async def close(self) -> None:
        """Close the sockets that are kept open."""
        for pinger in self._pingers.values():
            pinger.close()
        self._pingers.clear()

    async def _ask(self, asking: _Asking) -> None:
        target = asking.target
        match target.probe:
            case Probe.ICMP:
                version = target.address.version
                pinger = self._pingers.get(version)
                if pinger is None:
                    pinger = self._pingers[version] = Pinger(version)
                await pinger.ping(target.address)
            case Probe.TCP:
                (await asking.connect()).close()
            case Probe.HTTP:
                await asking.http()
            case Probe.TLS:
                await asking.tls(self._trust.get(target.cluster, self._system_trust))
            case Probe.DNS:
                await asking.dns(self._deadline_seconds)


def _reason_of(err: OSError) -> str:
    if isinstance(err, ssl.SSLError):
        return "tls"
    names = {
        errno.ECONNREFUSED: "refused",
        errno.ECONNRESET: "reset",
        errno.EPIPE: "reset",
        errno.EHOSTUNREACH: "unreachable",
        errno.ENETUNREACH: "unreachable",
        errno.EACCES: "prohibited",
        errno.EPERM: "prohibited",
        errno.ETIMEDOUT: "timeout",
    }
    return names.get(err.errno or 0, "failed")


class _Asking:
    """One probe on its way: what was reached, and when."""

    def __init__(self, target: Target, *, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        self.target = target
        self._clock = clock
        self._seen_at = now()
        self._began_at = clock()
        self._phases: dict[Phase, float] = {}
        self._status: int | None = None
        self._expires_at: datetime | None = None

    def outcome(self, reason: str) -> Outcome:
        """Return what came of it."""
        phases = self._phases if reason else {**self._phases, Phase.TOTAL: self._clock() - self._began_at}
        return Outcome(
            target=self.target,
            seen_at=self._seen_at,
            began_at=self._began_at,
            reason=reason,
            phases=MappingProxyType(phases),
            status=self._status,
            certificate_expires_at=self._expires_at,
        )

    async def connect(self) -> socket.socket:
        """Return a connected TCP socket."""
        began_at = self._clock()
        family = socket.AF_INET if self.target.address.version == 4 else socket.AF_INET6  # noqa: PLR2004
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (str(self.target.address), self.target.port))
        except BaseException:
            connection.close()
            raise
        self._phases[Phase.CONNECT] = self._clock() - began_at
        return connection

    async def http(self) -> None:
        """Fetch the target's page; a redirect is followed only to the same address, port and name."""
        path = self.target.path
        for _ in range(MOST_REDIRECTS + 1):
            location = await self._fetch(path)
            if location is None:
                return
            path = self._path_within(path, location)
        raise _Failed("redirects in circles")

    async def _fetch(self, path: str) -> str | None:
        """Ask for one page; return where it redirects to, None if it is the page itself."""
        reader, writer = await asyncio.open_connection(sock=await self.connect(), limit=LARGEST_HEAD_BYTES)
        try:
            exchange = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD_BYTES)
            headers = [
                (b"host", self._authority().encode()),
                (b"user-agent", _USER_AGENT),
                (b"connection", b"close"),
                (b"accept", b"*/*"),
            ]
            began_at = self._clock()
            writer.write(exchange.send(h11.Request(method="GET", target=path, headers=headers)) or b"")
            writer.write(exchange.send(h11.EndOfMessage()) or b"")
            response = await self._response(exchange, reader, began_at)
        except (h11.ProtocolError, ValueError) as err:
            raise _Failed("not http") from err
        finally:
            writer.transport.abort()  # the answer's head is all we want
        self._status = response.status_code
        if 200 <= response.status_code < 300:  # noqa: PLR2004 - RFC 9110, 15.3
            return None
        location = next((value for name, value in response.headers if name == b"location"), None)
        if 300 <= response.status_code < 400 and location is not None:  # noqa: PLR2004 - RFC 9110, 15.4
            return location.decode("latin-1")
        raise _Failed("status")

    async def _response(self, exchange: h11.Connection, reader: asyncio.StreamReader, began_at: float) -> h11.Response:
        while True:
            event = exchange.next_event()
            if isinstance(event, h11.Response):
                return event
            if event is h11.NEED_DATA:
                received = await reader.read(LARGEST_HEAD_BYTES)
                self._phases.setdefault(Phase.FIRST_BYTE, self._clock() - began_at)
                exchange.receive_data(received)
            elif not isinstance(event, h11.InformationalResponse):
                raise _Failed("not http")

    def _authority(self) -> str:
        return f"{self.target.name}:{self.target.port}"

    def _path_within(self, path: str, location: str) -> str:
        """Return the path of a redirect that stays where we are."""
        here = f"http://{self._authority()}"
        try:
            there = urlsplit(urljoin(f"{here}{path}", location))
        except ValueError as err:
            raise _Failed("redirects elsewhere") from err
        if f"{there.scheme}://{there.netloc}" != here:
            raise _Failed("redirects elsewhere")
        query = f"?{there.query}" if there.query else ""
        return f"{there.path or '/'}{query}"

    async def tls(self, trust: ssl.SSLContext) -> None:
        """Shake hands and verify the certificate; learn when it expires even where it is not to be trusted."""
        try:
            await self._shake_hands(trust)
        except ssl.SSLCertVerificationError as err:
            careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            careless.check_hostname = False
            careless.verify_mode = ssl.CERT_NONE  # only to read its dates; the probe fails whatever they say
            await self._shake_hands(careless)
            raise _Failed(f"certificate: {err.verify_message}") from err

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        connection = await self.connect()
        began_at = self._clock()
        try:
            _, writer = await asyncio.open_connection(
                sock=connection, ssl=context, server_hostname=self.target.name or str(self.target.address)
            )
        except BaseException:
            connection.close()
            raise
        self._phases[Phase.TLS] = self._clock() - began_at
        try:
            certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            self._expires_at = x509.load_der_x509_certificate(certificate).not_valid_after_utc
        finally:
            writer.transport.abort()

    async def dns(self, deadline_seconds: float) -> None:
        """Ask the name server for the name in both families; the answer must be the declared one, all and only."""
        found: set[str] = set()
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            question = dns.message.make_query(self.target.name, kind)
            try:
                answer = await dns.asyncquery.udp(
                    question, str(self.target.address), timeout=deadline_seconds, port=self.target.port
                )
            except dns.exception.Timeout as err:
                raise _Failed("timeout") from err
            except dns.exception.DNSException as err:
                raise _Failed("not dns") from err
            self._phases.setdefault(Phase.FIRST_BYTE, self._clock() - self._began_at)
            if answer.rcode() != dns.rcode.NOERROR:
                raise _Failed(dns.rcode.to_text(answer.rcode()).lower())
            found |= {item.to_text() for rrset in answer.answer if rrset.rdtype == kind for item in rrset}
        if found != {str(address) for address in self.target.expected}:
            raise _Failed("wrong answer")


_ECHO_REQUEST = {4: 8, 6: 128}  # RFC 792; RFC 4443, 4.1
_ECHO_REPLY = {4: 0, 6: 129}
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_TOKEN_BYTES = 16
_ICMP6_FILTER = 1  # linux/icmpv6.h; which types NOT to pass up
_LARGEST_PACKET_BYTES = 2048


class Pinger:
    """Sends echo requests of one IP version over one socket and finds each reply's sender by a random token.

    Prefers an unprivileged ping socket (net.ipv4.ping_group_range), else a raw one, which needs CAP_NET_RAW; without
    either it raises ExporterError CGC-403.
    """

    def __init__(self, version: int) -> None:
        self._version = version
        self._socket, self._has_ip_header = _icmp_socket(version)
        self._socket.setblocking(False)
        self._waiting: dict[bytes, tuple[str, asyncio.Future[None]]] = {}
        self._sequence = 0
        self._identifier = secrets.randbits(16)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._receive)

    async def ping(self, address: IPv4Address | IPv6Address) -> None:
        """Return when the address has answered; the caller sets the deadline. OSError if it cannot be sent to."""
        token = secrets.token_bytes(_TOKEN_BYTES)
        answered: asyncio.Future[None] = self._loop.create_future()
        self._waiting[token] = (str(address), answered)
        self._sequence = (self._sequence + 1) % 0x10000
        packet = _echo(_ECHO_REQUEST[self._version], self._identifier, self._sequence, token)
        try:
            await self._loop.sock_sendto(self._socket, packet, (str(address), 0))
            await answered
        finally:
            del self._waiting[token]

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        while True:
            try:
                packet, sender = self._socket.recvfrom(_LARGEST_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error for an earlier packet; the ping it belongs to runs into its deadline
                return
            body = packet[(packet[0] & 0x0F) * 4 :] if self._has_ip_header else packet
            if len(body) != _HEADER.size + _TOKEN_BYTES or body[0] != _ECHO_REPLY[self._version]:
                continue
            address, answered = self._waiting.get(body[_HEADER.size :], (None, None))
            if answered is not None and not answered.done() and sender[0].partition("%")[0] == address:
                answered.set_result(None)


def _icmp_socket(version: int) -> tuple[socket.socket, bool]:
    """Return a socket for echo requests, and whether what it receives begins with the IP header."""
    is_ipv4 = version == 4  # noqa: PLR2004
    family = socket.AF_INET if is_ipv4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if is_ipv4 else socket.IPPROTO_ICMPV6
    refusal: PermissionError | None = None
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            opened = socket.socket(family, kind, protocol)
        except PermissionError as err:
            refusal = err
        else:
            break
    else:
        raise ExporterError(
            "CGC-403",
            "may not send ICMP",
            where=f"IPv{version}",
            remedy="give the service CAP_NET_RAW, or its group a place in net.ipv4.ping_group_range",
        ) from refusal
    is_raw = opened.type == socket.SOCK_RAW
    if is_raw and not is_ipv4:
        only_replies = bytearray(b"\xff" * 32)
        only_replies[_ECHO_REPLY[6] // 8] &= ~(1 << _ECHO_REPLY[6] % 8) & 0xFF
        opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(only_replies))
    return opened, is_raw and is_ipv4


def _echo(kind: int, identifier: int, sequence: int, token: bytes) -> bytes:
    """Return an echo message; the kernel fills in ICMPv6's checksum, ICMPv4's is ours (RFC 1071)."""
    blank = _HEADER.pack(kind, 0, 0, identifier, sequence) + token
    total = sum(struct.unpack(f"!{len(blank) // 2}H", blank))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return blank[:2] + struct.pack("!H", ~total & 0xFFFF) + blank[4:]
