"""Where the heavy things are kept between runs, and what is known about each program that is there.

`$CGC_CACHE` (else `~/.cache/cgc`) holds `toolchain/<program>/<version>/<program>` with a `record.json` beside it.
The record is written last and by rename, so that a program with a record is whole whenever the set-up was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from scripts.toolchain.errors import ToolchainError
from scripts.toolchain.programs import PROGRAMS, Program

RECORD_NAME = "record.json"
VERSION_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 20
UNUSED_SECONDS = 3 * 86_400.0


class How(StrEnum):
    """How a program came to be in the cache."""

    PATH = "path"
    ADOPTED = "adopted"
    DOWNLOADED = "downloaded"
    BUILT = "built"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known about one program in the cache; `source` is a path, an address or a Go package."""

    program: str
    version: str
    sha256: str
    size_bytes: int
    how: How
    source: str
    installed_at: str


def cache_root(environ: Mapping[str, str]) -> Path:
    """Return the folder of everything heavy: `$CGC_CACHE`, else `~/.cache/cgc`."""
    named = environ.get("CGC_CACHE")
    return Path(named).absolute() if named else Path(environ.get("HOME", "~")).expanduser() / ".cache" / "cgc"


def program_folder(root: Path, program: Program) -> Path:
    """Return the folder of *program* at its pinned version under the cache *root*."""
    return root / "toolchain" / program.name / program.version


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file's content in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_record(root: Path, program: Program) -> Record | None:
    """Return what is known about *program*; None when it is not wholly there (no record, or not the recorded size)."""
    folder = program_folder(root, program)
    try:
        raw = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        record = Record(**{**raw, "how": How(raw["how"])})
        size_bytes = (folder / program.name).stat().st_size
    except (OSError, ValueError, TypeError, KeyError):
        return None  # a record that cannot be read is no record: the program is installed again
    whole = record.size_bytes == size_bytes and record.version == program.version and record.program == program.name
    return record if whole else None


def write_record(root: Path, program: Program, *, how: How, source: str, now: datetime) -> Record:
    """Hash the program that lies in its place and write its record, durably and in one step."""
    folder = program_folder(root, program)
    binary = folder / program.name
    record = Record(
        program=program.name,
        version=program.version,
        sha256=sha256_of(binary),
        size_bytes=binary.stat().st_size,
        how=how,
        source=source,
        installed_at=now.isoformat(timespec="seconds"),
    )
    draft = folder / f".{RECORD_NAME}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(asdict(record), stream, indent=1)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(folder / RECORD_NAME)
    sync_folder(folder)
    return record


def sync_folder(folder: Path) -> None:
    """Make the renames inside *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mark_used(entry: Path) -> None:
    """Note that an entry of the cache is in use now (`forget_unused` goes by it)."""
    os.utime(entry)


def forget_unused(folder: Path, *, now: float) -> list[Path]:
    """Remove the entries of a folder of the cache that nobody marked for three days; return them.

    For what is kept under a hash of its inputs, of which each change would otherwise leave one behind. Hidden entries
    are somebody's work in progress and stay.
    """
    unused = [
        entry
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".") and now - entry.stat().st_mtime > UNUSED_SECONDS
    ]
    for entry in unused:
        shutil.rmtree(entry)
    return unused


def has_pinned_version(program: Program, binary: Path) -> bool:
    """Run the program's version command; False when it does not run or names another version."""
    try:
        done = subprocess.run(
            [str(binary), *program.version_arguments],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_SECONDS,
            check=False,
            env={
                "PATH": os.environ.get("PATH", ""),
                "HOME": os.environ.get("HOME", "/"),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
            },
        )
    except (OSError, subprocess.TimeoutExpired):
        return False  # what cannot be run is not the pinned program
    return done.returncode == 0 and program.reports_its_version(done.stdout + done.stderr)


def program_path(name: str, environ: Mapping[str, str] | None = None) -> Path:
    """Return where the program *name* of the toolchain is (`kubectl` comes with the virtual environment).

    Raises ToolchainError CGC-801 when it is not installed.
    """
    if name == "kubectl":
        found = Path(sys.prefix) / "bin" / "kubectl"
        if found.is_file():
            return found
        raise ToolchainError(
            "CGC-801", "kubectl is not in the virtual environment", where=str(found), remedy="run `make set-up`"
        )
    program = next((program for program in PROGRAMS if program.name == name), None)
    if program is None:
        raise ToolchainError(
            "CGC-801", f"the toolchain has no program {name!r}", remedy=f"use one of {[p.name for p in PROGRAMS]}"
        )
    root = cache_root(os.environ if environ is None else environ)
    if read_record(root, program) is None:
        where = str(program_folder(root, program))
        raise ToolchainError(
            "CGC-801", f"{name} {program.version} is not installed", where=where, remedy="run `make set-up`"
        )
    return program_folder(root, program) / name
