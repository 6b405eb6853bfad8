"""`make bench`, `python -m tests.bench [P1 P2 …]`: measure targets on this machine, each beside its peer, as ratios.

Without arguments every row is measured. Ours and the peer's run in turn, and their answers are compared first: a faster
tool with another answer scores nothing. Writes bench/results.json, where other rows keep what they had, and prints a
table.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from tests.bench.measuring import ROOT, BenchError, Row, say

RESULTS = ROOT / "bench" / "results.json"
# Each row's module, in the order of measuring: P17 raises what P5 runs on.
MODULES = {
    "P1": "tests.bench.listing",
    "P2": "tests.bench.reading",
    "P17": "tests.bench.raising",
    "P5": "tests.bench.unchanged",
}
PACKAGES = ("ansible-core", "asyncssh", "msgspec", "pulumi", "pydantic")
HEADINGS = ("target", "ours", "limit", "ours/limit", "peer", "ours/peer", "")


def main(codes: list[str]) -> int:
    """Measure the named rows, write and print; 2 for a row that there is not or that needs root, 1 if one fails."""
    unknown = [code for code in codes if code not in MODULES]
    if unknown:
        sys.stderr.write(f"there is no row {', '.join(unknown)}; there are {', '.join(MODULES)}\n")
        return 2
    rows: list[Row] = [importlib.import_module(MODULES[code]).ROW for code in MODULES if code in codes or not codes]
    if os.geteuid() != 0 and any(row.needs_root for row in rows):
        for row in rows:
            sys.stderr.write(f"{row.code}  {row.title}: needs {row.needs}\n")
        free = [row.code for row in rows if not row.needs_root]
        sys.stderr.write(f"run `sudo make bench`, or without root `python -m tests.bench {' '.join(free or ['P1'])}`\n")
        return 2
    measured: dict[str, dict[str, Any]] = {}
    for row in rows:
        say(f"{row.code}: {row.title}")
        load_before = os.getloadavg()
        try:
            found = row.measure()
        except BenchError as err:
            sys.stderr.write(f"{row.code} cannot be measured: {err}\n")
            return 1
        measured[row.code] = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} processors",
            "load_average_before": round(load_before[0], 2),
            "load_average_after": round(os.getloadavg()[0], 2),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "figures": [asdict(figure) for figure in found.figures],
            "notes": dict(found.notes),
        }
        _keep(measured)
    sys.stdout.write(table(measured))
    return 0


def _keep(measured: Mapping[str, Any]) -> None:
    try:
        before = json.loads(RESULTS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    kept = {code: before[code] for code in MODULES if isinstance(before.get(code), dict) and "figures" in before[code]}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept | dict(measured), indent=1, ensure_ascii=False), encoding="utf-8")


def table(measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures as text: each row's machine, date and load, then a line a figure."""
    lines: list[str] = []
    for code, row in measured.items():
        load = f"load {row['load_average_before']} before, {row['load_average_after']} after"
        lines.append(f"{code}: {row['at']}, {row['machine']}, {load}")
        versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
        lines.append(f"  {versions}")
        cells = [HEADINGS, *(_cells(figure) for figure in row["figures"])]
        widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
        for line in cells:
            first, *others, last = line
            middle = (cell.rjust(width) for cell, width in zip(others, widths[1:-1], strict=True))
            lines.append("  ".join(("", first.ljust(widths[0]), *middle, last)).rstrip())
        lines += [f"  {name}: {_note(value)}" for name, value in row["notes"].items()]
    return "\n".join(lines) + "\n"


def _cells(figure: Mapping[str, Any]) -> tuple[str, ...]:
    ours, limit, peer = figure["ours"], figure["limit"], figure["peer"]
    beside = (f"{peer:.2f}", f"{ours / peer:.3f}") if peer else ("–", "–")
    return (figure["name"], f"{ours:.3f}", f"{limit:.2f}", f"{ours / limit:.2f}", *beside, figure["peer_name"])


def _note(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
