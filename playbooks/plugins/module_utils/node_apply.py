"""Apply a node bundle: stage, validate, swap, reload, verify; undo on failure, on a crash, or when nobody confirms.

Standard library only: the Ansible module carries it to the node, every bundle installs it there, and a timer runs its
`undo` if the operator's contact was lost. All paths lie under `root`, all programs go through `run`, so that the whole
of it can be tried on a directory.

On the node, under /var/lib/cgc: `staged/<fingerprint>/` is the bundle that was applied last (secrets taken out again),
`undo/` is what an unfinished or unconfirmed change replaced, `applied.json` is what daemons held after a verified one.
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATE = "/var/lib/cgc"
MANIFEST = "/etc/cgc/manifest.json"
AGENT = "/usr/local/lib/cgc/node_agent.py"
APPLY = "/usr/local/lib/cgc/node_apply.py"
REVERT_UNIT = "cgc-revert"
VERIFY_SECONDS = 60.0
LOCK_SECONDS = 90.0  # longer than a change takes whose caller died
POLL_SECONDS = 0.2
PROGRAM_SECONDS = 180  # a whole node's services restarting on a machine under load
# aspect of a difference in what runs → the unit that puts it right
RUNTIME_UNITS = {
    "nftables": "nftables.service",
    "frr": "frr.service",
    "sysctl": "systemd-sysctl.service",
    "interface": "cgc-interfaces.service",
}


class ApplyError(Exception):
    """A bundle that was not applied; `is_undone` says whether the node is again as it was before."""

    def __init__(self, stage: str, what: str, *, is_undone: bool = True) -> None:
        self.stage = stage
        self.what = what
        self.is_undone = is_undone
        super().__init__(f"{stage}: {what}")


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said on both outputs together."""

    code: int
    output: str


Run = Callable[[Sequence[str]], Done]


