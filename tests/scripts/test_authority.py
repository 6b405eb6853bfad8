"""The rehearsal's authority: real TLS accepts what it issues, refuses what it did not, and issuing is idempotent."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scripts.authority import Authority, AuthorityError, Issued

NOW = datetime.now(UTC).replace(microsecond=0)  # real TLS below compares with the machine's clock


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Make an authority today."""
    return Authority.create_or_load(tmp_path / "tls", now=NOW)


def certificate_of(issued: Issued) -> x509.Certificate:
    """Read an issued certificate."""
    return x509.load_pem_x509_certificate(issued.certificate_path.read_bytes())


def handshake(
    authority: Authority, server: Issued, client: Issued | None, *, name: str = "localhost"
) -> tuple[str, dict[str, object]]:
    """Do a mutual TLS handshake over a loopback socket; return the version and what the server saw of the client."""
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(server.certificate_path, server.key_path)
    listening.load_verify_locations(authority.certificate_path)
    listening.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=str(authority.certificate_path))
    calling.verify_flags |= ssl.VERIFY_X509_STRICT
    if client is not None:
        calling.load_cert_chain(client.certificate_path, client.key_path)
    seen: dict[str, object] = {}

    def serve(connection: socket.socket) -> None:
        try:
            with listening.wrap_socket(connection, server_side=True) as tls:
                seen.update(tls.getpeercert() or {})
                tls.sendall(b"ok")
        except (ssl.SSLError, OSError) as err:
            seen["refused"] = str(err)
        finally:
            connection.close()

    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=serve, args=(theirs,))
    thread.start()
    try:
        with calling.wrap_socket(ours, server_hostname=name) as tls:
            assert tls.recv(2) == b"ok"
            version = tls.version() or ""
    finally:
        ours.close()
        thread.join()
    return version, seen


def test_mutual_tls_works_with_what_it_issues(authority: Authority) -> None:
    """A server known by name, IPv4 and IPv6 address, and a client with groups: TLS 1.3, strict checks (RFC 5280)."""
    server = authority.issue_server(
        "noc-exporters", dns_names=["localhost"], ip_addresses=["127.0.0.1", "::1"], now=NOW
    )
    client = authority.issue_client("prometheus", organizations=["monitoring"], now=NOW)
    for name in ("localhost", "127.0.0.1", "::1"):
        version, seen = handshake(authority, server, client, name=name)
        assert version == "TLSv1.3"
        assert seen["subject"] == ((("organizationName", "monitoring"),), (("commonName", "prometheus"),))


def test_a_client_without_certificate_or_with_a_servers_is_refused(authority: Authority) -> None:
    """Authentication is by certificate, and a server's certificate is not one for clients."""
    server = authority.issue_server("a", dns_names=["localhost"], now=NOW)
    for client in (None, authority.issue_server("b", dns_names=["b"], now=NOW)):
        with pytest.raises((ssl.SSLError, AssertionError, ConnectionError)):
            handshake(authority, server, client)


def test_a_server_of_another_authority_or_name_is_refused(authority: Authority, tmp_path: Path) -> None:
    """A certificate signed elsewhere, or for another name, does not pass."""
    client = authority.issue_client("prometheus", now=NOW)
    stranger = Authority.create_or_load(tmp_path / "other", now=NOW).issue_server("a", dns_names=["localhost"], now=NOW)
    named = authority.issue_server("a", dns_names=["elsewhere"], now=NOW)
    for server in (stranger, named):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(authority, server, client)


