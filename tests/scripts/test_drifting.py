"""`cgc drift`: what, where, who, when, and whether converging repairs it; exit codes; silence is no calm."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inventories import Nation
from inventories.errors import ExitCode
from policies.observed import ClusterObservation, Difference, NodeObservation, Observed, Planned, Reason, Silence
from scripts import drifting, observing
from scripts.cli import app
from scripts.observing import event_of
from scripts.planned import manifests_of
from scripts.rehearsal.identity import OPERATIONS, checkout_id, part_name

AT = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "250"})


def as_declared(nation: Nation) -> Observed:
    """Return a round in which every node says it is as it should be and every cluster has its manifest."""
    return Observed(
        nodes={
            node.name: NodeObservation(
                node=node.name, seen_at=AT, seen_from="test", fingerprint="", state_hash="", differences=()
            )
            for node in nation.nodes
        },
        clusters={
            cluster: ClusterObservation(cluster=cluster, seen_at=AT, seen_from="test", objects=objects)
            for cluster, objects in manifests_of(nation).items()
        },
    )


class Rounds:
    """Stands for the gathering: returns what it was given, and remembers what it was asked."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.asked: list[tuple[str, Path]] = []

    def __call__(self, nation: Nation, state: Path) -> tuple[Planned, Observed]:
        """Return the plan and the round."""
        self.asked.append((nation.name, state))
        return Planned(cluster_objects=manifests_of(nation)), self.observed


@pytest.fixture
def gathered(nation: Nation, monkeypatch: pytest.MonkeyPatch) -> Rounds:
    """Let the command see a nation that is as declared; tests change what is seen."""
    rounds = Rounds(as_declared(nation))
    monkeypatch.setattr(drifting, "gather", rounds)
    return rounds


def test_no_drift_ends_with_zero(gathered: Rounds, nation: Nation) -> None:
    """Everything answered and is as declared."""
    result = runner.invoke(app, ["drift", "--json"], prog_name="cgc")
    assert result.exit_code == ExitCode.AS_DECLARED, result.output
    shown = json.loads(result.stdout)
    assert (shown["verdict"], shown["departures"]) == ("PASS", 0)
    assert shown["subjects_heard"] == len(nation.nodes) + len(nation.clusters)
    assert gathered.asked == [("rehearsal", Path(".rehearsal"))]


def test_drift_is_shown_with_who_and_when(gathered: Rounds) -> None:
    """An edited file and a pod nobody declared: two rows, exit code 5, in table and JSON alike."""
    node = gathered.observed.nodes["province-92"]
    cluster = gathered.observed.clusters["agc-thainguyen"]
    assert isinstance(node, NodeObservation)
    assert isinstance(cluster, ClusterObservation)
    edited = Difference(
        path="/etc/sysctl.d/60-cgc.conf",
        aspect="content",
        expected="aaaa",
        found="bbbb",
        changed_at=AT,
        changed_by=("tran.b",),
        diff="-net.ipv4.ip_forward = 1\n+net.ipv4.ip_forward = 0",
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "khach-la",
            "namespace": "ubnd-thainguyen-lgsp-thainguyen",
            "creationTimestamp": "2026-11-24T03:59:00Z",
        },
    }
    gathered.observed = Observed(
        nodes={**gathered.observed.nodes, "province-92": replace(node, differences=(edited,))},
        clusters={
            **gathered.observed.clusters,
            "agc-thainguyen": replace(cluster, objects=(*cluster.objects, pod)),
        },
    )
    result = runner.invoke(app, ["drift", "--json"], prog_name="cgc")
    assert result.exit_code == ExitCode.DIFFERS
    first, second = json.loads(result.stdout)["drift"]
    assert (first["subject"], first["where"], first["who"], first["when"], first["repairable"]) == (
        "node/province-92",
        "/etc/sysctl.d/60-cgc.conf",
        ["tran.b"],
        "2026-11-24T04:00:00Z",
        True,
    )
    assert (second["what"], second["where"], second["repairable"]) == (
        "undeclared",
        "Pod/ubnd-thainguyen-lgsp-thainguyen/khach-la",
        False,
    )
    table = runner.invoke(app, ["drift"], prog_name="cgc")
    assert table.exit_code == ExitCode.DIFFERS
    for text in ("/etc/sysctl.d/60-cgc.conf", "tran.b", "khach-la", "2026-11-24T04:00:00Z"):
        assert text in table.stdout
    assert "ip_forward = 0" not in table.stdout
    assert "ip_forward = 0" in runner.invoke(app, ["drift", "--diff"], prog_name="cgc").stdout


def test_silence_is_no_calm(gathered: Rounds) -> None:
    """If one node does not answer, the command ends with 3 although nothing else departs, and names it."""
    silence = Silence(subject="core-a-hn", seen_at=AT, seen_from="test", reason=Reason.UNREACHABLE, detail="no route")
    gathered.observed = Observed(
        nodes={**gathered.observed.nodes, "core-a-hn": silence}, clusters=gathered.observed.clusters
    )
    result = runner.invoke(app, ["drift"], prog_name="cgc")
    assert result.exit_code == ExitCode.UNKNOWN
    assert "core-a-hn" in result.stdout
    assert "no route" in result.stdout


def test_without_credentials_the_command_says_so(tmp_path: Path) -> None:
    """Where nothing was raised there is nothing to look at: an error with a remedy, not an empty table."""
    result = runner.invoke(app, ["drift", "--state", str(tmp_path / "none")], prog_name="cgc")
    assert result.exit_code == ExitCode.FAILED
    assert "CGC-650" in result.stderr
    assert "cgc rehearse up" in result.stderr


def test_a_rehearsal_that_is_down_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The namespace is entered only if it exists: elsewhere the machine's own network leads to the nodes."""
    assert observing.access_of(tmp_path / ".rehearsal").namespace is None
    up = part_name(checkout_id(tmp_path), OPERATIONS)
    monkeypatch.setattr(observing, "network_namespaces", lambda: [up])
    assert observing.access_of(tmp_path / ".rehearsal").namespace == up


@pytest.mark.parametrize("line", ["", "not json", '{"stage": "RequestReceived"}', "[1]", '{"stage": "Response'])
def test_only_answered_requests_of_the_audit_log_count(line: str) -> None:
    """A line cut short, or of another stage, is no event."""
    assert event_of(line) is None


def test_an_answered_request_is_an_event() -> None:
    """The API server writes one JSON object a line."""
    line = json.dumps({"stage": "ResponseComplete", "verb": "patch"})
    assert event_of(line) == {"stage": "ResponseComplete", "verb": "patch"}
