"""The prober against real servers on this machine's loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.errors import ExporterError, UndeclaredTargetError
from exporters.probing import Outcome, Phase, Probe, Prober, Target
from tests.exporters.conftest import Identities

LOOPBACK = {"ipv4": ip_address("127.0.0.1"), "ipv6": ip_address("::1")}
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def target(probe: Probe, port: int, *, family: str = "ipv4", path: str = "/") -> Target:
    """Return a declared target on this machine."""
    return Target(
        probe=probe,
        subject="s",
        node="n",
        address=LOOPBACK[family],
        port=port,
        name="localhost",
        path=path,
        cluster="c",
    )


def saying(*parts: bytes) -> Answer:
    """Return a server that reads a request's head and says something."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.close()

    return answer


OK = saying(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


@asynccontextmanager
async def served(answer: Answer, *, family: str = "ipv4", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on this machine; gives the port."""
    server = await asyncio.start_server(answer, str(LOOPBACK[family]), 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def probed(one: Target, *, trust: ssl.SSLContext | None = None, deadline_seconds: float = 3.0) -> Outcome:
    """Probe one target."""
    prober = Prober([one], trust={"c": trust} if trust else {}, deadline_seconds=deadline_seconds)
    try:
        return await prober.probe(one)
    finally:
        await prober.close()


def outcome_of(answer: Answer, *, family: str = "ipv4", path: str = "/", deadline_seconds: float = 3.0) -> Outcome:
    """Probe a server that answers in this way over HTTP."""

    async def ask() -> Outcome:
        async with served(answer, family=family) as port:
            return await probed(target(Probe.HTTP, port, family=family, path=path), deadline_seconds=deadline_seconds)

    return asyncio.run(ask())


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_page_that_is_there_is_up_with_its_phases(family: str) -> None:
    """A 2xx answer is a success in either family, with the time of each phase, all within the whole."""
    outcome = outcome_of(OK, family=family)
    assert (outcome.reason, outcome.status) == ("", 200)
    assert set(outcome.phases) == {Phase.CONNECT, Phase.FIRST_BYTE, Phase.TOTAL}
    assert outcome.phases[Phase.CONNECT] + outcome.phases[Phase.FIRST_BYTE] <= outcome.phases[Phase.TOTAL]


@pytest.mark.parametrize(
    ("said", "reason", "status"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", "status", 503),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "status", 404),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "status", 304),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not http", None),
        (b"", "not http", None),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000, "not http", None),
    ],
)
def test_what_is_no_good_page_is_down(said: bytes, reason: str, status: int | None) -> None:
    """Errors, other protocols, an early end and an endless head are failures with a reason."""
    outcome = outcome_of(saying(said))
    assert (outcome.reason, outcome.status) == (reason, status)
    assert Phase.TOTAL not in outcome.phases


def test_interim_answers_are_passed_over() -> None:
    """A 103 before the 200 (RFC 8297) is no answer yet."""
    outcome = outcome_of(saying(b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert (outcome.reason, outcome.status) == ("", 204)


def test_a_server_that_says_nothing_runs_into_the_deadline() -> None:
    """Silence ends with `timeout`, and the connection's time is still known."""

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)
        writer.close()

    outcome = outcome_of(silent, deadline_seconds=0.3)
    assert outcome.reason == "timeout"
    assert Phase.CONNECT in outcome.phases


def test_a_closed_port_is_refused() -> None:
    """Nobody listening is `refused`, over HTTP and over TCP."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        for probe in (Probe.HTTP, Probe.TCP, Probe.TLS):
            assert asyncio.run(probed(target(probe, port))).reason == "refused"


def test_a_redirect_is_followed_only_to_the_same_place() -> None:
    """A relative redirect is followed; one to another name, port, scheme or address is not, and is a failure."""
    asked: list[bytes] = []

    def redirecting(location: str) -> Answer:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            asked.append(head.split()[1])
            if head.startswith(b"GET /there"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            else:
                text = f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
                writer.write(text.encode())
            writer.close()

        return answer

    assert outcome_of(redirecting("/there?x=1")).reason == ""
    assert asked == [b"/", b"/there?x=1"]
    for elsewhere in (
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1/there",
        "//localhost.evil.test/there",
        "https://localhost/there",
        "http://localhost:1/there",
        "http://user@localhost/there",
        "gopher://localhost/",
    ):
        asked.clear()
        assert outcome_of(redirecting(elsewhere)).reason == "redirects elsewhere"
        assert len(asked) == 1
    assert outcome_of(redirecting("/")).reason == "redirects in circles"


def test_a_redirect_to_a_place_that_is_no_address_is_a_failure() -> None:
    """What a server says is never more than an outcome."""
    said = b"HTTP/1.1 302 Found\r\nlocation: http://[::1/\r\ncontent-length: 0\r\n\r\n"
    assert outcome_of(saying(said)).reason == "redirects elsewhere"


@given(location=st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_whatever_a_server_redirects_to_the_prober_stays_and_lives(location: bytes) -> None:
    """Any bytes in a redirect end in an outcome, and every request made is for the declared address and name."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: " + location + b"\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    assert outcome_of(answer).reason in ("redirects elsewhere", "redirects in circles", "not http", "status")
    assert all(b"\r\nhost: localhost:" in head.lower() for head in heads)


def test_only_declared_targets_are_probed() -> None:
    """Whoever asks for anything else, even another port of a declared address, gets CGC-402 and no packet is sent."""
    touched: list[int] = []

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        touched.append(1)
        writer.close()

    async def ask() -> None:
        async with served(answer) as port:
            declared = target(Probe.TCP, port)
            prober = Prober([declared])
            for other in (replace(declared, port=port + 1), replace(declared, probe=Probe.HTTP)):
                with pytest.raises(UndeclaredTargetError) as refusal:
                    await prober.probe(other)
                assert refusal.value.code == "CGC-402"
            await asyncio.sleep(0.05)

    asyncio.run(ask())
    assert touched == []


def make_certificate(directory: Path, *, until: datetime, name: str = "localhost") -> tuple[Path, Path]:
    """Write a self-signed certificate for this machine and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=30))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = (directory / "certificate.pem", directory / "key.pem")
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def tls_outcome(certificate: Path, key: Path, trust: ssl.SSLContext) -> Outcome:
    """Probe a TLS server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def ask() -> Outcome:
        async with served(OK, tls=context) as port:
            return await probed(target(Probe.TLS, port), trust=trust)

    return asyncio.run(ask())


def test_a_good_certificate_is_up_and_its_expiry_is_known(identities: Identities) -> None:
    """A handshake that verifies is a success, with the handshake's time and the certificate's last moment (UTC)."""
    shown = identities.server
    outcome = tls_outcome(shown.certificate, shown.key, identities.client_context(None))
    assert outcome.reason == ""
    assert Phase.TLS in outcome.phases
    expected = x509.load_pem_x509_certificate(shown.certificate.read_bytes()).not_valid_after_utc
    assert outcome.certificate_expires_at == expected


def test_an_expired_certificate_is_down_and_still_tells_when_it_expired(tmp_path: Path) -> None:
    """The probe fails with the reason, and the date is what the alert needs."""
    until = datetime(2026, 1, 1, tzinfo=UTC)
    certificate, key = make_certificate(tmp_path, until=until)
    outcome = tls_outcome(certificate, key, ssl.create_default_context(cafile=str(certificate)))
    assert outcome.reason == "certificate: certificate has expired"
    assert outcome.certificate_expires_at == until


def test_a_certificate_of_a_stranger_or_of_another_name_is_down(tmp_path: Path, identities: Identities) -> None:
    """Nobody's authority and somebody else's name are failures, however young the certificate is."""
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=20)
    certificate, key = make_certificate(tmp_path, until=until)
    outcome = tls_outcome(certificate, key, identities.client_context(None))
    assert outcome.reason.startswith("certificate: self-signed certificate")
    (tmp_path / "other").mkdir()
    certificate, key = make_certificate(tmp_path / "other", until=until, name="elsewhere")
    outcome = tls_outcome(certificate, key, ssl.create_default_context(cafile=str(certificate)))
    assert outcome.reason.startswith("certificate: Hostname mismatch")
    assert outcome.certificate_expires_at == until


