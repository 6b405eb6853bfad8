"""`cgc rehearse`: raise a small nation on this machine, live a day on it, break it, mend it, take it down."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from inventories.errors import ExitCode
from scripts.invocation import JsonOption, current, speak
from scripts.presenting import Column, Table, examples, finish, present
from scripts.rehearsal.ground import Ground, ground_of

CHECKOUT = Path(__file__).parents[2]

app = typer.Typer(no_args_is_help=True, help="Raise a small nation on this machine, and practise on it.")


def _report(line: str) -> None:
    """Say on standard error what is being done, with the time of day: an hour-long run must be readable in a log."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {line}\n")
    sys.stderr.flush()


def _ground() -> Ground:
    return ground_of(current().declaration, checkout=CHECKOUT)


@app.command(
    epilog=examples(
        ("cgc rehearse up", "raise everything and live the day"),
        ("cgc rehearse up --no-day", "raise everything, then leave it to you"),
    )
)
def up(
    *,
    day: Annotated[bool, typer.Option(help="Live the day at the end, and print what it proved.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Raise or complete the rehearsal, converge it, and live a day on it; ends with 0 if everything was proven."""
    from scripts.rehearsal.day import live_the_day  # noqa: PLC0415 - `status` and `down` do not pay for it
    from scripts.rehearsal.raising_nation import raise_nation  # noqa: PLC0415 - likewise

    ground = _ground()
    started = time.monotonic()
    steps, _ = raise_nation(ground, report=_report)
    proofs = live_the_day(ground, report=_report) if day else ()
    tables = [
        Table(
            name="steps",
            title_en="raised",
            title_vi="đã dựng",
            columns=(Column(key="name", en="step", vi="bước"), Column(key="seconds", en="seconds", vi="giây")),
            rows=tuple({"name": step.name, "seconds": step.seconds} for step in steps),
        ),
        Table(
            name="proofs",
            title_en="the day",
            title_vi="một ngày",
            columns=(
                Column(key="what", en="what", vi="điều gì"),
                Column(key="verdict", en="verdict", vi="kết luận"),
                Column(key="detail", en="seen", vi="đã thấy"),
                Column(key="seconds", en="seconds", vi="giây"),
            ),
            rows=tuple(
                {
                    "what": proof.what.in_language(current().language),
                    "verdict": "proven" if proof.is_proven else "FAIL",
                    "detail": proof.detail,
                    "seconds": proof.seconds,
                }
                for proof in proofs
            ),
        ),
    ]
    facts = {
        "rehearsal": ground.fabric.checkout_id,
        "machines": len(ground.fabric.machines),
        "seconds": round(time.monotonic() - started, 1),
    }
    present(tables if proofs else tables[:1], facts=facts, as_json=as_json)
    finish(ExitCode.AS_DECLARED if all(proof.is_proven for proof in proofs) else ExitCode.FAILED)


@app.command(
    epilog=examples(
        ("cgc rehearse status", "which machines run, which fibres are cut, which faults were made"),
        ("cgc rehearse status --all", "the rehearsals of every checkout on this machine"),
    )
)
def status(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Of every checkout on this machine.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say how the rehearsal stands; ends with 0 if it is whole, 5 if something is off, cut or broken."""
    if everything:
        _status_of_all(as_json=as_json)
    from scripts.rehearsal.faults import inflicted  # noqa: PLC0415 - only this branch needs it
    from scripts.rehearsal.raising import status as status_of  # noqa: PLC0415 - likewise

    ground = _ground()
    found = status_of(ground.fabric)
    faults = inflicted(ground.access.state)
    tables = [
        Table(
            name="machines",
            columns=(
                Column(key="name", en="machine", vi="máy"),
                Column(key="state", en="state", vi="trạng thái"),
                Column(key="memory_bytes", en="memory (bytes)", vi="bộ nhớ (byte)"),
            ),
            rows=tuple(
                {
                    "name": machine.name,
                    "state": "up" if machine.is_on else "down",
                    "memory_bytes": machine.memory_bytes,
                }
                for machine in found.machines
            ),
        ),
        Table(
            name="cables",
            columns=(
                Column(key="name", en="fibre", vi="tuyến cáp"),
                Column(key="state", en="state", vi="trạng thái"),
            ),
            rows=tuple({"name": cable.name, "state": "down" if cable.is_cut else "up"} for cable in found.cables),
        ),
    ]
    facts = {"rehearsal": ground.fabric.checkout_id, "whole": found.is_whole, "faults": list(faults)}
    present(tables, facts=facts, as_json=as_json)
    finish(ExitCode.AS_DECLARED if found.is_whole and not faults else ExitCode.DIFFERS)


def _status_of_all(*, as_json: bool) -> None:
    from scripts.rehearsal.leftovers import find_rehearsals  # noqa: PLC0415 - only this branch needs it

    found = find_rehearsals()
    table = Table(
        name="rehearsals",
        columns=(
            Column(key="id", en="rehearsal", vi="diễn tập"),
            Column(key="checkout", en="checkout", vi="thư mục"),
            Column(key="state", en="state", vi="trạng thái"),
            Column(key="machines", en="machines", vi="máy"),
        ),
        rows=tuple(
            {
                "id": item.checkout_id,
                "checkout": item.checkout,
                "state": speak(en="dead", vi="đã chết") if item.is_dead else speak(en="alive", vi="đang chạy"),
                "machines": len(item.running_machines),
            }
            for item in found
        ),
    )
    present([table], facts={"rehearsals": len(found)}, as_json=as_json)
    finish(ExitCode.DIFFERS if any(item.is_dead for item in found) else ExitCode.AS_DECLARED)


@app.command(
    name="break",
    epilog=examples(
        ("cgc rehearse break", "list the faults"),
        ("cgc rehearse break fibre-cut", "cut a province's fibre"),
    ),
)
def break_(
    name: Annotated[str, typer.Argument(help="The fault; without it, list them all.")] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Inflict one of the catalogue's faults, or list them."""
    from scripts.rehearsal.faults import CATALOGUE, break_it, fault_called, inflicted  # noqa: PLC0415 - see `up`

    ground = _ground()
    if name:
        fault = fault_called(name)
        break_it(ground, fault)
        present(facts={"broken": name, "what": fault.what.in_language(current().language)}, as_json=as_json)
        finish(ExitCode.AS_DECLARED)
    broken = inflicted(ground.access.state)
    table = Table(
        name="faults",
        columns=(
            Column(key="name", en="fault", vi="sự cố"),
            Column(key="what", en="what breaks", vi="điều gì hỏng"),
            Column(key="alerts", en="alerts", vi="cảnh báo"),
            Column(key="drift", en="drift", vi="sai lệch"),
            Column(key="inflicted", en="inflicted", vi="đã gây"),
        ),
        rows=tuple(
            {
                "name": fault.name,
                "what": fault.what.in_language(current().language),
                "alerts": fault.alerts,
                "drift": [" ".join(part for part in item if part) for item in fault.drift(ground)],
                "inflicted": fault.name in broken,
            }
            for fault in CATALOGUE
        ),
    )
    present([table], as_json=as_json)
    finish(ExitCode.AS_DECLARED)


@app.command(epilog=examples(("cgc rehearse mend", "undo every fault that was inflicted")))
def mend(
    name: Annotated[str, typer.Argument(help="The fault; without it, every one that was inflicted.")] = "",
    *,
    as_json: JsonOption = False,
) -> None:
    """Undo a fault, or all of them."""
    from scripts.rehearsal.faults import fault_called, inflicted, mend_it  # noqa: PLC0415 - see `up`

    ground = _ground()
    names = (name,) if name else inflicted(ground.access.state)
    for item in names:
        mend_it(ground, fault_called(item))
    present(facts={"mended": list(names)}, as_json=as_json)
    finish(ExitCode.AS_DECLARED)


@app.command(
    epilog=examples(
        ("cgc rehearse down", "take this checkout's rehearsal away"),
        ("cgc rehearse down --all", "and what dead rehearsals of other checkouts left"),
    )
)
def down(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what dead rehearsals of other checkouts left.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Take the rehearsal down: processes, namespaces, mounts, interfaces, disks, credentials. Evidence stays."""
    from scripts.rehearsal.leftovers import remove_leftovers  # noqa: PLC0415 - see `up`
    from scripts.rehearsal.raising import take_down  # noqa: PLC0415 - likewise
    from scripts.rehearsal.state import forget_state  # noqa: PLC0415 - likewise

    ground = _ground()
    take_down(ground.fabric)
    forget_state(ground.access.state)
    removed = remove_leftovers() if everything else []
    facts = {"taken_down": ground.fabric.checkout_id, "leftovers_removed": [item.checkout_id for item in removed]}
    present(facts=facts, as_json=as_json)
    finish(ExitCode.AS_DECLARED)
