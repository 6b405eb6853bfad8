"""What is written down about a rehearsal survives the run that wrote it, and its lock does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.rehearsal import records

HOLD = """
import sys, time
from pathlib import Path
from scripts.rehearsal import records
records.RUN_DIRECTORY = Path(sys.argv[1])
with records.changing("0a1b2c"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Send records to a directory of the test."""
    monkeypatch.setattr(records, "RUN_DIRECTORY", tmp_path / "run")
    return tmp_path / "run"


def test_one_run_at_a_time_changes_a_rehearsal(run_directory: Path) -> None:
    """A second run is refused while the first is at work, and let in as soon as that is killed."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run_directory)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert records.is_being_changed("0a1b2c")
        with pytest.raises(ScriptError, match="CGC-706"), records.changing("0a1b2c", timeout_seconds=0.2):
            pass
        with records.changing("ffffff", timeout_seconds=0.2):  # another checkout's rehearsal is not concerned
            pass
        holder.kill()
        holder.wait()
    with records.changing("0a1b2c", timeout_seconds=5):
        pass


def test_a_lock_removed_with_its_rehearsal_can_be_taken_again() -> None:
    """Taking down removes the lock's file while holding it; the next run makes a new one."""
    with records.changing("0a1b2c"):
        records.forget_rehearsal("0a1b2c")
    with records.changing("0a1b2c", timeout_seconds=1):
        assert records.is_being_changed("0a1b2c")


def test_owner_and_machines_are_read_back(tmp_path: Path) -> None:
    """The checkout is known to whoever finds the rehearsal; a machine is on while its recorded process runs."""
    records.write_owner("0a1b2c", checkout_path=tmp_path / "checkout", state_directory=tmp_path / "state")
    assert records.read_owner("0a1b2c") == tmp_path / "checkout"
    assert records.recorded_rehearsals() == ["0a1b2c"]
    own = Path(f"/proc/{os.getpid()}/stat").read_text()
    records.machine_record("0a1b2c", "north").write_text(own)
    records.machine_record("0a1b2c", "south").write_text("1 (init) S")
    assert records.recorded_machines("0a1b2c") == ["north", "south"]
    running = records.running_process("0a1b2c", "north")
    assert running is not None
    assert running.pid == os.getpid()
    assert records.running_process("0a1b2c", "south") is None
    assert records.running_process("0a1b2c", "west") is None


def test_nothing_is_left_when_the_last_rehearsal_is_forgotten(run_directory: Path, tmp_path: Path) -> None:
    """The directory goes with its last entry."""
    with records.changing("0a1b2c"):
        records.write_owner("0a1b2c", checkout_path=tmp_path, state_directory=tmp_path)
        records.forget_rehearsal("0a1b2c")
        records.remove_run_directory_if_empty()
    assert not run_directory.exists()
