"""Where Pulumi works: made ready once, readable by its owner only, and honest about who holds a stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from stacks.errors import StackError
from stacks.plugins import Plugin, recorded_in_urn, refuse_change
from stacks.provider.install import plugin_path
from stacks.workshop import Workshop, locks_of, open_workshop, record_configuration, wait_for_stack

STACK = "cgc-north"


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """Return a workshop whose engine is a program that does nothing."""
    engine = tmp_path / "pulumi"
    engine.write_text("#!/bin/sh\nexit 1\n")
    engine.chmod(0o755)
    directory = tmp_path / "workshop"
    return Workshop(directory=directory, pulumi=engine, python=Path(sys.executable), is_air_gapped=True)


def silently(_: str) -> None:
    """Take progress and say nothing."""


def hold(workshop: Workshop, *, process: int, since: datetime, host: str = os.uname().nodename) -> Path:
    """Write a lock as the engine's self-managed backend does."""
    path = workshop.state / ".pulumi" / "locks" / "organization" / "cgc" / STACK / "0f.json"
    path.parent.mkdir(parents=True)
    content = {"pid": process, "username": "root", "hostname": host, "timestamp": since.isoformat()}
    path.write_text(json.dumps(content))
    return path


def test_opening_twice_changes_nothing(workshop: Workshop) -> None:
    """The passphrase is made once, for its owner's eyes; a second opening finds everything as it was."""
    assert open_workshop(workshop, report=silently) is Plugin.BUILT_IN
    passphrase = workshop.passphrase.read_text()
    before = {path: path.stat().st_mtime_ns for path in workshop.directory.rglob("*") if path.is_file()}
    assert workshop.passphrase.stat().st_mode & 0o777 == 0o600
    assert len(passphrase) >= 32
    assert open_workshop(workshop, report=silently) is Plugin.BUILT_IN
    assert {path: path.stat().st_mtime_ns for path in workshop.directory.rglob("*") if path.is_file()} == before


def test_an_engine_that_is_not_there_is_named(workshop: Workshop) -> None:
    """The command that mends it is part of the error, and nothing was made."""
    with pytest.raises(StackError, match=r"CGC-255 .*cgc doctor"):
        open_workshop(replace(workshop, pulumi=workshop.directory / "missing"), report=silently)
    assert not workshop.directory.exists()


def test_where_the_official_plugin_cannot_be_fetched_ours_takes_its_place(workshop: Workshop) -> None:
    """The attempt and its failure are told, and the built-in provider is installed."""
    told: list[str] = []
    assert open_workshop(replace(workshop, is_air_gapped=False), report=told.append) is Plugin.BUILT_IN
    assert "the built-in provider takes its place" in told[-1]


def test_an_official_plugin_that_is_there_is_used(workshop: Workshop) -> None:
    """It is neither replaced nor asked for again."""
    plugin = plugin_path(workshop.home)
    plugin.parent.mkdir(parents=True)
    plugin.write_text("ELF")
    assert open_workshop(workshop, report=silently) is Plugin.OFFICIAL
    assert plugin.read_text() == "ELF"


def test_states_of_the_two_plugins_are_never_mixed() -> None:
    """A stack that records one plugin is not converged by the other; the cure depends on which one it records."""
    refuse_change(recorded=None, available=Plugin.OFFICIAL, stack=STACK)
    refuse_change(recorded=Plugin.BUILT_IN, available=Plugin.BUILT_IN, stack=STACK)
    with pytest.raises(StackError, match=r"CGC-254 stack cgc-north: .*plugin install resource kubernetes"):
        refuse_change(recorded=Plugin.OFFICIAL, available=Plugin.BUILT_IN, stack=STACK)
    with pytest.raises(StackError, match=r"CGC-254 .*remove the official plugin"):
        refuse_change(recorded=Plugin.BUILT_IN, available=Plugin.OFFICIAL, stack=STACK)


def test_a_state_tells_which_plugin_it_is_of() -> None:
    """By the name of the provider resource, which lives as long as any object does."""
    urn = "urn:pulumi:cgc-north::cgc::pulumi:providers:kubernetes::kubernetes-built-in"
    assert recorded_in_urn(urn) is Plugin.BUILT_IN
    assert recorded_in_urn("urn:pulumi:cgc-north::cgc::pulumi:pulumi:Stack::cgc-cgc-north") is None


def test_the_configuration_stands_beside_what_the_engine_keeps(workshop: Workshop) -> None:
    """Writing it leaves the engine's own entries, such as the salt without which secrets are lost."""
    open_workshop(workshop, report=silently)
    path = workshop.settings / f"Pulumi.{STACK}.yaml"
    path.write_text("encryptionsalt: v1:abc\nconfig:\n  cgc:image: old\n  other:key: kept\n")
    record_configuration(workshop, STACK, {"image": "new", "provider": "built-in"})
    assert yaml.safe_load(path.read_text()) == {
        "encryptionsalt": "v1:abc",
        "config": {"cgc:image": "new", "cgc:provider": "built-in", "other:key": "kept"},
    }


def test_a_free_stack_is_not_waited_for(workshop: Workshop) -> None:
    """Without any lock there is nothing to lift."""
    assert wait_for_stack(workshop, STACK, patience_seconds=0, report=silently) is False


def test_the_hold_of_a_dead_run_is_recognised(workshop: Workshop) -> None:
    """A process of this host that is no more cannot be using the stack."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    hold(workshop, process=gone.pid, since=datetime.now(UTC))
    assert wait_for_stack(workshop, STACK, patience_seconds=0, report=silently) is True


def test_a_number_that_was_given_to_another_process_is_no_holder(workshop: Workshop) -> None:
    """The process of that number started after the lock was taken: the holder is dead."""
    hold(workshop, process=os.getpid(), since=datetime.now(UTC) - timedelta(days=400))
    assert [lock.is_dead for lock in locks_of(workshop, STACK)] == [True]


def test_a_living_run_is_respected_and_named(workshop: Workshop) -> None:
    """Who holds the stack, since when, and what to do about it; its lock stays."""
    path = hold(workshop, process=os.getpid(), since=datetime.now(UTC))
    with pytest.raises(StackError, match=rf"CGC-256 stack cgc-north: .*process {os.getpid()} of root") as refusal:
        wait_for_stack(workshop, STACK, patience_seconds=0, report=silently)
    assert "pulumi cancel" in refusal.value.remedy
    assert path.exists()


def test_a_run_on_another_host_is_never_called_dead(workshop: Workshop) -> None:
    """Its processes cannot be seen from here."""
    hold(workshop, process=2**22 + 1, since=datetime.now(UTC), host="another-host")
    assert [lock.is_dead for lock in locks_of(workshop, STACK)] == [False]


def test_a_lock_that_cannot_be_read_is_not_ignored(workshop: Workshop) -> None:
    """A damaged lock may be somebody's: it is named, and not lifted."""
    hold(workshop, process=1, since=datetime.now(UTC)).write_text("{")
    with pytest.raises(StackError, match=r"CGC-256 .*cannot be read"):
        locks_of(workshop, STACK)
