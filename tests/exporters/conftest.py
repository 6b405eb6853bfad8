"""The rehearsal's nation, and TLS identities of an authority made for the run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporters.serving import TlsMaterial
from inventories import load_nation
from inventories.model import Nation
from scripts.authority import Authority

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"


@pytest.fixture(scope="session")
def nation() -> Nation:
    """Return the rehearsal's nation."""
    return load_nation(REHEARSAL)


@dataclass(frozen=True, kw_only=True)
class Identities:
    """A server's and a client's certificate of one authority, and a client's of a stranger."""

    authority: Authority
    stranger_authority: Authority
    server: TlsMaterial
    client: tuple[Path, Path]
    stranger: tuple[Path, Path]

    def client_context(self, shown: tuple[Path, Path] | None) -> ssl.SSLContext:
        """Return a client's settings: trusts the authority, shows a certificate or none."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate_path))
        if shown is not None:
            context.load_cert_chain(*shown)
        return context


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    """Return identities that live as long as the run."""
    now = datetime.now(UTC)
    authority = Authority.create_or_load(tmp_path_factory.mktemp("authority"), now=now, name="authority")
    server = authority.issue_server("server", dns_names=["localhost"], ip_addresses=["127.0.0.1", "::1"], now=now)
    client = authority.issue_client("prometheus", now=now)
    other = Authority.create_or_load(tmp_path_factory.mktemp("other"), now=now, name="stranger")
    stranger = other.issue_client("prometheus", now=now)
    return Identities(
        authority=authority,
        stranger_authority=other,
        server=TlsMaterial(
            certificate=server.certificate_path, key=server.key_path, client_authority=authority.certificate_path
        ),
        client=(client.certificate_path, client.key_path),
        stranger=(stranger.certificate_path, stranger.key_path),
    )
