"""`cgc nation diff`: between directories and revisions of git, as people say it, in exit codes as programs read it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from inventories.errors import ExitCode
from scripts.cli import app

CHECKOUT = Path(__file__).parents[2]
REHEARSAL = CHECKOUT / "inventories" / "rehearsal"
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "200"})


def diff(*words: str, declaration: Path = REHEARSAL) -> Result:
    """Run `cgc nation diff …`."""
    return runner.invoke(app, ["--declaration", str(declaration), "nation", "diff", *words], prog_name="cgc")


def rename(declaration: Path, old: str = "Phường An Hòa", new: str = "Phường An Hòa Mới") -> None:
    """Give a unit another name."""
    units = declaration / "units.csv"
    text = units.read_text(encoding="utf-8")
    assert old in text
    units.write_text(text.replace(old, new), encoding="utf-8")


def git(repository: Path, *words: str, **variables: str) -> None:
    """Run git as nobody in particular."""
    settings = ("-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "commit.gpgsign=false")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **variables}
    subprocess.run(["git", "-C", str(repository), *settings, *words], check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository with a declaration in `nations/one`, and in `nations/two` one that is based on it."""
    top = tmp_path / "repository"
    one, two = top / "nations" / "one", top / "nations" / "two"
    shutil.copytree(REHEARSAL, one)
    two.mkdir()
    shutil.copy(REHEARSAL / "units.csv", two)
    based = (REHEARSAL / "nation.yaml").read_text(encoding="utf-8") + "based_on: ../one\n"
    (two / "nation.yaml").write_text(based, encoding="utf-8")
    git(top.parent, "init", "--quiet", str(top))
    git(top, "add", ".")
    git(top, "commit", "--quiet", "-m", "first")
    git(top, "tag", "v1")
    return top


def test_two_directories_are_compared(declaration: Path) -> None:
    """Exit code 0 where they are alike, 5 where not; what is said is what people say."""
    assert diff(str(declaration)).exit_code == ExitCode.AS_DECLARED
    rename(declaration)
    result = diff(str(REHEARSAL), str(declaration))
    assert result.exit_code == ExitCode.DIFFERS
    (line,) = [line for line in result.stdout.splitlines() if "31120" in line]
    assert "Thành phố Cần Thơ" in line
    assert "renamed" in line
    assert "Phường An Hòa Mới" in line


def test_json_and_table_say_the_same(declaration: Path) -> None:
    """Grouped by province, with how many of each kind."""
    rename(declaration)
    rename(declaration, "Phường Quang Trung", "Phường Quang Trung Mới")
    told = json.loads(diff(str(REHEARSAL), str(declaration), "--json").stdout)
    assert told["differences"] == 2
    assert told["counts"] == [{"kind": "unit", "change": "renamed", "number": 2}]
    assert [(row["province_name"], row["subject"], row["before"]) for row in told["changes"]] == [
        ("Thành phố Cần Thơ", "31120", "Phường An Hòa"),
        ("Tỉnh Thái Nguyên", "05446", "Phường Quang Trung"),
    ]
    nothing = json.loads(diff(str(REHEARSAL), "--json").stdout)
    assert (nothing["differences"], nothing["counts"], nothing["changes"]) == (0, [], [])


@pytest.mark.slow
def test_a_revision_is_compared_with_the_declaration_as_it_stands(repository: Path) -> None:
    """Uncommitted changes count: what would be signed now is compared with what was."""
    one = repository / "nations" / "one"
    assert diff("HEAD", declaration=one).exit_code == ExitCode.AS_DECLARED
    rename(one)
    told = json.loads(diff("HEAD", "--json", declaration=one).stdout)
    assert [(row["change"], row["before"], row["after"]) for row in told["changes"]] == [
        ("renamed", "Phường An Hòa", "Phường An Hòa Mới")
    ]
    git(repository, "commit", "--quiet", "-am", "second")
    assert diff("HEAD", declaration=one).exit_code == ExitCode.AS_DECLARED
    assert diff("v1", "HEAD", declaration=one).exit_code == ExitCode.DIFFERS
    assert diff("HEAD~1", "v1", declaration=one).exit_code == ExitCode.AS_DECLARED


