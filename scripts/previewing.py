"""`cgc preview`: what converging would change on nodes and clusters, and whom that touches. Always dry."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from inventories import Nation, load_nation
from inventories.errors import CgcError, ExitCode
from inventories.model import Cluster
from playbooks.running import FileChange, HostResult, HostState
from scripts import blast_radius
from scripts.access import STATE, Access
from scripts.blast_radius import BlastRadius
from scripts.errors import ScriptError
from scripts.invocation import JsonOption, current
from scripts.observing import access_of
from scripts.playing import FAILURES, differing_bundles, run_bundles
from scripts.presenting import Column, Table, finish, present, progress
from scripts.stacking import run_stacks
from stacks.changes import ObjectChange, Operation, StackReport
from stacks.errors import StackError

_LONGEST_CELL = 90


@dataclass(frozen=True, kw_only=True)
class NodeChange:
    """What converging would do to a node: the files it would write, the units it would reload."""

    node: str
    files: tuple[FileChange, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A node or a cluster of which it could not be said what would change."""

    subject: str
    is_unknown: bool  # it did not answer, rather than the preview having failed
    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What converging would change, whom that touches, and what could not be found out."""

    nodes: tuple[NodeChange, ...] = ()
    clusters: Mapping[str, StackReport] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    touched: BlastRadius = field(default_factory=BlastRadius)

    @property
    def exit_codes(self) -> tuple[ExitCode, ...]:
        """The exit codes that apply."""
        codes: list[ExitCode] = []
        if self.nodes or any(report.changes for report in self.clusters.values()):
            codes.append(ExitCode.DIFFERS)
        codes += [ExitCode.UNKNOWN if failure.is_unknown else ExitCode.FAILED for failure in self.failures]
        return tuple(codes)


def preview(
    *,
    clusters: Annotated[
        list[str] | None, typer.Option("--cluster", metavar="ID", help="Only this cluster, and no nodes; repeatable.")
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option("--refresh/--no-refresh", help="Read the clusters first, so that changes made by hand show too."),
    ] = True,
    diff: Annotated[bool, typer.Option("--diff", help="Show the difference of each file's text.")] = False,
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="Where the credentials lie.")] = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show what converging would change, and whom that touches; change nothing.

    Ends with 0 if there is nothing to do, 5 if there is, 3 if somebody did not answer, 1 if the preview failed.
    """
    nation = load_nation(current().declaration)
    chosen = chosen_clusters(nation, clusters)
    access = access_of(state)
    access.require()
    with progress("comparing with what runs") as steps:
        seen = preview_nation(
            nation, access, clusters=chosen, with_nodes=clusters is None, refresh=refresh, report=steps.step
        )
    show(nation, seen, as_json=as_json, diff=diff)
    finish(*seen.exit_codes)


def chosen_clusters(nation: Nation, identifiers: list[str] | None) -> list[Cluster]:
    """Return the clusters of these names, all of them if none is given; ScriptError CGC-655 for an unknown one."""
    unknown = sorted(set(identifiers or ()) - nation.cluster_by_id.keys())
    if unknown:
        error = ScriptError(
            "CGC-655",
            f"the declaration has no cluster {', '.join(unknown)}",
            where=str(nation.directory),
            remedy=f"name one of {', '.join(sorted(nation.cluster_by_id))}",
        )
        error.exit_code = ExitCode.WRONG_INPUT
        raise error
    return [cluster for cluster in nation.clusters if identifiers is None or cluster.id in identifiers]


def preview_nation(
    nation: Nation,
    access: Access,
    *,
    clusters: list[Cluster],
    with_nodes: bool,
    refresh: bool,
    report: Callable[[str], None],
) -> Preview:
    """Compare the nodes, if wanted, and the clusters with the declaration; a failure of one stops no other."""
    nodes: tuple[NodeChange, ...] = ()
    failures: tuple[Failure, ...] = ()
    if with_nodes:
        nodes, failures = node_changes(nation, access, report=report)
    results = run_stacks(nation, access, clusters, is_applied=False, refresh=refresh, report=report) if clusters else {}
    reports = {name: result for name, result in results.items() if isinstance(result, StackReport)}
    failures += tuple(
        _failure_of(f"cluster/{name}", error) for name, error in results.items() if isinstance(error, StackError)
    )
    touched = BlastRadius()
    for change in nodes:
        touched |= blast_radius.of_node(nation, change.node)
    for name, result in reports.items():
        for changed in result.changes:
            touched |= blast_radius.of_object(nation, name, changed)
    return Preview(nodes=nodes, clusters=reports, failures=failures, touched=touched)


def _failure_of(subject: str, error: CgcError) -> Failure:
    is_unknown = error.exit_code is ExitCode.UNKNOWN
    return Failure(subject=subject, is_unknown=is_unknown, what=f"{error.code} {error.what}", remedy=error.remedy)


def node_changes(
    nation: Nation, access: Access, *, report: Callable[[str], None]
) -> tuple[tuple[NodeChange, ...], tuple[Failure, ...]]:
    """Return what the play would change on each node that is not as declared, in Ansible's check mode."""
    differing = differing_bundles(nation, access, report=report)
    if not differing:
        return (), ()
    report(f"comparing {len(differing)} nodes")
    results = run_bundles(nation, access, differing, is_applied=False, report=report)
    changes = tuple(
        NodeChange(node=result.host, files=result.files, units=result.units)
        for result in results
        if result.state is HostState.CHANGED
    )
    return changes, tuple(_node_failure(result) for result in results if result.state in FAILURES)