def test_a_port_that_speaks_no_tls_is_down() -> None:
    """Plain HTTP where TLS is declared is `tls`, not an error of ours."""

    async def ask() -> Outcome:
        async with served(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
            return await probed(target(Probe.TLS, port), deadline_seconds=0.4)

    assert asyncio.run(ask()).reason in ("tls", "timeout", "reset")


class NameServer(asyncio.DatagramProtocol):
    """Answers A and AAAA from a list of addresses, or with an error."""

    def __init__(self, addresses: Iterable[str], *, rcode: int = 0) -> None:
        self._addresses = tuple(addresses)
        self._rcode = rcode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to answer with."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        """Answer a question."""
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.set_rcode(dns.rcode.Rcode.make(self._rcode))
        asked = question.question[0]
        version = 4 if asked.rdtype == dns.rdatatype.A else 6
        fitting = [one for one in self._addresses if ipaddress.ip_address(one).version == version]
        if fitting and not self._rcode:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", asked.rdtype, *fitting))
        self._transport.sendto(answer.to_wire(), addr)  # type: ignore[attr-defined] # a datagram transport of asyncio's


def dns_outcome(addresses: Iterable[str], *, rcode: int = 0) -> Outcome:
    """Ask a name server that answers in this way for a name whose declared addresses are 10.0.0.1 and fd00::1."""

    async def ask() -> Outcome:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: NameServer(addresses, rcode=rcode), local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        expected = (ip_address("10.0.0.1"), ip_address("fd00::1"))
        one = replace(target(Probe.DNS, port), name="nixa.dientap.test", expected=expected)
        try:
            return await probed(one, deadline_seconds=1)
        finally:
            transport.close()

    return asyncio.run(ask())


def test_a_name_is_up_when_its_addresses_are_exactly_the_declared_ones() -> None:
    """Both families, all and only: one missing, one too many or another one is a wrong answer."""
    assert dns_outcome(["10.0.0.1", "fd00::1"]).reason == ""
    for wrong in (["10.0.0.1"], ["10.0.0.1", "fd00::1", "10.0.0.2"], ["10.0.0.2", "fd00::1"], []):
        assert dns_outcome(wrong).reason == "wrong answer"
    assert dns_outcome(["10.0.0.1", "fd00::1"], rcode=5).reason == "refused"


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_this_machine_answers_to_icmp(family: str) -> None:
    """An echo over a ping socket or a raw one comes back in either family; without the right, CGC-403 says so."""
    try:
        outcome = asyncio.run(probed(target(Probe.ICMP, 0, family=family), deadline_seconds=2))
    except ExporterError as refusal:
        assert refusal.code == "CGC-403"  # noqa: PT017 - where the machine grants no ICMP, this is the specification
        assert os.geteuid() != 0
        return
    assert outcome.reason == ""
    assert outcome.phases[Phase.TOTAL] < 1


def test_many_pings_at_once_do_not_mix_up_their_answers() -> None:
    """Replies find their senders by token: a hundred pings over one socket all come back."""

    async def ask() -> list[Outcome]:
        targets = [
            replace(target(Probe.ICMP, 0), address=ip_address(f"127.0.0.{number}"), subject=str(number))
            for number in range(1, 101)
        ]
        prober = Prober(targets)
        try:
            return list(await asyncio.gather(*(prober.probe(one) for one in targets)))
        finally:
            await prober.close()

    try:
        outcomes = asyncio.run(ask())
    except ExporterError as refusal:
        assert refusal.code == "CGC-403"  # noqa: PT017 - as above
        return
    assert [outcome.reason for outcome in outcomes] == [""] * 100


def test_old_outcomes_are_not_shown() -> None:
    """An outcome is shown for three intervals and a deadline, then it is absent."""
    now = [0.0]

    async def ask() -> None:
        async with served(OK) as port:
            one = target(Probe.TCP, port)
            prober = Prober([one], clock=lambda: now[0], deadline_seconds=3)
            await prober.probe(one)
            limit = 3 * one.interval.total_seconds() + 3
            now[0] = limit
            assert [outcome.target for outcome in prober.outcomes()] == [one]
            now[0] = limit + 0.1
            assert prober.outcomes() == ()

    asyncio.run(ask())


def test_running_probes_every_target_again_and_again() -> None:
    """Each target is asked at its own interval until the prober is told to end."""
    count = {"fast": 0, "slow": 0}
    enough = asyncio.Event()

    def counting(name: str) -> Answer:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            count[name] += 1
            if count["fast"] >= 6 and count["slow"] >= 1:
                enough.set()
            writer.close()

        return answer

    async def run() -> None:
        async with served(counting("fast")) as fast, served(counting("slow")) as slow:
            prober = Prober(
                [
                    replace(target(Probe.TCP, fast), interval=timedelta(seconds=0.02)),
                    replace(target(Probe.TCP, slow), interval=timedelta(seconds=0.3)),
                ]
            )
            task = asyncio.ensure_future(prober.run())
            await asyncio.wait_for(enough.wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert count["fast"] > count["slow"]
