"""A kubeconfig's one context as facts: where the API server is, whom to trust, as whom to speak.

Format: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stacks.errors import StackError

_SUPPORTED_USER = frozenset(
    {
        "as",
        "as-groups",
        "as-uid",
        "client-certificate",
        "client-certificate-data",
        "client-key",
        "client-key-data",
        "token",
        "tokenFile",
    }
)
_REMEDY = "give the stack's provider a kubeconfig whose user has a client certificate or a token"


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """How to reach one API server. PEM texts are `bytes`; `tokenFile` is read at each request, since it rotates."""

    server: str
    default_namespace: str
    authority: bytes | None = None
    verify_certificate: bool = True
    server_name: str | None = None
    client_certificate: bytes | None = field(default=None, repr=False)
    client_key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    impersonation: tuple[tuple[str, str], ...] = ()


def read_access(kubeconfig: str | None = None, *, context: str | None = None) -> ClusterAccess:
    """Answer the access that *kubeconfig* (its text, or a path; default `$KUBECONFIG`, then ~/.kube/config) gives.

    *context* defaults to the file's current one. Raises StackError CGC-230 for a file that is missing, is not a
    kubeconfig, or needs what the built-in provider does not do (a login program, a proxy): it never guesses.
    """
    text, where, folder = _text_of(kubeconfig)
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise _unusable(f"the kubeconfig is not YAML: {err}", where) from err
    if not isinstance(content, Mapping):
        raise _unusable("the kubeconfig is empty or not a mapping", where)
    name = context or content.get("current-context")
    if not name:
        raise _unusable("the kubeconfig has no current-context and none was asked for", where)
    chosen = _entry(content, "contexts", "context", name, where)
    cluster = _entry(content, "clusters", "cluster", chosen.get("cluster"), where)
    user = _entry(content, "users", "user", chosen["user"], where) if chosen.get("user") else {}
    _refuse_unsupported(cluster, user, where)
    if not cluster.get("server"):
        raise _unusable(f"cluster {chosen.get('cluster')} has no server", where)
    return ClusterAccess(
        server=str(cluster["server"]).rstrip("/"),
        default_namespace=str(chosen.get("namespace") or "default"),
        authority=_pem(cluster, "certificate-authority", folder, where),
        verify_certificate=not cluster.get("insecure-skip-tls-verify", False),
        server_name=cluster.get("tls-server-name"),
        client_certificate=_pem(user, "client-certificate", folder, where),
        client_key=_pem(user, "client-key", folder, where),
        token=user.get("token"),
        token_file=folder / user["tokenFile"] if user.get("tokenFile") else None,
        impersonation=_impersonation(user),
    )


def _unusable(what: str, where: str) -> StackError:
    return StackError("CGC-230", what, where=where, remedy=_REMEDY)


def _text_of(kubeconfig: str | None) -> tuple[str, str, Path]:
    """Answer the text, the place to name in errors, and the folder that relative paths start from."""
    if kubeconfig and ("\n" in kubeconfig or kubeconfig.lstrip().startswith("{")):
        return kubeconfig, "the provider's kubeconfig", Path.cwd()
    path = Path(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    try:
        return path.read_text(encoding="utf-8"), str(path), path.parent
    except (OSError, UnicodeDecodeError) as err:
        raise _unusable(f"the kubeconfig cannot be read: {err}", str(path)) from err


def _entry(content: Mapping[str, Any], section: str, noun: str, name: Any, where: str) -> Mapping[str, Any]:
    entries = content.get(section) or []
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("name") == name and isinstance(entry.get(noun), Mapping):
            found: Mapping[str, Any] = entry[noun]
            return found
    raise _unusable(f"the kubeconfig has no {noun} named {name!r}", where)


def _refuse_unsupported(cluster: Mapping[str, Any], user: Mapping[str, Any], where: str) -> None:
    if "proxy-url" in cluster:
        raise _unusable("the built-in provider does not go through a proxy (proxy-url)", where)
    unsupported = sorted(user.keys() - _SUPPORTED_USER)
    if unsupported:
        raise _unusable(f"the built-in provider cannot log in with {', '.join(unsupported)}", where)


def _pem(section: Mapping[str, Any], name: str, folder: Path, where: str) -> bytes | None:
    if section.get(f"{name}-data"):
        try:
            return base64.b64decode(section[f"{name}-data"], validate=True)
        except (binascii.Error, ValueError) as err:
            raise _unusable(f"{name}-data is not base64: {err}", where) from err
    if section.get(name):
        try:
            return Path(folder, section[name]).read_bytes()
        except OSError as err:
            raise _unusable(f"{name} cannot be read: {err}", where) from err
    return None


def _impersonation(user: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    headers = [("Impersonate-User", str(user["as"]))] if user.get("as") else []
    headers += [("Impersonate-Uid", str(user["as-uid"]))] if user.get("as-uid") else []
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or ()]
    return tuple(headers)
