"""`cgc serve` refuses what cannot be served, with exit code 2, and puts the rest together."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inventories import load_nation
from inventories.errors import CgcError, ExitCode
from inventories.services import Service
from scripts.serving import Settings, _address, _read_passwords, _vantage, assemble

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"


def test_addresses_of_both_families_are_read() -> None:
    """ADDRESS:PORT, with brackets around IPv6."""
    assert _address("127.0.0.1:9801") == ("127.0.0.1", 9801)
    assert _address("[fd94:2:4::1]:9801") == ("fd94:2:4::1", 9801)


@pytest.mark.parametrize("text", ["", "9801", ":9801", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """CGC-661 with exit code 2 and an example."""
    with pytest.raises(CgcError) as refusal:
        _address(text)
    assert (refusal.value.code, refusal.value.exit_code) == ("CGC-661", ExitCode.WRONG_INPUT)


def test_a_vantage_that_is_not_declared_is_refused() -> None:
    """CGC-660; without a name, it is the operations centre."""
    nation = load_nation(REHEARSAL)
    assert _vantage(nation, None).name == "noc-hn-1"
    with pytest.raises(CgcError) as refusal:
        _vantage(nation, "nowhere")
    assert (refusal.value.code, refusal.value.exit_code) == ("CGC-660", ExitCode.WRONG_INPUT)


def test_a_file_of_passwords_is_names_and_texts(tmp_path: Path) -> None:
    """Anything else is CGC-661, and no password is in the message."""
    path = tmp_path / "passwords.json"
    path.write_text(json.dumps({"prometheus": "secret"}))
    assert _read_passwords(path) == {"prometheus": "secret"}
    path.write_text(json.dumps({"prometheus": ["secret"]}))
    with pytest.raises(CgcError) as refusal:
        _read_passwords(path)
    assert refusal.value.code == "CGC-661"
    assert "secret" not in str(refusal.value)


def test_every_service_can_be_put_together_without_anything_to_ask(tmp_path: Path) -> None:
    """Without kubeconfigs the clusters are silent and the exporters serve all the same; SSH needs its credentials."""
    nation = load_nation(REHEARSAL)
    for name in ("observer", "observer-cert.pub", "known_hosts"):
        (tmp_path / name).write_text("")
    settings = Settings(
        vantage=_vantage(nation, None),
        ssh=tmp_path,
        kubeconfigs=tmp_path,
        journal=tmp_path / "notifications.jsonl",
        image="registry.test/x:1",
        interval_seconds=None,
    )

    async def put_together(service: Service) -> list[str]:
        assembled = assemble(service, nation, settings)
        sent: list[bytes] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, object]) -> None:
            body = message.get("body", b"")
            assert isinstance(body, bytes)
            sent.append(body)

        scope = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": []}
        await assembled.application(scope, receive, send)  # type: ignore[arg-type] # ASGI's messages are mappings
        for close in assembled.close:
            await close()
        return [family.name for family in text_string_to_metric_families(b"".join(sent).decode())]

    for service in Service:
        names = asyncio.run(put_together(service))
        assert names
        assert all(name.startswith("cgc_") for name in names)
