"""Where Pulumi works: its home, its plugins, the stacks' settings and states, the passphrase; and who holds a stack.

Everything lies in one directory, so that a rehearsal takes its workshop with it when it goes.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from stacks.errors import StackError
from stacks.plugins import Plugin
from stacks.project import PROJECT
from stacks.provider import PLUGIN_NAME, PLUGIN_VERSION
from stacks.provider.install import install_builtin_provider, is_builtin_provider, plugin_path

_PLUGIN_FETCH_SECONDS = 60.0
_PASSPHRASE_BYTES = 32
_CLOCK_TICK = timedelta(seconds=2)  # a process's start is known to the tick, the lock's time to the second
_LOCK_POLL_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """The places of one workshop. `pulumi` is the engine's program, `python` an interpreter that has the rooms.

    `backend_url` None means files in the workshop itself, the embedded default; `is_air_gapped` forbids every attempt
    to fetch a plugin.
    """

    directory: Path
    pulumi: Path
    python: Path
    backend_url: str | None = None
    is_air_gapped: bool = False

    @property
    def home(self) -> Path:
        """PULUMI_HOME: plugins and the engine's own notes."""
        return self.directory / "home"

    @property
    def settings(self) -> Path:
        """The directory of the stacks' settings files, as Pulumi.yaml names it too."""
        return self.directory / "stacks"

    @property
    def passphrase(self) -> Path:
        """The file whose content encrypts secrets in the states."""
        return self.directory / "passphrase"

    @property
    def state(self) -> Path:
        """The directory of the states, where they are files of the workshop."""
        return self.directory / "state"

    @property
    def backend(self) -> str:
        """The address of the states. `metadata=skip`: a killed engine must not leave an empty `.attrs` file behind."""
        return self.backend_url or f"file://{self.state.absolute()}?metadata=skip"

    def environment(self) -> dict[str, str]:
        """Return the engine's environment variables, the program's directory first on PATH."""
        variables = {
            "PATH": f"{self.pulumi.parent}:{os.environ.get('PATH', os.defpath)}",
            "PULUMI_BACKEND_URL": self.backend,
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase.absolute()),
            "PULUMI_HOME": str(self.home.absolute()),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        if self.is_air_gapped or is_builtin_provider(plugin_path(self.home)):
            variables |= {
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
                "PULUMI_DISABLE_REGISTRY_RESOLVE": "true",
                "PULUMI_SUPPRESS_NEO_LINK": "true",
            }
        return variables


def open_workshop(workshop: Workshop, *, report: Callable[[str], None]) -> Plugin:
    """Make the workshop ready and return which provider plugin it has. Idempotent; StackError CGC-255, CGC-239.

    Not for several processes at once: open it before they start.
    """
    if not os.access(workshop.pulumi, os.X_OK):
        raise StackError(
            "CGC-255", "the Pulumi engine is not there", where=str(workshop.pulumi), remedy="run `cgc doctor`"
        )
    try:
        workshop.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for directory in (workshop.home, workshop.settings, workshop.state):
            directory.mkdir(exist_ok=True)
        _write_once(workshop.passphrase, secrets.token_urlsafe(_PASSPHRASE_BYTES))
        project = {"name": PROJECT, "runtime": "python", "backend": {"url": workshop.backend}}
        write_settings(workshop.settings / "Pulumi.yaml", project)
    except OSError as err:
        raise StackError(
            "CGC-255",
            f"the workshop cannot be made ready: {err}",
            where=str(workshop.directory),
            remedy="free space there and make it writable for this user",
        ) from err
    return _choose_plugin(workshop, report)


def _choose_plugin(workshop: Workshop, report: Callable[[str], None]) -> Plugin:
    """Return the plugin that is there; else fetch the official one; else, where that cannot be had, install ours."""
    plugin = plugin_path(workshop.home)
    if not plugin.exists() and not workshop.is_air_gapped:
        report(f"fetching the official Kubernetes provider {PLUGIN_VERSION}")
        why = _fetch_official(workshop)
        if why:
            report(f"it cannot be had here ({why}); the built-in provider takes its place")
    if plugin.exists() and not is_builtin_provider(plugin):
        return Plugin.OFFICIAL
    install_builtin_provider(workshop.home, workshop.python)
    return Plugin.BUILT_IN


