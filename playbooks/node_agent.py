"""What a node says of itself: read-only, standard library only, one JSON document on standard output.

    fingerprint   {node, fingerprint, state_hash, intact}
    observe       what policies.observed.NodeObservation holds, without seen_at and seen_from
    differences   the ways in which the node is not what its bundle says (a list)
    runtime       those of them that are in what runs, not in files or units
    snapshot      what the daemons hold now, to compare with later (written to /var/lib/cgc/applied.json after a change)
    changes       writes by people that the Kubernetes API server on this node wrote down

It runs over SSH, mostly as the forced command of the observer's certificate. All programs are started at once and
waited for together, since their start-up is most of the time.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/cgc")
MANIFEST = Path("/etc/cgc/manifest.json")
SYSCTL = Path("/etc/sysctl.d/60-cgc.conf")
INTERFACES = Path("/etc/cgc/interfaces.json")
JOURNALD = (
    Path("/usr/lib/systemd/journald.conf.d"),
    Path("/etc/systemd/journald.conf.d"),
    Path("/run/systemd/journald.conf.d"),
)
AUDIT_LOG = Path("/var/log/kubernetes/audit.log")
AUDIT_BYTES = 4_000_000  # from its end
AUDIT_EVENTS = 200
PROGRAM_SECONDS = 20
LONGEST_DIFF = 20_000  # characters
MONTH_SECONDS = 2_629_800  # systemd.time(7): 30.44 days
MONTHS_PER_YEAR = 12

NFTABLES = ("nft", "-s", "list", "table", "inet", "cgc")
RUNNING_CONFIG = ("vtysh", "-c", "show running-config")
VTYSH = {
    "bgp4": "show bgp ipv4 unicast summary json",
    "bgp6": "show bgp ipv6 unicast summary json",
}
VTYSH_OSPF = {
    "ospf": "show ip ospf neighbor json",
    "ospf6": "show ipv6 ospf6 neighbor json",
}
# sshd at LogLevel VERBOSE writes, for every session: who, when each command began, and when it ended.
ACCEPTED = re.compile(
    r"Accepted publickey for \S+ from \S+ port \d+ ssh2: \S+-CERT \S+ ID (?P<who>.+) \(serial \d+\) CA "
)
STARTING = re.compile(r"Starting session: (?P<what>.*) for \S+ from \S+ port \d+ id (?P<id>\d+)")
CLOSING = re.compile(r"Close session: user \S+ from \S+ port \d+ id (?P<id>\d+)")


class Programs:
    """Programs started together; `output` waits for one and says what it said, None where it failed."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        self._running: dict[str, subprocess.Popen[str] | OSError] = {}
        for name, argv in commands.items():
            try:
                self._running[name] = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    errors="replace",
                )
            except OSError as err:
                self._running[name] = err

    def output(self, name: str) -> str | None:
        """Return standard output, None if the program is missing, failed or took too long."""
        program = self._running.get(name)
        if program is None or isinstance(program, OSError):
            return None
        try:
            text, _ = program.communicate(timeout=PROGRAM_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()
            return None
        return text if program.returncode == 0 else None


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of ours; empty if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return value if isinstance(value, dict) else {}


def sha256(data: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def moment(seconds: float) -> str:
    """Return a time in RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def difference(path: str, aspect: str, expected: str, found: str, **more: Any) -> dict[str, Any]:
    """Return one policies.observed.Difference; `changed_at` is seconds since 1970 until attribution is done."""
    return {
        "path": path,
        "aspect": aspect,
        "expected": expected,
        "found": found,
        "changed_at": more.get("changed_at"),
        "changed_by": [],
        "diff": more.get("diff", ""),
    }


def unified(expected: str, found: str, path: str) -> str:
    """Return what was changed as a unified diff, cut where it is very long."""
    import difflib  # noqa: PLC0415 - only a node that differs pays for it

    lines = difflib.unified_diff(
        expected.splitlines(keepends=True), found.splitlines(keepends=True), f"{path} as declared", f"{path} as found"
    )
    return "".join(lines)[:LONGEST_DIFF]


# --- files ------------------------------------------------------------------------------------------------------------


def file_state(path: str, *, root: Path = Path("/")) -> dict[str, str] | None:
    """Return a file's hash, mode, owner and group in the manifest's words; None if there is no such file."""
    where = root / path.lstrip("/")
    try:
        status = where.lstat()
        if not where.is_file() or where.is_symlink():
            return {"sha256": "not a regular file", "mode": "", "owner": "", "group": ""}
        data = where.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {
        "sha256": sha256(data),
        "mode": f"{status.st_mode & 0o7777:04o}",
        "owner": _name(pwd.getpwuid, status.st_uid),
        "group": _name(grp.getgrgid, status.st_gid),
    }


def _name(look_up: Any, number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)


def file_states(manifest: Mapping[str, Any], *, root: Path = Path("/")) -> dict[str, dict[str, str] | None]:
    """Return the state of every file of the manifest, by path."""
    return {path: file_state(path, root=root) for path in manifest.get("files", {})}


def file_differences(
    manifest: Mapping[str, Any], states: Mapping[str, Mapping[str, str] | None], *, root: Path = Path("/")
) -> list[dict[str, Any]]:
    """Compare every file of the manifest with its state on the disk."""
    found = []
    staged = root / "var/lib/cgc/staged" / str(manifest.get("fingerprint", ""))
    for path, wanted in manifest.get("files", {}).items():
        state = states[path]
        where = root / path.lstrip("/")
        if state is None:
            found.append(difference(path, "missing", "a file", "nothing", changed_at=_changed_at(where.parent)))
            continue
        if state["sha256"] != wanted["sha256"]:
            diff = "" if wanted["secret"] else unified(_text(staged / path.lstrip("/")), _text(where), path)
            found.append(
                difference(path, "content", wanted["sha256"], state["sha256"], changed_at=_changed_at(where), diff=diff)
            )
        if state["mode"] != wanted["mode"]:
            found.append(difference(path, "mode", wanted["mode"], state["mode"], changed_at=_changed_at(where)))
        owners = (f"{wanted['owner']}:{wanted['group']}", f"{state['owner']}:{state['group']}")
        if owners[0] != owners[1]:
            found.append(difference(path, "owner", *owners, changed_at=_changed_at(where)))
    return found


def _changed_at(where: Path) -> float | None:
    """When a file, or what is in a directory, was last changed: content, mode, owner or name (its ctime)."""
    try:
        status = where.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return max(status.st_mtime, status.st_ctime)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return ""


# --- what runs --------------------------------------------------------------------------------------------------------


def running_config(text: str | None) -> str:
    """Return FRR's running configuration without what is no configuration; empty if it did not answer."""
    if text is None:
        return ""
    lines = text.splitlines()
    skipped = ("Building configuration...", "Current configuration:", "!", "")
    return "".join(f"{line}\n" for line in lines if line.strip() not in skipped)


def runtime_differences(applied: Mapping[str, Any], *, nftables: str | None, frr: str | None) -> list[dict[str, Any]]:
    """Compare what the daemons hold with what they held right after the last verified change."""
    found: list[dict[str, Any]] = []
    if not applied:
        return found
    now = {"nftables": nftables or "", "frr": running_config(frr)}
    paths = {"nftables": "nft table inet cgc", "frr": "FRR running configuration"}
    for aspect, text in now.items():
        before = str(applied.get(aspect, ""))
        if before != text:
            hashes = (sha256(before.encode()), sha256(text.encode()))
            found.append(difference(paths[aspect], aspect, *hashes, diff=unified(before, text, paths[aspect])))
    return found


def sysctl_differences(text: str, *, proc: Path = Path("/proc/sys")) -> list[dict[str, Any]]:
    """Compare kernel parameters with the file that sets them (sysctl.d(5))."""
    found = []
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name.startswith(("#", ";", "-")):
            continue
        is_now = _text(proc / name.replace(".", "/")).strip()
        if is_now.split() != value.split():
            found.append(difference(name, "sysctl", value, is_now or "no such parameter"))
    return found


def unit_differences(units: Iterable[Mapping[str, Any]], shown: str | None) -> list[dict[str, Any]]:
    """Compare units with `systemctl show`: all must be active, and able to start again."""
    states: dict[str, dict[str, str]] = {}
    for block in (shown or "").split("\n\n"):
        facts = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for name in facts.get("Names", facts.get("Id", "")).split():
            states[name] = facts
    found = []
    for unit in units:
        name = unit["name"]
        facts = states.get(name, {})
        active = facts.get("ActiveState", "unknown")
        since = facts.get("StateChangeTimestamp", "").removeprefix("@")
        when = float(since) if since.replace(".", "", 1).isdigit() else None
        if active != "active":
            found.append(difference(name, "unit", "active", active, changed_at=when))
        elif facts.get("UnitFileState") in ("masked", "masked-runtime"):
            found.append(difference(name, "unit", "startable", facts["UnitFileState"]))
    return found


def address_differences(
    wanted: Mapping[str, Iterable[str]], present: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Compare interfaces' addresses of global scope with the declared ones, and see that each is set up."""
    found = []
    states = {interface["ifname"]: interface for interface in present}
    for name, addresses in wanted.items():
        state = states.get(name)
        if state is None:
            found.append(difference(name, "interface", "present", "missing"))
            continue
        has = {f"{one['local']}/{one['prefixlen']}" for one in state["addr_info"] if one["scope"] == "global"}
        needs = set(addresses)
        if has != needs:
            found.append(difference(name, "interface", " ".join(sorted(needs)), " ".join(sorted(has))))
        if "UP" not in state["flags"]:
            found.append(difference(name, "interface", "up", "down"))
    return found


# --- who did it -------------------------------------------------------------------------------------------------------


# The journal stamps an entry when it arrives, the file system a change by the last tick of the kernel's clock.
SESSION_SLACK_SECONDS = 1.0


def sessions(entries: Iterable[Mapping[str, Any]], *, now: float) -> list[tuple[str, float, float]]:
    """Return (who, from, until) for every command or terminal that sshd ran, from its journal's entries.

    Sessions under a forced command are left out: their holder could not choose what ran.
    """
    who_by_process: dict[str, str] = {}
    open_since: dict[tuple[str, str], float] = {}
    found = []
    for entry in entries:
        message, process = str(entry.get("MESSAGE", "")), str(entry.get("_PID", entry.get("SYSLOG_PID", "")))
        at = int(entry.get("__REALTIME_TIMESTAMP", 0)) / 1e6
        if accepted := ACCEPTED.search(message):
            who_by_process[process] = accepted["who"]
        elif starting := STARTING.search(message):
            if not starting["what"].startswith("forced-command"):
                open_since[process, starting["id"]] = at
        elif closing := CLOSING.search(message):
            since = open_since.pop((process, closing["id"]), None)
            if since is not None:
                found.append((who_by_process.get(process, ""), since, at))
    found += [(who_by_process.get(process, ""), since, now) for (process, _), since in open_since.items()]
    return [session for session in found if session[0]]


def attribute(
    differences: Iterable[dict[str, Any]], open_sessions: Iterable[tuple[str, float, float]]
) -> list[dict[str, Any]]:
    """Name whose sessions were open when each difference came about; its time becomes RFC 3339."""
    known = list(open_sessions)
    attributed = []
    for item in differences:
        at = item["changed_at"]
        by = (
            sorted(
                {
                    who
                    for who, since, until in known
                    if since - SESSION_SLACK_SECONDS <= at <= until + SESSION_SLACK_SECONDS
                }
            )
            if at is not None
            else []
        )
        attributed.append({**item, "changed_by": by, "changed_at": moment(at) if at is not None else None})
    return attributed


def read_sessions(since: float) -> list[tuple[str, float, float]]:
    """Ask the journal for sshd's sessions; those open at `since` are found by looking an hour further back."""
    listed = Programs(
        {
            "journal": (
                "journalctl",
                "--quiet",
                "--unit=ssh.service",
                "--output=json",
                "--output-fields=MESSAGE,_PID,SYSLOG_PID",
                f"--since=@{int(since) - 3600}",
            )
        }
    ).output("journal")
    entries = [json.loads(line) for line in (listed or "").splitlines() if line]
    return sessions(entries, now=datetime.now(UTC).timestamp())


# --- what the network looks like from here ----------------------------------------------------------------------------


def interfaces(shown: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return policies.observed.InterfaceState for `ip -json -statistics address`."""
    states = []
    for interface in shown:
        counters = interface.get("stats64") or interface.get("stats") or {"rx": {"bytes": 0}, "tx": {"bytes": 0}}
        states.append(
            {
                "name": interface["ifname"],
                "is_up": "UP" in interface["flags"],
                "has_carrier": "LOWER_UP" in interface["flags"],
                "addresses": [f"{one['local']}/{one['prefixlen']}" for one in interface.get("addr_info", ())],
                "received_bytes": counters["rx"]["bytes"],
                "sent_bytes": counters["tx"]["bytes"],
            }
        )
    return states


def bgp_neighbours(summary: Mapping[str, Any], family: str) -> list[dict[str, Any]]:
    """Return policies.observed.BgpNeighbour for `show bgp … summary json`."""
    return [
        {
            "peer": address,
            "family": family,
            "state": peer["state"],
            "peer_as": peer["remoteAs"],
            "uptime_seconds": peer.get("peerUptimeMsec", 0) // 1000 if peer["state"] == "Established" else 0,
            "prefixes_received": peer.get("pfxRcd", 0),
        }
        for address, peer in sorted(summary.get("peers", {}).items())
    ]


def ospf_neighbours(shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return policies.observed.OspfNeighbour for `show ip ospf neighbor json` (version 2)."""
    found = []
    for router_id, adjacencies in shown.get("neighbors", {}).items():
        for one in adjacencies:
            state = str(one.get("nbrState") or one.get("state", "")).split("/")[0]
            interface = str(one.get("ifaceName", "")).split(":")[0]
            found.append({"interface": interface, "version": 2, "router_id": router_id, "state": state})
    return found


def ospf6_neighbours(shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return policies.observed.OspfNeighbour for `show ipv6 ospf6 neighbor json` (version 3)."""
    return [
        {
            "interface": one["interfaceName"],
            "version": 3,
            "router_id": one["neighborId"],
            "state": one["state"],
        }
        for one in shown.get("neighbors", ())
    ]


def tunnels(dump: str) -> list[dict[str, Any]]:
    """Return policies.observed.TunnelState for `wg show all dump` (wg(8)); keys of interfaces are not looked at."""
    found = []
    for line in dump.splitlines():
        fields = line.split("\t")
        if len(fields) == 9:  # noqa: PLR2004 - a peer's line; an interface's has five
            handshake = int(fields[5])
            found.append(
                {
                    "interface": fields[0],
                    "public_key": fields[1],
                    "handshake_at": moment(handshake) if handshake else None,
                    "received_bytes": int(fields[6]),
                    "sent_bytes": int(fields[7]),
                }
            )
    return found


def clock(tracking: str | None) -> dict[str, Any] | None:
    """Return policies.observed.ClockState for `chronyc -c tracking`; None if chronyd did not answer."""
    fields = (tracking or "").strip().split(",")
    if len(fields) < 14:  # noqa: PLR2004 - chronyc(1): 14 columns
        return None
    return {
        "is_synchronised": fields[13] != "Not synchronised",
        "offset_seconds": float(fields[4]),
        "stratum": int(fields[2]),
        "source": fields[1],
    }


def retention_months(texts: Iterable[str]) -> int | None:
    """Return for how many months journald keeps entries; None if no file limits it by time (systemd.time(7))."""
    value = None
    for text in texts:
        for line in text.splitlines():
            name, equals, setting = line.partition("=")
            if equals and name.strip() == "MaxRetentionSec":
                value = setting.strip()
    if not value:
        return None
    units = {
        "month": 1.0, "months": 1.0, "M": 1.0, "year": 12.0, "years": 12.0, "y": 12.0,
        "week": 604_800 / MONTH_SECONDS, "weeks": 604_800 / MONTH_SECONDS, "w": 604_800 / MONTH_SECONDS,
        "day": 86_400 / MONTH_SECONDS, "days": 86_400 / MONTH_SECONDS, "d": 86_400 / MONTH_SECONDS,
        "s": 1 / MONTH_SECONDS, "": 1 / MONTH_SECONDS,
    }  # fmt: skip
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value)
    return int(sum(float(number) * units.get(unit, 0.0) for number, unit in parts))


# --- the whole --------------------------------------------------------------------------------------------------------


def unit_command(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the command that shows every unit of the manifest."""
    names = [unit["name"] for unit in manifest.get("units", ())]
    properties = "--property=Id,Names,ActiveState,UnitFileState,StateChangeTimestamp"
    return ("systemctl", "show", "--timestamp=unix", properties, "--", *names) if names else ("true",)


def state_commands(manifest: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Return the programs that say whether the node is what its bundle says."""
    return {
        "nftables": NFTABLES,
        "frr": RUNNING_CONFIG,
        "units": unit_command(manifest),
        "addresses": ("ip", "-json", "-statistics", "address", "show"),
    }


def find_differences(manifest: Mapping[str, Any], programs: Programs) -> tuple[list[dict[str, Any]], str]:
    """Return every difference, and the hash over everything the toolkit converges on this node."""
    applied = read_json(STATE / "applied.json")
    states = file_states(manifest)
    wanted = read_json(INTERFACES)
    nftables, frr = programs.output("nftables"), programs.output("frr")
    shown, present = programs.output("units"), json.loads(programs.output("addresses") or "[]")
    found = [
        *file_differences(manifest, states),
        *runtime_differences(applied, nftables=nftables, frr=frr),
        *sysctl_differences(_text(SYSCTL)),
        *unit_differences(manifest.get("units", ()), shown),
        *address_differences(wanted, present),
    ]
    everything = {
        "files": states,
        "nftables": nftables,
        "frr": running_config(frr),
        "runtime": [
            [item["path"], item["found"]] for item in found if item["aspect"] in ("sysctl", "unit", "interface")
        ],
        "interfaces": sorted(wanted),
    }
    state_hash = sha256(json.dumps(everything, sort_keys=True).encode())
    return found, state_hash


def observe() -> dict[str, Any]:
    """Return the node's whole observation."""
    manifest = read_json(MANIFEST)
    node = read_json(Path("/etc/cgc/node.json"))
    shows_ospf = node.get("role") == "core"
    commands = {
        **state_commands(manifest),
        "wg": ("wg", "show", "all", "dump"),
        "chrony": ("chronyc", "-c", "-n", "tracking"),
        **{name: ("vtysh", "-c", command) for name, command in VTYSH.items()},
    }
    if shows_ospf:
        commands |= {name: ("vtysh", "-c", command) for name, command in VTYSH_OSPF.items()}
    programs = Programs(commands)
    found, state_hash = find_differences(manifest, programs)
    if any(item["changed_at"] is not None for item in found):
        found = attribute(found, read_sessions(min(item["changed_at"] for item in found if item["changed_at"])))
    texts = [_text(Path("/etc/systemd/journald.conf"))]
    drop_ins = {path.name: path for directory in JOURNALD for path in sorted(directory.glob("*.conf"))}
    texts += [_text(drop_ins[name]) for name in sorted(drop_ins)]
    return {
        "node": manifest.get("node") or node.get("node") or os.uname().nodename,
        "fingerprint": manifest.get("fingerprint", ""),
        "state_hash": state_hash,
        "differences": found,
        "interfaces": interfaces(json.loads(programs.output("addresses") or "[]")),
        "bgp": [
            *bgp_neighbours(json.loads(programs.output("bgp4") or "{}"), "ipv4"),
            *bgp_neighbours(json.loads(programs.output("bgp6") or "{}"), "ipv6"),
        ],
        "ospf": [
            *ospf_neighbours(json.loads(programs.output("ospf") or "{}")),
            *ospf6_neighbours(json.loads(programs.output("ospf6") or "{}")),
        ],
        "tunnels": tunnels(programs.output("wg") or ""),
        "clock": clock(programs.output("chrony")),
        "log_retention_months": retention_months(texts),
    }


def fingerprint() -> dict[str, Any]:
    """Return whether the node is what its bundle says, in one line."""
    manifest = read_json(MANIFEST)
    found, state_hash = find_differences(manifest, Programs(state_commands(manifest)))
    return {
        "node": manifest.get("node") or os.uname().nodename,
        "fingerprint": manifest.get("fingerprint", ""),
        "state_hash": state_hash,
        "intact": bool(manifest) and not found,
    }


def differences() -> list[dict[str, Any]]:
    """Return every difference, without who made it."""
    manifest = read_json(MANIFEST)
    found, _ = find_differences(manifest, Programs(state_commands(manifest)))
    return attribute(found, [])


def runtime() -> list[dict[str, Any]]:
    """Return where what runs is not what it should be; files and units are left to whoever asks."""
    found, _ = find_differences({}, Programs(state_commands({})))
    return attribute(found, [])


def snapshot() -> dict[str, Any]:
    """Return what the daemons hold now."""
    programs = Programs({"nftables": NFTABLES, "frr": RUNNING_CONFIG})
    return {"nftables": programs.output("nftables") or "", "frr": running_config(programs.output("frr"))}


def changes() -> list[dict[str, Any]]:
    """Return the last audit events of writes by people, newest last, of the Kubernetes API server on this node."""
    try:
        with AUDIT_LOG.open("rb") as log:
            start = max(0, log.seek(0, os.SEEK_END) - AUDIT_BYTES)
            log.seek(start)
            lines = log.read().splitlines()[1 if start else 0 :]  # the first one may be cut
    except FileNotFoundError:
        return []
    events: list[dict[str, Any]] = []
    for line in reversed(lines):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # the line that is being written
        if is_written_by_person(event):
            events.append(event)
        if len(events) == AUDIT_EVENTS:
            break
    return events[::-1]


def is_written_by_person(event: Mapping[str, Any]) -> bool:
    """Tell whether an audit event is a successful write whose author is no part of Kubernetes itself."""
    user = str(event.get("user", {}).get("username", ""))
    code = event.get("responseStatus", {}).get("code", 0)
    is_write = event.get("verb") in ("create", "update", "patch", "delete", "deletecollection")
    return is_write and 200 <= code < 300 and not user.startswith("system:")  # noqa: PLR2004 - RFC 9110: success


QUESTIONS = {
    "fingerprint": fingerprint,
    "observe": observe,
    "differences": differences,
    "runtime": runtime,
    "snapshot": snapshot,
    "changes": changes,
}


def main(arguments: Sequence[str]) -> int:
    """Answer one question: sshd's, where it forces a command but tells what was asked for, else the argument's."""
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "").strip()
    question = asked if asked in QUESTIONS else (arguments[0] if len(arguments) == 1 else "")
    if question not in QUESTIONS:
        sys.stderr.write(f"usage: node_agent.py {'|'.join(QUESTIONS)}\n")
        return 2
    json.dump(QUESTIONS[question](), sys.stdout)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
