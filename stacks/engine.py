"""One cluster's run: the program of `stacks/program.py`, driven by the real Pulumi engine through the Automation API.

Call it from a process of its own (`stacks/fleet.py` does): the engine's environment and the network namespace are the
process's, and inline programs of one process share the SDK's module state.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pulumi import automation as auto

from stacks.assignment import Assignment
from stacks.changes import ObjectChange, Operation, StackReport, in_order, object_change
from stacks.errors import StackError, UnreachableError
from stacks.plugins import Plugin, recorded_in_urn, refuse_change
from stacks.program import register_cluster
from stacks.project import PROJECT
from stacks.settled import settle, unsettle, wanted
from stacks.workshop import Workshop, record_configuration, wait_for_stack

_PATIENCE_SECONDS = 60.0  # for a run that holds the stack and may be ending
_SHOWN_ERRORS = 5
_MARKUP = re.compile(r"<\{%[^%]*%\}>")  # the engine's colours, as its events carry them
_UNREACHABLE = re.compile(r"unreachable|connection refused|no route to host|i/o timeout", re.IGNORECASE)


def preview(
    workshop: Workshop, plugin: Plugin, assignment: Assignment, *, refresh: bool, report: Callable[[str], None]
) -> StackReport:
    """Say what `up` would do; `refresh` reads the cluster first, so that drift in declared fields shows too.

    Changes nothing on the cluster. StackError CGC-254 to CGC-259.
    """
    return _Run(workshop, plugin, assignment, report).preview(refresh=refresh)


def up(workshop: Workshop, plugin: Plugin, assignment: Assignment, *, report: Callable[[str], None]) -> StackReport:
    """Make the cluster as declared: read it, change what differs, wait until it is ready.

    Takes up what an earlier, killed run left: its hold on the stack and its unfinished operations. StackError CGC-254
    to CGC-259.
    """
    return _Run(workshop, plugin, assignment, report).up()


class _Run:
    def __init__(
        self, workshop: Workshop, plugin: Plugin, assignment: Assignment, report: Callable[[str], None]
    ) -> None:
        self._workshop = workshop
        self._plugin = plugin
        self._assignment = assignment
        self._name = assignment.cluster.id
        self._report = report
        self._events: list[auto.EngineEvent] = []
        self._started = time.monotonic()
        os.environ.update(workshop.environment())
        self._stack = self._called("open", self._open)
        self._refuse_another_plugin()

    def preview(self, *, refresh: bool) -> StackReport:
        """See `preview` of this module."""
        self._called("preview", lambda: self._stack.preview(refresh=refresh, on_event=self._note))
        return self._reported(event.resource_pre_event for event in self._events)

    def up(self) -> StackReport:
        """See `up` of this module."""
        self._take_over()
        unsettle(self._workshop, self._name)
        self._called("update", lambda: self._stack.up(refresh=True, on_event=self._note))
        settle(self._workshop, self._name, wanted(self._assignment, self._plugin))
        return self._reported(event.res_outputs_event for event in self._events)

    # --- the stack

    def _open(self) -> auto.Stack:
        assignment, plugin = self._assignment, self._plugin
        configuration = {
            "declaration": str(assignment.nation.directory.absolute()),
            "image": assignment.image,
            "kubeconfig": str(assignment.kubeconfig.absolute()),
        }
        stack = auto.create_or_select_stack(
            self._name,
            project_name=PROJECT,
            program=lambda: register_cluster(
                assignment.nation,
                assignment.cluster,
                image=assignment.image,
                kubeconfig=configuration["kubeconfig"],
                plugin=plugin,
            ),
            opts=auto.LocalWorkspaceOptions(
                work_dir=str(self._workshop.settings), env_vars=self._workshop.environment()
            ),
        )
        record_configuration(self._workshop, self._name, {**configuration, "provider": plugin.value})
        return stack

    def _refuse_another_plugin(self) -> None:
        """Compare the plugin with the one that the state records, and remember what else the state says."""
        exported = self._called("read the state", self._stack.export_stack)
        deployment: Mapping[str, Any] = exported.deployment or {}
        self._pending = len(deployment.get("pending_operations") or ())
        recorded = (recorded_in_urn(resource["urn"]) for resource in deployment.get("resources") or ())
        refuse_change(
            recorded=next((plugin for plugin in recorded if plugin), None), available=self._plugin, stack=self._name
        )

    def _take_over(self) -> None:
        """Lift a dead run's hold and drop what it did not finish: the objects themselves say what became of it."""
        if wait_for_stack(self._workshop, self._name, patience_seconds=_PATIENCE_SECONDS, report=self._report):
            self._report(f"{self._name}: the run that holds the stack is dead; its hold is lifted")
            self._called("lift the hold", self._stack.cancel)
            self._refuse_another_plugin()  # what it left in the state, now that nobody writes it
        if self._pending:
            self._report(f"{self._name}: {self._pending} operations of an interrupted run are looked into")
            self._called(
                "refresh",
                lambda: self._stack.refresh(clear_pending_creates=True, on_event=self._note),
            )
            self._events.clear()

    # --- the engine's voice

    def _note(self, event: auto.EngineEvent) -> None:
        self._events.append(event)
        step = event.resource_pre_event
        change = _change_of(step.metadata) if step is not None and not step.planning else None
        if change is not None and change.operation is not Operation.SAME:
            place = f"{change.namespace}/{change.name}" if change.namespace else change.name
            self._report(f"{self._name}: {change.operation.value} {change.kind} {place}")

    def _called(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except auto.ConcurrentUpdateError as err:
            raise StackError(
                "CGC-256",
                "another run holds the stack",
                where=f"stack {self._name}",
                remedy="wait for it to end; if it is dead, `cgc converge --apply` lifts its hold",
            ) from err
        except (auto.CommandError, auto.InvalidVersionError, RuntimeError, OSError) as err:
            raise self._failure(what, err) from err

    def _failure(self, what: str, err: Exception) -> StackError:
        said = list(dict.fromkeys(self._diagnostics("error")))
        text = "; ".join(said[:_SHOWN_ERRORS]) or _essence(str(err))
        if len(said) > _SHOWN_ERRORS:
            text += f"; and {len(said) - _SHOWN_ERRORS} more"
        where = f"cluster {self._name}"
        if _UNREACHABLE.search(text):
            remedy = f"see that the hosts of {self._name} run and that the network to them is up, then run it again"
            return UnreachableError("CGC-258", f"the cluster's API does not answer: {text}", where=where, remedy=remedy)
        remedy = "mend what it names and run the command again: what was done is kept, and the rest is taken up"
        return StackError("CGC-259", f"the engine could not {what}: {text}", where=where, remedy=remedy)

    def _diagnostics(self, severity: str) -> list[str]:
        found = (event.diagnostic_event for event in self._events)
        return [
            _about(said.urn) + " ".join(_MARKUP.sub("", said.message).split())
            for said in found
            if said is not None and said.severity == severity and not said.ephemeral
        ]

    def _reported(self, steps: Iterable[auto.ResourcePreEvent | auto.ResOutputsEvent | None]) -> StackReport:
        objects: dict[str, ObjectChange] = {}
        for step in steps:
            if step is None:
                continue
            change = _change_of(step.metadata)
            if change is not None:
                objects[step.metadata.urn] = _graver(objects.get(step.metadata.urn), change)
        return StackReport(
            cluster=self._name,
            plugin=self._plugin,
            is_applied=any(event.res_outputs_event and not event.res_outputs_event.planning for event in self._events),
            objects=in_order(objects.values()),
            warnings=tuple(dict.fromkeys(self._diagnostics("warning"))),
            seconds=round(time.monotonic() - self._started, 3),
        )


def _change_of(step: Any) -> ObjectChange | None:
    return object_change(
        step.op.value,
        step.type,
        step.old.inputs if step.old else None,
        step.new.inputs if step.new else None,
    )


def _graver(known: ObjectChange | None, change: ObjectChange) -> ObjectChange:
    """Return the one of two steps on a resource that says more: a step that changes it."""
    return change if known is None or known.operation is Operation.SAME else known


def _about(urn: str | None) -> str:
    """Return `Kind name: ` of the resource that a message is about; empty for the stack itself."""
    parts = (urn or "").split("::")
    kind = parts[2].rpartition(":")[2] if len(parts) > 3 else "Stack"  # noqa: PLR2004 - stack, project, type, name
    return "" if kind == "Stack" else f"{kind} {parts[3]}: "


def _essence(text: str) -> str:
    """Return the lines of a command's output that say what failed, else its last line."""
    lines = [" ".join(_MARKUP.sub("", line).split()) for line in text.splitlines()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error:")]
    return "; ".join(errors) or next((line for line in reversed(lines) if line), "it gave no reason")