def run_program(argv: Sequence[str]) -> Done:
    """Run a program with a limit on its time; one that cannot be started ends with 127."""
    try:
        done = subprocess.run(
            list(argv),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=PROGRAM_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Done(code=124, output=f"did not end within {PROGRAM_SECONDS} s")
    except OSError as err:
        return Done(code=127, output=str(err))
    return Done(code=done.returncode, output=done.stdout)


@dataclass(frozen=True)
class Change:
    """One file that is not as the bundle says; `before` and `after` are texts, None where there is no file."""

    path: str
    aspects: tuple[str, ...]
    before: str | None
    after: str | None
    is_secret: bool

    def as_diff(self) -> dict[str, str]:
        """Return the change in the form that Ansible prints; a secret's texts are replaced by their hashes."""
        return {
            "before_header": f"{self.path} (now)",
            "after_header": f"{self.path} ({', '.join(self.aspects)})",
            "before": self._shown(self.before),
            "after": self._shown(self.after),
        }

    def _shown(self, text: str | None) -> str:
        if text is None:
            return ""
        return f"secret, SHA-256 {_sha256(text)}\n" if self.is_secret else text


@dataclass
class Outcome:
    """What was done, or in check mode would be."""

    fingerprint: str
    is_changed: bool = False
    changes: tuple[Change, ...] = ()
    units: tuple[str, ...] = ()  # "restart frr.service" …
    runtime: tuple[dict[str, Any], ...] = ()  # differences of what runs from what was applied
    recovered: bool = False  # an unfinished change was found and undone first
    seconds: dict[str, float] = field(default_factory=dict)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Node:
    """The node's disk and programs."""

    def __init__(self, root: Path = Path("/"), run: Run = run_program) -> None:
        self.root = root
        self.run = run

    def at(self, path: str) -> Path:
        """Return where an absolute path of the node lies."""
        return self.root / path.lstrip("/")

    def read(self, path: str) -> str | None:
        """Return a file's text, None if it is not there (or not a file)."""
        where = self.at(path)
        try:
            return where.read_bytes().decode(errors="surrogateescape")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def read_json(self, path: str) -> dict[str, Any]:
        """Return a JSON object that we wrote; empty if it is not there, or was cut short by a crash."""
        try:
            value = json.loads(self.read(path) or "{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def write(self, path: str, text: str, *, mode: int, owner: str = "root", group: str = "root") -> None:
        """Put a file in place by one rename, so that nobody ever reads half of it."""
        where = self.at(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        fresh = where.with_name(f".{where.name}.cgc-new")
        with open(fresh, "wb", opener=_private) as file:
            file.write(text.encode(errors="surrogateescape"))
            file.flush()
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), _user(owner), _group(group))
        fresh.replace(where)

    def remove(self, path: str) -> None:
        """Take a file away, if it is there."""
        self.at(path).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _user(name: str) -> int:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as err:
        raise ApplyError("stage", f"this node has no user {name!r}; install the package that brings it") from err


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as err:
        raise ApplyError("stage", f"this node has no group {name!r}; install the package that brings it") from err


@contextmanager
def _alone(node: Node) -> Iterator[None]:
    """Two changes of one node at a time are one too many: wait for the other, whose caller may be long gone."""
    state = node.at(STATE)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    deadline = time.monotonic() + LOCK_SECONDS
    with (state / "lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as err:
                if time.monotonic() > deadline:
                    raise ApplyError("lock", f"another change of this node took more than {LOCK_SECONDS:g} s") from err
                time.sleep(POLL_SECONDS)
            else:
                break
        yield


def find_changes(node: Node, bundle: Mapping[str, Any]) -> tuple[Change, ...]:
    """Compare the node's files with the bundle's, and with what an earlier bundle left."""
    changes = []
    wanted = {file["path"]: file for file in bundle["files"]}
    for path, file in wanted.items():
        before = node.read(path)
        if before is None:
            aspects: tuple[str, ...] = ("new",)
        else:
            aspects = tuple(_aspects(node.at(path), file, before))
        if aspects:
            changes.append(
                Change(path=path, aspects=aspects, before=before, after=file["content"], is_secret=file["secret"])
            )
    earlier = node.read_json(MANIFEST).get("files", {})
    for path in sorted(set(earlier) - set(wanted)):
        before = node.read(path)
        if before is not None:
            is_secret = bool(earlier[path].get("secret"))
            changes.append(Change(path=path, aspects=("removed",), before=before, after=None, is_secret=is_secret))
    return tuple(changes)


def _aspects(where: Path, file: Mapping[str, Any], before: str) -> Iterator[str]:
    if before != file["content"]:
        yield "content"
    status = where.lstat()
    if where.is_symlink():
        yield "a link in place of a file"
    elif status.st_mode & 0o7777 != file["mode"]:
        yield f"mode {status.st_mode & 0o7777:04o} → {file['mode']:04o}"
    if os.geteuid() == 0 and (status.st_uid, status.st_gid) != (_user(file["owner"]), _group(file["group"])):
        yield f"owner {status.st_uid}:{status.st_gid} → {file['owner']}:{file['group']}"


def _stage(node: Node, bundle: Mapping[str, Any], directory: str) -> None:
    """Write the bundle's files under a directory of their own."""
    shutil.rmtree(node.at(directory), ignore_errors=True)
    node.at(directory).mkdir(parents=True, mode=0o700)
    for file in bundle["files"]:
        mode = file["mode"] | 0o400
        node.write(f"{directory}{file['path']}", file["content"], mode=mode, owner=file["owner"], group=file["group"])


def _validate(node: Node, bundle: Mapping[str, Any], changes: Iterable[Change], directory: str) -> None:
    """Let each daemon's own parser read the staged files that changed."""
    changed = [change.path for change in changes if change.after is not None]
    root = str(node.at(directory))
    for check in bundle["validate"]:
        if not any(f"{{root}}{path}" in word for word in check["command"] for path in changed):
            continue
        done = node.run([word.replace("{root}", root) for word in check["command"]])
        if done.code != 0:
            said = done.output.replace(root, "").strip()[-1500:] or f"it ended with {done.code}"
            raise ApplyError("validate", f"{check['name']} was refused by {check['command'][0]}: {said}")


def _actions(
    bundle: Mapping[str, Any], changed: set[str], states: Mapping[str, Mapping[str, str]], drifted: set[str]
) -> tuple[list[str], list[str]]:
    """Return the units to restart (or start) and those to reload."""
    restart, reload = [], []
    for unit in bundle["units"]:
        name = unit["name"]
        is_active = states.get(name, {}).get("ActiveState") == "active"
        if not is_active or changed & set(unit["restart_on"]) or (name in drifted and not unit["reload_on"]):
            restart.append(name)
        elif changed & set(unit["reload_on"]) or name in drifted:
            reload.append(name)
    return restart, reload


def unit_states(node: Node, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the properties (ActiveState among them) of units, by name."""
    if not names:
        return {}
    properties = "--property=Id,Names,ActiveState"
    done = node.run(["systemctl", "show", properties, "--", *names])
    states = {}
    for block in done.output.split("\n\n"):
        found = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name in found.get("Names", found.get("Id", "")).split():
            states[name] = found
    return states


def _settle(node: Node, bundle: Mapping[str, Any], changed: set[str], drifted: set[str]) -> list[str]:
    """Start, restart and reload what must be; return what was done, in words.

    Nothing is enabled: what starts at boot is said by a file of the bundle (multi-user.target.d).
    """
    acted = []
    if any(path.startswith("/etc/systemd/system/") for path in changed):
        _systemctl(node, "daemon-reload")
    names = [unit["name"] for unit in bundle["units"]]
    states = unit_states(node, names)
    restart, reload = _actions(bundle, changed, states, drifted)
    if restart:
        _systemctl(node, "restart", *restart)
        acted += [f"restart {name}" for name in restart]
    for name in reload:
        _systemctl(node, "reload", name)
        acted.append(f"reload {name}")
    return acted


def _systemctl(node: Node, verb: str, *names: str) -> None:
    done = node.run(["systemctl", "--quiet", verb, *names])
    if done.code == 0:
        return
    states = unit_states(node, names)
    failed = [name for name in names if states.get(name, {}).get("ActiveState") == "failed"] or list(names)
    journal = node.run(["journalctl", "--no-pager", "-q", "-n", "12", "-o", "cat", *(f"-u{name}" for name in failed)])
    raise ApplyError(
        "reload",
        f"systemctl {verb} {' '.join(failed)}: {done.output.strip()}; its journal ends: {journal.output[-1500:]}",
    )


def _verify(node: Node, bundle: Mapping[str, Any]) -> None:
    """Wait until every unit is active and every check ends with 0; the last refusal is told."""
    deadline = time.monotonic() + VERIFY_SECONDS
    waiting = list(bundle["verify"])
    names = [unit["name"] for unit in bundle["units"]]
    while True:
        states = unit_states(node, names)
        inactive = [name for name in names if states.get(name, {}).get("ActiveState") != "active"]
        said = [f"{name} is {states.get(name, {}).get('ActiveState', 'unknown')}" for name in inactive]
        still = []
        for check in waiting:
            done = node.run(check["command"])
            if done.code != 0:
                still.append(check)
                said.append(f"{check['name']}: {done.output.strip()[-300:]}")
        waiting = still
        if not said:
            return
        if time.monotonic() > deadline:
            raise ApplyError("verify", f"after {VERIFY_SECONDS:g} s: {'; '.join(said)}")
        time.sleep(POLL_SECONDS)


def _manifest_of(bundle: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `playbooks.bundle.Bundle.manifest` does, remade from what was sent."""
    return {
        "node": bundle["node"],
        "files": {
            file["path"]: {
                "sha256": _sha256(file["content"]),
                "mode": f"{file['mode']:04o}",
                "owner": file["owner"],
                "group": file["group"],
                "secret": file["secret"],
            }
            for file in bundle["files"]
        },
        "units": bundle["units"],
        "validate": bundle["validate"],
        "verify": bundle["verify"],
    }


def fingerprint_of(bundle: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the manifest in canonical JSON."""
    text = json.dumps(_manifest_of(bundle), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _sha256(text)


class _Clock:
    """How long each stage took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] = round(now - self._since, 3)
        self._since = now


@dataclass(frozen=True)
class _Work:
    """What is to be done, once it is known that something is."""

    changed: frozenset[str]
    drifted: frozenset[str]  # units whose daemon holds something else than what was applied
    obsolete: tuple[str, ...]  # units of an earlier bundle
    idle: tuple[str, ...]  # units that do not run


def apply(bundle: Mapping[str, Any], *, node: Node, is_check: bool = False, confirm_within_seconds: int = 0) -> Outcome:
    """Make the node as the bundle says, or say what would change.

    With `confirm_within_seconds` the change is undone by the node itself unless `confirm` is called in time. Raises
    ApplyError when it could not be done; the node is then as it was before.
    """
    with _alone(node):
        clock = _Clock()
        outcome = Outcome(fingerprint=fingerprint_of(bundle), seconds=clock.seconds)
        if not is_check:
            # What could not be put right by undoing is put right, or complained of, by what follows.
            outcome.recovered, _ = _undo(node, reason="an unfinished change was found")
        outcome.changes = find_changes(node, bundle)
        outcome.runtime = tuple(_runtime_differences(node))
        work = _work(node, bundle, outcome)
        is_new = node.read_json(MANIFEST).get("fingerprint") != outcome.fingerprint
        outcome.is_changed = bool(work.changed or work.drifted or work.obsolete or work.idle or is_new)
        clock.lap("compare")
        if not outcome.is_changed:
            return outcome
        directory = f"{STATE}/staged/{'check-' if is_check else ''}{outcome.fingerprint}"
        try:
            _stage(node, bundle, directory)
            _validate(node, bundle, outcome.changes, directory)
            clock.lap("validate")
            if not is_check:
                _carry_out(node, bundle, outcome, work, clock=clock, confirm_within_seconds=confirm_within_seconds)
        finally:
            if is_check:
                shutil.rmtree(node.at(directory), ignore_errors=True)
        return outcome


def _work(node: Node, bundle: Mapping[str, Any], outcome: Outcome) -> _Work:
    names = [unit["name"] for unit in bundle["units"]]
    states = unit_states(node, names)
    earlier = [unit["name"] for unit in node.read_json(MANIFEST).get("units", [])]
    return _Work(
        changed=frozenset(change.path for change in outcome.changes),
        drifted=frozenset(
            RUNTIME_UNITS[found["aspect"]] for found in outcome.runtime if found["aspect"] in RUNTIME_UNITS
        ),
        obsolete=tuple(name for name in earlier if name not in names),
        idle=tuple(name for name in names if states.get(name, {}).get("ActiveState") != "active"),
    )


def _carry_out(
    node: Node,
    bundle: Mapping[str, Any],
    outcome: Outcome,
    work: _Work,
    *,
    clock: _Clock,
    confirm_within_seconds: int,
) -> None:
    _write_journal(node, bundle, outcome, work)
    try:
        if confirm_within_seconds:
            # Armed twice: before anything is touched, with time for the work, and again when the waiting begins.
            _set_timer(node, outcome.fingerprint, confirm_within_seconds + int(VERIFY_SECONDS) + PROGRAM_SECONDS)
        for name in work.obsolete:
            node.run(["systemctl", "--quiet", "stop", name])
        _swap(node, bundle, outcome)
        clock.lap("swap")
        outcome.units = tuple(_settle(node, bundle, set(work.changed), set(work.drifted)))
        clock.lap("reload")
        _verify(node, bundle)
        clock.lap("verify")
        _write_applied(node, outcome.fingerprint)
        clock.lap("record")
        if confirm_within_seconds:
            _set_timer(node, outcome.fingerprint, confirm_within_seconds)
    except ApplyError as err:
        _, complaint = _undo(node, reason=str(err))
        if complaint:
            raise ApplyError(err.stage, f"{err.what}; and putting it back: {complaint}", is_undone=False) from err
        raise
    if not confirm_within_seconds:
        _finish(node, outcome.fingerprint)


def _swap(node: Node, bundle: Mapping[str, Any], outcome: Outcome) -> None:
    wanted = {file["path"]: file for file in bundle["files"]}
    for change in outcome.changes:
        if change.after is None:
            node.remove(change.path)
        else:
            file = wanted[change.path]
            node.write(change.path, change.after, mode=file["mode"], owner=file["owner"], group=file["group"])
    manifest = {**_manifest_of(bundle), "fingerprint": outcome.fingerprint}
    node.write(MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n", mode=0o644)


def _write_journal(node: Node, bundle: Mapping[str, Any], outcome: Outcome, work: _Work) -> None:
    """Keep what is about to be replaced; once the journal is there, `undo` can put everything back."""
    directory = f"{STATE}/undo"
    shutil.rmtree(node.at(directory), ignore_errors=True)
    node.at(directory).mkdir(parents=True, mode=0o700)
    entries = []
    for path in [*(change.path for change in outcome.changes), MANIFEST]:
        text = node.read(path)
        entry: dict[str, Any] = {"path": path, "existed": text is not None}
        if text is not None:
            status = node.at(path).stat()
            entry |= {"mode": status.st_mode & 0o7777, "uid": status.st_uid, "gid": status.st_gid}
            kept = node.at(f"{directory}/files{path}")
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with open(kept, "wb", opener=_private) as file:
                file.write(text.encode(errors="surrogateescape"))
        entries.append(entry)
    journal = {
        "fingerprint": outcome.fingerprint,
        "files": entries,
        "units": bundle["units"],
        "units_before": node.read_json(MANIFEST).get("units", []),
        "idle_before": list(work.idle),
    }
    fresh = node.at(f"{directory}/journal.json.new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(journal, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(node.at(f"{directory}/journal.json"))


def undo(node: Node, *, reason: str) -> bool:
    """Put back what an unfinished or unconfirmed change replaced; whether there was one.

    Raises ApplyError if units would not go back to what they were; the files have.
    """
    with _alone(node):
        was_there, complaint = _undo(node, reason=reason)
    if complaint:
        raise ApplyError("undo", complaint, is_undone=False)
    return was_there


def _undo(node: Node, *, reason: str) -> tuple[bool, str]:
    """Return whether there was a change to undo, and what of it could not be."""
    journal = node.read_json(f"{STATE}/undo/journal.json")
    if not journal:
        return False, ""
    _stop_timer(node)
    changed = set()
    for entry in journal["files"]:
        path = entry["path"]
        changed.add(path)
        if not entry["existed"]:
            node.remove(path)
            continue
        where = node.at(path)
        where.parent.mkdir(parents=True, exist_ok=True)
        fresh = where.with_name(f".{where.name}.cgc-old")
        shutil.copyfile(node.at(f"{STATE}/undo/files{path}"), fresh)
        fresh.chmod(entry["mode"])
        if os.geteuid() == 0:
            os.chown(fresh, entry["uid"], entry["gid"])
        fresh.replace(where)
    complaint = ""
    try:
        idle = set(journal["idle_before"])
        if idle:
            node.run(["systemctl", "--quiet", "stop", *sorted(idle)])
        units = [unit for unit in journal["units_before"] or journal["units"] if unit["name"] not in idle]
        _settle(node, {"units": units}, changed, {"nftables.service", "frr.service"} & {unit["name"] for unit in units})
        if journal["units_before"]:
            _write_applied(node, str(node.read_json(MANIFEST).get("fingerprint", "")))
        else:
            node.remove(f"{STATE}/applied.json")
    except ApplyError as err:
        complaint = str(err)
    shutil.rmtree(node.at(f"{STATE}/staged/{journal['fingerprint']}"), ignore_errors=True)
    shutil.rmtree(node.at(f"{STATE}/undo"), ignore_errors=True)
    node.run(["logger", "-t", "cgc", f"put back what bundle {journal['fingerprint'][:12]} replaced: {reason}"])
    return True, complaint


def confirm(node: Node) -> bool:
    """Keep a change that is waiting for it; whether there was one."""
    with _alone(node):
        journal = node.read_json(f"{STATE}/undo/journal.json")
        _stop_timer(node)
        if journal:
            _finish(node, journal["fingerprint"])
        return bool(journal)


def _finish(node: Node, fingerprint: str) -> None:
    """Let the change stay: forget what it replaced, and keep of the staged files only the last, without secrets."""
    shutil.rmtree(node.at(f"{STATE}/undo"), ignore_errors=True)
    for old in node.at(f"{STATE}/staged").iterdir():
        if old.name != fingerprint:
            shutil.rmtree(old, ignore_errors=True)
    for path, facts in node.read_json(MANIFEST).get("files", {}).items():
        if facts["secret"]:
            node.remove(f"{STATE}/staged/{fingerprint}{path}")


def _set_timer(node: Node, fingerprint: str, seconds: int) -> None:
    script = node.at(f"{STATE}/staged/{fingerprint}{APPLY}")
    _stop_timer(node)
    timer = [
        f"--unit={REVERT_UNIT}",
        f"--on-active={seconds}",
        "--timer-property=AccuracySec=1s",
        "--setenv=CGC_REVERTING=1",
    ]
    done = node.run(["systemd-run", "--quiet", "--collect", *timer, "/usr/bin/python3", str(script), "undo"])
    if done.code != 0:
        raise ApplyError("timer", f"the way back could not be armed: {done.output.strip()}")


def _stop_timer(node: Node) -> None:
    """Disarm the way back; not from within itself, which would end the undoing half way."""
    if os.environ.get("CGC_REVERTING"):
        return
    node.run(["systemctl", "--quiet", "stop", f"{REVERT_UNIT}.timer", f"{REVERT_UNIT}.service"])


def _runtime_differences(node: Node) -> list[dict[str, Any]]:
    """Ask the node's agent whether what runs is still what it was after the last change."""
    if node.read(f"{STATE}/applied.json") is None or node.read(AGENT) is None:
        return []
    done = node.run(["/usr/bin/python3", AGENT, "runtime"])
    if done.code != 0:
        return []  # an agent that was tampered with is itself a difference, and replaced with the other files
    found: list[dict[str, Any]] = json.loads(done.output)
    return found


def _write_applied(node: Node, fingerprint: str) -> None:
    """Write down what the daemons hold now, as the agent sees it: what is different later is drift."""
    done = node.run(["/usr/bin/python3", AGENT, "snapshot"])
    if done.code != 0:
        raise ApplyError("record", f"the node's agent failed: {done.output.strip()[-800:]}")
    applied = {**json.loads(done.output), "fingerprint": fingerprint}
    node.write(f"{STATE}/applied.json", json.dumps(applied, indent=1, sort_keys=True) + "\n", mode=0o600)


def main(arguments: Sequence[str]) -> int:
    """Keep or undo a change from the command line: whoever reached the node again, or the timer if nobody did."""
    if list(arguments) not in (["confirm"], ["undo"]):
        sys.stderr.write("usage: node_apply.py confirm|undo\n")
        return 2
    if arguments[0] == "confirm":
        said = "kept" if confirm(Node()) else "there was nothing to keep"
    else:
        said = "put back" if undo(Node(), reason="nobody confirmed it") else "there was nothing to put back"
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
