"""The compiled form of a declaration: quicker than its text, never staler, and never trusted when it is damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from inventories import compiled, load_nation, loading
from inventories.loading import load_declaration
from inventories.reading import DeclarationRefusedError

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"
TODAY = date(2026, 11, 24)
Change = Callable[[str, str, str], Path]


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep compiled forms in the test's own directory, of small declarations, too."""
    monkeypatch.setenv("CGC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "SMALLEST_BYTES", 1)


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the directories whose text was read, as they are read."""
    found: list[Path] = []
    read = loading.read_text

    def reading(directory: Path, *, today: date) -> object:
        found.append(directory)
        return read(directory, today=today)

    monkeypatch.setattr(loading, "read_text", reading)
    return found


def test_the_compiled_form_is_the_declaration(declaration: Path, texts_read: list[Path]) -> None:
    """What is loaded the second time equals what the text says, places included, and the text is not read again."""
    first = load_declaration(declaration, today=TODAY)
    assert load_declaration(declaration, today=TODAY) == first
    assert texts_read == [declaration]
    nation = load_nation(declaration, today=TODAY)
    assert nation.place_of("platform/nixa", "port") == f"{declaration}/platforms.yaml:12"


def test_a_copy_elsewhere_has_the_same_form_and_its_own_places(
    declaration: Path, tmp_path: Path, texts_read: list[Path]
) -> None:
    """The form belongs to the text, wherever it lies."""
    load_declaration(declaration, today=TODAY)
    copy = shutil.copytree(declaration, tmp_path / "elsewhere")
    assert load_nation(copy, today=TODAY).place_of("platform/nixa").startswith(str(copy))
    assert texts_read == [declaration]


@pytest.mark.parametrize(
    "edit",
    [
        ("units.csv", "Phường Quang Trung", "Phường Quyết Thắng"),
        ("platforms.yaml", "replicas: 2", "replicas: 3"),
        ("overrides/network.yaml", "overrides: []", "overrides: []  # none"),
    ],
)
def test_any_changed_text_is_read_anew(
    declaration: Path, change: Change, texts_read: list[Path], edit: tuple[str, str, str]
) -> None:
    """One changed byte of any file, even of a comment, is another declaration."""
    before = load_declaration(declaration, today=TODAY)
    after = load_declaration(change(*edit), today=TODAY)
    assert len(texts_read) == 2
    assert (after[0] == before[0]) == edit[2].endswith("# none")


def test_a_file_more_or_less_is_another_declaration(declaration: Path, texts_read: list[Path]) -> None:
    """A new file of overrides counts, and so does one that goes."""
    load_declaration(declaration, today=TODAY)
    more = declaration / "overrides" / "more.yaml"
    more.write_text("overrides: []\n")
    load_declaration(declaration, today=TODAY)
    more.unlink()
    load_declaration(declaration, today=TODAY)
    assert len(texts_read) == 2


def test_what_a_declaration_is_based_on_counts(declaration: Path, texts_read: list[Path]) -> None:
    """A change in the declaration that another is based on changes the other, too."""
    other = declaration.parent / "other"
    other.mkdir()
    nation = (declaration / "nation.yaml").read_text(encoding="utf-8")
    (other / "nation.yaml").write_text(f"{nation}based_on: ../declaration\n", encoding="utf-8")
    shutil.copy(declaration / "units.csv", other)
    assert load_nation(other, today=TODAY).platform_by_id["nixa"].replicas == 2
    assert load_nation(other, today=TODAY).place_of("platform/nixa") == f"{other}/../declaration/platforms.yaml:3"
    assert texts_read == [other]
    platforms = declaration / "platforms.yaml"
    platforms.write_text(platforms.read_text(encoding="utf-8").replace("replicas: 2", "replicas: 3"), encoding="utf-8")
    assert load_nation(other, today=TODAY).platform_by_id["nixa"].replicas == 3


def test_a_changed_reader_makes_the_form_anew(
    declaration: Path, texts_read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form that other code made is not used."""
    load_declaration(declaration, today=TODAY)
    monkeypatch.setattr(compiled, "_code_digest", lambda: b"another version")
    load_declaration(declaration, today=TODAY)
    assert len(texts_read) == 2


def test_a_damaged_form_is_made_anew(declaration: Path, texts_read: list[Path]) -> None:
    """Cut short, emptied or with one byte changed: the text is read, and the form mended."""
    first = load_declaration(declaration, today=TODAY)
    path = compiled.path_of(declaration)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
        path.write_bytes(damaged)
        assert load_declaration(declaration, today=TODAY) == first
        assert path.read_bytes() == whole
    assert len(texts_read) == 4


def test_an_override_past_its_date_is_refused_from_the_form_too(change: Change) -> None:
    """A declaration that was sound when it was compiled is judged by today's date."""
    entry = '{subject: "19", fact: homed_at, value: hcm, who: an.ng, why: flood, until: 2026-11-30}'
    directory = change("overrides/network.yaml", "overrides: []", f"overrides:\n  - {entry}")
    load_declaration(directory, today=TODAY)
    load_declaration(directory, today=date(2026, 11, 30))
    with pytest.raises(DeclarationRefusedError, match="ended on 2026-11-30"):
        load_declaration(directory, today=date(2026, 12, 1))


def test_a_refused_declaration_leaves_no_form(change: Change, tmp_path: Path) -> None:
    """Only what is sound is kept."""
    with pytest.raises(DeclarationRefusedError):
        load_declaration(change("platforms.yaml", "level: 4", "level: 9"), today=TODAY)
    assert not (tmp_path / "cache").exists()


def test_where_nothing_can_be_kept_the_text_is_read(
    declaration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts_read: list[Path]
) -> None:
    """A store that cannot be written costs time and nothing else."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("CGC_CACHE", str(tmp_path / "file"))
    first = load_declaration(declaration, today=TODAY)
    assert load_declaration(declaration, today=TODAY) == first
    assert len(texts_read) == 2


def test_what_changes_while_it_is_read_is_not_kept(declaration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit between hashing and reading never gets a form under the other text's name."""
    read = loading.read_text

    def reading(directory: Path, *, today: date) -> object:
        platforms = directory / "platforms.yaml"
        text = platforms.read_text(encoding="utf-8").replace("replicas: 2", "replicas: 3")
        platforms.write_text(text, encoding="utf-8")
        return read(directory, today=today)

    monkeypatch.setattr(loading, "read_text", reading)
    load_declaration(declaration, today=TODAY)
    assert not compiled.store().exists()
    load_declaration(declaration, today=TODAY)
    assert len(list(compiled.store().iterdir())) == 1


def test_old_forms_are_forgotten(declaration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many edits the latest forms stay."""
    monkeypatch.setattr(compiled, "KEPT", 3)
    nation = declaration / "nation.yaml"
    text = nation.read_text(encoding="utf-8")
    for number in range(5):
        nation.write_text(f"{text}# edit {number}\n", encoding="utf-8")
        load_declaration(declaration, today=TODAY)
    assert len(list(compiled.store().glob("*"))) == 3
    assert compiled.path_of(declaration).exists()
