"""Running one program to its end: always with a time-out, and a failure says what the program itself said."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.errors import ScriptError

# What a failed program said is shown from its end, where programs put the reason.
SHOWN_CHARACTERS = 2000


def run_program(
    argv: Sequence[str | Path],
    *,
    timeout_seconds: float,
    stdin: str | Path = "",
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    accepted_codes: tuple[int, ...] = (0,),
    kept_open: tuple[int, ...] = (),
) -> str:
    """Run *argv* and return its standard output; *stdin* is a text, or the path of a file to read.

    The descriptors in *kept_open* (locks) stay open in the program, should it outlive this process.

    Raises ScriptError CGC-702 when the program is missing, ends with a code outside *accepted_codes*, or is still
    running after *timeout_seconds* (it is then killed).
    """
    words = [str(word) for word in argv]
    try:
        with contextlib.ExitStack() as opened:
            given = opened.enter_context(stdin.open("rb")) if isinstance(stdin, Path) else None
            done = subprocess.run(
                words,
                stdin=given,
                input=None if isinstance(stdin, Path) else stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout_seconds,
                env=None if environment is None else dict(environment),
                cwd=directory,
                pass_fds=kept_open,
                check=False,
            )
    except FileNotFoundError as err:
        raise ScriptError(
            "CGC-702", f"{words[0]} is not installed", where=" ".join(words[:4]), remedy="run `cgc doctor`"
        ) from err
    except subprocess.TimeoutExpired as err:
        raise ScriptError(
            "CGC-702",
            f"did not end within {timeout_seconds:g} s",
            where=" ".join(words),
            remedy="look at the load of this machine, then run the command again",
        ) from err
    if done.returncode not in accepted_codes:
        said = (done.stderr.strip() or done.stdout.strip())[-SHOWN_CHARACTERS:]
        raise ScriptError(
            "CGC-702",
            f"ended with code {done.returncode}: {said}",
            where=" ".join(words),
            remedy="mend what the message names, then run the command again",
        )
    return done.stdout
