"""Bringing every program of the toolchain into the cache: found on PATH, adopted, downloaded or built."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scripts.toolchain import building, downloading
from scripts.toolchain.cache import (
    How,
    Record,
    has_pinned_version,
    program_folder,
    read_record,
    sha256_of,
    sync_folder,
    write_record,
)
from scripts.toolchain.errors import ToolchainError
from scripts.toolchain.programs import ARCHITECTURES, PROGRAMS, Program

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator may set: a mirror of the releases, whether build caches stay, the vendors' deadline."""

    base: str | None = None
    keep_build_caches: bool = False
    answer_deadline_seconds: float = downloading.ANSWER_DEADLINE_SECONDS


def settings_from(environ: Mapping[str, str]) -> Settings:
    """Read CGC_TOOLCHAIN_BASE and CGC_KEEP_BUILD_CACHE."""
    keep = environ.get("CGC_KEEP_BUILD_CACHE", "").lower() in {"1", "yes", "true"}
    return Settings(base=environ.get("CGC_TOOLCHAIN_BASE") or None, keep_build_caches=keep)


def install(
    root: Path,
    *,
    environ: Mapping[str, str],
    report: Report,
    programs: Sequence[Program] = PROGRAMS,
    modules: Path = building.MODULES_FOLDER,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Record]:
    """Make every one of *programs* be in the cache *root* at its pinned version, and return their records.

    Safe to kill at any moment and to run again: a program counts from the moment its record is renamed into place.
    """
    settings = settings_from(environ)
    with _alone(root / "toolchain", report):
        _sweep(root / "toolchain")
        for program in damaged(root, programs):
            report(f"{program.name} {program.version}: is not what its record says; removed")
            shutil.rmtree(program_folder(root, program))
        missing = [program for program in programs if read_record(root, program) is None]
        missing = [program for program in missing if not _take_what_is_here(root, program, environ, report, now)]
        missing = _download(root, missing, settings, report, now)
        _build(root, missing, environ=environ, report=report, modules=modules, now=now)
        if not settings.keep_build_caches and _caches(root).exists():
            shutil.rmtree(_caches(root))
    return [record for program in programs if (record := read_record(root, program)) is not None]


def damaged(root: Path, programs: Sequence[Program] = PROGRAMS) -> list[Program]:
    """Return the installed programs whose content is no longer what their record says (reads them whole)."""
    found = []
    for program in programs:
        record = read_record(root, program)
        if record is not None and sha256_of(program_folder(root, program) / program.name) != record.sha256:
            found.append(program)
    return found


def _take_what_is_here(
    root: Path, program: Program, environ: Mapping[str, str], report: Report, now: Callable[[], datetime]
) -> bool:
    """Use a program that lies in the cache without a record, or one on PATH, where it has the pinned version."""
    folder = program_folder(root, program)
    binary = folder / program.name
    if binary.exists() and has_pinned_version(program, binary):
        write_record(root, program, how=How.ADOPTED, source=str(binary), now=now())
        report(f"{program.name} {program.version}: was in the cache, adopted")
        return True
    found = shutil.which(program.name, path=environ.get("PATH"))
    if found is None or not has_pinned_version(program, Path(found)):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    binary.unlink(missing_ok=True)
    binary.symlink_to(Path(found).absolute())
    write_record(root, program, how=How.PATH, source=found, now=now())
    report(f"{program.name} {program.version}: on PATH as {found}, used")
    return True


def _download(
    root: Path, missing: Sequence[Program], settings: Settings, report: Report, now: Callable[[], datetime]
) -> list[Program]:
    """Download what can be had as an official release; return what can not."""
    arch = ARCHITECTURES.get(platform.machine())
    if not missing or arch is None:
        return list(missing)
    asked_at = time.monotonic()
    answers = downloading.ask_vendors(
        missing, base=settings.base, arch=arch, deadline_seconds=settings.answer_deadline_seconds
    )
    silent = [answer for answer in answers if answer.sha256 is None]
    if silent:
        names = ", ".join(answer.program.name for answer in silent)
        report(
            f"no release of {names} ({silent[0].why_not}), found out in {time.monotonic() - asked_at:.1f} s; building"
        )
    for answer in answers:
        if answer.sha256 is not None:
            started = time.monotonic()
            with _workplace(root, answer.program) as place:
                downloading.fetch(answer, place)
                _put_in_place(root, answer.program, place)
            write_record(root, answer.program, how=How.DOWNLOADED, source=answer.address, now=now())
            report(f"{answer.program.name} {answer.program.version}: downloaded in {time.monotonic() - started:.0f} s")
    return [answer.program for answer in silent]


def _build(
    root: Path,
    missing: Sequence[Program],
    *,
    environ: Mapping[str, str],
    report: Report,
    modules: Path,
    now: Callable[[], datetime],
) -> None:
    if not missing:
        return
    go = building.usable_go(environ, [program.recipe for program in missing], modules)
    for number, program in enumerate(missing, start=1):
        usual = f"about {program.build_seconds} s cold on two cores"
        report(f"{program.name} {program.version}: building ({number} of {len(missing)}, {usual})")
        started = time.monotonic()
        with _workplace(root, program) as place:
            building.build(program, go=go, into=place, caches=_caches(root), environ=environ, modules=modules)
            _put_in_place(root, program, place)
        write_record(root, program, how=How.BUILT, source=program.recipe.package, now=now())
        report(f"{program.name} {program.version}: built in {time.monotonic() - started:.0f} s")


def _put_in_place(root: Path, program: Program, place: Path) -> None:
    """Move what lies in *place* into the program's folder, the program last; refuse what reports another version."""
    binary = place / program.name
    if not has_pinned_version(program, binary):
        raise ToolchainError(
            "CGC-807",
            f"what was made or fetched as {program.name} does not report version {program.version}",
            where=" ".join([str(binary), *program.version_arguments]),
            remedy="check the pinned version in scripts/toolchain/programs.py",
        )
    folder = program_folder(root, program)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(place.iterdir(), key=lambda path: path == binary):
        path.replace(folder / path.name)
    sync_folder(folder)


def _caches(root: Path) -> Path:
    return root / "toolchain" / ".go"


@contextmanager
def _workplace(root: Path, program: Program) -> Iterator[Path]:
    """Give a fresh folder on the cache's own file system, so that a rename into place is one step."""
    place = root / "toolchain" / f".work-{program.name}-{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _sweep(toolchain: Path) -> None:
    """Remove the workplaces of killed installations; the lock is held, so none of them is in use."""
    for place in toolchain.glob(".work-*"):
        shutil.rmtree(place)


@contextmanager
def _alone(toolchain: Path, report: Report) -> Iterator[None]:
    """Hold the cache's lock: two checkouts that set up at once build each program once. A dead holder holds nothing."""
    toolchain.mkdir(parents=True, exist_ok=True)
    with (toolchain / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another set-up is filling the toolchain's cache; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
