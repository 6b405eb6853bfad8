"""Every notification is on the disk before Alertmanager hears that it was received."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from exporters.errors import ExporterError
from exporters.receiving import (
    Alert,
    Journal,
    Notification,
    NotificationsCollector,
    ReceivingApplication,
)
from tests.exporters.conftest import Identities
from tests.exporters.serving_here import served
from tests.exporters.world import AT


def notification(name: str, *, status: str = "firing") -> Notification:
    """Return a notification with one alert."""
    alert = Alert(status=status, labels={"alertname": name, "severity": "page"})
    return Notification(version="4", group_key=f'{{}}:{{cause="{name}"}}', status=status, alerts=(alert,))


def ticking() -> Callable[[], datetime]:
    """Return a clock that goes on by a second at each look."""
    moments = (AT + timedelta(seconds=number) for number in range(1000))
    return lambda: next(moments)


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    """A journal opened again holds every record, in order, and counts on."""
    path = tmp_path / "alerts" / "notifications.jsonl"
    journal = Journal(path, now=ticking())
    kept = [journal.keep(notification(name)) for name in ("LinkDown", "PlatformDown")]
    journal.close()
    again = Journal(path, now=ticking())
    assert again.records == tuple(kept)
    assert again.keep(notification("NodeUnreachable")).sequence == 3
    again.close()


def test_a_crash_at_any_byte_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Wherever the last line is cut, the whole lines before it are there, and the next record follows them."""
    path = tmp_path / "notifications.jsonl"
    journal = Journal(path, now=ticking())
    for number in range(3):
        journal.keep(notification(f"Alert{number}"))
    journal.close()
    content = path.read_bytes()
    start_of_last = content[:-1].rfind(b"\n") + 1
    for length in range(start_of_last, len(content)):
        path.write_bytes(content[:length])
        again = Journal(path, now=ticking())
        assert [record.sequence for record in again.records] == [1, 2]
        assert again.keep(notification("Next")).sequence == 3
        again.close()
        last = json.loads(path.read_bytes().splitlines()[-1])
        assert last["notification"]["alerts"][0]["labels"]["alertname"] == "Next"


def test_a_damaged_line_is_not_passed_over(tmp_path: Path) -> None:
    """A line in the middle that is no record is CGC-405 with its number, not silence."""
    path = tmp_path / "notifications.jsonl"
    journal = Journal(path, now=ticking())
    for number in range(3):
        journal.keep(notification(f"Alert{number}"))
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"sequence":2', b'"sequence":"x"') + lines[2])
    with pytest.raises(ExporterError) as refusal:
        Journal(path)
    assert (refusal.value.code, refusal.value.where) == ("CGC-405", f"{path}:2")


def test_a_full_disk_keeps_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the flush fails, the record is neither remembered nor left in the file."""
    path = tmp_path / "notifications.jsonl"
    journal = Journal(path, now=ticking())
    journal.keep(notification("First"))
    size = path.stat().st_size

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("exporters.receiving.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            journal.keep(notification("Second"))
    assert path.stat().st_size == size
    assert len(journal.records) == 1
    assert journal.keep(notification("Third")).sequence == 2
    journal.close()


def test_alertmanager_posts_and_people_ask(tmp_path: Path, identities: Identities) -> None:
    """What is posted is answered with its number and is in the file; `since` cuts off what is older."""
    path = tmp_path / "notifications.jsonl"
    journal = Journal(path, now=ticking())
    application = ReceivingApplication(journal, CollectorRegistry())
    context = identities.client_context(identities.client)
    body = {
        "version": "4",
        "groupKey": "k",
        "status": "firing",
        "receiver": "journal",
        "truncatedAlerts": 0,
        "externalURL": "http://x",
        "groupLabels": {"cause": "route/QL1"},
        "commonLabels": {},
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "LinkDown", "cause": "route/QL1"},
                "annotations": {"summary_vi": "Tuyến bị đứt"},
                "startsAt": "2026-11-24T04:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://x",
                "fingerprint": "abc",
            }
        ],
    }
    with served(application, identities.server) as port:
        url = f"https://127.0.0.1:{port}/alerts"
        with httpx.Client(verify=context, trust_env=False) as client:
            assert client.post(url, json=body).json() == {"sequence": 1}
            assert client.post(url, json=body).json() == {"sequence": 2}
            assert len(path.read_bytes().splitlines()) == 2
            everything = client.get(url).json()
            assert [record["sequence"] for record in everything] == [1, 2]
            alert = everything[0]["notification"]["alerts"][0]
            assert alert["annotations"]["summary_vi"] == "Tuyến bị đứt"
            later = client.get(url, params={"since": (AT + timedelta(seconds=1)).isoformat()}).json()
            assert [record["sequence"] for record in later] == [2]
    journal.close()


def test_what_is_no_notification_is_refused_and_not_kept(tmp_path: Path, identities: Identities) -> None:
    """Other JSON, no JSON, too much, and a time without a zone are 4xx with a reason, and the file stays empty."""
    path = tmp_path / "notifications.jsonl"
    journal = Journal(path)
    context = identities.client_context(identities.client)
    with served(ReceivingApplication(journal, CollectorRegistry()), identities.server) as port:
        url = f"https://127.0.0.1:{port}/alerts"
        with httpx.Client(verify=context, trust_env=False) as client:
            for content in (b"", b"[]", b'{"version": 4}', b"\xff\xfe", b'{"version": "4"'):
                assert client.post(url, content=content).status_code == 400
            assert client.post(url, content=b" " * (4 * 2**20 + 1)).status_code == 413
            for since in ("yesterday", "2026-11-24T04:00:00", ""):
                assert client.get(url, params={"since": since}).status_code == 400
            assert client.delete(url).status_code == 404
    assert path.read_bytes() == b""
    journal.close()


def test_the_chains_pulse_has_an_age(tmp_path: Path) -> None:
    """How long ago the alert that always fires came by is shown, and absent before it ever came."""
    now = [AT]
    journal = Journal(tmp_path / "notifications.jsonl", now=lambda: now[0])
    registry = CollectorRegistry()
    registry.register(NotificationsCollector(journal, now=lambda: now[0]))
    journal.keep(notification("LinkDown"))
    assert registry.get_sample_value("cgc_alert_chain_age_seconds") is None
    journal.keep(notification("AlertChainWatchdog"))
    now[0] = AT + timedelta(seconds=90)
    journal.keep(notification("AlertChainWatchdog", status="resolved"))
    assert registry.get_sample_value("cgc_alert_chain_age_seconds") == 90
    assert registry.get_sample_value("cgc_notifications_received_total") == 3
    journal.close()
