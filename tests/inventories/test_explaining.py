"""Explanations name lines that really determine the fact: whoever changes what stands there changes it."""

from __future__ import annotations

import csv
import io
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inventories.explaining import Explainer, Explanation, Step, UnknownFactError
from inventories.loading import load_declaration
from inventories.reading import DeclarationRefusedError

INVENTORIES = Path(__file__).parents[2] / "inventories"
SEED = 942


def explainer(directory: Path) -> Explainer:
    """Return one for the declaration as it stands."""
    return Explainer(*load_declaration(directory), directory)


def answer(directory: Path, subject: str, fact: str) -> str:
    """Return the fact's value, or that the declaration has none such: refused, or no such subject or fact."""
    try:
        return explainer(directory).explain(subject, fact).value
    except (UnknownFactError, DeclarationRefusedError) as err:
        return f"none: {err}"


def other_prefix(text: str) -> str:
    """Return a prefix of the same family and length that nothing else lies in."""
    length = text.partition("/")[2]
    return f"fdff::/{length}" if ":" in text else f"{'128.0.0.0' if int(length) < 20 else '192.168.0.0'}/{length}"


FAR = {"latitude": ("9.1", "22.7"), "longitude": ("104.9", "109.1")}


def changed_csv(line: str, header: str, key: str, others: list[list[str]]) -> list[str]:
    """Return rows that say something else than the line under the key."""
    names = header.split(",")
    row = next(csv.reader(io.StringIO(line)))
    column = names.index(key)
    if key == "parent":
        level = {row[names.index("code")]: row[names.index("level")] for row in others}
        values = [code for code, its in level.items() if its == level[row[column]] and code != row[column]]
        random.Random(SEED).shuffle(values)  # noqa: S311 - a test's choice
        values = values or ["nowhere"]  # a province can have one parent only
    elif key in FAR:
        values = list(FAR[key])
    else:
        values = [{"code": "97"}.get(key, f"{row[column]} khác")]
    return [",".join([*row[:column], value, *row[column + 1 :]]) for value in values[:4]]


def changed_yaml(line: str, step: Step) -> list[str]:
    """Return lines that say something else than this one under the key."""
    key = step.key.rpartition(".")[2]
    match = re.search(rf"\b{key}: *(\[[^\]]*\]|\"[^\"]*\"|[^,}}#]+)", line)
    assert match, f"{step.place} says nothing of {step.key}: {line}"
    value = match[1].strip()
    bare = value.strip('"')
    if key in ("ipv4", "ipv6"):
        values = [other_prefix(value)]
    elif key in ("capacity_mbps", "number", "as_number"):
        values = [str(int(value) + 100)]
    elif key == "as_number_base":
        values = [str(int(value) + 300_000)]
    elif key == "slot":
        values = ["3", "2", "1", "0"]
    elif key == "region":
        values = ["south", "north"]
    elif key in FAR:
        values = list(FAR[key])
    elif key == "hosts":
        return [line[: match.start()] + re.sub(r"number: (\d+)", "number: 1999", line[match.start() :])]
    elif key == "sites":
        names = value.strip("[]").split(", ")
        values = [f"[{', '.join([names[0], *reversed(names[1:])])}]", f"[{', '.join(sorted(names))}]"]
    elif key == "value":
        values = ["hn", "dn", "hcm", "backbone", "10.5, 106.5", '"77.31.7"', '"77.31.0"', '"77.0.0"']
    elif key in ("attached_to", "site", "backs_up"):
        values = ["hcm", "hn", "mhn1", "dn"]
    else:
        values = [f'"{bare}x"', "vass", f"{bare[:3]}z", '"01"', '"x-{code}"']
    return [line[: match.start(1)] + other + line[match.end(1) :] for other in values if other != value]


