"""Every control is one file, cites where its duty is written down, and is in the catalogue that people read."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from inventories.model import Text
from policies import controls as controls_room
from policies.catalogue import all_controls, catalogue_text
from policies.control import Judgement, Reading, Verdict, worst
from policies.observed import Reason

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in Path(controls_room.__path__[0]).glob("*.py") if path.name != "__init__.py")


def test_the_catalogue_is_current() -> None:
    """docs/controls.md is what `python -m policies.catalogue` prints."""
    assert (ROOT / "docs" / "controls.md").read_text(encoding="utf-8") == catalogue_text(all_controls())


def test_every_file_is_one_control() -> None:
    """As many files as controls; each file's docstring begins with its control's identifier."""
    assert len(FILES) == len(all_controls())
    for path in FILES:
        module = importlib.import_module(f"policies.controls.{path.stem}")
        assert (module.__doc__ or "").startswith(f"{module.CONTROL.id}: "), path.name


def test_every_control_cites_its_source_in_both_languages() -> None:
    """Each names a document, an article and the duty, and says how well we know the source."""
    for control in all_controls():
        assert control.citation.document
        assert control.citation.article
        assert control.citation.duty.vi
        assert control.citation.duty.en
        assert control.citation.reading is not Reading.OWN
        assert control.title.vi != control.title.en
        assert control.declared or control.planned or control.observed
        assert control.is_in_force(datetime.now(UTC).date())


def test_a_set_is_as_bad_as_its_worst() -> None:
    """FAIL > UNKNOWN > WAIVED > PASS > NOT_APPLICABLE."""
    assert list(Verdict) == [Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIVED, Verdict.PASS, Verdict.NOT_APPLICABLE]
    for index, verdict in enumerate(Verdict):
        assert worst(list(Verdict)[index:]) is verdict
    assert worst(()) is Verdict.NOT_APPLICABLE


def test_a_judgement_says_what_its_reader_needs() -> None:
    """FAIL without a remedy, UNKNOWN without a reason, or a reason without UNKNOWN cannot be made."""
    message = Text(vi="x", en="x")
    with pytest.raises(ValueError, match="FAIL says what to do"):
        Judgement(subject="a/b", verdict=Verdict.FAIL, message=message)
    with pytest.raises(ValueError, match="has a reason"):
        Judgement(subject="a/b", verdict=Verdict.UNKNOWN, message=message)
    with pytest.raises(ValueError, match="has a reason"):
        Judgement(subject="a/b", verdict=Verdict.PASS, message=message, reason=Reason.STALE)
