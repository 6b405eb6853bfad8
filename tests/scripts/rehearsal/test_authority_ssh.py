"""Machines and operators prove who they are by certificates, each kind by a key of its own."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.rehearsal import authority_ssh


def described(certificate: Path) -> str:
    """Return what ssh-keygen says about a certificate."""
    return subprocess.run(
        ["ssh-keygen", "-L", "-f", certificate], check=True, capture_output=True, text=True, timeout=10
    ).stdout


@pytest.fixture
def authority(tmp_path: Path) -> authority_ssh.SshAuthority:
    """Make a new authority."""
    return authority_ssh.open_authority(tmp_path / "ssh", name="cgc-0a1b2c")


def test_an_authority_is_made_once(authority: authority_ssh.SshAuthority) -> None:
    """Opening it again keeps its keys: certificates that it signed stay good."""
    before = authority.user_key.read_bytes(), authority.host_key.read_bytes()
    again = authority_ssh.open_authority(authority.directory, name="cgc-0a1b2c")
    assert (again.user_key.read_bytes(), again.host_key.read_bytes()) == before
    assert before[0] != before[1]


def test_known_hosts_trusts_the_authority_and_no_host(authority: authority_ssh.SshAuthority) -> None:
    """No host key is ever accepted because it was met first."""
    lines = authority.known_hosts.read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("@cert-authority * ssh-ed25519 ")


def test_private_keys_are_for_their_owner_only(authority: authority_ssh.SshAuthority) -> None:
    """Neither the authority's keys nor an operator's are readable by others."""
    issued = authority_ssh.issue_user_certificate(authority, operator="nguyen.van.a", valid_seconds=60)
    for path in (authority.host_key, authority.user_key, issued.private_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.directory.stat().st_mode) == 0o700


def test_a_user_certificate_names_its_operator_and_ends(authority: authority_ssh.SshAuthority) -> None:
    """The key id is the operator's name, which sshd logs; nothing but a terminal is allowed."""
    issued = authority_ssh.issue_user_certificate(
        authority, operator="nguyen.van.a", principals=("operator", "node:core-a-hn"), valid_seconds=600
    )
    text = described(issued.certificate)
    assert 'Key ID: "nguyen.van.a"' in text
    assert "user certificate" in text
    assert "operator" in text
    assert "node:core-a-hn" in text
    assert "permit-pty" in text
    assert "forwarding" not in text
    assert "forever" not in text


def test_a_forced_command_comes_without_a_terminal(authority: authority_ssh.SshAuthority) -> None:
    """A reader's certificate runs its one command and gets nothing else."""
    issued = authority_ssh.issue_user_certificate(
        authority, operator="reader", valid_seconds=600, force_command="/usr/local/lib/cgc/node_agent.py read"
    )
    text = described(issued.certificate)
    assert "force-command /usr/local/lib/cgc/node_agent.py read" in text
    assert "permit-pty" not in text


def test_purposes_of_one_operator_do_not_replace_each_other(authority: authority_ssh.SshAuthority) -> None:
    """An operator's certificate for one purpose stays when one for another purpose is issued."""
    first = authority_ssh.issue_user_certificate(authority, operator="a", valid_seconds=60, purpose="converge")
    second = authority_ssh.issue_user_certificate(authority, operator="a", valid_seconds=60, purpose="read")
    assert first.private_key.read_text() != second.private_key.read_text()


@pytest.mark.parametrize("operator", ["", "../root", "a b", "-x", "a/b", "x" * 65])
def test_names_that_would_leave_the_directory_are_refused(authority: authority_ssh.SshAuthority, operator: str) -> None:
    """An operator's name is a name, never a path or an option."""
    with pytest.raises(ScriptError, match="CGC-709"):
        authority_ssh.issue_user_certificate(authority, operator=operator, valid_seconds=60)


def test_a_host_certificate_lists_every_name(authority: authority_ssh.SshAuthority, tmp_path: Path) -> None:
    """A machine is known by its name and its addresses, IPv6 as well."""
    authority_ssh._new_key(tmp_path / "ssh_host_ed25519_key", "core-a-hn")
    certificate = authority_ssh.sign_host_key(
        authority,
        public_key=tmp_path / "ssh_host_ed25519_key.pub",
        host="core-a-hn",
        principals=("core-a-hn", "10.9.0.10", "fd09::a"),
    )
    text = described(certificate)
    assert "host certificate" in text
    assert {"core-a-hn", "10.9.0.10", "fd09::a"} <= {line.strip() for line in text.splitlines()}