@pytest.mark.slow
def test_a_revision_may_name_another_directory(repository: Path) -> None:
    """What a declaration is based on is that of the same revision."""
    one, two = repository / "nations" / "one", repository / "nations" / "two"
    assert diff("HEAD:nations/two", declaration=one).exit_code == ExitCode.AS_DECLARED
    platforms = one / "platforms.yaml"
    platforms.write_text(platforms.read_text(encoding="utf-8").replace("replicas: 2", "replicas: 3"), encoding="utf-8")
    told = json.loads(diff("v1:nations/two", "--json", declaration=two).stdout)
    assert [(row["subject"], row["what"], row["after"]) for row in told["changes"]] == [("nixa", "replicas", "3")]


@pytest.mark.slow
def test_overrides_of_a_revision_are_judged_by_its_day(repository: Path) -> None:
    """What was in force when it was signed is compared, although its day has passed."""
    one = repository / "nations" / "one"
    overrides = one / "overrides" / "old.yaml"
    overrides.parent.mkdir(exist_ok=True)
    overrides.write_text(
        "overrides:\n  - {subject: '92', fact: homed_at, value: hn, who: mic, why: flood, until: 2020-06-30}\n",
        encoding="utf-8",
    )
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "old", GIT_COMMITTER_DATE="2020-01-01T00:00:00Z")
    overrides.unlink()
    told = json.loads(diff("HEAD", "--json", declaration=one).stdout)
    assert ("override", "ended") in {(row["kind"], row["change"]) for row in told["changes"]}


def test_what_is_no_declaration_is_wrong_input(repository: Path, tmp_path: Path) -> None:
    """Exit code 2: an unknown revision, an unknown folder of a known one, no repository at all."""
    one = repository / "nations" / "one"
    for word, code, said in (
        ("nope", "CGC-691", "'nope' is neither a directory nor a revision"),
        ("--output=x", "CGC-640", "No such option"),
        ("HEAD:nations", "CGC-692", "no declaration at HEAD:nations"),
        ("HEAD:../elsewhere", "CGC-692", "no declaration at HEAD:../elsewhere"),
        (":nations/one", "CGC-691", "neither a directory nor a revision"),
    ):
        result = diff(word, declaration=one)
        assert (result.exit_code, result.stderr[:7]) == (ExitCode.WRONG_INPUT, code), word
        assert said in result.stderr
        assert result.stdout == ""
    elsewhere = shutil.copytree(REHEARSAL, tmp_path / "elsewhere")
    result = diff("HEAD", declaration=elsewhere)
    assert (result.exit_code, result.stderr[:7]) == (ExitCode.WRONG_INPUT, "CGC-693")


@pytest.mark.slow
def test_a_broken_revision_names_its_own_line(repository: Path) -> None:
    """The place is one that git can show, not one that is gone with the answer."""
    one = repository / "nations" / "one"
    rename(one, "commune", "comune")
    git(repository, "commit", "--quiet", "-am", "broken")
    git(repository, "revert", "--no-edit", "HEAD")
    result = diff("HEAD~1", declaration=one)
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert "HEAD~1:nations/one/units.csv:7" in result.stderr


@pytest.mark.slow
def test_a_word_that_looks_like_an_option_of_git_is_none(repository: Path) -> None:
    """After `--`, too, a revision is a revision."""
    result = diff("--", "--help", declaration=repository / "nations" / "one")
    assert (result.exit_code, result.stderr[:7]) == (ExitCode.WRONG_INPUT, "CGC-691")


@pytest.mark.slow
def test_both_schemes_of_the_nation_are_compared() -> None:
    """What the reform of July 2025 changed is told unit by unit."""
    before, after = (str(CHECKOUT / "inventories" / f"nation-{year}") for year in ("2021", "2025"))
    result = diff(before, after)
    assert result.exit_code == ExitCode.DIFFERS
    assert len(result.stdout.splitlines()) > 10_000
