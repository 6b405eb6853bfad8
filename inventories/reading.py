"""Read declarations strictly: text stays text until the model gives it a type, and every refusal names its line.

Scalars keep their spelling (`NO`, `1.20`, `22:30` and `010` are what was written); a repeated or unknown key is
refused, and so are anchors, aliases and tags: a declaration says each thing once, in plain sight. All problems of a
declaration are gathered before it is refused.
"""

from __future__ import annotations

import csv
import io
import re
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import date, timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

import yaml

from inventories.constraints import Between, Pattern
from inventories.errors import InventoryError

T = TypeVar("T")

OWN_FILES = ("nation.yaml", "units.csv")  # what a declaration never has from the one it is based on
SHARED_FILES = (  # what it has from there unless it has its own
    "centres.yaml",
    "network.yaml",
    "tiers.yaml",
    "clusters.yaml",
    "agencies.yaml",
    "platforms.yaml",
    "objectives.yaml",
)
LARGEST_FILE_BYTES = 16 * 1024 * 1024  # the whole nation's units are 1 MB; more than this is no declaration
DEEPEST_NESTING = 20
_DURATION = re.compile(r"(0|[1-9][0-9]{0,6})(ms|s|m|h|d)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # a text may end up in one line of a router's configuration
_PREFIX = re.compile(r"[0-9A-Fa-f:.]+/(0|[1-9][0-9]{0,2})")  # no netmask, no scope, no length left out
_DURATION_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One reason to refuse a declaration; `place` is file:line."""

    code: str
    place: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """Return the problem as one line."""
        return f"{self.place}: {self.code} {self.what}; {self.remedy}"


class DeclarationRefusedError(InventoryError):
    """A declaration with one or more problems, in the order of their places."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        first = problems[0]
        super().__init__(first.code, first.what, where=first.place, remedy=first.remedy)

    def __str__(self) -> str:
        """Return every problem, a line each."""
        return "\n".join(str(problem) for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Located:
    """A piece of YAML with the line it starts at: a text, a list, or a mapping of text to (key's line, value)."""

    value: str | list[Located] | dict[str, tuple[int, Located]]
    line: int


class Reader:
    """Reads the files of one declaration and gathers what is wrong with them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.base: str | None = None  # another declaration, relative to this one, that has the files this one has not
        self.problems: list[Problem] = []
        self._lines: dict[tuple[str, tuple[str | int, ...]], int] = {}
        self._rows: dict[tuple[str, int], int] = {}

    def complain(self, code: str, place: str, what: str, remedy: str) -> None:
        """Note a problem; reading goes on, so that the user sees them all."""
        self.problems.append(Problem(code=code, place=place, what=what, remedy=remedy))

    def home_of(self, file: str) -> str:
        """Return the file's path relative to the directory: its own, or the base's where it has none of its own."""
        if self.base is not None and file not in OWN_FILES and not (self.directory / file).exists():
            return f"{self.base}/{file}"
        return file

    def line(self, file: str, *path: str | int) -> int:
        """Return the line of the deepest known part of `path` (keys and indices from the document's root)."""
        for length in range(len(path), -1, -1):
            line = self._lines.get((file, path[:length]))
            if line is not None:
                return line
        return 1

    def place(self, file: str, *path: str | int) -> str:
        """Return file:line of the deepest known part of `path`."""
        return f"{self.directory / self.home_of(file)}:{self.line(file, *path)}"

    def row_of(self, file: str, row: object) -> int:
        """Return the index at which `row` (the very object that `read_rows` returned) stands in its file."""
        return self._rows[file, id(row)]

    def refuse_if_wrong(self) -> None:
        """Raise all problems noted so far, if any."""
        if self.problems:
            raise DeclarationRefusedError(sorted(self.problems, key=_by_place))

    def read_text(self, file: str) -> str | None:
        """Return a file's text, or None after noting why it cannot be had."""
        path = self.directory / self.home_of(file)
        place = f"{path}:1"
        try:
            size = path.stat().st_size
            if size > LARGEST_FILE_BYTES:
                self.complain("CGC-101", place, f"is {size} bytes long", f"keep it under {LARGEST_FILE_BYTES} bytes")
                return None
            raw = path.read_bytes()
        except FileNotFoundError:
            self.complain("CGC-101", place, "there is no such file", "write it, or name the right declaration")
            return None
        except OSError as err:
            self.complain("CGC-101", place, f"cannot be read: {err.strerror}", "make it a readable file")
            return None
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as err:
            line = raw[: err.start].count(b"\n") + 1
            self.complain("CGC-101", f"{path}:{line}", f"byte {err.start} is not UTF-8", "save the file as UTF-8")
            return None
        if not text.strip():
            self.complain("CGC-101", place, "is empty", "declare something, or remove what refers to it")
            return None
        return text

    def read(self, file: str, wanted: type[T]) -> T | None:
        """Read one YAML file as the dataclass `wanted`; None after noting what is wrong with it."""
        text = self.read_text(file)
        if text is None:
            return None
        before = len(self.problems)
        root = self._parse(file, text)
        value = self._decode(file, root, wanted, ()) if root is not None else None
        return value if len(self.problems) == before else None

    def read_rows(self, file: str, wanted: type[T]) -> tuple[T, ...]:
        """Read one CSV file (RFC 4180, a header row of the dataclass's fields) as rows of `wanted`."""
        text = self.read_text(file)
        if text is None:
            return ()
        columns = fields(typing.cast("Any", wanted))
        names = [column.name for column in columns]
        optional = {column.name for column in columns if column.default is not MISSING}
        readers = _cell_readers(wanted)
        rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = next(rows)
            if header != names:
                self.complain("CGC-113", self.place(file), f"its columns are {header}", f"write {','.join(names)}")
                return ()
            found: list[T] = []
            for index, row in enumerate(rows):
                self._lines[file, (index,)] = rows.line_num
                if len(row) != len(names):
                    self.complain("CGC-113", self.place(file, index), f"has {len(row)} fields", f"give {len(names)}")
                    continue
                line = rows.line_num
                value: T | None
                try:  # most rows are right, and there are thousands
                    value = wanted(
                        **{
                            name: read(cell)
                            for name, read, cell in zip(names, readers, row, strict=True)
                            if cell or name not in optional
                        }
                    )
                except ValueError:
                    cells = {
                        name: (line, Located(cell, line))
                        for name, cell in zip(names, row, strict=True)
                        if cell or name not in optional
                    }
                    value = self._decode(file, Located(cells, line), wanted, (index,))
                if value is not None:
                    self._rows[file, id(value)] = index
                    found.append(value)
        except csv.Error as err:
            self.complain("CGC-113", f"{self.directory / file}:{rows.line_num}", str(err), "quote the field properly")
            return ()
        return tuple(found)

    def _parse(self, file: str, text: str) -> Located | None:
        last = max(1, len(text.splitlines()))  # what is missing at the end, YAML misses on the line after it

        def refuse(line: int, what: str, remedy: str, code: str = "CGC-102") -> None:
            self.complain(code, f"{self.directory / self.home_of(file)}:{min(line, last)}", what, remedy)

        try:
            events = list(yaml.parse(text, Loader=yaml.CBaseLoader))
        except yaml.YAMLError as err:
            mark = getattr(err, "problem_mark", None)
            refuse(mark.line + 1 if mark else 1, f"is not YAML: {getattr(err, 'problem', err)}", "mend the syntax")
            return None
        before = len(self.problems)
        documents = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
        if len(documents) != 1:
            refuse(1, f"holds {len(documents)} documents", "write exactly one")
        event: Any  # the events' classes are not typed
        for event in events:
            line = event.start_mark.line + 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                refuse(line, "uses an anchor or an alias", "write the value where it is meant")
            if getattr(event, "tag", None):
                refuse(line, f"uses the tag {event.tag}", "leave the tag out; the model knows the types")
        if len(self.problems) > before:
            return None
        stream = iter(events[2:])  # after the stream's and the document's start
        root = self._compose(next(stream), stream, refuse, 0)
        return root and Located(root.value, min(root.line, last))

    def _compose(self, event: Any, stream: Iterator[Any], refuse: Any, depth: int) -> Located | None:
        line = event.start_mark.line + 1
        if depth > DEEPEST_NESTING:
            refuse(line, f"is nested more than {DEEPEST_NESTING} deep", "flatten it")
            raise DeclarationRefusedError(self.problems)
        if isinstance(event, yaml.ScalarEvent):
            return Located(event.value, line)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Located] = []
            for inner in iter(lambda: next(stream), None):
                if isinstance(inner, yaml.SequenceEndEvent):
                    return Located(items, line)
                item = self._compose(inner, stream, refuse, depth + 1)
                if item is not None:
                    items.append(item)
        pairs: dict[str, tuple[int, Located]] = {}
        for inner in iter(lambda: next(stream), None):
            if isinstance(inner, yaml.MappingEndEvent):
                break
            key = self._compose(inner, stream, refuse, depth + 1)
            value = self._compose(next(stream), stream, refuse, depth + 1)
            if key is None or value is None:
                continue
            if not isinstance(key.value, str):
                refuse(key.line, "has a key that is no text", "use a plain word as key")
            elif key.value in pairs:
                refuse(key.line, f"declares {key.value!r} a second time", "keep one of the two", "CGC-103")
            else:
                pairs[key.value] = (key.line, value)
        return Located(pairs, line)

    def _decode(self, file: str, node: Located, wanted: Any, path: tuple[str | int, ...]) -> Any:
        """Give the located text its type, or note why that fails and return None."""
        self._lines.setdefault((file, path), node.line)
        constraint: Pattern | Between | None = None
        if typing.get_origin(wanted) is typing.Annotated:
            wanted, constraint = typing.get_args(wanted)[:2]
        if isinstance(wanted, types.UnionType):
            wanted = next(choice for choice in typing.get_args(wanted) if choice is not types.NoneType)
            return self._decode(file, node, wanted, path)
        if is_dataclass(wanted):
            return self._decode_mapping(file, node, wanted, path)
        if typing.get_origin(wanted) is tuple:
            return self._decode_list(file, node, typing.get_args(wanted), path)
        called = ".".join(str(part) for part in path)
        if not isinstance(node.value, str):
            self.complain(
                "CGC-106", self.place(file, *path), f"{called} is no single value", f"write {_meaning(wanted)}"
            )
            return None
        try:
            value = _scalar(node.value, wanted)
        except ValueError as err:
            detail = f" ({err})" if wanted in (IPv4Network, IPv6Network) else ""
            what = f"{called} is {node.value!r}{detail}"
            self.complain("CGC-106", self.place(file, *path), what, f"write {_meaning(wanted)}")
            return None
        if constraint is not None and not constraint.admits(value):
            self.complain(
                "CGC-106", self.place(file, *path), f"{called} is {node.value!r}", f"write {constraint.meaning}"
            )
            return None
        return value

    def _decode_mapping(self, file: str, node: Located, wanted: Any, path: tuple[str | int, ...]) -> Any:
        called = ".".join(str(part) for part in path) or "the document"
        if not isinstance(node.value, dict):
            self.complain("CGC-106", self.place(file, *path), f"{called} is no mapping", f"write {_meaning(wanted)}")
            return None
        hints = typing.get_type_hints(wanted, include_extras=True)
        known = [field for field in fields(wanted) if not field.metadata.get("filled_by_reader")]
        names = [field.name for field in known]
        before = len(self.problems)
        for key, (line, _) in node.value.items():
            if key not in names:
                where = f"{self.directory / self.home_of(file)}:{line}"
                self.complain(
                    "CGC-104", where, f"{called} has the unknown key {key!r}", f"known are {', '.join(names)}"
                )
        values: dict[str, Any] = {}
        for field in known:
            if field.name in node.value:
                line, inner = node.value[field.name]
                self._lines[file, (*path, field.name)] = line
                values[field.name] = self._decode(file, inner, hints[field.name], (*path, field.name))
            elif field.default is MISSING and field.default_factory is MISSING:
                self.complain("CGC-105", self.place(file, *path), f"{called} lacks {field.name!r}", "declare it")
        return wanted(**values) if len(self.problems) == before else None

    def _decode_list(self, file: str, node: Located, items: tuple[Any, ...], path: tuple[str | int, ...]) -> Any:
        called = ".".join(str(part) for part in path)
        if not isinstance(node.value, list):
            self.complain("CGC-106", self.place(file, *path), f"{called} is no list", "write a list")
            return None
        if items[-1] is not Ellipsis and len(node.value) != len(items):
            what = f"{called} has {len(node.value)} entries"
            self.complain("CGC-109", self.place(file, *path), what, f"give exactly {len(items)}")
            return None
        return tuple(
            self._decode(file, item, items[0] if items[-1] is Ellipsis else items[index], (*path, index))
            for index, item in enumerate(node.value)
        )


def _cell_readers(wanted: Any) -> list[Callable[[str], Any]]:
    """Return a function for each field of a dataclass of scalars: the cell's value, or ValueError."""
    hints = typing.get_type_hints(wanted, include_extras=True)
    return [_cell_reader(hints[column.name]) for column in fields(wanted)]


def _cell_reader(wanted: Any) -> Callable[[str], Any]:
    constraint: Pattern | Between | None = None
    if typing.get_origin(wanted) is typing.Annotated:
        wanted, constraint = typing.get_args(wanted)[:2]
    if isinstance(wanted, types.UnionType):
        wanted = next(choice for choice in typing.get_args(wanted) if choice is not types.NoneType)

    def read(cell: str) -> Any:
        value = _scalar(cell, wanted)
        return value if constraint is None or constraint.admits(value) else _refuse(cell)

    return read


def _by_place(problem: Problem) -> tuple[str, int]:
    file, _, line = problem.place.rpartition(":")
    return file, int(line) if line.isdigit() else 0


def _scalar(text: str, wanted: Any) -> Any:
    if wanted is str:
        if not text.strip() or _CONTROL.search(text):
            raise ValueError(text)
        return text
    if wanted is bool:
        return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse(text)
    if wanted is int:
        return int(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", text) else _refuse(text)
    if wanted is float:
        return float(text) if re.fullmatch(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?", text) else _refuse(text)
    if wanted is date:
        return date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else _refuse(text)
    if wanted is timedelta:
        match = _DURATION.fullmatch(text)
        return timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])}) if match else _refuse(text)
    if wanted in (IPv4Network, IPv6Network) and not _PREFIX.fullmatch(text):
        raise ValueError("no address with a number of bits")
    return wanted(text)  # an enum or a prefix


def _refuse(text: str) -> typing.NoReturn:
    raise ValueError(text)


def _meaning(wanted: Any) -> str:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return "one of " + ", ".join(str(member.value) for member in wanted)
    if is_dataclass(wanted):
        return "a mapping with " + ", ".join(field.name for field in fields(wanted))
    names = {
        str: "a text on one line that is not empty",
        bool: "true or false",
        int: "a whole number without leading zeros",
        float: "a number such as 10.5",
        date: "a date such as 2026-11-30",
        timedelta: "a duration such as 30s, 5m, 24h or 90d",
        IPv4Network: "an IPv4 prefix such as 10.64.0.0/14, its host bits zero",
        IPv6Network: "an IPv6 prefix such as fd94:2:1::/64, its host bits zero",
    }
    return names.get(wanted, str(getattr(wanted, "__name__", wanted)))
