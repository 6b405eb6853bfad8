"""How every verb shows its result: a table for people or the same content as JSON, errors with a remedy, exit codes.

Results go to stdout and nothing else does; errors and progress go to stderr, progress only if it is a terminal.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer

from inventories.errors import CgcError, ExitCode
from scripts.errors import ScriptError
from scripts.invocation import speak

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_UNBOUNDED_WIDTH = 10_000  # a table in a pipe is for grep: its lines are neither wrapped nor cut
_LONGEST_STYLED = 500  # rows; rich lays out 2,000 a second, and nobody reads more than that by colour
_STYLES = {
    "FAIL": "bold red",
    "UNKNOWN": "bold yellow",
    "WAIVED": "cyan",
    "PASS": "green",
    "NOT_APPLICABLE": "dim",
    "down": "bold red",
    "missing": "bold red",
    "up": "green",
    "ok": "green",
    "proven": "green",
}
_CONTROL_CHARACTERS = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)]}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: the member of a row it shows, and its heading in both languages."""

    key: str
    en: str
    vi: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of the same shape. `name` is the member under which JSON carries them; every row has every column's key."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, object], ...]
    title_en: str = ""
    title_vi: str = ""


def present(
    tables: Sequence[Table] = (),
    *,
    facts: Mapping[str, object] | None = None,
    as_json: bool,
    out: TextIO | None = None,
) -> None:
    """Print facts (name: value) and tables to stdout: as text for people, or as one JSON object with the same content.

    Values are text, numbers, booleans, None, dates, aware datetimes, durations, enums, paths, and lists or mappings
    of those. In JSON a datetime is RFC 3339 in UTC, a duration is seconds, an enum is its value. ScriptError CGC-641
    if stdout does not take it.
    """
    stream = out or sys.stdout
    try:
        if as_json:
            _write_json(stream, tables, facts or {})
        else:
            _write_text(stream, tables, facts or {})
    except OSError as err:
        raise _unwritten(err) from err
    present_all(stream)


def present_all(stream: TextIO | None = None) -> None:
    """Bring what was printed to its reader; ScriptError CGC-641 if that fails, BrokenPipeError if the reader left."""
    try:
        (stream or sys.stdout).flush()
    except OSError as err:
        raise _unwritten(err) from err


def _unwritten(err: OSError) -> Exception:
    if isinstance(err, BrokenPipeError):
        return err
    return ScriptError(
        "CGC-641",
        f"the result could not be written: {err.strerror or err}",
        where="standard output",
        remedy="free space or mend where the output goes, and run it again; what the command did is done",
    )


