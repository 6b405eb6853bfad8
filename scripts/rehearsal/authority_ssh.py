"""The rehearsal's SSH authority: who a machine is and who an operator is, both proven by certificates.

Two keys of one authority: one signs host keys, one signs operators' keys, so that neither kind of certificate can ever
stand for the other. OpenSSH's own ssh-keygen signs (ssh-keygen(1), "CERTIFICATES").
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.programs import run_program

SIGNING_SECONDS = 20
# A certificate is valid a little earlier than now, for clocks that are a little late.
CLOCK_TOLERANCE = "-5m"
HOST_VALIDITY = "+52w"
SERIAL_BITS = 63  # ssh-keygen takes a signed 64-bit number
OPERATOR_PRINCIPAL = "operator"
"""The principal that lets a user certificate into every machine as root; `node:<name>` lets it into one."""

_OPERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class SshAuthority:
    """The directory that holds the two signing keys, and what they are called."""

    directory: Path

    @property
    def host_key(self) -> Path:
        """The key that signs machines' host keys."""
        return self.directory / "host_authority"

    @property
    def user_key(self) -> Path:
        """The key that signs operators' keys."""
        return self.directory / "user_authority"

    @property
    def user_public_key(self) -> Path:
        """What machines trust: sshd's TrustedUserCAKeys."""
        return self.user_key.with_suffix(".pub")

    @property
    def known_hosts(self) -> Path:
        """What operators trust: one `@cert-authority` line and no host of its own."""
        return self.directory / "known_hosts"


@dataclass(frozen=True, kw_only=True)
class UserCertificate:
    """An operator's key, its certificate, and the known_hosts file to use them with."""

    private_key: Path
    certificate: Path
    known_hosts: Path


def _new_key(path: Path, comment: str) -> None:
    """Make an Ed25519 key pair at *path*; only a finished pair ever has the final names."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        fresh = Path(scratch, "key")
        run_program(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", fresh], timeout_seconds=SIGNING_SECONDS
        )
        fresh.with_suffix(".pub").replace(path.with_suffix(".pub"))
        fresh.replace(path)


def open_authority(directory: Path, *, name: str) -> SshAuthority:
    """Open the authority kept in *directory*, made there if it is not; *name* goes into the keys' comments."""
    authority = SshAuthority(directory=directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, purpose in ((authority.host_key, "hosts"), (authority.user_key, "operators")):
        if not path.exists():
            _new_key(path, f"{name} {purpose}")
    line = f"@cert-authority * {authority.host_key.with_suffix('.pub').read_text().strip()}\n"
    if not authority.known_hosts.exists() or authority.known_hosts.read_text() != line:
        authority.known_hosts.write_text(line)
    return authority


def sign_host_key(authority: SshAuthority, *, public_key: Path, host: str, principals: Iterable[str]) -> Path:
    """Certify that *public_key* is *host*'s, under every name in *principals*; returns the certificate's path."""
    run_program(
        [
            "ssh-keygen", "-q", "-s", authority.host_key, "-h", "-I", host, "-n", ",".join(principals),
            "-V", f"{CLOCK_TOLERANCE}:{HOST_VALIDITY}", "-z", str(secrets.randbits(SERIAL_BITS)), public_key,
        ],
        timeout_seconds=SIGNING_SECONDS,
    )  # fmt: skip
    return public_key.with_name(f"{public_key.stem}-cert.pub")


def issue_user_certificate(
    authority: SshAuthority,
    *,
    operator: str,
    principals: Iterable[str] = (OPERATOR_PRINCIPAL,),
    valid_seconds: int,
    force_command: str | None = None,
    purpose: str = "operator",
) -> UserCertificate:
    """Make a fresh key for *operator* and a certificate over it; the key id, which sshd logs, is the operator's name.

    Kept in `users/<operator>/<purpose>`, in place of the last one for that purpose. With *force_command* the holder can
    run that command and nothing else, and gets no terminal. Forwarding of any kind is never allowed.
    """
    if not _OPERATOR_NAME.fullmatch(operator) or not _OPERATOR_NAME.fullmatch(purpose):
        raise ScriptError(
            "CGC-709",
            f"{operator!r} ({purpose!r}) cannot name an operator's certificate",
            where=str(authority.directory),
            remedy="use letters, digits and . _ @ - (64 at most)",
        )
    directory = authority.directory / "users" / operator
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    final = directory / purpose
    allowed = ["-O", "clear"]
    allowed += ["-O", "permit-pty"] if force_command is None else ["-O", f"force-command={force_command}"]
    with tempfile.TemporaryDirectory(dir=directory, prefix=f".{purpose}-") as scratch:
        fresh = Path(scratch, "key")
        _new_key(fresh, operator)
        run_program(
            [
                "ssh-keygen", "-q", "-s", authority.user_key, "-I", operator, "-n", ",".join(principals),
                "-V", f"{CLOCK_TOLERANCE}:+{valid_seconds}s", "-z", str(secrets.randbits(SERIAL_BITS)), *allowed,
                fresh.with_suffix(".pub"),
            ],
            timeout_seconds=SIGNING_SECONDS,
        )  # fmt: skip
        fresh.with_name("key-cert.pub").replace(final.with_name(f"{final.name}-cert.pub"))
        fresh.with_suffix(".pub").replace(final.with_name(f"{final.name}.pub"))
        fresh.replace(final)
    return UserCertificate(
        private_key=final,
        certificate=final.with_name(f"{final.name}-cert.pub"),
        known_hosts=authority.known_hosts,
    )


def remove_authority(authority: SshAuthority) -> None:
    """Destroy the authority's keys and every certificate's key it issued."""
    if authority.directory.exists():
        shutil.rmtree(authority.directory)
