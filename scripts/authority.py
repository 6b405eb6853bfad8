"""The X.509 authority of a rehearsal: it signs the certificates of exporters, Prometheus, and users of Kubernetes.

Keys are ECDSA P-256 with SHA-256: Go's crypto/tls, OpenSSL (Python's ssl) and Kubernetes all take it, and it is the
curve of RFC 8446 §9.1 that every TLS 1.3 implementation must have; Ed25519 certificates are optional there.
Certificates follow RFC 5280 and, for names, RFC 6125: a server is known by its subject alternative names only.

A directory holds `authority.key`, `authority.pem` and, for each certificate, NAME.key (PKCS #8, mode 0600) and NAME.pem
(the certificate alone). A certificate that still fits what is asked and has more than a third of its life before it is
handed out again, so that issuing is idempotent; else it is renewed with a new key.
"""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scripts.durable import replace_file
from scripts.errors import ScriptError

AUTHORITY = "authority"
AUTHORITY_LIFE_DAYS = 3650
CLOCK_TOLERANCE = timedelta(minutes=5)  # a host whose clock is slightly behind accepts a certificate just made
RENEWAL_PART = 3  # renewed when less than 1/3 of its life remains
LONGEST_COMMON_NAME = 64  # RFC 5280 appendix A.1, ub-common-name
_FILE_NAME_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_DNS_NAME_SHAPE = re.compile(r"(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9-]{1,63})*", re.ASCII)


class AuthorityError(ScriptError):
    """A key or certificate could not be read, made or trusted."""


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate on disk: paths in PEM (the key with mode 0600), and until when it is valid (UTC)."""

    certificate_path: Path
    key_path: Path
    not_after: datetime
    reused: bool


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What a certificate is to say."""

    file_name: str
    common_name: str
    organizations: tuple[str, ...]
    names: tuple[x509.GeneralName, ...]
    usage: x509.ObjectIdentifier
    valid_days: int

    @property
    def subject(self) -> x509.Name:
        return x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization) for organization in self.organizations),
                x509.NameAttribute(NameOID.COMMON_NAME, self.common_name),
            ]
        )


