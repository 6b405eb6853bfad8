"""What goes into a bundle: everything a set-up would otherwise fetch or build, gathered from the cache.

Programs, the virtual environment's wheels, the Debian packages of the machine with all they depend on, and whatever
else the cache holds (root file systems, images): files as files, folders as trees.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.toolchain import bundle
from scripts.toolchain.cache import program_folder, read_record, sha256_of
from scripts.toolchain.errors import BundleRefusedError, ToolchainError
from scripts.toolchain.programs import PROGRAMS

PACKAGES_FILE = Path(__file__).parent / "debian.txt"
_OWN_WAY = {"toolchain", "wheels", "debs"}
"""Folders of the cache that are chosen from; all others are packed whole."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Files and trees of a bundle: place in the cache -> where it lies now."""

    files: Mapping[str, Path]
    trees: Mapping[str, Path]


def debian_packages(text: str) -> tuple[str, ...]:
    """Return the package names in the text of debian.txt."""
    return tuple(line for line in (raw.strip() for raw in text.splitlines()) if line and not line.startswith("#"))


def wheels_folder(root: Path, requirements: Path) -> Path:
    """Return where the set-up keeps the wheels of exactly this requirements.txt."""
    return root / "wheels" / sha256_of(requirements)[:16]


def gather(root: Path, requirements: Path) -> Contents:
    """Find in the cache *root* what a bundle of this checkout holds; raises CGC-801 or CGC-812 if it lacks a part."""
    files: dict[str, Path] = {}
    trees: dict[str, Path] = {}
    for program in PROGRAMS:
        if read_record(root, program) is None:
            where = str(program_folder(root, program))
            raise ToolchainError(
                "CGC-801", f"{program.name} {program.version} is not installed", where=where, remedy="run `make set-up`"
            )
        folder = program_folder(root, program)
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                files[str(path.relative_to(root))] = path
    wheels = wheels_folder(root, requirements)
    for part, folder, remedy in (
        ("wheels", wheels, "run `make set-up`"),
        ("Debian packages", root / "debs", "run `cgc toolchain bundle` where apt-get reaches its mirrors"),
        (
            "root file system of the rehearsal's hosts",
            root / "base",
            "run `cgc rehearse up` once, then make the bundle",
        ),
    ):
        if not folder.is_dir() or not any(folder.iterdir()):
            raise ToolchainError("CGC-812", f"the cache holds no {part}", where=str(folder), remedy=remedy)
    for folder in (wheels, root / "debs"):
        files |= {str(path.relative_to(root)): path for path in sorted(folder.iterdir()) if path.is_file()}
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and folder.name not in _OWN_WAY and not folder.name.startswith("."):
            for path in sorted(folder.iterdir()):
                if not path.name.startswith("."):
                    (trees if path.is_dir() else files)[str(path.relative_to(root))] = path
    return Contents(files=files, trees=trees)


def about(root: Path, requirements: Path, now: datetime) -> dict[str, Any]:
    """Return what a bundle says about itself: for which machine and which versions it is."""
    records = {program.name: read_record(root, program) for program in PROGRAMS}
    return {
        "made_at": now.isoformat(timespec="seconds"),
        "architecture": platform.machine(),
        "requirements_sha256": sha256_of(requirements),
        "debian_packages": list(debian_packages(PACKAGES_FILE.read_text(encoding="utf-8"))),
        "programs": {
            name: {"version": r.version, "sha256": r.sha256, "how": r.how} for name, r in records.items() if r
        },
    }


def make(
    target: Path, *, root: Path, requirements: Path, now: datetime, report: Callable[[str], None]
) -> bundle.Manifest:
    """Write the bundle of this checkout to *target* (absolute or relative path; its folder must exist)."""
    gather_debs(root / "debs", debian_packages(PACKAGES_FILE.read_text(encoding="utf-8")), report=report)
    contents = gather(root, requirements)
    report(f"packing {len(contents.files)} files and {len(contents.trees)} trees")
    return bundle.write(target, files=contents.files, trees=contents.trees, about=about(root, requirements, now))


