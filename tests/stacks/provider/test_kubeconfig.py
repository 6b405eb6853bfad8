from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.errors import StackError
from stacks.provider.kubeconfig import read_access


def _kubeconfig(
    *, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u"}},
            {"name": "there", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": "https://[::1]:6443/"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
        **more,
    }


def _refusal(kubeconfig: str) -> StackError:
    with pytest.raises(StackError) as caught:
        read_access(kubeconfig)
    assert caught.value.code == "CGC-230"
    return caught.value


def test_reads_text_and_files_alike(tmp_path: Path) -> None:
    """A kubeconfig may be given as its text, as JSON on one line, or as a path."""
    content = _kubeconfig(user={"token": "t"})
    text = yaml.safe_dump(content)
    path = tmp_path / "config"
    path.write_text(text)
    one_line = yaml.safe_dump(content, default_flow_style=True, width=10000).strip()
    for given in (text, str(path), one_line):
        access = read_access(given)
        assert access.server == "https://[::1]:6443"
        assert access.token == "t"  # noqa: S105 - the fixture's
        assert access.default_namespace == "default"


def test_takes_the_context_that_is_asked_for() -> None:
    """The named context counts, not the current one."""
    assert read_access(yaml.safe_dump(_kubeconfig()), context="there").default_namespace == "n"


def test_credentials_come_from_text_or_from_files_beside_it(tmp_path: Path) -> None:
    """`-data` is base64; a path that is not absolute starts at the kubeconfig's folder, as for kubectl."""
    (tmp_path / "ca.pem").write_bytes(b"authority")
    (tmp_path / "token").write_text("fresh")
    user = {"client-certificate-data": base64.b64encode(b"certificate").decode(), "tokenFile": "token"}
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(_kubeconfig(cluster={"certificate-authority": "ca.pem"}, user=user)))
    access = read_access(str(path))
    assert access.authority == b"authority"
    assert access.client_certificate == b"certificate"
    assert access.token_file == tmp_path / "token"


def test_secrets_do_not_appear_in_the_repr() -> None:
    """A traceback that shows the access shows no credential."""
    key = base64.b64encode(b"private").decode()
    access = read_access(yaml.safe_dump(_kubeconfig(user={"token": "hidden", "client-key-data": key})))
    assert "hidden" not in repr(access)
    assert "private" not in repr(access)


def test_impersonation_is_kept() -> None:
    """Acting as another user and with groups is part of who one is."""
    access = read_access(yaml.safe_dump(_kubeconfig(user={"as": "agency", "as-groups": ["noc"]})))
    assert access.impersonation == (("Impersonate-User", "agency"), ("Impersonate-Group", "noc"))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (_kubeconfig(user={"exec": {"command": "login"}}), "exec"),
        (_kubeconfig(user={"auth-provider": {}}), "auth-provider"),
        (_kubeconfig(cluster={"proxy-url": "socks5://x"}), "proxy-url"),
        (_kubeconfig(clusters=[]), "cluster named 'c'"),
        (_kubeconfig(users=[]), "user named 'u'"),
        (_kubeconfig() | {"current-context": "nowhere"}, "context named 'nowhere'"),
        (_kubeconfig() | {"current-context": ""}, "no current-context"),
        (_kubeconfig(cluster={"server": ""}), "no server"),
        (_kubeconfig(user={"client-key-data": "%%%"}), "client-key-data is not base64"),
        (_kubeconfig(user={"client-key": "/nowhere/key"}), "client-key cannot be read"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(content: dict[str, Any], named: str) -> None:
    """Nothing of a kubeconfig is passed over in silence: the refusal names the part."""
    assert named in _refusal(yaml.safe_dump(content)).what


@pytest.mark.parametrize("text", ["{", "a: [\n", "[1,\n2]", "\n"])
def test_what_is_no_kubeconfig_is_refused(text: str) -> None:
    """Broken YAML, a list and nothing at all are errors, not crashes."""
    _refusal(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error says which path was looked at."""
    assert _refusal(str(tmp_path / "none")).where == str(tmp_path / "none")