class Authority:
    """A certificate authority kept in one directory (mode 0700)."""

    def __init__(self, directory: Path, *, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.directory = directory
        self._key = key
        self.certificate = certificate

    @property
    def certificate_path(self) -> Path:
        """Where the authority's own certificate is, to be trusted by others (PEM)."""
        return self.directory / f"{AUTHORITY}.pem"

    @classmethod
    def create_or_load(cls, directory: Path, *, now: datetime, name: str = "rehearsal authority") -> Authority:
        """Load the authority of a directory, or make it if neither key nor certificate is there.

        A certificate without a key, or one that the key did not make, is refused (AuthorityError CGC-620): others
        trust it, so that it is never replaced silently. One that is not valid at `now` is refused with CGC-622.
        """
        key_path, certificate_path = directory / f"{AUTHORITY}.key", directory / f"{AUTHORITY}.pem"
        _make_directory(directory)
        if not certificate_path.exists():  # written last: without it nobody has trusted this authority yet
            key = _key_at(key_path) if key_path.exists() else _new_key(key_path)
            _write(certificate_path, _self_signed(key, name, now).public_bytes(Encoding.PEM))
        authority = cls(directory, key=_key_at(key_path), certificate=_certificate_at(certificate_path))
        if _public_bytes(authority._key.public_key()) != _public_bytes(authority.certificate.public_key()):
            raise AuthorityError(
                "CGC-620",
                "the authority's key did not make its certificate",
                where=str(key_path),
                remedy="restore both files from the same copy, or remove the directory to start anew",
            )
        if not authority.certificate.not_valid_before_utc <= now < authority.certificate.not_valid_after_utc:
            raise AuthorityError(
                "CGC-622",
                f"the authority's certificate is not valid at {now.isoformat()}",
                where=str(certificate_path),
                remedy="check the clock; if it is right, remove the directory to make a new authority",
            )
        return authority

    def issue_server(
        self,
        name: str,
        *,
        dns_names: Sequence[str] = (),
        ip_addresses: Sequence[str] = (),
        valid_days: int = 90,
        now: datetime,
    ) -> Issued:
        """Issue (or hand out again) the certificate of a TLS server; `name` is its file name and common name.

        AuthorityError CGC-621 if a name or address is not one, or none is given; CGC-620 for files, CGC-622 for time.
        """
        names: list[x509.GeneralName] = []
        for dns_name in sorted(set(dns_names)):
            if not _DNS_NAME_SHAPE.fullmatch(dns_name):
                raise _bad_request(f"{dns_name!r} is not a DNS name")
            names.append(x509.DNSName(dns_name))
        try:
            names += [x509.IPAddress(address) for address in _sorted_addresses(ip_addresses)]
        except ValueError as err:
            raise _bad_request(str(err)) from err
        if not names:
            raise _bad_request(f"the server {name!r} has neither a DNS name nor an address")
        return self._issue(
            _Request(
                file_name=name,
                common_name=name,
                organizations=(),
                names=tuple(names),
                usage=ExtendedKeyUsageOID.SERVER_AUTH,
                valid_days=valid_days,
            ),
            now,
        )

    def issue_client(
        self,
        common_name: str,
        *,
        organizations: Sequence[str] = (),
        valid_days: int = 90,
        now: datetime,
        file_name: str | None = None,
    ) -> Issued:
        """Issue (or hand out again) the certificate of a client.

        Kubernetes reads the user from the common name and the groups from the organizations. `file_name` defaults to
        the common name with `:` and `@` as hyphens. Errors as `issue_server`.
        """
        return self._issue(
            _Request(
                file_name=file_name or re.sub(r"[:@]+", "-", common_name),
                common_name=common_name,
                organizations=tuple(sorted(set(organizations))),
                names=(),
                usage=ExtendedKeyUsageOID.CLIENT_AUTH,
                valid_days=valid_days,
            ),
            now,
        )

    def _issue(self, request: _Request, now: datetime) -> Issued:
        _check(request, now)
        key_path = self.directory / f"{request.file_name}.key"
        certificate_path = self.directory / f"{request.file_name}.pem"
        if key_path.exists() and certificate_path.exists():
            present = _certificate_at(certificate_path)
            if self._still_serves(present, _key_at(key_path), request, now):
                return Issued(
                    certificate_path=certificate_path,
                    key_path=key_path,
                    not_after=present.not_valid_after_utc,
                    reused=True,
                )
        # A crash between the two files leaves a key that does not fit its certificate, which is then not reused.
        certificate = self._signed(request, _new_key(key_path), now)
        _write(certificate_path, certificate.public_bytes(Encoding.PEM))
        return Issued(
            certificate_path=certificate_path,
            key_path=key_path,
            not_after=certificate.not_valid_after_utc,
            reused=False,
        )

    def _still_serves(
        self, present: x509.Certificate, key: ec.EllipticCurvePrivateKey, request: _Request, now: datetime
    ) -> bool:
        try:
            present.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False  # another authority's: an earlier rehearsal's, say
        life = present.not_valid_after_utc - present.not_valid_before_utc
        return (
            _public_bytes(present.public_key()) == _public_bytes(key.public_key())
            and present.subject == request.subject
            and _names_in(present) == request.names
            and _usages_in(present) == (request.usage,)
            and present.not_valid_before_utc <= now
            and present.not_valid_after_utc - now > life / RENEWAL_PART
            and life <= timedelta(days=request.valid_days) + CLOCK_TOLERANCE
        )

    def _signed(self, request: _Request, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
        not_after = min(now + timedelta(days=request.valid_days), self.certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - CLOCK_TOLERANCE, self.certificate.not_valid_before_utc))
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([request.usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if request.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(request.names), critical=False)
        return builder.sign(self._key, SHA256())


def _check(request: _Request, now: datetime) -> None:
    if not _FILE_NAME_SHAPE.fullmatch(request.file_name) or request.file_name == AUTHORITY:
        raise _bad_request(f"{request.file_name!r} cannot be the name of a certificate's file")
    if not 0 < len(request.common_name) <= LONGEST_COMMON_NAME or any(not text for text in request.organizations):
        raise _bad_request(f"the common name must have 1 to {LONGEST_COMMON_NAME} letters, organizations at least one")
    if request.valid_days < 1:
        raise AuthorityError(
            "CGC-622",
            f"a certificate cannot be valid for {request.valid_days} days",
            where=request.file_name,
            remedy="ask for at least one day",
        )
    if now.tzinfo is None:
        raise AuthorityError(
            "CGC-622",
            f"the time {now.isoformat()} has no time zone",
            where=request.file_name,
            remedy="pass an aware datetime, such as datetime.now(UTC)",
        )


def _self_signed(key: ec.EllipticCurvePrivateKey, name: str, now: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + timedelta(days=AUTHORITY_LIFE_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _sorted_addresses(texts: Sequence[str]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return sorted({ipaddress.ip_address(text) for text in texts}, key=lambda address: (address.version, int(address)))


def _names_in(certificate: x509.Certificate) -> tuple[x509.GeneralName, ...]:
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def _usages_in(certificate: x509.Certificate) -> tuple[x509.ObjectIdentifier, ...]:
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ()


def _public_bytes(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as err:
        raise _file_error(directory, err.strerror or str(err)) from err


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    return key


def _write(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    try:
        replace_file(path, content, mode=mode)
    except OSError as err:
        raise _file_error(path, f"could not be written: {err.strerror or err}") from err


def _key_at(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    except OSError as err:
        raise _file_error(path, f"could not be read: {err.strerror or err}") from err
    if mode & 0o077:
        raise AuthorityError(
            "CGC-620",
            f"the key is open to others (mode {mode:04o})",
            where=str(path),
            remedy=f"run `chmod 600 {path}`; if others may have read it, remove it and its certificate",
        )
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError) as err:
        raise _file_error(path, f"is not a private key in PEM: {err}") from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _file_error(path, "is not an elliptic curve key")
    return key


def _certificate_at(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as err:
        raise _file_error(path, f"could not be read: {err.strerror or err}") from err
    except ValueError as err:
        raise _file_error(path, f"is not a certificate in PEM: {err}") from err


def _file_error(path: Path, why: str) -> AuthorityError:
    return AuthorityError(
        "CGC-620",
        f"a file of the authority {why}",
        where=str(path),
        remedy="mend its rights or remove it together with its pair; certificates are made anew",
    )


def _bad_request(why: str) -> AuthorityError:
    return AuthorityError("CGC-621", f"no certificate can be made: {why}", remedy="correct the name in the declaration")
