"""Several clusters at once: each run in a process of its own, as many at a time as the machine has processors for.

Processes, not threads: a run enters the network namespace that reaches its cluster, and gRPC opens its sockets from
threads of its own, so the whole process has to be inside before the first of them starts. A killed command takes its
runs with it; the engine under a run then notices, finishes what is in flight, and gives the stack back.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from inventories.errors import CgcError, ExitCode
from stacks.assignment import Assignment
from stacks.changes import StackReport
from stacks.errors import StackError, UnreachableError
from stacks.plugins import Plugin
from stacks.workshop import Workshop

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STOP_SECONDS = 30.0

Result = StackReport | StackError


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every run of a fleet does. `enter` is called first in each process: it enters a network namespace, say."""

    workshop: Workshop
    plugin: Plugin
    is_applied: bool
    refresh: bool
    enter: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """An error on its way between processes: exceptions with keyword arguments do not survive pickling."""

    is_unknown: bool
    code: str
    what: str
    where: str
    remedy: str


def run_fleet(
    task: Task,
    assignments: Sequence[Assignment],
    *,
    at_once: int | None = None,
    report: Callable[[str], None],
) -> Mapping[str, Result]:
    """Carry the task out on every cluster; return each one's report or error, by the cluster's identifier.

    A cluster that fails does not stop the others. `at_once` is 2 for each processor unless given: a run waits for its
    cluster most of the time.
    """
    context = multiprocessing.get_context("spawn")
    limit = at_once or 2 * (os.cpu_count() or 1)
    waiting = list(assignments)
    running: dict[Connection, tuple[str, SpawnProcess]] = {}
    results: dict[str, Result] = {}
    try:
        while waiting or running:
            while waiting and len(running) < limit:
                assignment = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(theirs, os.getpid(), task, assignment), daemon=True)
                process.start()
                theirs.close()
                running[ours] = (assignment.cluster.id, process)
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)  # noqa: S101 - what was given is what is returned
                cluster, process = running[connection]
                message = _received(connection)
                if isinstance(message, str):
                    report(message)
                    continue
                results[cluster] = message or _vanished(cluster, process)
                connection.close()
                process.join()
                del running[connection]
    finally:
        for connection, (_, process) in running.items():
            process.terminate()
            process.join(_STOP_SECONDS)
            connection.close()
    return {assignment.cluster.id: results[assignment.cluster.id] for assignment in assignments}


def _received(connection: Connection) -> str | Result | None:
    """Return a line of progress, a result, or None when the run has gone without one."""
    try:
        message = connection.recv()
    except EOFError:
        return None
    if isinstance(message, _Failure):
        return _restored(message)
    assert isinstance(message, str | StackReport)  # noqa: S101 - `_work` sends nothing else
    return message


def _vanished(cluster: str, process: SpawnProcess) -> StackError:
    process.join(_STOP_SECONDS)
    return StackError(
        "CGC-260",
        f"the run ended without a word (exit code {process.exitcode})",
        where=f"cluster {cluster}",
        remedy="see whether memory ran out (`dmesg`), then run the command again: it takes up what was left",
    )


def _restored(failure: _Failure) -> StackError:
    kind = UnreachableError if failure.is_unknown else StackError
    return kind(failure.code, failure.what, where=failure.where, remedy=failure.remedy)


def _work(connection: Connection, parent: int, task: Task, assignment: Assignment) -> None:
    """Run in the child process: carry the task out on one cluster and send what came of it."""
    _die_with(parent)
    # The terminal's interrupt reaches the engine too, which ends in good order; this process waits for it.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    connection.send(_outcome(connection, task, assignment))
    connection.close()


def _outcome(connection: Connection, task: Task, assignment: Assignment) -> StackReport | _Failure:
    try:
        if task.enter is not None:
            task.enter()
        from stacks import engine  # noqa: PLC0415 - only inside the namespace: the SDK brings threads that open sockets

        if task.is_applied:
            return engine.up(task.workshop, task.plugin, assignment, report=connection.send)
        return engine.preview(task.workshop, task.plugin, assignment, refresh=task.refresh, report=connection.send)
    except CgcError as err:
        is_unknown = err.exit_code is ExitCode.UNKNOWN
        return _Failure(is_unknown=is_unknown, code=err.code, what=err.what, where=err.where, remedy=err.remedy)


def _die_with(parent: int) -> None:
    """Let the kernel end this process when the command that started it ends, however that happens (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it ended before we asked
