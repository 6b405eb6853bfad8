"""The compiled form of Ansible's view of a nation: hosts, variables and groups, made once a declaration.

Like the nation's own (inventories/compiled.py) it is found by the hash of the text it follows from and of the code that
makes it, so it is never stale, and may be deleted at any time. Small declarations have none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import msgspec

from inventories.compiled import form_of, seal, unsealed
from inventories.compiled import path_of as compiled_path_of

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
    form = form_of(declaration, suffix=_SUFFIX, code=_code_digest())
    found = _load(form, today=day) if form is not None else None
    if found is None:
        found = _make(declaration, today=day)
        if form is not None and path_of(declaration) == form:  # nobody changed the text while it was read
            seal(form, msgspec.msgpack.encode(found))
    return found.hosts


def path_of(declaration: Path) -> Path:
    """Return where the compiled form lies, or would."""
    return compiled_path_of(declaration, suffix=_SUFFIX, code=_code_digest())


@cache
def _code_digest() -> bytes:
    return hashlib.sha256(b"".join(path.read_bytes() for path in _CODE)).digest()


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
    payload = unsealed(path)
    if payload is None:
        return None
    try:
        found = msgspec.msgpack.decode(payload, type=_Compiled)
    except msgspec.DecodeError:
        return None
    return found if found.until is None or found.until >= today else None
