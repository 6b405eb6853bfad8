"""Fetching official releases: find out quickly whether the vendors answer, then fetch and verify.

The question is asked by fetching the vendor's checksum, all programs at once and with one deadline, so that a network
without a way out costs three seconds and not one time-out per program.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.toolchain.errors import ToolchainError
from scripts.toolchain.programs import Program

ANSWER_DEADLINE_SECONDS = 3.0
READ_TIMEOUT_SECONDS = 60.0
_CHECKSUM_LIMIT_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_AGENT = {"User-Agent": "cgc-toolchain"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the vendor (or the mirror) said about one program: the checksum, or why there is none."""

    program: Program
    address: str
    sha256: str | None
    why_not: str = ""


def checksum_for(file_name: str, text: str) -> str | None:
    """Find the SHA-256 of *file_name* in a vendor's checksum text: either `<sum>` alone or lines of `<sum>  <name>`."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    for words in lines:
        named = len(words) == 1 or words[-1].lstrip("*").rpartition("/")[2] == file_name
        if named and (len(words) > 1 or len(lines) == 1) and re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
            return words[0].lower()
    return None


def ask_vendors(
    programs: Sequence[Program], *, base: str | None, arch: str, deadline_seconds: float = ANSWER_DEADLINE_SECONDS
) -> list[Answer]:
    """Fetch the checksums of all *programs* at once; who has not answered by the deadline is taken as unreachable."""
    answers: dict[str, Answer] = {}

    def ask(program: Program) -> None:
        answers[program.name] = _ask(program, base=base, arch=arch, timeout_seconds=deadline_seconds)

    # Daemon threads: looking a name up cannot be interrupted, and must not hold the process when it hangs.
    threads = [threading.Thread(target=ask, args=(program,), daemon=True) for program in programs]
    end = time.monotonic() + deadline_seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    silence = f"no answer within {deadline_seconds:g} s"
    return [
        answers.get(program.name)
        or Answer(program=program, address=program.release.address(base, arch), sha256=None, why_not=silence)
        for program in programs
    ]


def _ask(program: Program, *, base: str | None, arch: str, timeout_seconds: float) -> Answer:
    address = program.release.address(base, arch)
    asked = program.release.checksum_address(base, arch)
    try:
        # The address is the operator's or the vendor's own.
        request = urllib.request.Request(asked, headers=_AGENT)  # noqa: S310 - see above
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:  # noqa: S310 - as above
            text = response.read(_CHECKSUM_LIMIT_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError) as err:  # URLError and HTTPError are OSErrors; ValueError is a malformed address
        return Answer(program=program, address=address, sha256=None, why_not=f"{asked}: {err}")
    found = checksum_for(address.rpartition("/")[2], text)
    return Answer(
        program=program, address=address, sha256=found, why_not="" if found else f"{asked} names no SHA-256 of it"
    )


def fetch(answer: Answer, into: Path) -> None:
    """Fetch the file of *answer*, verify it, and leave the program (and what belongs beside it) in the folder *into*.

    Raises ToolchainError CGC-802 when it cannot be fetched and CGC-803 when it is not what the checksum says.
    """
    release = answer.program.release
    fetched = into / ".fetched"
    _fetch_verified(answer, fetched)
    binary = into / answer.program.name
    if release.member is None:
        fetched.rename(binary)
    else:
        _take_members(answer, fetched, into)
        fetched.unlink()
    for path in into.iterdir():
        path.chmod(0o755)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _fetch_verified(answer: Answer, target: Path) -> None:
    digest = hashlib.sha256()
    try:
        request = urllib.request.Request(answer.address, headers=_AGENT)  # noqa: S310 - as in _ask
        with (
            urllib.request.urlopen(request, timeout=READ_TIMEOUT_SECONDS) as response,  # noqa: S310 - as above
            target.open("wb") as stream,
        ):
            while chunk := response.read(_CHUNK_BYTES):
                digest.update(chunk)
                stream.write(chunk)
    except OSError as err:
        raise ToolchainError(
            "CGC-802",
            f"{answer.program.name} could not be fetched: {err}",
            where=answer.address,
            remedy="run it again, or set CGC_TOOLCHAIN_BASE to a mirror",
        ) from err
    if digest.hexdigest() != answer.sha256:
        raise ToolchainError(
            "CGC-803",
            f"{answer.program.name} has SHA-256 {digest.hexdigest()}, its vendor says {answer.sha256}: not installed",
            where=answer.address,
            remedy="run it again; if it stays, tell whoever runs that site and set CGC_TOOLCHAIN_BASE to another",
        )


def _take_members(answer: Answer, archive: Path, into: Path) -> None:
    release = answer.program.release
    wanted = {release.member: answer.program.name} | {member: member.rpartition("/")[2] for member in release.beside}
    taken = set()
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                content = tar.extractfile(member) if name else None
                if name and content:
                    with (into / name).open("wb") as stream:
                        shutil.copyfileobj(content, stream)
                    taken.add(name)
    except tarfile.TarError as err:
        raise ToolchainError(
            "CGC-803", f"the archive cannot be read: {err}", where=answer.address, remedy="tell whoever runs that site"
        ) from err
    if answer.program.name not in taken:
        raise ToolchainError(
            "CGC-803",
            f"the archive holds no {release.member}",
            where=answer.address,
            remedy="check the pinned version in scripts/toolchain/programs.py against the vendor's release",
        )
