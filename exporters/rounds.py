"""Read in rounds behind the scrapes: a scrape takes what the last round found, or nothing once that is too old.

No scrape waits for nineteen SSH connections, and no old value is ever shown as a present one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
LEAST_PAUSE_RATIO = 1.0  # who observes must not become the load: at most half of the time is spent reading
JITTER_RATIO = 0.1  # rounds of several exporters drift apart instead of meeting at every node at once


@dataclass(frozen=True, kw_only=True)
class Reading(Generic[T]):
    """The last round's result as of now: `value` is None if there was none or it is older than the limit.

    Ages and durations are in seconds; `age_seconds` is None before the first round ended.
    """

    value: T | None
    age_seconds: float | None
    limit_seconds: float
    duration_seconds: float = 0.0
    rounds: int = 0
    failures: int = 0


class Rounds(Generic[T]):
    """Calls `read` every `interval_seconds` and keeps its last result for `limit_seconds`.

    A round that raises is logged and counted, and leaves the last result to grow old.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[T]],
        *,
        interval_seconds: float,
        limit_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._read = read
        self.interval_seconds = interval_seconds
        self.limit_seconds = limit_seconds if limit_seconds is not None else 4 * interval_seconds
        self._clock = clock
        self._jitter = jitter
        self._value: T | None = None
        self._began_at: float | None = None
        self._duration_seconds = 0.0
        self._rounds = 0
        self._failures = 0

    def reading(self) -> Reading[T]:
        """Return what the last round found; its age counts from when that round began."""
        age = None if self._began_at is None else self._clock() - self._began_at
        return Reading(
            value=self._value if age is not None and age <= self.limit_seconds else None,
            age_seconds=age,
            limit_seconds=self.limit_seconds,
            duration_seconds=self._duration_seconds,
            rounds=self._rounds,
            failures=self._failures,
        )

    async def once(self) -> None:
        """Go one round."""
        began_at = self._clock()
        self._rounds += 1
        try:
            value = await self._read()
        except Exception:  # noqa: BLE001 - must not end the exporter: logged, counted, and the last result grows old
            self._failures += 1
            _LOG.exception("a round failed")
            return
        self._value, self._began_at = value, began_at
        self._duration_seconds = self._clock() - began_at

    async def run(self) -> None:
        """Go rounds until cancelled."""
        while True:
            began_at = self._clock()
            await self.once()
            lasted = self._clock() - began_at
            pause = self.interval_seconds * (1 + JITTER_RATIO * (self._jitter() - 0.5)) - lasted
            await asyncio.sleep(max(pause, LEAST_PAUSE_RATIO * lasted))


def round_metrics(name: str, reading: Reading[T]) -> Iterable[Metric]:
    """Yield how a collector's own reading goes; the age is absent before the first round has ended."""
    fresh = GaugeMetricFamily(
        "cgc_round_fresh", "Whether the last round is young enough to be shown.", labels=["round"]
    )
    fresh.add_metric([name], float(reading.value is not None))
    yield fresh
    age = GaugeMetricFamily("cgc_round_age_seconds", "How long ago the last complete round began.", labels=["round"])
    if reading.age_seconds is not None:
        age.add_metric([name], reading.age_seconds)
    yield age
    limit = GaugeMetricFamily("cgc_round_limit_seconds", "The age from which nothing is shown.", labels=["round"])
    limit.add_metric([name], reading.limit_seconds)
    yield limit
    lasted = GaugeMetricFamily("cgc_round_duration_seconds", "How long the last complete round took.", labels=["round"])
    if reading.age_seconds is not None:
        lasted.add_metric([name], reading.duration_seconds)
    yield lasted
    rounds = CounterMetricFamily("cgc_rounds", "Rounds begun.", labels=["round"])
    rounds.add_metric([name], reading.rounds)
    yield rounds
    failures = CounterMetricFamily("cgc_round_failures", "Rounds that failed as a whole.", labels=["round"])
    failures.add_metric([name], reading.failures)
    yield failures
