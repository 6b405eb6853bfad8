"""A process is its id and its start time; a recycled id is somebody else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.rehearsal import processes


@pytest.fixture
def sleeper() -> Iterator[processes.Process]:
    """Start a real child process that would live for a minute."""
    child = subprocess.Popen(["sleep", "60"])
    process = processes.parse_stat(Path(f"/proc/{child.pid}/stat").read_text())
    assert process is not None
    yield process
    child.kill()
    child.wait()


def test_a_command_with_brackets_and_spaces_does_not_confuse_the_fields() -> None:
    """The fields are counted after the last closing bracket, as proc(5) demands."""
    line = "42 (a) b) c) S 1 " + " ".join(str(number) for number in range(5, 53))
    assert processes.parse_stat(line) == processes.Process(pid=42, started_ticks=22)


@pytest.mark.parametrize("line", ["", "42", "42 (sh) S 1", "x (sh) S " + "1 " * 40])
def test_a_truncated_record_names_no_process(line: str) -> None:
    """A record that was cut short by a crash is no process, not a wrong one."""
    assert processes.parse_stat(line) is None


def test_a_recycled_id_is_not_the_process(sleeper: processes.Process) -> None:
    """The same id with another start time does not run, and is never killed."""
    recycled = replace(sleeper, started_ticks=sleeper.started_ticks - 1)
    assert not processes.is_running(recycled)
    assert not processes.send_signal(recycled, 9)
    assert processes.is_running(sleeper)


def test_ending_a_process_waits_until_it_is_gone(sleeper: processes.Process) -> None:
    """After end_process returns, the process does not run; a zombie does not count as running."""
    processes.end_process(sleeper, timeout_seconds=5)
    assert not processes.is_running(sleeper)


def test_the_init_of_the_machine_is_process_one_of_its_namespace() -> None:
    """Outside of any container the innermost id is the id itself; a process that is gone has none."""
    assert processes.innermost_pid(1) == 1
    assert processes.innermost_pid(2**22 + 1) is None
