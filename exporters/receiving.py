"""Receive Alertmanager's notifications and keep every one of them before saying that it was received.

The journal is one JSON document a line, appended and flushed to the disk. Alertmanager sends again what was not
acknowledged, so nothing is lost between it and us; a line cut short by a crash was never acknowledged, and is cut off.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from exporters.errors import ExporterError
from exporters.serving import exposition

LARGEST_NOTIFICATION_BYTES = 4 * 2**20
WATCHDOG = "AlertChainWatchdog"
"""The alert that always fires: its notifications prove the chain from the rules to here."""


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of a notification (Alertmanager's webhook, version 4)."""

    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = msgspec.field(default_factory=dict)
    starts_at: str = ""
    ends_at: str = ""
    fingerprint: str = ""


class Notification(msgspec.Struct, frozen=True, rename="camel"):
    """What Alertmanager posts: one group of alerts (its webhook, version 4)."""

    version: str
    group_key: str
    status: str
    alerts: tuple[Alert, ...]
    receiver: str = ""
    group_labels: dict[str, str] = msgspec.field(default_factory=dict)
    common_labels: dict[str, str] = msgspec.field(default_factory=dict)


class Record(msgspec.Struct, frozen=True):
    """One line of the journal; `received_at` is in UTC, `sequence` counts from 1."""

    sequence: int
    received_at: datetime
    notification: Notification


class Journal:
    """Every notification ever received, in a file that only grows; ExporterError CGC-405 if it is damaged."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._now = now
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.ftruncate(self._descriptor, len(whole))  # the line of a write that a crash cut short
        self._records = list(self._decode(whole))
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _decode(self, content: bytes) -> Iterator[Record]:
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                yield msgspec.json.decode(line, type=Record)
            except msgspec.DecodeError as err:
                raise ExporterError(
                    "CGC-405",
                    f"this line of the journal of notifications is damaged: {err}",
                    where=f"{self._path}:{number}",
                    remedy="put the file aside (keep it: it is evidence) and start again",
                ) from err

    @property
    def records(self) -> tuple[Record, ...]:
        """Everything received, oldest first."""
        return tuple(self._records)

    def since(self, moment: datetime | None) -> tuple[Record, ...]:
        """Return what was received at or after the moment (aware), everything if there is none."""
        return tuple(record for record in self._records if moment is None or record.received_at >= moment)

    def keep(self, notification: Notification) -> Record:
        """Write the notification to the disk, then remember it; if the disk refuses: OSError, and nothing is kept."""
        record = Record(
            sequence=self._records[-1].sequence + 1 if self._records else 1,
            received_at=self._now(),
            notification=notification,
        )
        length = os.fstat(self._descriptor).st_size
        rest = memoryview(msgspec.json.encode(record) + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, length)
            raise
        self._records.append(record)
        return record

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class NotificationsCollector(Collector):
    """Counts what was received, and tells how long ago the alert that always fires came by."""

    def __init__(self, journal: Journal, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._journal = journal
        self._now = now

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the journal as it is now."""
        records = self._journal.records
        received = CounterMetricFamily("cgc_notifications_received", "Notifications received and kept.", labels=[])
        received.add_metric([], len(records))
        yield received
        age = GaugeMetricFamily(
            "cgc_alert_chain_age_seconds", "How long ago the watchdog's notification came; absent if never.", labels=[]
        )
        last = next(
            (record for record in reversed(records) if any(_is_watchdog(one) for one in record.notification.alerts)),
            None,
        )
        if last is not None:
            age.add_metric([], (self._now() - last.received_at).total_seconds())
        yield age


def _is_watchdog(alert: Alert) -> bool:
    return alert.status == "firing" and alert.labels.get("alertname") == WATCHDOG


class ReceivingApplication:
    """`POST /alerts` keeps a notification, `GET /alerts?since=TIME` returns them; `/metrics` and `/healthz`."""

    def __init__(self, journal: Journal, registry: CollectorRegistry) -> None:
        self._journal = journal
        self._registry = registry
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(Request(scope, receive))
        except HTTPException as refusal:
            answer = PlainTextResponse(f"{refusal.detail}\n", status_code=refusal.status_code)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        match request.method, request.url.path:
            case "POST", "/alerts":
                return await self._keep(request)
            case "GET", "/alerts":
                records = self._journal.since(_moment(request.query_params.get("since")))
                return JSONResponse(msgspec.to_builtins(records))
            case "GET" | "HEAD", "/metrics":
                return exposition(self._registry, request.headers)
            case "GET" | "HEAD", "/healthz":
                return PlainTextResponse("serving\n")
            case _:
                raise HTTPException(404, "/alerts, /metrics and /healthz are here")

    async def _keep(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_NOTIFICATION_BYTES:
                raise HTTPException(413, f"a notification has at most {LARGEST_NOTIFICATION_BYTES} bytes")
        try:
            notification = msgspec.json.decode(body, type=Notification)
        except msgspec.DecodeError as err:
            raise HTTPException(400, f"not a notification of Alertmanager: {err}") from err
        async with self._one_at_a_time:
            try:
                record = await asyncio.to_thread(self._journal.keep, notification)
            except OSError as err:
                raise HTTPException(507, f"could not be kept: {err.strerror or err}") from err
        return JSONResponse({"sequence": record.sequence})


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as err:
        raise HTTPException(400, f"since={text!r} is not a time such as 2026-01-31T08:00:00+00:00") from err
    if moment.tzinfo is None:
        raise HTTPException(400, f"since={text!r} has no time zone")
    return moment


def records_from(answer: bytes) -> tuple[dict[str, Any], ...]:
    """Return the records of a `GET /alerts` answer; msgspec.DecodeError if it is none."""
    return msgspec.json.decode(answer, type=tuple[dict[str, Any], ...])