def _write_json(stream: TextIO, tables: Sequence[Table], facts: Mapping[str, object]) -> None:
    content: dict[str, object] = {name: plain(value) for name, value in facts.items()}
    for table in tables:
        content[table.name] = [{c.key: plain(row[c.key]) for c in table.columns} for row in table.rows]
    stream.write(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _write_text(stream: TextIO, tables: Sequence[Table], facts: Mapping[str, object]) -> None:
    console = _console(stream)
    if facts:
        _print_facts(console, facts)
    for table in tables:
        _print_table(console, table)


def plain(value: object) -> object:
    """Return the value as JSON has it; TypeError for a type that has no agreed form."""
    match value:
        case Enum():
            form: object = plain(value.value)
        case None | str() | bool() | int() | float():
            form = value
        case datetime():
            form = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            form = value.isoformat()
        case timedelta():
            form = value.total_seconds()
        case PurePath():
            form = str(value)
        case Mapping():
            form = {str(plain(name)): plain(member) for name, member in value.items()}
        case list() | tuple():
            form = [plain(member) for member in value]
        case set() | frozenset():
            form = sorted((plain(member) for member in value), key=str)
        case _:
            raise TypeError(f"{type(value).__name__} has no form as a result")
    return form


def _text_of(value: object) -> str:
    """Return the value as a cell shows it; control characters from outside cannot move the reader's cursor."""
    shown = plain(value)
    if shown is None:
        return "–"
    if isinstance(shown, bool):
        return speak(en="yes", vi="có") if shown else speak(en="no", vi="không")
    if isinstance(shown, list) and all(isinstance(member, str | int | float) for member in shown):
        return ", ".join(_text_of(member) for member in shown)
    if isinstance(shown, list | dict):
        return json.dumps(shown, ensure_ascii=False)
    return str(shown).translate(_CONTROL_CHARACTERS)


def _cell(value: object) -> Text:
    from rich.text import Text  # noqa: PLC0415 - JSON and errors do not pay for rich

    text = _text_of(value)
    return Text(text, style=_STYLES.get(text, ""))


def _console(stream: TextIO) -> Console:
    from rich.console import Console  # noqa: PLC0415 - as above

    return Console(file=stream, highlight=False, width=None if stream.isatty() else _UNBOUNDED_WIDTH, soft_wrap=False)


def _print_facts(console: Console, facts: Mapping[str, object]) -> None:
    from rich.table import Table as Grid  # noqa: PLC0415 - as above

    grid = Grid.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(name.replace("_", " "), _cell(value))
    console.print(grid)


def _print_table(console: Console, table: Table) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - as above
    from rich.table import Table as Grid  # noqa: PLC0415 - as above

    title = speak(en=table.title_en, vi=table.title_vi or table.title_en)
    if len(table.rows) > _LONGEST_STYLED:
        console.file.write("\n".join([*([title] if title else []), *_plain_lines(table), ""]))
        return
    grid = Grid(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for column in table.columns:
        grid.add_column(speak(en=column.en, vi=column.vi), overflow="fold")
    for row in table.rows:
        grid.add_row(*(_cell(row[column.key]) for column in table.columns))
    console.print(grid)


def _plain_lines(table: Table) -> Iterator[str]:
    """Yield a table's lines without any style, as wide as they are: what a table of thousands of rows is read as."""
    heading = [speak(en=column.en, vi=column.vi) for column in table.columns]
    rows = [[_text_of(row[column.key]) for column in table.columns] for row in table.rows]
    widths = [max(map(_width, cells)) for cells in zip(heading, *rows, strict=True)]
    for cells in (heading, ["─" * width for width in widths], *rows):
        padded = (f"{cell}{' ' * (width - _width(cell))}" for cell, width in zip(cells, widths, strict=True))
        yield "   ".join(padded).rstrip()


def _width(text: str) -> int:
    """Return how many columns a text of alphabetic scripts takes: marks that stand on a letter take none."""
    return len(text) if text.isascii() else sum(not unicodedata.combining(character) for character in text)


def present_text(text: str, *, out: TextIO | None = None) -> None:
    """Print a text that is a result by itself; ScriptError CGC-641 if stdout does not take it."""
    stream = out or sys.stdout
    try:
        stream.write(text)
    except OSError as err:
        raise _unwritten(err) from err
    present_all(stream)


def present_error(error: CgcError, *, as_json: bool, out: TextIO | None = None) -> None:
    """Print what went wrong to stderr: code, what, where, remedy; one line each, or one JSON object."""
    stream = out or sys.stderr
    if as_json:
        fields = {"code": error.code, "what": error.what, "where": error.where, "remedy": error.remedy}
        stream.write(json.dumps({"error": fields}, ensure_ascii=False) + "\n")
        return
    lines = [f"{error.code}  {error.what}"]
    if error.where:
        lines.append(f"  {speak(en='where', vi='ở đâu')}: {error.where}")
    lines.append(f"  {speak(en='next', vi='cần làm')}: {error.remedy}")
    stream.write("\n".join(line.translate(_CONTROL_CHARACTERS) for line in lines) + "\n")


def worst(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the exit code of several outcomes: the smallest non-zero one, else 0 (DESIGN: exit codes)."""
    return min((code for code in codes if code), default=ExitCode.AS_DECLARED)


def finish(*codes: ExitCode) -> NoReturn:
    """End the command with the exit code of these outcomes."""
    raise typer.Exit(int(worst(codes)))


def examples(*commands: tuple[str, str]) -> str:
    """Return a help epilog from (command, what it does) pairs: one line each."""
    from rich.markup import escape  # noqa: PLC0415 - as above

    width = max(len(command) for command, _ in commands)
    lines = [f"  [bold]{escape(command.ljust(width))}[/bold]  {escape(what)}" for command, what in commands]
    return "\n".join(["Examples:", *lines])


@contextmanager
def progress(doing: str) -> Iterator[Progress]:
    """Show on stderr, if it is a terminal, that something long runs; the yielded object says which step."""
    if not sys.stderr.isatty():
        yield Progress(None)
        return
    from rich.console import Console  # noqa: PLC0415 - as above

    with Console(stderr=True).status(doing) as status:
        yield Progress(status.update)


class Progress:
    """Tells a person which step a long command is at; silent where nobody watches."""

    def __init__(self, show: Callable[[str], None] | None) -> None:
        self._show = show

    def step(self, doing: str) -> None:
        """Say what is being done now."""
        if self._show is not None:
            self._show(doing)
