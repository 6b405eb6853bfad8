"""Text stays text until the model gives it a type; nothing that comes from outside can do more than be refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventories import load_nation
from inventories.model import Node
from inventories.reading import DeclarationRefusedError, Problem, Reader

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"
FILES = {path.name: path.read_bytes() for path in REHEARSAL.iterdir() if path.is_file()}


@dataclass(frozen=True, kw_only=True)
class Words:
    """A document of texts."""

    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One of each type."""

    flag: bool
    count: int
    ratio: float
    day: date
    pause: timedelta
    prefix: IPv4Network
    word: str = "none"
    maybe: int | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table."""

    code: str
    count: int
    note: str | None = None


def read(text: str, wanted: type[Thing | Words]) -> object:
    """Read a text as one document."""
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "x.yaml").write_text(text, encoding="utf-8")
        reader = Reader(Path(directory))
        found = reader.read("x.yaml", wanted)
        reader.refuse_if_wrong()
        return found


@pytest.mark.parametrize("word", ["NO", "1.20", "22:30", "010", "null", "~", "0x1F", "1e3", "yes", "2026-11-24"])
def test_a_text_keeps_its_spelling(word: str) -> None:
    """What YAML 1.1 would guess to be a boolean, a number, a time or nothing stays what was written."""
    assert read(f"words: [{word}]", Words) == Words(words=(word,))


def test_the_model_gives_types() -> None:
    """Each field is what its annotation says; a field left out has its default."""
    text = "{flag: true, count: -3, ratio: 0.5, day: 2026-02-28, pause: 90d, prefix: 10.0.0.0/8}"
    assert read(text, Thing) == Thing(
        flag=True,
        count=-3,
        ratio=0.5,
        day=date(2026, 2, 28),
        pause=timedelta(days=90),
        prefix=IPv4Network("10.0.0.0/8"),
    )


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("flag", "True"), ("flag", "1"), ("flag", "yes"), ("count", "1.0"), ("count", "+1"), ("count", "1_000"),
        ("count", "١"), ("count", "٠١"), ("count", ""), ("ratio", "nan"), ("ratio", "inf"), ("ratio", "1e3"),
        ("ratio", ".5"),
        ("day", "20260228"), ("day", "2026-2-28"), ("day", "2026-W01-1"), ("pause", "1w"), ("pause", "010s"),
        ("pause", "99999999999999d"), ("pause", "-1s"), ("prefix", "10.0.0.0/33"),
        ("maybe", "none"),
    ],
)  # fmt: skip
def test_only_the_plain_spelling_of_a_value_is_accepted(fact: str, value: str) -> None:
    """Python's own readers are more lenient than a declaration may be."""
    facts = {"flag": "true", "count": "1", "ratio": "1", "day": "2026-02-28", "pause": "1s", "prefix": "10.0.0.0/32"}
    text = "\n".join(f"{name}: {given_value!r}" for name, given_value in {**facts, fact: value}.items())
    with pytest.raises(DeclarationRefusedError, match="CGC-106"):
        read(text, Thing)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30))
def test_any_text_of_one_line_survives(text: str) -> None:
    """A quoted text is read back as it was written, whatever it is, unless it is blank."""
    document = yaml.safe_dump({"words": [text]}, allow_unicode=True, default_style='"')
    if not text.strip():
        with pytest.raises(DeclarationRefusedError):
            read(document, Words)
    else:
        assert read(document, Words) == Words(words=(text,))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200), st.sampled_from(sorted(FILES)))
def test_any_bytes_are_refused_or_read_never_more(content: bytes, name: str) -> None:
    """A file of arbitrary bytes leads to a refusal that names it, to nothing else."""
    _loads_or_refuses({**FILES, name: content}, name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_declaration_is_refused_or_read_never_more(data: st.DataObject) -> None:
    """A declaration with a piece cut out, doubled, or replaced ends in a nation or in a refusal with file:line."""
    name = data.draw(st.sampled_from(sorted(FILES)))
    content = FILES[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 60)))
    piece = data.draw(st.sampled_from([b"", content[start:end] * 2, b"-1", b"[]", b"{}", b"hn", b"0", b"\n", b": x"]))
    _loads_or_refuses({**FILES, name: content[:start] + piece + content[end:]}, name)


def _loads_or_refuses(files: dict[str, bytes], changed: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for name, content in files.items():
            (Path(directory) / name).write_bytes(content)
        problems: tuple[Problem, ...] = ()
        nodes: Sequence[Node] = ()
        try:
            nodes = load_nation(Path(directory), today=date(2026, 11, 24)).nodes
        except DeclarationRefusedError as refusal:
            problems = refusal.problems
        assert nodes or problems, changed
        assert all(problem.place.startswith(directory) for problem in problems)
        assert all(problem.place.rpartition(":")[2].isdigit() for problem in problems)


def rows(tmp_path: Path, text: str) -> tuple[Row, ...]:
    """Read a text as a table."""
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    reader = Reader(tmp_path)
    found = reader.read_rows("x.csv", Row)
    reader.refuse_if_wrong()
    return found


def test_an_empty_cell_is_its_fields_default(tmp_path: Path) -> None:
    """An optional field may be empty, a needed one may not."""
    assert rows(tmp_path, "code,count,note\na,1,\n") == (Row(code="a", count=1),)
    with pytest.raises(DeclarationRefusedError, match=r"x\.csv:2: CGC-106"):
        rows(tmp_path, "code,count,note\n,1,\n")


def test_a_quoted_field_may_span_lines_and_the_line_is_still_named(tmp_path: Path) -> None:
    """RFC 4180 quotes; what is wrong after them is named where it stands."""
    with pytest.raises(DeclarationRefusedError, match=r"x\.csv:3: CGC-106"):
        rows(tmp_path, 'code,count,note\n"a, b",1,"x"\nc,one,\n')


def test_places_point_at_the_deepest_known_line(change: Callable[[str, str, str], Path]) -> None:
    """A nation knows the line of each fact, and falls back to its subject's and its directory."""
    nation = load_nation(change("nation.yaml", "name: rehearsal", "name: rehearsal"))
    lines = (nation.directory / "platforms.yaml").read_text(encoding="utf-8").splitlines()
    line = lines.index("  - id: ndxp") + 1
    assert nation.place_of("platform/ndxp") == f"{nation.directory}/platforms.yaml:{line}"
    assert nation.place_of("platform/ndxp", "level") == f"{nation.directory}/platforms.yaml:{line + 5}"
    assert nation.place_of("platform/ndxp", "no-such-fact") == nation.place_of("platform/ndxp")
    assert nation.place_of("platform/no-such") == str(nation.directory)
    assert nation.place_of("site/164") == f"{nation.directory}/units.csv:5"