def _fetch_official(workshop: Workshop) -> str:
    """Fetch the official plugin; return why that failed, empty if it did not."""
    command = [str(workshop.pulumi), "--non-interactive", "plugin", "install", "resource", PLUGIN_NAME, PLUGIN_VERSION]
    environment = {**os.environ, **workshop.environment()}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PLUGIN_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_PLUGIN_FETCH_SECONDS:g} s"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit code {done.returncode}"


def _write_once(path: Path, text: str) -> None:
    """Make a file that only its owner reads, whole or not at all; one that is there stays."""
    if path.exists():
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    try:
        os.link(fresh, path)
    except FileExistsError:
        return  # another run was faster; its passphrase counts
    finally:
        fresh.unlink()


def write_settings(path: Path, content: Mapping[str, Any]) -> None:
    """Write a settings file of Pulumi's, unless that is what it already holds."""
    text = yaml.safe_dump(dict(content), allow_unicode=True)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def record_configuration(workshop: Workshop, stack: str, configuration: Mapping[str, str]) -> None:
    """Keep a stack's configuration, as plain `pulumi` reads it, beside what the engine itself keeps in that file."""
    path = workshop.settings / f"Pulumi.{stack}.yaml"
    kept: dict[str, Any] = {}
    if path.exists():
        kept = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    named = {f"{PROJECT}:{name}": value for name, value in configuration.items()}
    write_settings(path, {**kept, "config": {**(kept.get("config") or {}), **named}})


@dataclass(frozen=True, kw_only=True)
class Lock:
    """A run's hold on a stack, as the self-managed backend writes it into a file."""

    path: Path
    process: int
    host: str
    user: str
    since: datetime

    @property
    def is_dead(self) -> bool:
        """Whether the run that took it is known to be gone: it was on this host, and its process is no more."""
        if self.host != socket.gethostname():
            return False
        started = _started_at(self.process)
        return started is None or started > self.since + _CLOCK_TICK


def locks_of(workshop: Workshop, stack: str) -> tuple[Lock, ...]:
    """Return who holds a stack; empty where the states are not files, since only the engine can tell there."""
    if urlsplit(workshop.backend).scheme != "file":
        return ()
    root = Path(urlsplit(workshop.backend).path) / ".pulumi" / "locks"
    return tuple(lock for path in sorted(root.rglob(f"{stack}/*.json")) for lock in _read_lock(path))


def _read_lock(path: Path) -> tuple[Lock, ...]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        since = datetime.fromisoformat(content["timestamp"])
        return (
            Lock(
                path=path, process=int(content["pid"]), host=content["hostname"], user=content["username"], since=since
            ),
        )
    except FileNotFoundError:
        return ()  # it was given back while we looked
    except (KeyError, TypeError, ValueError) as err:
        raise StackError(
            "CGC-256",
            f"the lock file cannot be read: {err}",
            where=str(path),
            remedy="if no run is under way, remove it with `pulumi cancel`",
        ) from err


def _started_at(process: int) -> datetime | None:
    """Return when a process of this machine started; None when there is none (proc(5), field 22 of stat)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in {"Z", "X"}:
        return None  # dead, though its parent has not noticed
    age_seconds = uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return datetime.now(UTC) - timedelta(seconds=age_seconds)


def wait_for_stack(workshop: Workshop, stack: str, *, patience_seconds: float, report: Callable[[str], None]) -> bool:
    """Wait until no living run holds the stack; return whether dead ones still do, so that the hold is to be lifted.

    A run whose command was killed ends by itself in seconds, hence the waiting. StackError CGC-256 names the holder.
    """
    give_up = time.monotonic() + patience_seconds
    while True:
        locks = locks_of(workshop, stack)
        living = [lock for lock in locks if not lock.is_dead]
        if not living:
            return bool(locks)
        holder = living[0]
        who = f"process {holder.process} of {holder.user} on {holder.host} since {holder.since:%Y-%m-%d %H:%M:%S%z}"
        if time.monotonic() > give_up:
            raise StackError(
                "CGC-256",
                f"another run holds the stack: {who}",
                where=f"stack {stack}",
                remedy="wait for it to end; if that host is gone for good, run `pulumi cancel`",
            )
        report(f"{stack}: waiting for {who}")
        time.sleep(_LOCK_POLL_SECONDS)
