"""Verbs that are loaded when they are asked for, so that help and completion answer at once, and each alone."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

import typer
from typer import _click as click  # typer carries its own copy of click and exports its types nowhere else
from typer.core import TyperCommand, TyperGroup

from inventories.errors import ExitCode
from scripts.errors import ScriptError
from scripts.presenting import examples


class UsageError(ScriptError):
    """The command line does not say what to do."""

    exit_code = ExitCode.WRONG_INPUT


@dataclass(frozen=True, kw_only=True)
class Verb:
    """Where a verb lives: a function (one command) or a typer app (several) in a module; its line and examples in help.

    An app brings its own examples; a function's are here: (command, what it does).
    """

    module: str
    attribute: str
    help: str
    examples: tuple[tuple[str, str], ...] = ()


class VerbGroup(TyperGroup):
    """A command of several verbs: lists them without importing them, and imports the one that runs."""

    verbs: ClassVar[Mapping[str, Verb]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of the help."""
        del ctx
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb's line for help and completion; its module stays unloaded."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return TyperCommand(cmd_name, help=self.verbs[cmd_name].help)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Load the verb that runs."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known:
            return name, load(name, self.verbs[name]), args[1:]
        if ctx.resilient_parsing:
            return None, None, args[1:]
        near = get_close_matches(name, known, n=1)
        raise UsageError(
            "CGC-640",
            f"there is no verb {name!r}",
            where=ctx.command_path,
            remedy=f"did you mean `{ctx.command_path} {near[0]}`?" if near else f"the verbs are {', '.join(known)}",
        )


def load(name: str, verb: Verb) -> click.Command:
    """Import a verb's module and return its command; ScriptError CGC-642 if the module does not hold it."""
    try:
        found = getattr(importlib.import_module(verb.module), verb.attribute)
    except (ImportError, AttributeError) as err:
        raise ScriptError(
            "CGC-642",
            f"the verb {name!r} cannot be loaded: {err}",
            where=verb.module,
            remedy="run `cgc doctor`, or install the toolkit again with `make`; `cgc --debug` shows the traceback",
        ) from err
    if isinstance(found, typer.Typer):
        app = found
    elif isinstance(found, click.Command):
        return found
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(name, epilog=examples(*verb.examples) if verb.examples else None)(found)
    app._add_completion = False  # noqa: SLF001 - the root installs completion for all verbs
    command = typer.main.get_command(app)
    command.name = name
    if isinstance(command, TyperGroup):
        command.no_args_is_help = False  # a missing sub-command is a usage error like any other, not a result
    return command
