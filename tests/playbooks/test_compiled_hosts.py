"""The compiled form of Ansible's view is used while it holds, and never a day or an edit longer."""

from __future__ import annotations

import hashlib
import shutil
from datetime import date
from pathlib import Path

import pytest

from inventories import compiled
from inventories.reading import DeclarationRefusedError
from playbooks import compiled_hosts
from playbooks.compiled_hosts import HostList, load_hosts, path_of

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"
TODAY = date(2026, 11, 24)


@pytest.fixture
def declaration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the rehearsal's declaration, as if it were large, with a cache of its own."""
    monkeypatch.setenv("CGC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "SMALLEST_BYTES", 1)
    return shutil.copytree(REHEARSAL, tmp_path / "declaration")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the declarations that hosts were made from anew, in order."""
    seen: list[Path] = []
    make = compiled_hosts._make

    def noting(declaration: Path, *, today: date) -> compiled_hosts._Compiled:
        seen.append(declaration)
        return make(declaration, today=today)

    monkeypatch.setattr(compiled_hosts, "_make", noting)
    return seen


def change(file: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a text in a file."""
    text = file.read_text(encoding="utf-8")
    assert old in text, f"{file} no longer holds {old!r}"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def name_of_site(hosts: HostList, host: str) -> str | int:
    """Return what the site of a host is called."""
    return hosts.variables[hosts.names.index(host)]["site_name"]


def test_an_unchanged_declaration_is_read_once(declaration: Path, made: list[Path]) -> None:
    """The second time the compiled form answers, with the same hosts, variables and groups."""
    first = load_hosts(declaration, today=TODAY)
    assert path_of(declaration).stat().st_mode & 0o077 == 0
    assert load_hosts(declaration, today=TODAY) == first
    assert made == [declaration]


def test_where_a_declaration_lies_does_not_count(declaration: Path, made: list[Path], tmp_path: Path) -> None:
    """A copy with the same text has the same compiled form."""
    load_hosts(declaration, today=TODAY)
    load_hosts(shutil.copytree(declaration, tmp_path / "copy"), today=TODAY)
    assert made == [declaration]


@pytest.mark.parametrize("file", ["units.csv", "centres.yaml"])
def test_every_edit_is_seen(declaration: Path, made: list[Path], file: str) -> None:
    """A name that changes in any file is the new one at once."""
    load_hosts(declaration, today=TODAY)
    old = "Phường Hoàng Văn Thụ" if file == "units.csv" else "Trung tâm vùng Hà Nội"
    change(declaration / file, old, "Tên mới")
    host = "commune-05440" if file == "units.csv" else "core-a-hn"
    assert name_of_site(load_hosts(declaration, today=TODAY), host) == "Tên mới"
    assert len(made) == 2


def test_an_edit_of_the_declaration_it_is_based_on_is_seen(declaration: Path, made: list[Path], tmp_path: Path) -> None:
    """What is read from the base counts like the declaration's own text, and what is not read from there does not."""
    derived = tmp_path / "derived"
    derived.mkdir()
    shutil.copy(declaration / "units.csv", derived)
    shutil.copytree(declaration / "overrides", derived / "overrides")
    (derived / "nation.yaml").write_text((declaration / "nation.yaml").read_text() + "based_on: ../declaration\n")
    load_hosts(derived, today=TODAY)
    load_hosts(derived, today=TODAY)
    assert made == [derived]
    change(declaration / "centres.yaml", "Trung tâm vùng Hà Nội", "Tên mới")
    assert name_of_site(load_hosts(derived, today=TODAY), "core-a-hn") == "Tên mới"


def test_a_change_of_the_code_is_seen(declaration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other code made is not used: the form is found by the code's hash, too."""
    before = path_of(declaration)
    monkeypatch.setattr(compiled_hosts, "_code_digest", lambda: b"other")
    assert path_of(declaration) != before
    assert {path.name for path in compiled_hosts._CODE} == {"compiled_hosts.py", "hosts.py"}


@pytest.mark.parametrize("position", [0, 40, -1])
def test_a_damaged_form_is_made_anew(declaration: Path, made: list[Path], position: int) -> None:
    """A flipped bit anywhere, and a form cut short, cost time and nothing else."""
    sound = load_hosts(declaration, today=TODAY)
    path = path_of(declaration)
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1
    for damaged in (bytes(raw), bytes(raw[: len(raw) // 2]), b""):
        path.write_bytes(damaged)
        assert load_hosts(declaration, today=TODAY) == sound
    assert len(made) == 4


def test_a_form_of_another_shape_is_made_anew(declaration: Path, made: list[Path]) -> None:
    """A form that is whole but holds something else is not taken for ours."""
    sound = load_hosts(declaration, today=TODAY)
    payload = b"\x80"  # an empty map
    path_of(declaration).write_bytes(hashlib.sha256(payload).digest() + payload)
    assert load_hosts(declaration, today=TODAY) == sound
    assert len(made) == 2


def test_an_override_past_its_date_is_refused_although_compiled(declaration: Path, made: list[Path]) -> None:
    """The compiled form ends with the override that ends first; on that override's last day it still holds."""
    until = date(2027, 6, 30)
    (declaration / "overrides" / "late.yaml").write_text(
        "overrides:\n  - {subject: '19', fact: position, value: '21.6, 105.8', who: a, why: b, until: 2027-06-30}\n"
    )
    load_hosts(declaration, today=TODAY)
    load_hosts(declaration, today=until)
    assert len(made) == 1
    with pytest.raises(DeclarationRefusedError, match=r"late\.yaml:2"):
        load_hosts(declaration, today=date(2027, 7, 1))


def test_a_text_that_changes_while_it_is_read_is_not_compiled(
    declaration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the edited text's hosts would be found by the hash of the text before, once the edit is taken back."""
    make = compiled_hosts._make
    centres = declaration / "centres.yaml"

    def editing(directory: Path, *, today: date) -> compiled_hosts._Compiled:
        change(centres, "Trung tâm vùng Hà Nội", "Tên mới")
        return make(directory, today=today)

    monkeypatch.setattr(compiled_hosts, "_make", editing)
    assert name_of_site(load_hosts(declaration, today=TODAY), "core-a-hn") == "Tên mới"
    monkeypatch.setattr(compiled_hosts, "_make", make)
    change(centres, "Tên mới", "Trung tâm vùng Hà Nội")
    assert name_of_site(load_hosts(declaration, today=TODAY), "core-a-hn") == "Trung tâm vùng Hà Nội"


def test_a_cache_that_cannot_be_written_costs_time_only(
    declaration: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hosts are made each time."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CGC_CACHE", str(tmp_path / "file"))
    assert load_hosts(declaration, today=TODAY) == load_hosts(declaration, today=TODAY)
    assert len(made) == 2


def test_a_small_declaration_has_no_compiled_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text is read as fast."""
    monkeypatch.setenv("CGC_CACHE", str(tmp_path))
    load_hosts(REHEARSAL, today=TODAY)
    assert list(tmp_path.iterdir()) == []