def determines(directory: Path, explanation: Explanation, step: Step) -> bool:
    """Whether some other value at the step's line and key gives the fact another value, or takes it away."""
    path, _, number = step.place.rpartition(":")
    file = Path(path)
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    line = lines[int(number) - 1]
    if file.suffix == ".csv":
        rows = [row for row in csv.reader(lines) if row]
        candidates = changed_csv(line, lines[0], step.key, rows[1:])
    else:
        while not re.search(rf"\b{step.key.rpartition('.')[2]}:", line):  # a block's key stands on a line of its own
            number = str(int(number) + 1)
            line = lines[int(number) - 1]
        candidates = changed_yaml(line, step)
    for candidate in candidates:
        lines[int(number) - 1] = candidate
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
        found = answer(directory, explanation.subject, explanation.fact)
        file.write_text(text, encoding="utf-8")
        if found != explanation.value:
            return True
    return False


def facts_at_random(explainer: Explainer, subjects: list[str], count: int) -> list[tuple[str, str]]:
    """Return so many pairs of a subject and one of its facts."""
    source = random.Random(SEED)  # noqa: S311 - a test's choice
    found: set[tuple[str, str]] = set()
    while len(found) < count:
        subject = source.choice(subjects)
        found.add((subject, source.choice(explainer.facts_of(subject))))
    return sorted(found)


def check_all(directory: Path, subjects: list[str], count: int) -> None:
    """Check every line that explanations of random facts name."""
    asked = explainer(directory)
    for subject, fact in facts_at_random(asked, subjects, count):
        explanation = asked.explain(subject, fact)
        if explanation.value != "–":
            assert explanation.steps or fact == "clocks", f"{subject} {fact}: nothing determines {explanation.value}"
        for step in explanation.steps:
            assert determines(directory, explanation, step), f"{subject} {fact}: {step.place} {step.key}"


REHEARSED = ["05440", "31120", "164", "19", "92", "hn", "noc-hn", "gateway-hn", "ministry-mof"]
REHEARSED += ["core-a-hn", "core-b-hcm", "cgc-north-1", "agc-tn-1", "egc-demo-1", "noc-hn-1", "commune-05446"]


def test_a_fact_is_explained_by_the_lines_that_determine_it(declaration: Path) -> None:
    """Four random facts of the rehearsal: each line named, when changed, changes the fact."""
    check_all(declaration, REHEARSED, 4)


@pytest.mark.slow
def test_a_hundred_and_fifty_facts_are_explained(declaration: Path) -> None:
    """The same for 150 facts of the rehearsal."""
    check_all(declaration, REHEARSED, 150)


@pytest.mark.slow
def test_fifty_facts_of_the_nation_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for 50 facts of the nation, with its rings, backup centres and overrides."""
    monkeypatch.setenv("CGC_CACHE", str(tmp_path / "cache"))
    directory = shutil.copytree(INVENTORIES / "nation-2025", tmp_path / "nation")
    subjects = ["56", "66", "01", "79", "mhn1", "bhn", "core-b-bdn", "core-a-mhn1", "op-hn", "00004", "21553", "22213"]
    known = [subject for subject in subjects if not answer(directory, subject, "name").startswith("none")]
    assert len(known) >= 10
    check_all(directory, known, 50)


def test_an_override_explains_what_it_changes(change: Callable[[str, str, str], Path]) -> None:
    """Who decided, why and until when are said, with the override's line."""
    entry = '{subject: "19", fact: homed_at, value: hcm, who: an.ng, why: flood, until: 2099-01-01}'
    directory = change("overrides/network.yaml", "overrides: []", f"overrides:\n  - {entry}")
    explanation = explainer(directory).explain("19", "home")
    assert explanation.value == "hcm"
    (step,) = explanation.steps
    assert step.place == f"{directory}/overrides/network.yaml:3"
    assert step.rule.en == "overridden by an.ng until 2099-01-01: flood"
    assert determines(directory, explanation, step)


def test_what_is_not_declared_is_said_with_what_is_near(declaration: Path) -> None:
    """A mistyped subject or fact is answered with the nearest; a core site's routers are named."""
    asked = explainer(declaration)
    with pytest.raises(UnknownFactError, match="did you mean 'commune-05440'"):
        asked.explain("comune-05440", "loopback4")
    with pytest.raises(UnknownFactError, match="did you mean 'loopback4'"):
        asked.explain("05440", "loopbak4")
    with pytest.raises(UnknownFactError, match="ask for one of core-a-hn, core-b-hn"):
        asked.explain("hn", "loopback4")
