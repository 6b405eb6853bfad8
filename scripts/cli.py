"""The `cgc` command: one verb per module, loaded when it is asked for, so that help and completion answer at once.

Every command ends with one of the exit codes of `inventories.errors.ExitCode`; 130 when interrupted (128 + SIGINT) and
141 when the reader of stdout has gone (128 + SIGPIPE), as shells write them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import _click as click  # typer carries its own copy of click and exports its types nowhere else

from inventories.errors import CgcError, ExitCode
from scripts.errors import ScriptError
from scripts.invocation import DEFAULT_DECLARATION, Invocation, Language, begin, kept_apart, language_here
from scripts.presenting import examples, present_all, present_error
from scripts.verbs import UsageError, Verb, VerbGroup

INTERRUPTED = 130
READER_GONE = 141


VERBS = {
    "doctor": Verb(
        module="scripts.doctor",
        attribute="doctor",
        help="Say what this machine has, lacks, and the cure.",
        examples=(("cgc doctor", "what is there, what is missing, and the command that mends it"),),
    ),
    "toolchain": Verb(module="scripts.toolchain.cli", attribute="app", help="Get, build and bundle the programs."),
    "nation": Verb(module="scripts.nation", attribute="app", help="Check, show, explain or reform what is declared."),
    "rehearse": Verb(module="scripts.rehearsal.cli", attribute="app", help="Raise a small nation on this machine."),
    "preview": Verb(
        module="scripts.previewing",
        attribute="preview",
        help="Show what would change, and whom it touches.",
        examples=(
            ("cgc preview", "the difference between the declaration and what runs"),
            ("cgc --declaration DIR preview --json", "of another declaration, for a program"),
        ),
    ),
    "converge": Verb(
        module="scripts.converging",
        attribute="converge",
        help="Make reality as declared (--apply).",
        examples=(
            ("cgc converge", "show what would be done"),
            ("cgc converge --apply", "do it, and seal the evidence"),
        ),
    ),
    "judge": Verb(
        module="scripts.judging",
        attribute="judge",
        help="Say whether a plan or what runs is lawful.",
        examples=(
            ("cgc judge", "judge what runs"),
            ("cgc judge --plan", "judge the declaration before anything is changed"),
        ),
    ),
    "drift": Verb(
        module="scripts.drifting",
        attribute="drift",
        help="Show where reality departs from the declaration.",
        examples=(("cgc drift", "each difference, with who and when where it is known; exit code 5 if there is one"),),
    ),
    "serve": Verb(
        module="scripts.serving",
        attribute="serve",
        help="Serve the exporters' metrics.",
        examples=(("cgc serve --help", "what can be served, and where"),),
    ),
    "evidence": Verb(module="scripts.evidence_cli", attribute="app", help="Seal, show and verify what was done."),
}


class RootGroup(VerbGroup):
    """The root command."""

    verbs = VERBS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the verb; without any argument, show the help as for a usage error."""
        if not args and not ctx.resilient_parsing:
            with contextlib.redirect_stdout(sys.stderr):
                print(ctx.get_help(), end="")
            ctx.exit(int(ExitCode.WRONG_INPUT))
        return super().parse_args(ctx, args)

    def main(  # type: ignore[override] # the rest of typer's arguments goes through `extra`
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - typer's signature
        **extra: Any,
    ) -> Any:
        """Run a command line; never show a traceback without --debug, and end by SystemExit with its exit code."""
        del standalone_mode
        given = list(sys.argv[1:] if args is None else args)
        with kept_apart():
            code = _run(super().main, given, prog_name=prog_name or "cgc", **extra)
        _leave_unwritten()
        raise SystemExit(code)


def _run(typer_main: Any, given: list[str], **extra: Any) -> int:
    """Run the command and turn every way to end into an exit code."""
    # Read from the arguments, not from a parsed context: also a command line that cannot be parsed has its error
    # rendered as its user asked.
    options = given[: given.index("--")] if "--" in given else given
    as_json, debug = "--json" in options, "--debug" in options
    try:
        code = typer_main(args=given, standalone_mode=False, **extra)
        present_all()
    except CgcError as err:
        _report(err, as_json=as_json, debug=debug)
        return int(err.exit_code)
    except click.ClickException as err:
        _report(_usage_error(err), as_json=as_json, debug=debug)
        return int(ExitCode.WRONG_INPUT)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as err:
        # Typer and rich both answer a broken pipe with SystemExit(1), raised while they handle it.
        if not isinstance(err, BrokenPipeError) and not isinstance(err.__context__, BrokenPipeError):
            raise
        return READER_GONE
    except Exception as err:  # noqa: BLE001 - the last door: no traceback reaches a user unless asked for
        _report(_unexpected(err), as_json=as_json, debug=debug)
        return int(ExitCode.FAILED)
    return code if isinstance(code, int) else int(ExitCode.AS_DECLARED)


def _usage_error(err: click.ClickException) -> UsageError:
    context = getattr(err, "ctx", None)
    path = context.command_path if context is not None else "cgc"
    return UsageError("CGC-640", err.format_message(), where=path, remedy=f"see `{path} --help`")


def _report(err: CgcError, *, as_json: bool, debug: bool) -> None:
    if debug:
        traceback.print_exception(err)
    present_error(err, as_json=as_json)


def _unexpected(err: Exception) -> CgcError:
    unexpected = ScriptError(
        "CGC-649",
        f"unexpected {type(err).__name__}: {err}",
        remedy="run it again as `cgc --debug …` and report the traceback",
    )
    unexpected.__cause__ = err
    return unexpected


def _leave_unwritten() -> None:
    """Let the interpreter flush into nothing at exit (Python's documentation of `signal`, note on SIGPIPE)."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=RootGroup,
    name="cgc",
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        ("cgc doctor", "what is missing on this machine"),
        ("cgc rehearse up", "raise the nation and live its day"),
        ("cgc preview", "what would change, and whom it would touch"),
        ("cgc drift --json", "where reality departs from the declaration"),
        ("cgc evidence verify", "prove what was done, offline"),
    ),
)


@app.callback()
def root(
    *,
    declaration: Annotated[
        Path, typer.Option("--declaration", metavar="DIR", help="The declaration of the nation.")
    ] = DEFAULT_DECLARATION,
    language: Annotated[
        Language | None, typer.Option("--lang", help="Language of what people read; else by LANG.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Provision and watch the government's clouds, data network and platforms from one declaration."""
    begin(Invocation(language=language or language_here(), declaration=declaration, debug=debug))


def main() -> int:
    """Run `cgc` with this process's arguments."""
    app()
    return int(ExitCode.AS_DECLARED)
