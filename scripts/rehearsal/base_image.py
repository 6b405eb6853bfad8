"""The root file system that all rehearsed machines share, in two layers that nobody writes to.

`debian`: Debian bookworm with every package any role needs, no service enabled but sshd, and no identity. Made once by
mmdebstrap from this machine's own package sources, kept in the cache under the hash of its recipe.
`factory`: the files of `scripts/rehearsal/factory/`, as they leave the factory; kept likewise.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.programs import run_program

SUITE = "bookworm"
PACKAGES = (
    # the machine itself
    "ca-certificates", "dbus", "iproute2", "iputils-ping", "kmod", "openssh-server", "procps", "python3", "systemd",
    "systemd-sysv",
    # network
    "conntrack", "ethtool", "frr", "frr-pythontools", "nftables", "wireguard-go", "wireguard-tools",
    # time and names
    "chrony", "unbound",
    # operations centre
    "curl", "prometheus", "prometheus-alertmanager", "prometheus-node-exporter",
    # Kubernetes
    "containerd", "containernetworking-plugins", "etcd-server", "runc", "socat",
)  # fmt: skip
# Documentation, translations, and 214 MB of time zones for a browser that nobody opens.
EXCLUDED_PATHS = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/javascript/moment-timezone/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
)
# Everything else is enabled by the role that needs it. D-Bus and the journal start on demand.
ENABLED_UNITS = ("ssh.service",)
# What a container must not do, or has no use for.
MASKED_UNITS = (
    "apt-daily-upgrade.timer", "apt-daily.timer", "console-getty.service", "dpkg-db-backup.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty.target", "getty@.service",
    "modprobe@.service", "systemd-logind.service", "systemd-modules-load.service",
    "systemd-networkd-wait-online.service", "systemd-networkd.service", "systemd-oomd.service",
    "systemd-pstore.service", "systemd-resolved.service", "systemd-timesyncd.service", "systemd-udevd.service",
)  # fmt: skip
IDENTITY_FILES = ("etc/hostname", "var/lib/dbus/machine-id", "var/lib/systemd/random-seed")
BOOTSTRAP_SECONDS = 900
LOCK_SECONDS = 1200
FACTORY_FILES = Path(__file__).parent / "factory"
SOURCES_SETTING = "CGC_DEBIAN_SOURCES"


@dataclass(frozen=True, kw_only=True)
class BaseImage:
    """The layers, topmost first, and the hash that stands for both."""

    layers: tuple[Path, ...]
    fingerprint: str


def _hash(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def debian_fingerprint() -> str:
    """Return the hash of everything that decides what is in the Debian layer."""
    return _hash([SUITE, *PACKAGES, "--", *EXCLUDED_PATHS, "--", *ENABLED_UNITS, "--", *IDENTITY_FILES])


def factory_fingerprint(files: Path = FACTORY_FILES) -> str:
    """Return the hash of every path, mode and content of the factory's files, and of the masked units."""
    parts = list(MASKED_UNITS)
    for path in sorted(files.rglob("*")):
        parts.append(str(path.relative_to(files)))
        if path.is_symlink():
            parts.append(str(path.readlink()))
        elif path.is_file():
            parts += [oct(path.stat().st_mode & 0o777), path.read_text()]
    return _hash(parts)


def package_sources(index_targets: str) -> str:
    """One-line package sources of our suite, from what `apt-get indextargets` lists as `uri|suite|component|origin`."""
    lines = []
    for line in index_targets.splitlines():
        uri, suite, component, origin = line.split("|")
        if origin == "Debian" and suite.split("-")[0] == SUITE:
            lines.append(f"deb {uri} {suite} {component}")
    return "".join(f"{line}\n" for line in sorted(set(lines)))


def _sources_of_this_machine() -> str:
    settled = os.environ.get(SOURCES_SETTING)
    if settled:
        return Path(settled).read_text()
    listed = run_program(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)",
            "Created-By: Packages",
        ],
        timeout_seconds=60,
    )
    sources = package_sources(listed)
    if not sources:
        raise ScriptError(
            "CGC-705",
            f"this machine has no package source of Debian {SUITE}",
            where="apt-get indextargets",
            remedy=f"run `apt-get update`, or name a sources.list with Debian {SUITE} in {SOURCES_SETTING}",
        )
    return sources


@contextlib.contextmanager
def only_builder(directory: Path) -> Iterator[int]:
    """Hold the builders' lock; yields its descriptor, which a builder that outlives us keeps holding."""
    with (directory / ".lock").open("w") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as err:
                if time.monotonic() > deadline:
                    raise ScriptError(
                        "CGC-705",
                        f"another run has been building the base for {LOCK_SECONDS} s",
                        where=str(directory),
                        remedy="see what it waits for; end it, then run the command again",
                    ) from err
                time.sleep(0.5)
        yield lock.fileno()


def open_base(cache: Path, *, report: Callable[[str], None]) -> BaseImage:
    """Open the base from *cache* (the directory of `$CGC_CACHE`), built there first if its recipe is new."""
    directory = cache / "base"
    directory.mkdir(parents=True, exist_ok=True)
    debian = directory / f"debian-{debian_fingerprint()}"
    factory = directory / f"factory-{factory_fingerprint()}"
    if not (debian.is_dir() and factory.is_dir()):
        with only_builder(directory) as lock:
            for unfinished in directory.glob(".building-*"):
                shutil.rmtree(unfinished)
            if not debian.is_dir():
                report(f"base: installing {len(PACKAGES)} Debian packages and what they need (about 90 s, once)")
                _build_debian(debian, lock)
            if not factory.is_dir():
                _build_factory(factory)
    return BaseImage(layers=(factory, debian), fingerprint=_hash([debian.name, factory.name]))


def _build_debian(final: Path, lock: int) -> None:
    root = final.with_name(f".building-{final.name}")
    argv = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED_PATHS]
    try:
        done = subprocess.run(
            [*argv, SUITE, str(root), "-"],
            input=_sources_of_this_machine(),
            capture_output=True,
            text=True,
            timeout=BOOTSTRAP_SECONDS,
            pass_fds=(lock,),
            check=False,
        )
    except subprocess.TimeoutExpired as err:
        raise ScriptError(
            "CGC-705",
            f"mmdebstrap did not end within {BOOTSTRAP_SECONDS} s",
            where=str(root),
            remedy="see that the package sources answer (`apt-get update`), then run the command again",
        ) from err
    if done.returncode != 0:
        raise ScriptError(
            "CGC-705",
            f"mmdebstrap ended with code {done.returncode}: {done.stderr.strip()[-1500:]}",
            where=str(root),
            remedy="see that the package sources answer (`apt-get update`), then run the command again",
        )
    _disable_units(root)
    for name in IDENTITY_FILES:
        (root / name).unlink(missing_ok=True)
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    root.replace(final)


def _disable_units(root: Path) -> None:
    """Remove every link by which an installed unit would start, except those of ENABLED_UNITS and their aliases."""
    for link in sorted((root / "etc/systemd/system").rglob("*")):
        if link.is_symlink() and link.readlink().name not in ENABLED_UNITS:
            link.unlink()


def _build_factory(final: Path) -> None:
    root = final.with_name(f".building-{final.name}")
    shutil.copytree(FACTORY_FILES, root, symlinks=True)
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            os.chown(path, 0, 0)
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    units = root / "etc/systemd/system"
    for unit in MASKED_UNITS:
        (units / unit).symlink_to("/dev/null")
    root.replace(final)
