"""What the user said before the verb (`cgc --lang vi --declaration DIR VERB …`), for whichever verb runs.

A verb asks `current()`; one that is called from a test, outside any command, gets the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DECLARATION = Path("inventories/rehearsal")

JsonOption = Annotated[bool, typer.Option("--json", help="Print the same content as JSON.")]
ApplyOption = Annotated[bool, typer.Option("--apply", help="Carry it out; without it, only show what would be done.")]


class Language(StrEnum):
    """The language of what people read; identifiers, codes and JSON stay English."""

    VIETNAMESE = "vi"
    ENGLISH = "en"


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """The options that hold for every verb."""

    language: Language = Language.ENGLISH
    declaration: Path = DEFAULT_DECLARATION
    debug: bool = False


_CURRENT: ContextVar[Invocation] = ContextVar("invocation", default=Invocation())  # noqa: B039 - it is frozen


def current() -> Invocation:
    """Return the options of the command that runs."""
    return _CURRENT.get()


def begin(invocation: Invocation) -> None:
    """Let these options hold until the enclosing `kept_apart` ends."""
    _CURRENT.set(invocation)


@contextmanager
def kept_apart() -> Iterator[None]:
    """Let what a command sets end with it, so that two commands in one process (tests) do not meet."""
    token = _CURRENT.set(Invocation())
    try:
        yield
    finally:
        _CURRENT.reset(token)


def language_of(environment: Mapping[str, str]) -> Language:
    """Return the language that POSIX locale variables ask for: LC_ALL before LC_MESSAGES before LANG; else English."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(name):
            return Language.VIETNAMESE if value.lower().startswith("vi") else Language.ENGLISH
    return Language.ENGLISH


def language_here() -> Language:
    """Return the language of this process's environment."""
    return language_of(os.environ)


def speak(*, en: str, vi: str) -> str:
    """Return the text in the user's language."""
    return vi if current().language is Language.VIETNAMESE else en