def unmake(source: Path, *, root: Path, requirements: Path, report: Callable[[str], None]) -> list[str]:
    """Verify the bundle *source* and lay it into the cache *root*; returns the places laid.

    Raises BundleRefusedError CGC-810 for a damaged bundle and CGC-817 for one made for other versions or another
    machine.
    """
    try:
        manifest = bundle.verify(source)
    except bundle.BundleDamagedError as err:
        raise BundleRefusedError("CGC-810", err.what, where=err.where, remedy=bundle.REMEDY) from err
    except OSError as err:
        raise BundleRefusedError(
            "CGC-811", f"cannot be read: {err}", where=str(source), remedy="check path and rights"
        ) from err
    for difference in unfit(
        manifest.about, requirements_sha256=sha256_of(requirements), architecture=platform.machine()
    ):
        remedy = "make the bundle with the same version of the toolkit, on the same kind of machine"
        raise BundleRefusedError("CGC-817", difference, where=str(source), remedy=remedy)
    report(f"verified: {len(manifest.members)} members")
    return bundle.unpack(source, root, manifest)


def unfit(told: Mapping[str, Any], *, requirements_sha256: str, architecture: str) -> list[str]:
    """Return why a bundle that says *told* about itself does not fit this checkout and machine; empty if it does."""
    differences = []
    if told.get("architecture") != architecture:
        differences.append(f"the bundle is for {told.get('architecture')}, this machine is {architecture}")
    if told.get("requirements_sha256") != requirements_sha256:
        differences.append("the bundle was made for another requirements.txt")
    held = {name: entry.get("version") for name, entry in told.get("programs", {}).items()}
    differences += [
        f"the bundle has {program.name} {held.get(program.name)}, wanted is {program.version}"
        for program in PROGRAMS
        if held.get(program.name) != program.version
    ]
    return differences


def gather_debs(folder: Path, packages: tuple[str, ...], *, report: Callable[[str], None]) -> None:
    """Fetch *packages* and all they depend on, as if nothing were installed, into *folder* with an index for apt."""
    wanted = hashlib.sha256("\n".join(packages).encode()).hexdigest()
    marker = folder / "for.sha256"
    if marker.is_file() and marker.read_text(encoding="utf-8").strip() == wanted:
        return
    report("fetching Debian packages and what they depend on")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".debs-", dir=folder.parent) as place:
        draft = Path(place) / "debs"
        (draft / "partial").mkdir(parents=True)
        nothing_installed = Path(place) / "status"
        nothing_installed.touch()
        command = ["apt-get", "-qq", "install", "--download-only", "-y", "--no-install-recommends"]
        for option in (
            f"Dir::State::status={nothing_installed}",
            f"Dir::Cache::archives={draft}",
            "APT::Sandbox::User=root",
            "Debug::NoLocking=true",
        ):
            command += ["-o", option]
        done = subprocess.run([*command, *packages], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            remedy = "run `apt-get update` as root, then this again"
            raise ToolchainError(
                "CGC-812", f"apt-get could not fetch them: {done.stderr.strip()}", where=str(folder), remedy=remedy
            )
        for left in ("partial", "lock"):
            path = draft / left
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (draft / "Packages").write_text(_index(draft), encoding="utf-8")
        (draft / "for.sha256").write_text(f"{wanted}\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)


def _index(folder: Path) -> str:
    """Return the Packages index (deb822, as dpkg-scanpackages writes it) of the .debs in *folder*."""
    stanzas = []
    for deb in sorted(folder.glob("*.deb")):
        told = subprocess.run(
            ["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=True
        ).stdout.strip()
        stanzas.append(f"{told}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256_of(deb)}\n")
    return "\n".join(stanzas)
