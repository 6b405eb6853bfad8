"""Scenarios for promtool's rule tests: a nation lives through phases, and one asks which alerts fired.

The series are what our collectors really show of simulated worlds, the rules are the generated ones, and Prometheus'
own engine evaluates them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from exporters.network import NetworkCollector
from exporters.probing import targets_of
from exporters.uptime import UptimeCollector
from inventories.model import Nation
from playbooks.monitoring import rules_text, services_of
from tests.exporters.world import VANTAGE, World
from tests.tools import run_tool

STEP_SECONDS = 5
PAGES_EVER = 'count by (alertname, cause) (count_over_time(ALERTS{alertstate="firing",severity="page"}[30m]))'
ALERTS_NOW = 'count by (alertname, cause) (ALERTS{alertstate="firing",severity!="none"})'


@dataclass(frozen=True, kw_only=True)
class Phase:
    """For how many seconds the world is like this; `more` are other series' values meanwhile."""

    seconds: int
    world: World
    more: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Question:
    """An expression asked at a time, and the (alertname, cause) pairs that must be its answer."""

    at_seconds: int
    expression: str
    pairs: frozenset[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Phases one after the other; what the network exporter shows comes `lag_seconds` after it happened."""

    name: str
    phases: tuple[Phase, ...]
    questions: tuple[Question, ...]
    lag_seconds: int = 20

    @property
    def seconds(self) -> int:
        """How long it all takes."""
        return sum(phase.seconds for phase in self.phases)


class SeriesOfWorlds:
    """What the exporters show of a world, by series; each world is looked at once."""

    def __init__(self, nation: Nation) -> None:
        self._nation = nation
        self._targets = targets_of(nation, vantage=nation.node_by_name[VANTAGE])
        self._network: dict[World, dict[str, float]] = {}
        self._uptime: dict[World, dict[str, float]] = {}

    def network(self, world: World) -> dict[str, float]:
        """Return the network exporter's series."""
        if world not in self._network:
            reading = world.network_reading()
            collector = NetworkCollector(self._nation, vantage=VANTAGE, source=lambda: reading)
            self._network[world] = dict(_series(collector))
        return self._network[world]

    def uptime(self, world: World) -> dict[str, float]:
        """Return the uptime exporter's series, and whether each exporter could be scraped."""
        if world not in self._uptime:
            outcomes = world.outcomes()
            collector = UptimeCollector(self._targets, vantage=VANTAGE, source=lambda: outcomes)
            series = dict(_series(collector))
            series |= {f'up{{job="{service.unit}"}}': 1.0 for service in services_of(self._nation)}
            series['up{job="prometheus-alertmanager"}'] = 1.0
            series |= {
                f'up{{job="node",node="{node.name}"}}': float(node.name not in world.dead)
                for node in self._nation.nodes
            }
            self._uptime[world] = series
        return self._uptime[world]


def _series(collector: Any) -> Iterator[tuple[str, float]]:
    registry = CollectorRegistry()
    registry.register(collector)
    for metric in registry.collect():
        for sample in metric.samples:
            labels = ",".join(
                f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sample.labels.items()
            )
            yield f"{sample.name}{{{labels}}}", sample.value


def ask(nation: Nation, directory: Path, scenarios: Iterable[Scenario]) -> str:
    """Let promtool evaluate the nation's rules over the scenarios; returns what it found wrong, empty if nothing."""
    (directory / "rules.yml").write_text(rules_text(nation))
    shown = SeriesOfWorlds(nation)
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{STEP_SECONDS}s",
        "tests": [_test(scenario, shown) for scenario in scenarios],
    }
    path = directory / "scenarios.yml"
    path.write_text(json.dumps(document, ensure_ascii=False))
    done = run_tool("promtool", "test", "rules", str(path), cwd=directory)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _test(scenario: Scenario, shown: SeriesOfWorlds) -> dict[str, Any]:
    values: dict[str, list[str]] = defaultdict(list)
    steps = scenario.seconds // STEP_SECONDS
    for step in range(steps):
        now, before = (_phase_at(scenario, max(step * STEP_SECONDS - lag, 0)) for lag in (0, scenario.lag_seconds))
        present = {**shown.network(before.world), **shown.uptime(now.world), **(now.more or {})}
        for series, value in present.items():
            missed = step - len(values[series])
            values[series] += ["_"] * missed
            values[series].append(f"{value:g}")
    return {
        "name": scenario.name,
        "interval": f"{STEP_SECONDS}s",
        "input_series": [{"series": series, "values": " ".join(of)} for series, of in values.items()],
        "promql_expr_test": [
            {
                "expr": question.expression,
                "eval_time": f"{question.at_seconds}s",
                "exp_samples": [
                    {"labels": f'{{alertname="{alert}",cause={json.dumps(cause)}}}', "value": 1}
                    for alert, cause in sorted(question.pairs)
                ],
            }
            for question in scenario.questions
        ],
    }


def _phase_at(scenario: Scenario, seconds: int) -> Phase:
    for phase in scenario.phases:
        if seconds < phase.seconds:
            return phase
        seconds -= phase.seconds
    return scenario.phases[-1]
