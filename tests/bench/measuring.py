"""What every row of the bench is made of: figures beside a peer and a limit, and a program's time and memory."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHOLE_NATION = ROOT / "inventories" / "nation-2021"  # the larger of the two: four levels, every commune
ROUNDS = 5
LAUNCHER = Path(__file__).with_name("launching.py")


class BenchError(Exception):
    """Something cannot be measured, or what is to be compared gives different answers."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured number; `peer` is the same one of what it is compared with, `limit` the target."""

    name: str
    ours: float
    limit: float
    peer: float | None = None
    peer_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a row found; `notes` say what was compared first, and every other number worth keeping."""

    figures: tuple[Figure, ...]
    notes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the targets: what it measures, what it needs, and how it is measured."""

    code: str
    title: str
    needs: str
    measure: Callable[[], Measurement]
    needs_root: bool = False


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A program that ended well: wall seconds, the peak of its resident memory in MB (10^6 bytes), and its output."""

    seconds: float
    peak_mb: float
    output: bytes


def say(line: str) -> None:
    """Say on standard error what is measured now."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")


def run(command: Sequence[str | Path], **environment: str) -> Ran:
    """Run a program in the checkout and measure it; BenchError with its words if it fails.

    It is started by a small process of its own: the peak that Linux accounts to a program includes its parent's size
    at the time of the fork.
    """
    with tempfile.NamedTemporaryFile() as report:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", LAUNCHER, report.name, *command],
            cwd=ROOT,
            env={**_surroundings(), **environment},
            capture_output=True,
            check=False,
        )
        if ended.returncode != 0:
            raise BenchError(f"{' '.join(map(str, command))} failed: {ended.stderr.decode(errors='replace')[-2000:]}")
        told = json.loads(report.read())
    return Ran(seconds=told["seconds"], peak_mb=told["peak_kib"] * 1024 / 1e6, output=ended.stdout)


def _surroundings() -> dict[str, str]:
    """Return this process's environment, with compiled Python where the Makefile has it."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(ROOT / ".venv" / "pycache"), **kept}


def in_turn(works: Mapping[str, Callable[[], Ran]], *, rounds: int = ROUNDS) -> dict[str, Ran]:
    """Run pieces of work A B A B …; return the median time and the highest peak of each, with its last output."""
    taken: dict[str, list[Ran]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            say(f"  {name}, round {number + 1} of {rounds}")
            taken[name].append(work())
    return {
        name: Ran(
            seconds=statistics.median(ran.seconds for ran in runs),
            peak_mb=max(ran.peak_mb for ran in runs),
            output=runs[-1].output,
        )
        for name, runs in taken.items()
    }


def timed(work: Callable[[], object]) -> Ran:
    """Return the wall seconds of a piece of work in this process."""
    began = time.perf_counter()
    work()
    return Ran(seconds=time.perf_counter() - began, peak_mb=0, output=b"")


def wall_and_processor(work: Callable[[], None]) -> tuple[float, float]:
    """Return wall seconds and processor seconds (this process and its ended children) of a piece of work."""
    before = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    began = time.monotonic()
    work()
    wall = time.monotonic() - began
    after = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(b.ru_utime + b.ru_stime - a.ru_utime - a.ru_stime for a, b in zip(before, after, strict=True))
    return wall, cpu
