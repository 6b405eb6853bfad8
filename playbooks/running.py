"""Run a play with ansible-runner and say, host by host, what it did.

Everything a run needs is given to it: inventory, limit, variables, SSH identity. It keeps its files under
`.rehearsal/runs/` (or whatever directory it is given) and shows nothing by itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ansible_runner

from inventories.model import Nation
from playbooks.bundle import Bundle
from playbooks.errors import PlaybookError
from playbooks.hosts import waves_of

ROOM = Path(__file__).parent
FORKS = 20
CONNECT_SECONDS = 5
PERSIST_SECONDS = 20
RUN_SECONDS = 1800


class HostState(StrEnum):
    """How a run ended on one host."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    NOT_RUN = "not run"


@dataclass(frozen=True, kw_only=True)
class SshIdentity:
    """Whose key and certificate open nodes, and whose word counts for who nodes are (an `@cert-authority` line)."""

    private_key: Path
    certificate: Path
    known_hosts: Path


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """One file that a run changed, or in check mode would change: which aspects, and a diff's two texts."""

    path: str
    aspects: tuple[str, ...]
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class HostResult:
    """What a run did on one host; `message` says why it failed, in the failing task's words."""

    host: str
    state: HostState
    message: str = ""
    failed_task: str = ""
    changed_tasks: tuple[str, ...] = ()
    files: tuple[FileChange, ...] = ()
    units: tuple[str, ...] = ()
    runtime: tuple[Mapping[str, Any], ...] = ()  # where what ran was not what had been applied
    fingerprint: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)  # facts that plays report with ansible.builtin.set_stats


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A whole run."""

    play: str
    hosts: tuple[HostResult, ...]
    seconds: float
    directory: Path

    @property
    def is_successful(self) -> bool:
        """Whether no host failed, was out of reach, or was left out because another one failed."""
        return all(host.state in (HostState.UNCHANGED, HostState.CHANGED) for host in self.hosts)

    @property
    def changed_hosts(self) -> tuple[str, ...]:
        """The hosts that were changed, or in check mode would be."""
        return tuple(host.host for host in self.hosts if host.state is HostState.CHANGED)


def write_bundles(bundles: Mapping[str, Bundle], directory: Path) -> None:
    """Write each bundle where the play looks for it, for nobody else to read: some of its files are secrets."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, bundle in bundles.items():
        path = directory / f"{name}.json"
        fresh = path.with_suffix(".new")
        with open(fresh, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(dataclasses.asdict(bundle), file, ensure_ascii=False)
        fresh.replace(path)


def ssh_arguments(identity: SshIdentity, control_directory: Path) -> str:
    """Return OpenSSH's arguments: only the authority's word counts for hosts, only a certificate for people."""
    options = {
        "UserKnownHostsFile": identity.known_hosts,
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "IdentityFile": identity.private_key,
        "CertificateFile": identity.certificate,
        "IdentitiesOnly": "yes",
        "PreferredAuthentications": "publickey",
        "ConnectTimeout": CONNECT_SECONDS,
        "ServerAliveInterval": 5,
        "ServerAliveCountMax": 6,
        "BatchMode": "yes",
        "ControlMaster": "auto",
        "ControlPersist": f"{PERSIST_SECONDS}s",
        "ControlPath": control_directory / "%C",
    }
    return " ".join(["-F none", *(f"-o {name}={value}" for name, value in options.items())])


def run_play(
    play: str | Path,
    *,
    nation: Nation,
    identity: SshIdentity,
    directory: Path,
    limit: Iterable[str] | None = None,
    variables: Mapping[str, Any] = MappingProxyType({}),
    in_waves: bool = False,
    check: bool = False,
    on_event: Callable[[str, str, str], None] | None = None,
) -> RunResult:
    """Run a playbook on the nation's nodes (those in `limit`, if given) and return what became of each.

    `play` names one of this room (`network` is playbooks/network.yml), or is the path of another.

    `directory` keeps the run's files and is made anew; its path must be short, as control sockets lie in it.
    `check` changes nothing and says what would change. `on_event` is told (host, task, outcome) as it happens.
    CGC-310 if Ansible itself could not run.
    """
    path = play if isinstance(play, Path) else ROOM / f"{play}.yml"
    if not path.exists():
        raise PlaybookError("CGC-310", "there is no such play", where=str(path), remedy="name one that is there")
    directory = directory.absolute()
    shutil.rmtree(directory, ignore_errors=True)
    control = directory / "c"
    control.mkdir(parents=True, mode=0o700)
    wanted = set(limit) if limit is not None else {node.name for node in nation.nodes}
    sizes = [len(wanted & set(wave)) for wave in waves_of(nation) if wanted & set(wave)]
    inventory = nation.directory.resolve() / "nation.yaml"  # ansible-runner takes a relative one for its text
    collected = _Events(on_event)
    started = time.monotonic()
    runner = ansible_runner.run(
        private_data_dir=str(directory),
        playbook=str(path),
        inventory=str(inventory),
        limit=",".join(sorted(wanted)) if limit is not None else None,
        extravars={**variables, "wave_sizes": sizes if in_waves else ["100%"]},
        cmdline="--check --diff" if check else "--diff",
        envvars=_environment(identity, control),
        event_handler=collected.take,
        quiet=True,
        timeout=RUN_SECONDS,
        settings={"suppress_ansible_output": True, "pexpect_use_poll": True},
    )
    if runner.status not in ("successful", "failed"):
        raise PlaybookError(
            "CGC-310", f"Ansible ended as {runner.status!r}", where=str(path), remedy=f"read {directory}/artifacts"
        )
    hosts = collected.results(wanted)
    if runner.rc != 0 and all(host.state is HostState.NOT_RUN for host in hosts):
        said = runner.stdout.read()[-1500:] if runner.stdout else ""
        raise PlaybookError(
            "CGC-310", f"Ansible could not start the play: {said}", where=str(path), remedy="mend what it names"
        )
    return RunResult(play=path.stem, hosts=hosts, seconds=time.monotonic() - started, directory=directory)


def _environment(identity: SshIdentity, control: Path) -> dict[str, str]:
    plugins = ROOM / "plugins"
    return {
        "ANSIBLE_CONFIG": str(ROOM / "ansible-run.cfg"),
        "ANSIBLE_INVENTORY_PLUGINS": str(plugins / "inventory"),
        "ANSIBLE_ACTION_PLUGINS": str(plugins / "action"),
        "ANSIBLE_LIBRARY": str(plugins / "modules"),
        "ANSIBLE_MODULE_UTILS": str(plugins / "module_utils"),
        "ANSIBLE_ROLES_PATH": str(ROOM / "roles"),
        "ANSIBLE_INVENTORY_ENABLED": "nation",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
        "ANSIBLE_SSH_ARGS": ssh_arguments(identity, control),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_TRANSFER_METHOD": "piped",
        "ANSIBLE_FORKS": str(FORKS),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "PYTHONPATH": str(ROOM.parent),
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "LC_ALL": "C.UTF-8",
    }


class _Events:
    """Collects ansible-runner's events into results."""

    def __init__(self, on_event: Callable[[str, str, str], None] | None) -> None:
        self._on_event = on_event
        self._states: dict[str, HostState] = {}
        self._messages: dict[str, tuple[str, str]] = {}
        self._changed: dict[str, list[str]] = {}
        self._bundles: dict[str, Mapping[str, Any]] = {}
        self._values: dict[str, dict[str, Any]] = {}

    def take(self, event: Mapping[str, Any]) -> bool:
        """Take one event; ansible-runner need not keep it on disk unless a host failed."""
        kind, data = event.get("event"), event.get("event_data") or {}
        host, task = data.get("host"), str(data.get("task", ""))
        result: Mapping[str, Any] = data.get("res") or {}
        if host is None:
            return True
        if kind == "runner_on_ok":
            if result.get("changed"):
                self._changed.setdefault(host, []).append(task)
                self._states[host] = HostState.CHANGED
            else:
                self._states.setdefault(host, HostState.UNCHANGED)
            if "fingerprint" in result and "paths" in result:
                self._bundles[host] = result
            if isinstance(result.get("ansible_stats"), dict):
                self._values.setdefault(host, {}).update(result["ansible_stats"].get("data", {}))
        elif kind == "runner_on_failed" and not data.get("ignore_errors"):
            self._states[host] = HostState.FAILED
            self._messages[host] = (task, _message(result))
        elif kind == "runner_on_unreachable":
            self._states[host] = HostState.UNREACHABLE
            self._messages[host] = (task, _message(result))
        if self._on_event is not None and kind in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable"):
            outcome = "changed" if kind == "runner_on_ok" and result.get("changed") else kind.removeprefix("runner_on_")
            self._on_event(host, task, outcome)
        return True

    def results(self, wanted: Iterable[str]) -> tuple[HostResult, ...]:
        """Return one result a host, sorted by name; a host without any event was not run."""
        return tuple(self._result(host) for host in sorted(wanted))

    def _result(self, host: str) -> HostResult:
        bundle = self._bundles.get(host, {})
        task, message = self._messages.get(host, ("", ""))
        texts = {one["before_header"].removesuffix(" (now)"): one for one in bundle.get("diff", ()) if "before" in one}
        return HostResult(
            host=host,
            state=self._states.get(host, HostState.NOT_RUN),
            message=message,
            failed_task=task,
            changed_tasks=tuple(self._changed.get(host, ())),
            files=tuple(
                FileChange(
                    path=path,
                    aspects=tuple(aspects),
                    before=texts.get(path, {}).get("before", ""),
                    after=texts.get(path, {}).get("after", ""),
                )
                for path, aspects in sorted(bundle.get("paths", {}).items())
            ),
            units=tuple(bundle.get("units", ())),
            runtime=tuple(bundle.get("runtime", ())),
            fingerprint=str(bundle.get("fingerprint", "")),
            values=MappingProxyType(self._values.get(host, {})),
        )


def _message(result: Mapping[str, Any]) -> str:
    parts = [str(result.get(key, "")).strip() for key in ("msg", "stderr", "module_stderr", "stdout")]
    return "\n".join(part for part in parts if part)[-3000:]
