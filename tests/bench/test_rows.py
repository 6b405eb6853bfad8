"""The bench measures what it says, keeps what it measured before, and refuses what it cannot measure."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench.measuring import BenchError, run

MEASURED = {
    "at": "2026-11-24T11:38:22+00:00",
    "machine": "Linux, 2 processors",
    "load_average_before": 0.5,
    "load_average_after": 1.0,
    "versions": {"python": "3.11.7"},
    "figures": [
        {"name": "P1 list hosts (s)", "ours": 0.75, "limit": 1.5, "peer": 3.0, "peer_name": "a script"},
        {"name": "P1 alone (s)", "ours": 0.6, "limit": 1.5, "peer": None, "peer_name": ""},
    ],
    "notes": {"hosts": 10910},
}


@pytest.mark.parametrize("code", ["P1", "P2", *(pytest.param(code, marks=pytest.mark.slow) for code in ("P17", "P5"))])
def test_every_row_says_what_it_measures_and_what_it_needs(code: str) -> None:
    """Each row has a module of its own, which is not imported for the others."""
    row = importlib.import_module(bench.MODULES[code]).ROW
    assert row.code == code
    assert row.title
    assert row.needs


def test_a_row_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer names those that there are."""
    assert bench.main(["P1", "P99"]) == 2
    assert "there is no row P99; there are P1, P2, P17, P5" in capsys.readouterr().err


def test_no_row_is_forgotten() -> None:
    """The tests above know every row."""
    assert set(bench.MODULES) == {"P1", "P2", "P17", "P5"}


def test_rows_that_need_root_are_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits minutes to be told; what can be measured without root is named."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(bench, "_keep", pytest.fail)
    assert bench.main(["P2", "P17"]) == 2
    said = capsys.readouterr().err
    assert "P17  raise the rehearsal: needs root" in said
    assert said.endswith("without root `python -m tests.bench P2`\n")


def test_rows_that_are_not_measured_keep_their_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of another shape, from before rows had modules, and damaged ones do not stand in the way."""
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "bench" / "results.json")
    bench._keep({"P1": MEASURED})
    bench._keep({"P2": MEASURED})
    assert set(json.loads(bench.RESULTS.read_text())) == {"P1", "P2"}
    bench.RESULTS.write_text('{"hosts": 19, "P5": {"ours_wall_seconds": 2}}')
    bench._keep({"P2": MEASURED})
    assert json.loads(bench.RESULTS.read_text()) == {"P2": MEASURED}
    bench.RESULTS.write_text("{")
    bench._keep({"P2": MEASURED})
    assert json.loads(bench.RESULTS.read_text()) == {"P2": MEASURED}


def test_the_table_shows_both_ratios() -> None:
    """Ours beside the limit and beside the peer; a figure without a peer says so."""
    lines = bench.table({"P1": MEASURED}).splitlines()
    assert lines[0] == "P1: 2026-11-24T11:38:22+00:00, Linux, 2 processors, load 0.5 before, 1.0 after"
    assert lines[3].split() == ["P1", "list", "hosts", "(s)", "0.750", "1.50", "0.50", "3.00", "0.250", "a", "script"]
    assert lines[4].split() == ["P1", "alone", "(s)", "0.600", "1.50", "0.40", "–", "–"]
    assert lines[5] == "  hosts: 10910"


def test_a_programs_peak_is_its_own() -> None:
    """The size of the process that measures is not counted, that of the program is."""
    ballast = b"x" * 60_000_000
    small = run([sys.executable, "-I", "-S", "-c", "print('done')"])
    large = run([sys.executable, "-I", "-S", "-c", "x = bytearray(45_000_000)"])
    assert small.output == b"done\n"
    assert 1 < small.peak_mb < 40
    assert 45 < large.peak_mb < 85
    del ballast


def test_a_program_that_fails_is_not_measured() -> None:
    """Its words are told."""
    with pytest.raises(BenchError, match="not like this"):
        run([sys.executable, "-I", "-S", "-c", "import sys; sys.exit('not like this')"])
