"""`cgc toolchain`: install, status, bundle, unbundle."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from inventories.errors import CgcError, ExitCode
from scripts.invocation import JsonOption
from scripts.presenting import Column, Table, examples, finish, present, present_error
from scripts.toolchain import bundling, installing
from scripts.toolchain.cache import cache_root, read_record
from scripts.toolchain.programs import PROGRAMS

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
_COLUMNS = (
    Column(key="program", en="program", vi="chương trình"),
    Column(key="version", en="version", vi="phiên bản"),
    Column(key="state", en="state", vi="trạng thái"),
    Column(key="how", en="had by", vi="có được từ"),
    Column(key="sha256", en="SHA-256", vi="SHA-256"),
)
_MEMBERS = (
    Column(key="name", en="member", vi="thành phần"),
    Column(key="size_bytes", en="bytes", vi="byte"),
    Column(key="sha256", en="SHA-256", vi="SHA-256"),
)

app = typer.Typer(
    no_args_is_help=True,
    help="The pinned programs the toolkit runs: install, inspect, carry them away.",
    epilog=examples(
        ("cgc toolchain status --verify", "what is there, and whether it is whole"),
        ("cgc toolchain bundle cgc.bundle", "everything a set-up needs, in one file"),
        ("make rehearse BUNDLE=cgc.bundle", "set up from it, without any network"),
    ),
)


def _progress(line: str) -> None:
    print(f"toolchain: {line}", file=sys.stderr, flush=True)


@app.command(
    epilog=examples(
        ("cgc toolchain install", "from PATH, the vendors, or Go modules"),
        ("CGC_TOOLCHAIN_BASE=https://mirror.example cgc toolchain install", "from a mirror with the vendors' paths"),
        ("CGC_KEEP_BUILD_CACHE=1 cgc toolchain install", "and keep Go's caches for the next build"),
    )
)
def install(*, as_json: JsonOption = False) -> None:
    """Bring every program into the cache: from PATH, else downloaded and verified, else built from Go modules."""
    records = installing.install(cache_root(os.environ), environ=os.environ, report=_progress)
    rows = tuple({**asdict(record), "state": "ok"} for record in records)
    present([Table(name="programs", columns=_COLUMNS, rows=rows)], as_json=as_json)


@app.command(epilog=examples(("cgc toolchain status --verify", "read every program, compare it with its record")))
def status(
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every program and compare it with its record.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which programs are there, how each was had, and what is missing.

    Exit code 1 when a program is missing or damaged; `cgc toolchain install` then brings it.
    """
    root = cache_root(os.environ)
    damaged = installing.damaged(root) if verify else []
    rows = []
    for program in PROGRAMS:
        record = read_record(root, program)
        state = "damaged" if program in damaged else "missing" if record is None else "ok"
        known = {"how": record.how, "sha256": record.sha256} if record else {"how": None, "sha256": None}
        rows.append({"program": program.name, "version": program.version, "state": state, **known})
    present(
        [Table(name="programs", columns=_COLUMNS, rows=tuple(rows))],
        facts={"folder": root / "toolchain"},
        as_json=as_json,
    )
    if any(row["state"] != "ok" for row in rows):
        print("mend it with: cgc toolchain install", file=sys.stderr)
        finish(ExitCode.FAILED)


@app.command(epilog=examples(("cgc toolchain bundle /media/usb/cgc.bundle", "pack, for machines without a network")))
def bundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")], *, as_json: JsonOption = False
) -> None:
    """Pack everything a set-up needs into one sealed file, for machines without any network."""
    manifest = bundling.make(
        file.absolute(),
        root=cache_root(os.environ),
        requirements=REQUIREMENTS,
        now=datetime.now(UTC),
        report=_progress,
    )
    members = Table(name="members", columns=_MEMBERS, rows=tuple(asdict(member) for member in manifest.members))
    facts = {"file": file, "size_bytes": file.stat().st_size, "members": len(manifest.members), **manifest.about}
    if as_json:
        present([members], facts=facts, as_json=True)
    else:
        del facts["programs"]
        present(facts=facts, as_json=False)


@app.command(epilog=examples(("cgc toolchain unbundle /media/usb/cgc.bundle", "verify, then lay into the cache")))
def unbundle(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `cgc toolchain bundle` wrote.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle and lay it into the cache. Exit code 2 when it is damaged or made for other versions."""
    root = cache_root(os.environ)
    laid = bundling.unmake(file, root=root, requirements=REQUIREMENTS, report=_progress)
    present(facts={"file": file, "into": root, "laid": len(laid)}, as_json=as_json)


def main() -> None:
    """Run the commands on their own; an error that reaches the user says what, where and what next."""
    try:
        app(prog_name="cgc toolchain")
    except CgcError as err:
        present_error(err, as_json=False)
        raise SystemExit(int(err.exit_code)) from err
