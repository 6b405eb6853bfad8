"""The compiled form of Ansible's view of a nation: hosts, variables and groups, made once a declaration.

Like the nation's own (inventories/compiled.py) it is found by the hash of the text it follows from and of the code that
makes it, so it is never stale, and may be deleted at any time. Small declarations have none.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import msgspec
import yaml

from inventories.compiled import KEPT, digest_of, is_worth_it, store

_DIGEST_BYTES = 32
_SUFFIX = ".hosts"
_CODE = (Path(__file__), Path(__file__).with_name("hosts.py"))


@dataclass(frozen=True, kw_only=True)
class HostList:
    """Ansible's view of a nation: every host's name and its variables, in the order of the waves.

    `groups` has each group's members as positions in `names`. The variables are dicts since each becomes its host's.
    """

    names: tuple[str, ...]
    variables: tuple[dict[str, str | int], ...]
    groups: dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    """A host list, and the last day of the override that ends first."""

    until: date | None
    hosts: HostList


def load_hosts(declaration: Path, *, today: date | None = None) -> HostList:
    """Return the hosts of the nation that the declaration in a directory makes.

    `today` (UTC) decides which overrides are past their date. Raises `DeclarationRefusedError` with every problem.
    """
    day = today or datetime.now(UTC).date()
    if not is_worth_it(declaration):
        return _make(declaration, today=day).hosts
    path = path_of(declaration)
    found = _load(path, today=day)
    if found is None:
        found = _make(declaration, today=day)
        if path_of(declaration) == path:  # nobody changed the text while it was read
            _save(path, found)
    return found.hosts


def path_of(declaration: Path) -> Path:
    """Return where the compiled form lies, or would: by the text, that of the declaration it is based on, and code."""
    found = hashlib.sha256(_code_digest())
    found.update(digest_of(declaration))
    base = _base_of(declaration)
    if base is not None:
        found.update(digest_of(declaration / base))
    return store() / f"{found.hexdigest()}{_SUFFIX}"


@cache
def _code_digest() -> bytes:
    return hashlib.sha256(b"".join(path.read_bytes() for path in _CODE)).digest()


def _base_of(declaration: Path) -> str | None:
    """Return what `based_on` says, without the strict reader: where that refuses the file, nothing is compiled."""
    try:
        text = (declaration / "nation.yaml").read_text(encoding="utf-8")
        found = yaml.load(text, Loader=yaml.CBaseLoader)  # noqa: S506 - every scalar stays text, as the reader has it
    except (OSError, ValueError, yaml.YAMLError):
        return None
    base = found.get("based_on") if isinstance(found, dict) else None
    return base if isinstance(base, str) else None


def _make(declaration: Path, *, today: date) -> _Compiled:
    # Most runs find the compiled form, and must not wait for the reader and the expansion to be imported.
    from inventories.loading import load_nation  # noqa: PLC0415
    from playbooks.hosts import groups_of, hosts_of  # noqa: PLC0415

    nation = load_nation(declaration, today=today)
    hosts = hosts_of(nation)
    position = {host.name: index for index, host in enumerate(hosts)}
    groups = groups_of(nation, hosts)
    return _Compiled(
        until=min((override.until for override in nation.overrides), default=None),
        hosts=HostList(
            names=tuple(position),
            variables=tuple(host.variables for host in hosts),
            groups={group: tuple(position[member] for member in members) for group, members in groups.items()},
        ),
    )


def _load(path: Path, *, today: date) -> _Compiled | None:
    """Return the compiled form; None where there is none, where it is damaged, or where an override has ended."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(raw[_DIGEST_BYTES:]).digest() != raw[:_DIGEST_BYTES]:
        return None
    try:
        found = msgspec.msgpack.decode(raw[_DIGEST_BYTES:], type=_Compiled)
    except msgspec.DecodeError:
        return None
    return found if found.until is None or found.until >= today else None


def _save(path: Path, made: _Compiled) -> None:
    """Keep the compiled form; where it cannot be written, it is made again next time."""
    payload = msgspec.msgpack.encode(made)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(hashlib.sha256(payload).digest() + payload)
        Path(file.name).replace(path)
        forms = sorted(path.parent.glob(f"*{_SUFFIX}"), key=lambda form: form.stat().st_mtime, reverse=True)
        for form in forms[KEPT:]:
            form.unlink(missing_ok=True)
    except OSError:
        return  # only time is lost
