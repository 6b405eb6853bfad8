"""Ask the operations centre's receiver which alerts arrived: over TLS, with the operator's own certificate."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from inventories.model import Role
from inventories.services import Service
from scripts.authority import Authority
from scripts.errors import ScriptError
from scripts.rehearsal.credentials import client_of_operator
from scripts.rehearsal.ground import Ground

ANSWER_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class ReceivedAlert:
    """One alert as it arrived; `is_firing` is false for the word that it is over."""

    name: str
    severity: str
    is_firing: bool
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fingerprint: str


def alerts_since(ground: Ground, since: datetime) -> tuple[ReceivedAlert, ...]:
    """Return every alert of every notification that arrived since then (aware, UTC), oldest first.

    CGC-658 if the receiver does not answer.
    """
    noc = ground.nation.with_role(Role.OPERATIONS)[0]
    query = urllib.parse.urlencode({"since": since.isoformat()})
    url = f"https://{noc.management4}:{Service.ALERTS.port}/alerts?{query}"
    try:
        with (
            ground.access.network(),
            urllib.request.urlopen(url, timeout=ANSWER_SECONDS, context=_context(ground)) as answer,
        ):
            records = json.load(answer)
    except (OSError, ValueError) as err:
        raise ScriptError(
            "CGC-658",
            f"the receiver of alerts does not answer: {err}",
            where=url,
            remedy=f"look at cgc-alerts.service on {noc.name}",
        ) from err
    return tuple(_alert(item) for record in records for item in record["notification"]["alerts"])


def firing(alerts: Iterable[ReceivedAlert], *, severity: str) -> tuple[ReceivedAlert, ...]:
    """Return the alerts of one severity that fired, each once however often it was repeated."""
    seen: dict[str, ReceivedAlert] = {}
    for alert in alerts:
        if alert.is_firing and alert.severity == severity:
            seen.setdefault(alert.fingerprint, alert)
    return tuple(seen.values())


def still_firing(alerts: Iterable[ReceivedAlert], *, severity: str) -> tuple[ReceivedAlert, ...]:
    """Return the alerts of one severity whose end has not been told."""
    now: dict[str, ReceivedAlert] = {}
    for alert in alerts:
        if alert.severity == severity:
            if alert.is_firing:
                now[alert.fingerprint] = alert
            else:
                now.pop(alert.fingerprint, None)
    return tuple(now.values())


def _alert(item: Mapping[str, Any]) -> ReceivedAlert:
    return ReceivedAlert(
        name=item["labels"].get("alertname", ""),
        severity=item["labels"].get("severity", ""),
        is_firing=item["status"] == "firing",
        labels=item["labels"],
        annotations=item["annotations"],
        fingerprint=item["fingerprint"],
    )


def _context(ground: Ground) -> ssl.SSLContext:
    now = datetime.now(UTC)
    authority = Authority.create_or_load(ground.access.state / "authority" / "tls", now=now)
    client = client_of_operator(authority, now=now)
    context = ssl.create_default_context(cafile=str(authority.certificate_path))
    context.load_cert_chain(client.certificate_path, client.key_path)
    return context
