"""Who wrote an object and when, as the API server's audit log has it (audit.k8s.io/v1 Event)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from policies.field_owners import OUR_MANAGERS
from policies.kubernetes import Identity, instant

Event = Mapping[str, Any]

# The object's note of a write has whole seconds, and is made before the write is answered.
SAME_MOMENT = timedelta(seconds=5)


def event_about(
    changes: Iterable[Event],
    identity: Identity,
    *,
    verbs: tuple[str, ...],
    near: datetime | None = None,
) -> Event | None:
    """Return the last successful write to the object that was in earnest and not ours.

    With `near`, when the API server noted the write on the object itself: the write of that moment, or None.
    """
    found = [event for event in changes if event.get("verb") in verbs and _concerns(event, identity)]
    if near is not None:
        found = [event for event in found if (at := time_of(event)) is not None and abs(at - near) <= SAME_MOMENT]
    return found[-1] if found else None


def _concerns(event: Event, identity: Identity) -> bool:
    target = event.get("objectRef") or {}
    code = int((event.get("responseStatus") or {}).get("code") or 0)
    return (
        str(target.get("resource")) == _resource_of(identity.kind)
        and str(target.get("apiGroup") or "") == identity.group
        and str(target.get("namespace") or "") == (identity.namespace or str(target.get("namespace") or ""))
        and (str(target.get("name") or "") == identity.name or event.get("verb") == "deletecollection")
        and target.get("subresource") in (None, "", "scale", "ephemeralcontainers")
        and code < 300  # noqa: PLR2004 - HTTP's successes end there
        and "dryRun=" not in str(event.get("requestURI"))
        and f"fieldManager={OUR_MANAGERS}" not in str(event.get("requestURI"))
    )


def _resource_of(kind: str) -> str:
    """Return the API's plural of a kind, which is regular for every kind that we read."""
    name = kind.lower()
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch")) else f"{name}s"


def people_of(event: Event | None) -> tuple[str, ...]:
    """Return the user whom the API server authenticated, or whom that user acted as."""
    if event is None:
        return ()
    user = event.get("impersonatedUser") or event.get("user") or {}
    return (str(user["username"]),) if user.get("username") else ()


def program_of(event: Event | None) -> str:
    """Return the program's name, from its user agent."""
    return str((event or {}).get("userAgent") or "").partition("/")[0]


def time_of(event: Event | None) -> datetime | None:
    """Return when the write was answered."""
    return instant((event or {}).get("stageTimestamp") or (event or {}).get("requestReceivedTimestamp"))
