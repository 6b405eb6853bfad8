"""A declaration as it stood in a revision of git, laid out in a temporary directory as long as it is looked at."""

from __future__ import annotations

import posixpath
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

from inventories.declaration import Declaration, NationFile
from inventories.errors import ExitCode
from inventories.loading import load_declaration
from inventories.reading import DeclarationRefusedError, Reader
from scripts.errors import ScriptError

_PATIENCE = 60  # seconds for git; a declaration is a megabyte


class RevisionError(ScriptError):
    """What was named is no declaration in a revision that git knows."""

    exit_code = ExitCode.WRONG_INPUT


def declaration_named(name: str, usual: Path) -> Declaration:
    """Return the declaration in a directory, or in a git revision as `REV` or `REV:DIR`.

    `DIR` is relative to the repository's top; without it, `usual` is meant as it stood then. Overrides are judged by
    the day of the commit. RevisionError CGC-691 to 693 where there is no such thing; DeclarationRefusedError where it
    is not sound, with places such as `HEAD~1:inventories/nation-2025/units.csv:7`.
    """
    if Path(name).is_dir():
        return load_declaration(Path(name))[0]
    revision, _, path = name.partition(":")
    top = _top_of(usual if usual.is_dir() else Path())
    commit = _commit(top, revision, name)
    inside = _inside(path, usual, top)
    with tempfile.TemporaryDirectory(prefix="cgc-revision-") as scratch:
        root = Path(scratch).resolve()
        _lay_out(top, commit, inside, root, shown=f"{revision}:{inside}")
        with _told_by_revision(root, revision):
            _lay_out_base(top, commit, inside, root, revision)
            return load_declaration(root / inside, today=_day_of(top, commit))[0]


def _git(top: Path, *arguments: str) -> bytes:
    try:
        run = subprocess.run(["git", "-C", str(top), *arguments], capture_output=True, check=True, timeout=_PATIENCE)
    except FileNotFoundError as err:
        raise RevisionError(
            "CGC-693", "there is no git to ask", where=str(top), remedy="install git, or name a directory"
        ) from err
    except subprocess.TimeoutExpired as err:
        raise RevisionError(
            "CGC-693", f"git did not answer in {_PATIENCE} s", where=str(top), remedy="try `git status` there"
        ) from err
    return run.stdout


def _last_line(err: subprocess.CalledProcessError) -> str:
    lines = err.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {err.returncode}"


def _top_of(directory: Path) -> Path:
    """Return the top of the repository that a directory lies in."""
    try:
        return Path(_git(directory, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    except subprocess.CalledProcessError as err:
        raise RevisionError(
            "CGC-693",
            f"git knows no repository here: {_last_line(err)}",
            where=str(directory.resolve()),
            remedy="compare two directories, or run it inside the repository of the declaration",
        ) from err


def _commit(top: Path, revision: str, name: str) -> str:
    try:
        found = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except subprocess.CalledProcessError as err:
        raise RevisionError(
            "CGC-691",
            f"{name!r} is neither a directory nor a revision that git knows",
            where=str(top),
            remedy="write a directory, or a commit, branch or tag (`git log --oneline` lists commits)",
        ) from err
    return found.decode().strip()


def _inside(path: str, usual: Path, top: Path) -> str:
    """Return the declaration's path inside the repository."""
    if path:
        return posixpath.normpath(path)
    try:
        return usual.resolve().relative_to(top.resolve()).as_posix()
    except ValueError as err:
        raise RevisionError(
            "CGC-692",
            f"{usual} lies outside of the repository",
            where=str(top),
            remedy="write the declaration's path in it: REV:DIR",
        ) from err


def _lay_out(top: Path, commit: str, inside: str, root: Path, *, shown: str) -> None:
    """Write a folder of a commit below `root`, where it lies in the repository."""
    try:
        packed = _git(top, "archive", "--format=tar", commit, "--", f":(top,literal){inside}")
        _git(top, "cat-file", "-e", f"{commit}:{inside}/nation.yaml")
    except subprocess.CalledProcessError as err:
        raise RevisionError(
            "CGC-692",
            f"there is no declaration at {shown}",
            where=str(top),
            remedy=f"`git ls-tree -d -r --name-only {commit[:12]}` lists the folders of that revision",
        ) from err
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        archive.extractall(root, filter="data")


def _lay_out_base(top: Path, commit: str, inside: str, root: Path, revision: str) -> None:
    """Write the declaration that this one is based on, if any."""
    reader = Reader(root / inside)
    nation = reader.read("nation.yaml", NationFile)
    if nation is None or nation.based_on is None:
        return
    base = posixpath.normpath(posixpath.join(inside, nation.based_on))
    if base == ".." or base.startswith(("../", "/")):
        return  # the reader will say that nothing is there
    _lay_out(top, commit, base, root, shown=f"{revision}:{base}")


def _day_of(top: Path, commit: str) -> date:
    """Return the day of a commit (UTC); today, should it claim to be of the future."""
    seconds = int(_git(top, "show", "--no-patch", "--format=%ct", commit).decode())
    return min(datetime.fromtimestamp(seconds, UTC), datetime.now(UTC)).date()


@contextmanager
def _told_by_revision(root: Path, revision: str) -> Iterator[None]:
    """Let problems name the revision, not the directory it is laid out in."""
    try:
        yield
    except DeclarationRefusedError as err:
        problems = [
            replace(problem, place=problem.place.replace(f"{root}/", f"{revision}:")) for problem in err.problems
        ]
        raise DeclarationRefusedError(problems) from err