def _node_failure(result: HostResult) -> Failure:
    return Failure(
        subject=f"node/{result.host}",
        is_unknown=result.state is not HostState.FAILED,
        what=f"{result.state}: {result.message or result.failed_task}".rstrip(": "),
        remedy="see that it runs and that the network to it is up"
        if result.state is not HostState.FAILED
        else "mend what it names",
    )


def show(nation: Nation, seen: Preview, *, as_json: bool, diff: bool = False) -> None:
    """Print what would change, whom it touches, and what could not be found out."""
    facts: dict[str, object] = {"nodes_to_change": len(seen.nodes)}
    for operation in Operation:
        name = "objects_unchanged" if operation is Operation.SAME else f"objects_to_{operation}"
        facts[name] = sum(report.count(operation) for report in seen.clusters.values())
    facts |= {
        "platforms_touched": seen.touched.platforms,
        "agencies_touched": seen.touched.agencies,
        "communes_touched": seen.touched.communes,
    }
    tables = [
        _clusters_table(seen),
        _objects_table(nation, seen, as_json=as_json),
        _nodes_table(seen, with_text=as_json),
        _failures_table(seen),
    ]
    present([table for table in tables if table.rows or as_json], facts=facts, as_json=as_json)
    if diff and not as_json:
        for change in seen.nodes:
            for file in change.files:
                print(f"\n{change.node}: {file.path}\n{_printable(_text_difference(file))}")


def _printable(text: str) -> str:
    """Return a text whose control characters cannot move the reader's cursor; lines stay lines."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in text)


def _clusters_table(seen: Preview) -> Table:
    columns = (
        Column(key="cluster", en="cluster", vi="cụm"),
        Column(key="create", en="create", vi="tạo"),
        Column(key="update", en="update", vi="sửa"),
        Column(key="replace", en="replace", vi="thay"),
        Column(key="delete", en="delete", vi="xóa"),
        Column(key="same", en="unchanged", vi="giữ nguyên"),
        Column(key="provider", en="provider", vi="trình điều khiển"),
        Column(key="warnings", en="warnings", vi="cảnh báo"),
    )
    rows = tuple(
        {
            "cluster": name,
            **{operation.value: report.count(operation) for operation in Operation},
            "provider": report.plugin,
            "warnings": report.warnings,
        }
        for name, report in seen.clusters.items()
    )
    return Table(name="clusters", columns=columns, rows=rows)


def _objects_table(nation: Nation, seen: Preview, *, as_json: bool) -> Table:
    columns = (
        Column(key="cluster", en="cluster", vi="cụm"),
        Column(key="operation", en="operation", vi="thao tác"),
        Column(key="object", en="object", vi="đối tượng"),
        Column(key="field", en="field", vi="trường"),
        Column(key="before", en="runs", vi="đang chạy"),
        Column(key="after", en="declared", vi="khai báo"),
        Column(key="platforms", en="touches", vi="ảnh hưởng"),
    )
    rows = tuple(
        {
            "cluster": name,
            "operation": change.operation,
            "object": _named(change),
            "field": path,
            "before": _cell(before, as_json=as_json),
            "after": _cell(after, as_json=as_json),
            "platforms": blast_radius.of_object(nation, name, change).platforms,
        }
        for name, report in seen.clusters.items()
        for change in report.changes
        for path, before, after in [(each.path, each.before, each.after) for each in change.fields]
        or [("", None, None)]
    )
    return Table(name="objects", columns=columns, rows=rows)


def _named(change: ObjectChange) -> str:
    return f"{change.kind} {change.namespace + '/' if change.namespace else ''}{change.name}"


def _cell(value: object, *, as_json: bool) -> object:
    """Return a field's value for a table; long ones are cut for people, never for programs."""
    if as_json or not isinstance(value, list | dict | str):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def _nodes_table(seen: Preview, *, with_text: bool) -> Table:
    columns = [
        Column(key="node", en="node", vi="nút"),
        Column(key="file", en="file", vi="tệp"),
        Column(key="aspects", en="what differs", vi="khác ở"),
        Column(key="units", en="reloads", vi="nạp lại"),
    ]
    if with_text:
        columns.append(Column(key="diff", en="difference", vi="khác biệt"))
    rows = tuple(
        {
            "node": change.node,
            "file": file.path if file else "",
            "aspects": file.aspects if file else (),
            "units": change.units,
            "diff": _text_difference(file) if file else "",
        }
        for change in seen.nodes
        for file in change.files or (None,)
    )
    return Table(name="nodes", columns=tuple(columns), rows=rows)


def _text_difference(file: FileChange) -> str:
    lines = difflib.unified_diff(
        file.before.splitlines(), file.after.splitlines(), fromfile="runs", tofile="declared", lineterm="", n=1
    )
    return "\n".join(lines)


def _failures_table(seen: Preview) -> Table:
    columns = (
        Column(key="subject", en="could not be compared", vi="không so sánh được"),
        Column(key="what", en="why", vi="lý do"),
        Column(key="remedy", en="next", vi="cần làm"),
    )
    rows = tuple(
        {"subject": failure.subject, "what": failure.what, "remedy": failure.remedy} for failure in seen.failures
    )
    return Table(name="failures", columns=columns, rows=rows)
