"""Every command that the README shows works as written, on a rehearsal that is up."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.live.conftest import ROOT, Rehearsal, cgc

pytestmark = pytest.mark.live

SHOWN = re.compile(r"`cgc ([^`]+)`")


def commands() -> list[str]:
    """Return the README's commands, each once."""
    return sorted(set(SHOWN.findall((ROOT / "README.md").read_text())))


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_works(rehearsal: Rehearsal, command: str) -> None:
    """The command ends with 0, or with 5 where it was asked to find a difference and did."""
    evidence = rehearsal.ground.access.state / "evidence"
    words = {"FILE": str(evidence / "log.jsonl"), "KEY": str(evidence / "public.pem")}
    done = cgc(*(words.get(word, word) for word in shlex.split(command)))
    if command.startswith("rehearse break"):
        assert cgc("rehearse", "mend").code == 0
    assert done.code == 0, done.out + done.err