def test_certificates_pass_openssl(authority: Authority) -> None:
    """`openssl verify -x509_strict` accepts both purposes; what Go's crypto/tls asks (SAN, P-256) is there."""
    server = authority.issue_server("a", dns_names=["localhost"], now=NOW)
    client = authority.issue_client("system:node:a", organizations=["system:nodes"], now=NOW)
    for issued, purpose in ((server, "sslserver"), (client, "sslclient")):
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", authority.certificate_path,
             issued.certificate_path], check=True, capture_output=True,
        )  # fmt: skip
        key = certificate_of(issued).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(key.curve, ec.SECP256R1)
    assert client.key_path.name == "system-node-a.key"
    names = certificate_of(client).subject
    assert [a.value for a in names.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["system:node:a"]
    assert [a.value for a in names.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["system:nodes"]


def test_issuing_is_idempotent_while_a_third_of_life_remains(authority: Authority) -> None:
    """The same request gives the same files until less than a third of the life remains, then a new key and pair."""

    def issue(day: float) -> Issued:
        return authority.issue_server("a", dns_names=["a"], valid_days=90, now=NOW + timedelta(days=day))

    first = issue(0)
    before = first.certificate_path.read_bytes(), first.key_path.read_bytes()
    assert not first.reused
    assert issue(59).reused
    assert (first.certificate_path.read_bytes(), first.key_path.read_bytes()) == before
    renewed = issue(61)
    assert not renewed.reused
    assert renewed.not_after == NOW + timedelta(days=151)
    assert first.key_path.read_bytes() != before[1]


def test_another_request_gets_another_certificate(authority: Authority) -> None:
    """A changed name, address, group or much shorter life needs another certificate; another order does not."""
    ask = authority.issue_server
    ask("a", dns_names=["a", "b"], ip_addresses=["10.0.0.1", "fd00::1"], now=NOW)
    assert ask("a", dns_names=["b", "a"], ip_addresses=["fd00::1", "10.0.0.1"], now=NOW).reused
    assert not ask("a", dns_names=["a"], ip_addresses=["10.0.0.1", "fd00::1"], now=NOW).reused
    assert not ask("a", dns_names=["a"], ip_addresses=["10.0.0.2", "fd00::1"], now=NOW).reused
    assert not ask("a", dns_names=["a"], ip_addresses=["10.0.0.2", "fd00::1"], valid_days=1, now=NOW).reused
    authority.issue_client("u", organizations=["x", "y"], now=NOW)
    assert authority.issue_client("u", organizations=["y", "x"], now=NOW).reused
    assert not authority.issue_client("u", organizations=["x"], now=NOW).reused


def test_keys_are_for_their_owner_only(authority: Authority) -> None:
    """Every key has mode 0600, the directory 0700; no half-written file remains."""
    authority.issue_client("u", now=NOW)
    assert sorted(path.name for path in authority.directory.iterdir()) == [
        "authority.key", "authority.pem", "u.key", "u.pem",
    ]  # fmt: skip
    assert authority.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in authority.directory.glob("*.key")} == {0o600}


def test_an_authority_is_made_once(authority: Authority) -> None:
    """Loading gives the same authority; killed between its key and its certificate, it is completed."""
    assert Authority.create_or_load(authority.directory, now=NOW).certificate == authority.certificate
    key = (authority.directory / "authority.key").read_bytes()
    authority.certificate_path.unlink()
    again = Authority.create_or_load(authority.directory, now=NOW)
    assert (authority.directory / "authority.key").read_bytes() == key
    assert again.certificate.public_key() == authority.certificate.public_key()


def test_a_crash_between_key_and_certificate_is_healed(authority: Authority) -> None:
    """A new key beside an old certificate is noticed: the pair is issued anew."""
    issued = authority.issue_client("u", now=NOW)
    other = authority.issue_client("v", now=NOW)
    issued.key_path.write_bytes(other.key_path.read_bytes())
    assert not authority.issue_client("u", now=NOW).reused
    assert authority.issue_client("u", now=NOW).reused


def test_a_bad_authority_is_refused_and_left_alone(authority: Authority, tmp_path: Path) -> None:
    """A lost, foreign, open or broken key is CGC-620; a clock outside its life is CGC-622; the files stay."""
    key = authority.directory / "authority.key"
    good = key.read_bytes()
    Authority.create_or_load(tmp_path / "other", now=NOW)
    foreign = (tmp_path / "other" / "authority.key").read_bytes()
    for content, mode in ((foreign, 0o600), (b"no key", 0o600), (good, 0o644)):
        key.write_bytes(content)
        key.chmod(mode)
        with pytest.raises(AuthorityError, match="CGC-620"):
            Authority.create_or_load(authority.directory, now=NOW)
        assert key.read_bytes() == content
    key.unlink()
    with pytest.raises(AuthorityError, match="CGC-620"):
        Authority.create_or_load(authority.directory, now=NOW)
    key.write_bytes(good)
    key.chmod(0o600)
    for now in (NOW - timedelta(days=1), NOW + timedelta(days=4000)):
        with pytest.raises(AuthorityError, match="CGC-622"):
            Authority.create_or_load(authority.directory, now=now)


@pytest.mark.parametrize(
    ("name", "dns_names", "addresses"),
    [
        ("a", [], []),
        ("a", ["two words"], []),
        ("a", ["-a"], []),
        ("a", ["a\n"], []),
        ("a", [], ["10.0.0.256"]),
        ("../a", ["a"], []),
        ("authority", ["a"], []),
        ("", ["a"], []),
        ("a" * 65, ["a"], []),
    ],
)
def test_a_server_without_a_proper_name_is_refused(
    authority: Authority, name: str, dns_names: list[str], addresses: list[str]
) -> None:
    """No name, a name that is none, or one that would leave the directory: CGC-621, and nothing is written."""
    with pytest.raises(AuthorityError, match="CGC-621"):
        authority.issue_server(name, dns_names=dns_names, ip_addresses=addresses, now=NOW)
    assert sorted(path.name for path in authority.directory.iterdir()) == ["authority.key", "authority.pem"]


def test_a_certificate_never_outlives_its_authority(authority: Authority) -> None:
    """Asked for more days than the authority has, it ends with the authority."""
    assert authority.issue_client("u", valid_days=9000, now=NOW).not_after == authority.certificate.not_valid_after_utc


@pytest.mark.parametrize(("days", "now"), [(0, NOW), (1, NOW.replace(tzinfo=None))])
def test_impossible_times_are_refused(authority: Authority, days: int, now: datetime) -> None:
    """No life, or a time without a zone: CGC-622."""
    with pytest.raises(AuthorityError, match="CGC-622"):
        authority.issue_client("u", valid_days=days, now=now)
