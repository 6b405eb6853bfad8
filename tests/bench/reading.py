"""P2: read, type and check the whole declaration: from its text, from its compiled form, and as a command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inventories import compiled
from inventories.errors import InventoryError
from inventories.loading import load_declaration, read_text
from tests.bench import pydantic_peer
from tests.bench.measuring import WHOLE_NATION, BenchError, Figure, Measurement, Ran, Row, in_turn, run, say, timed

LIMIT_TEXT_SECONDS, LIMIT_COMPILED_SECONDS, LIMIT_COMMAND_SECONDS = 1.5, 0.1, 0.3
CGC = Path(sys.executable).with_name("cgc")
PEER = "pydantic, no overlaps"


@dataclass(frozen=True, kw_only=True)
class Breakage:
    """One mistake in units.csv, and the same in the peer's JSON: what a field of one unit becomes."""

    name: str
    old: str
    new: str
    field: str
    value: str


BROKEN_UNIT = "00205"
BREAKAGES = (
    Breakage(
        name="a latitude that is no number",
        old="Phường Thổ Quan,006,21.016975",
        new="Phường Thổ Quan,006,north",
        field="latitude",
        value="north",
    ),
    Breakage(
        name="a level that there is not",
        old="00205,commune,",
        new="00205,hamlet,",
        field="level",
        value="hamlet",
    ),
    Breakage(
        name="a parent that is not declared",
        old="Phường Thổ Quan,006,",
        new="Phường Thổ Quan,999,",
        field="parent",
        value="999",
    ),
    Breakage(
        name="a code that another unit has",
        old="00205,commune,",
        new="00208,commune,",
        field="code",
        value="00208",
    ),
)


def measure() -> Measurement:
    """Compare the verdicts, then measure ours from text, from the compiled form and as a command, and the peer."""
    today = datetime.now(UTC).date()
    with TemporaryDirectory() as place:
        os.environ["CGC_CACHE"] = f"{place}/cache"  # of this process and of the commands that it starts
        declaration, places = load_declaration(WHOLE_NATION, today=today)  # which keeps the compiled form
        peer_file = Path(place) / "declaration.json"
        peer_file.write_bytes(pydantic_peer.as_json(declaration))
        say("  the verdicts")
        if len(pydantic_peer.read(peer_file.read_bytes()).units) != len(declaration.units):
            raise BenchError("ours and the peer read different numbers of units")
        _compare_verdicts(json.loads(peer_file.read_bytes()), Path(place), today=today)

        def from_the_compiled_form() -> Ran:
            found: list[object] = []
            ran = timed(lambda: found.append(compiled.load(compiled.path_of(WHOLE_NATION), today=today)))
            if found != [(declaration, places)]:
                raise BenchError("the compiled form was not found, or is not the declaration")
            return ran

        command: list[str | Path] = [CGC, "nation", "check", WHOLE_NATION]
        run(command)  # warm
        taken = in_turn(
            {
                "from text": lambda: timed(lambda: read_text(WHOLE_NATION, today=today)),
                "from the compiled form": from_the_compiled_form,
                "peer": lambda: timed(lambda: pydantic_peer.read(peer_file.read_bytes())),
                "command": lambda: run(command),
            }
        )
    peer = taken["peer"].seconds
    limits = {
        "from text": LIMIT_TEXT_SECONDS,
        "from the compiled form": LIMIT_COMPILED_SECONDS,
        "command": LIMIT_COMMAND_SECONDS,
    }
    return Measurement(
        figures=tuple(
            Figure(
                name=f"P2 {name} (s)",
                ours=taken[name].seconds,
                limit=limit,
                peer=peer if name != "command" else None,
                peer_name=PEER if name != "command" else "",
            )
            for name, limit in limits.items()
        ),
        notes={
            "units": len(declaration.units),
            "compared": "the number of units; the verdict on the sound declaration and on copies with "
            + ", ".join(breakage.name for breakage in BREAKAGES),
            "command_peak_mb": taken["command"].peak_mb,
            "included": "in this process: opening the files, and for the compiled form the hash of the text; "
            "not: imports, and the peer's making of its models",
        },
    )


def _compare_verdicts(told: dict[str, Any], place: Path, *, today: date) -> None:
    """Break a copy of the declaration and the peer's JSON in the same way; BenchError unless both refuse."""
    copies = place / "inventories"
    shutil.copytree(WHOLE_NATION.parent, copies, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    copy = copies / WHOLE_NATION.name
    sound = (copy / "units.csv").read_text(encoding="utf-8")
    index = next(index for index, unit in enumerate(told["units"]) if unit["code"] == BROKEN_UNIT)
    for breakage in BREAKAGES:
        if sound.count(breakage.old) != 1:
            raise BenchError(f"units.csv no longer holds {breakage.old!r} once")
        (copy / "units.csv").write_text(sound.replace(breakage.old, breakage.new), encoding="utf-8")
        unit = told["units"][index] | {breakage.field: breakage.value}
        broken = told | {"units": [*told["units"][:index], unit, *told["units"][index + 1 :]]}
        refused = _ours_refuses(copy, today=today), _peer_refuses(json.dumps(broken).encode())
        if refused != (True, True):
            raise BenchError(f"{breakage.name}: ours and the peer refuse it: {refused}")


def _ours_refuses(copy: Path, *, today: date) -> bool:
    try:
        read_text(copy, today=today)
    except InventoryError:
        return True
    return False


def _peer_refuses(text: bytes) -> bool:
    try:
        pydantic_peer.read(text)
    except ValueError:
        return True
    return False


ROW = Row(
    code="P2",
    title="read, type and check the whole declaration",
    needs="the Python environment, one minute",
    measure=measure,
)
