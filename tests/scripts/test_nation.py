"""`cgc nation`: a sound declaration and what it makes, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inventories import Nation
from inventories.errors import ExitCode
from scripts.cli import app
from scripts.nation import Part

runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "200"})


def test_a_sound_declaration_is_counted(declaration: Path) -> None:
    """`check` ends with 0 and says how large the nation is."""
    result = runner.invoke(app, ["nation", "check", str(declaration), "--json"], prog_name="cgc")
    assert result.exit_code == ExitCode.AS_DECLARED
    shown = json.loads(result.stdout)
    assert (shown["sound"], shown["nodes"], shown["nodes_by_role"]["commune"]) == (True, 19, 4)


def test_the_usual_declaration_is_the_one_named_before_the_verb(declaration: Path) -> None:
    """`--declaration` before the verb and the argument after it mean the same."""
    (declaration / "nation.yaml").write_text("", encoding="utf-8")
    result = runner.invoke(app, ["--declaration", str(declaration), "nation", "check"], prog_name="cgc")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert f"{declaration}/nation.yaml:1" in result.stderr


@pytest.mark.parametrize("part", [part for part in Part if part is not Part.SUMMARY])
def test_each_part_shows_everything_that_it_is_about(nation: Nation, part: Part) -> None:
    """As many rows as the nation has such things, in the table and in JSON."""
    result = runner.invoke(app, ["nation", "show", part.value, "--json"], prog_name="cgc")
    assert result.exit_code == ExitCode.AS_DECLARED
    assert len(json.loads(result.stdout)[part.value]) == len(getattr(nation, part.value))
    table = runner.invoke(app, ["nation", "show", part.value], prog_name="cgc")
    assert table.exit_code == ExitCode.AS_DECLARED
    assert table.stdout.strip()


def test_names_are_shown_in_the_users_language() -> None:
    """Vietnamese names keep their diacritics, English is there for those who ask."""
    vietnamese = runner.invoke(app, ["--lang", "vi", "nation", "show", "platforms"], prog_name="cgc").stdout
    english = runner.invoke(app, ["--lang", "en", "nation", "show", "platforms"], prog_name="cgc").stdout
    assert "Cổng Dịch vụ công quốc gia" in vietnamese
    assert "National Public Service Portal" in english
