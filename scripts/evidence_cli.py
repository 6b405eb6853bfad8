"""`cgc evidence`: seal what was done, show it, and verify it offline."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from inventories.errors import ExitCode
from scripts.evidence import HEAD_NAME, LOG_NAME, PUBLIC_KEY_NAME, EvidenceError, open_log, this_actor
from scripts.evidence_verifier import (
    Entry,
    MalformedLineError,
    UnusableInputError,
    entry_of,
    exit_code_of,
    facts_of,
    key_id,
    public_key_of,
    verify_file,
)
from scripts.invocation import JsonOption
from scripts.presenting import Column, Table, examples, finish, present

DEFAULT_DIRECTORY = Path(".rehearsal/evidence")

DirectoryOption = Annotated[
    Path, typer.Option("--directory", metavar="DIR", help="Where the log, its head and its keys are.")
]

app = typer.Typer(
    help="Seal, show and verify what was done: a hash-chained, signed log.",
    no_args_is_help=True,
    epilog=examples(
        ("cgc evidence seal --kind change --body change.json", "seal a file of JSON"),
        ("cgc evidence show --last 10", "the last ten entries"),
        ("cgc evidence verify", "verify this checkout's log"),
    ),
)


class EvidenceInputError(EvidenceError):
    """A file or value given to an evidence command cannot be used."""

    exit_code = ExitCode.WRONG_INPUT


@app.command(
    epilog=examples(
        ("cgc evidence seal --kind change --body change.json", "seal a file"),
        ("echo '{\"ticket\": 7}' | cgc evidence seal --kind change --body -", "seal what a pipe brings"),
    )
)
def seal(
    *,
    kind: Annotated[str, typer.Option("--kind", help="What it is: a short word in lower case.")],
    body: Annotated[str, typer.Option("--body", metavar="FILE", help="JSON to seal; - reads standard input.")],
    actor: Annotated[str | None, typer.Option("--actor", help="Who did it; else the user of this process.")] = None,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    as_json: JsonOption = False,
) -> None:
    """Append one signed entry; when the command returns, it is on the disk."""
    content = _json_in(body)
    entry = open_log(directory).append(kind=kind, actor=actor or this_actor(), body=content)
    present(
        facts={"sequence": entry.sequence, "at": entry.at, "anchor": f"{entry.sequence}:{entry.digest}"},
        as_json=as_json,
    )


@app.command(
    epilog=examples(
        ("cgc evidence verify", "this checkout's log, with the key and head beside it"),
        ("cgc evidence verify log.jsonl --public-key auditor.pem", "with a key kept elsewhere"),
        ("cgc evidence verify log.jsonl --public-key auditor.pem --anchor 42:5f0c…", "and nothing before 42 is gone"),
    )
)
def verify(
    log: Annotated[Path, typer.Argument(metavar="[FILE]", help="The log.")] = DEFAULT_DIRECTORY / LOG_NAME,
    *,
    public_keys: Annotated[
        list[Path] | None,
        typer.Option("--public-key", metavar="KEY", help="Ed25519 public key, PEM; else public.pem beside the log."),
    ] = None,
    head: Annotated[
        Path | None, typer.Option("--head", metavar="FILE", help="The signed head; else head.json beside the log.")
    ] = None,
    anchors: Annotated[
        list[str] | None, typer.Option("--anchor", help="SEQUENCE:SHA-256 noted down earlier, to find a roll-back.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a log offline and locate the first bad entry.

    A key, head or log from the same directory proves only that the three fit together: keep the public key, and an
    anchor now and then, where whoever could change the log cannot reach. Exit code 0 verified, 4 not as it was written,
    3 nothing to verify, 2 the input cannot be used. `scripts/evidence_verifier.py` does the same as a single file.
    """
    beside = log.with_name(HEAD_NAME)
    try:
        result = verify_file(
            log,
            public_keys or [log.with_name(PUBLIC_KEY_NAME)],
            head=head or (beside if beside.exists() else None),
            anchors=anchors or [],
        )
    except (OSError, UnusableInputError) as err:
        raise EvidenceInputError(
            "CGC-609",
            f"the log cannot be verified with this input: {err}",
            where=str(log),
            remedy="give the log, its public key (--public-key) and, if you have them, --head and --anchor",
        ) from err
    present(facts=facts_of(result), as_json=as_json)
    finish(ExitCode(exit_code_of(result)))


@app.command(epilog=examples(("cgc evidence show --kind converge --last 5", "the last five runs of converge")))
def show(
    *,
    directory: DirectoryOption = DEFAULT_DIRECTORY,
    kind: Annotated[str | None, typer.Option("--kind", help="Only entries of this kind.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many, counted from the end.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show entries; each one's signature is checked, the chain as a whole by `verify`."""
    entries = [entry for entry in _entries_in(directory) if kind in (None, entry.kind)][-last:]
    table = Table(
        name="entries",
        columns=(
            Column(key="sequence", en="#", vi="#"),
            Column(key="at", en="sealed at", vi="niêm phong lúc"),
            Column(key="kind", en="kind", vi="loại"),
            Column(key="actor", en="actor", vi="người thực hiện"),
            Column(key="body", en="body", vi="nội dung"),
            Column(key="digest", en="SHA-256", vi="SHA-256"),
        ),
        rows=tuple(
            {
                "sequence": entry.sequence,
                "at": entry.at,
                "kind": entry.kind,
                "actor": entry.actor,
                "body": entry.body,
                "digest": entry.digest,
            }
            for entry in entries
        ),
    )
    present([table], as_json=as_json)


def _entries_in(directory: Path) -> list[Entry]:
    log, public_key = directory / LOG_NAME, directory / PUBLIC_KEY_NAME
    entries: list[Entry] = []
    try:
        key = public_key_of(public_key.read_bytes())
        keys = {key_id(key): key}
        with log.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    entries.append(entry_of(line, keys))
                except MalformedLineError as err:
                    raise EvidenceError(
                        "CGC-603",
                        f"the entry cannot be relied on ({err})",
                        where=f"{log}:{number}",
                        remedy=f"run `cgc evidence verify {log}` to find what was done to the log",
                    ) from err
    except (OSError, UnusableInputError) as err:
        raise EvidenceInputError(
            "CGC-609",
            f"there is no readable evidence: {err}",
            where=str(directory),
            remedy="run a command that seals evidence first, or give its directory with --directory",
        ) from err
    return entries


def _json_in(name: str) -> object:
    """Read strict JSON from a file or, for `-`, from standard input."""
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (OSError, ValueError, RecursionError) as err:
        raise EvidenceInputError(
            "CGC-610",
            f"the body to seal cannot be read as JSON: {err}",
            where=name,
            remedy="give a file of one JSON value in UTF-8, without repeated members",
        ) from err


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is there twice")
    return members
