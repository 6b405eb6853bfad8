"""What every exporter shows is what Prometheus' own linter accepts, with data and without."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from exporters.findings import FindingsCollector, FindingsRound
from exporters.network import NetworkCollector, NetworkRound
from exporters.platforms import Clusters, PlatformsCollector
from exporters.probing import targets_of
from exporters.receiving import Journal, NotificationsCollector
from exporters.rounds import Reading
from exporters.uptime import UptimeCollector
from inventories.model import Nation
from policies.control import Verdict
from policies.drift import Departure, Drift, DriftItem
from policies.observed import Observed
from stacks.objects import cluster_manifest
from tests.exporters.test_findings import finding
from tests.exporters.test_platforms import objects, observed
from tests.exporters.test_receiving import notification
from tests.exporters.world import VANTAGE, World
from tests.tools import run_tool


def collectors(nation: Nation, directory: Path) -> dict[str, Collector]:
    """Return every collector with something to show, and with nothing."""
    world = World(nation=nation, mute=frozenset({"core-a-hn"}), cut=frozenset({"province-19--core-a-hn"}))
    network = world.network_reading()
    quota = {"hard": {"pods": "8"}, "used": {"pods": "2"}}
    seen = observed(objects("v1", "ResourceQuota", "share", "bca-nixa", status=quota))
    platforms: Reading[Clusters] = Reading(value={"cgc-north": seen}, age_seconds=1, limit_seconds=60)
    item = DriftItem(
        subject="node/x", where="/y", departure=Departure.CHANGED, part="", expected="", found="", repairable=True
    )
    judged = FindingsRound(
        observed=Observed(),
        findings=(finding("NC-01", "platform/nixa", Verdict.FAIL),),
        drift=Drift(items=(item,), silences=(), heard=1),
    )
    findings: Reading[FindingsRound] = Reading(value=judged, age_seconds=1, limit_seconds=60)
    journal = Journal(directory / "notifications.jsonl")
    journal.keep(notification("AlertChainWatchdog"))
    targets = targets_of(nation, vantage=nation.node_by_name[VANTAGE])
    wanted = {one.id: cluster_manifest(nation, one, image="registry.test/x:1") for one in nation.clusters}
    no_network: Reading[NetworkRound] = Reading(value=None, age_seconds=None, limit_seconds=60)
    no_platforms: Reading[Clusters] = Reading(value=None, age_seconds=None, limit_seconds=60)
    no_findings: Reading[FindingsRound] = Reading(value=None, age_seconds=None, limit_seconds=60)
    return {
        "uptime": UptimeCollector(targets, vantage=VANTAGE, source=world.outcomes),
        "network": NetworkCollector(nation, vantage=VANTAGE, source=lambda: network),
        "platforms": PlatformsCollector(nation, source=lambda: platforms, wanted=wanted),
        "findings": FindingsCollector(source=lambda: findings),
        "alerts": NotificationsCollector(journal),
        "uptime without data": UptimeCollector(targets, vantage=VANTAGE, source=tuple),
        "network without data": NetworkCollector(nation, vantage=VANTAGE, source=lambda: no_network),
        "platforms without data": PlatformsCollector(nation, source=lambda: no_platforms),
        "findings without data": FindingsCollector(source=lambda: no_findings),
    }


NAMES = [
    "uptime", "network", "platforms", "findings", "alerts",
    "uptime without data", "network without data", "platforms without data", "findings without data",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_promtool_finds_nothing_to_complain_about(nation: Nation, tmp_path: Path, name: str) -> None:
    """`promtool check metrics` is silent: help everywhere, base units, counters that end in _total, no doubles."""
    registry = CollectorRegistry()
    registry.register(collectors(nation, tmp_path)[name])
    done = run_tool("promtool", "check", "metrics", stdin=generate_latest(registry).decode())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", NAMES)
def test_no_series_is_shown_twice(nation: Nation, tmp_path: Path, name: str) -> None:
    """Prometheus drops a scrape with doubles: each name and set of labels occurs once."""
    registry = CollectorRegistry()
    registry.register(collectors(nation, tmp_path)[name])
    shown = [(s.name, tuple(sorted(s.labels.items()))) for metric in registry.collect() for s in metric.samples]
    assert len(shown) == len(set(shown))
    assert shown
