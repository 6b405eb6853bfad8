"""The documents say what the code does: every error has its paragraph, every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("inventories", "stacks", "playbooks", "exporters", "policies", "scripts")
# What lies beside the checkout where this runs; beside one at the root of the file system lies the system itself.
NEIGHBOURS = tuple(
    path.name
    for path in (ROOT.parent.iterdir() if ROOT.parent != Path("/") else ())
    if path.is_dir() and path != ROOT and not (ROOT / path.name).exists()
)
RAISED = re.compile(r"""(?:["']|\bfail )(CGC-\d{3})["' ]""")  # in Python a string, in the shell an argument of `fail`
EXPLAINED = re.compile(r"^## (CGC-\d{3})\b", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def codes_raised() -> set[str]:
    """Return every error code that the rooms mention."""
    texts = [path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*") if path.suffix in {".py", ".sh"}]
    return {code for text in texts for code in RAISED.findall(text)}


def test_every_error_has_its_paragraph() -> None:
    """docs/errors.md explains each code that a user can meet, once, and none that nobody raises."""
    explained = EXPLAINED.findall((ROOT / "docs" / "errors.md").read_text())
    assert len(explained) == len(set(explained))
    assert codes_raised() == set(explained)


def test_every_link_between_documents_leads_somewhere() -> None:
    """A reader who follows a relative link arrives at a file."""
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "playbooks").rglob("*.md")]
    lost = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in LINK.findall(document.read_text())
        if not (document.parent / target).exists()
    ]
    assert lost == []


def test_nothing_names_what_lies_outside_the_project() -> None:
    """No tracked text names a folder beside the checkout, so that the project stands alone."""
    beside = re.compile("|".join((re.escape(f"{ROOT}/"), *(rf"\.\./{re.escape(name)}\b" for name in NEIGHBOURS))))
    suffixes = {".py", ".md", ".sh", ".yml", ".yaml", ".toml", ".cfg", ".txt", ".j2", ".in", ""}
    skipped = {".git", ".venv", ".rehearsal", "build", ".mypy_cache", ".ruff_cache", ".hypothesis", "cgc.egg-info"}
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for top in ROOT.iterdir()
        if top.name not in skipped
        for path in (top, *top.rglob("*"))
        if path.is_file() and path.suffix in suffixes
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if beside.search(line)
    ]
    assert found == []
