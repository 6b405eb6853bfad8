"""The stand-in, as the real process it is in its pod: asked over loopback, in both address families."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stacks.standin.standin import FRESH_SECONDS, Settings, SettingsError, preferred_language

PROGRAM = Path(__file__).parents[3] / "stacks" / "standin" / "standin.py"
START_SECONDS = 20.0


def environment(port: int, dependencies: Mapping[str, list[str]], *, platform: str = "ndxp") -> dict[str, str]:
    """Return the environment as the platform's ConfigMap gives it."""
    return {
        "PLATFORM_ID": platform,
        "PLATFORM_NAME_VI": "Nền tảng <tích hợp>",
        "PLATFORM_NAME_EN": 'Integration "platform"',
        "PLATFORM_AGENCY": "mic",
        "PLATFORM_TIER": "cgc",
        "PLATFORM_LEVEL": "4",
        "PLATFORM_CLUSTER": "cgc-north",
        "PLATFORM_REF": "IV.3a",
        "PLATFORM_DEPENDENCIES": json.dumps(dependencies),
        "PLATFORM_PORT": str(port),
    }


@dataclass(frozen=True, kw_only=True)
class Running:
    """A stand-in that runs."""

    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str, *, host: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
        """Ask it; answers status and body."""
        connection = http.client.HTTPConnection(host, self.port, timeout=10)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """Return its `/status`."""
        content: dict[str, Any] = json.loads(self.get("/status")[1])
        return content

    def say(self, text: bytes) -> bytes:
        """Send bytes as they are and return the answer's first line."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(text)
            return connection.makefile("rb").readline()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def running(dependencies: Mapping[str, list[str]], *, port: int | None = None) -> Iterator[Running]:
    """Run a stand-in, as its image does."""
    chosen = port or free_port()
    variables = {"PATH": os.environ["PATH"], **environment(chosen, dependencies)}
    process = subprocess.Popen([sys.executable, "-I", str(PROGRAM)], env=variables)
    standin = Running(port=chosen, process=process)
    give_up = time.monotonic() + START_SECONDS
    try:
        while True:
            assert process.poll() is None, "it ended at once"
            try:
                standin.get("/livez")
            except OSError:
                assert time.monotonic() < give_up, "it does not answer"
                time.sleep(0.05)
            else:
                break
        yield standin
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Running, Running]]:
    """Two platforms that need each other; the second also needs one that does not exist."""
    first, second, nobody = free_port(), free_port(), free_port()
    with ExitStack() as both:
        a = both.enter_context(running({"lgsp": [f"http://127.0.0.1:{second}", f"http://[::1]:{second}"]}, port=first))
        needs = {"ndxp": [f"http://[::1]:{first}"], "gone": [f"http://127.0.0.1:{nobody}"]}
        b = both.enter_context(running(needs, port=second))
        yield a, b


def once_both_ran(standin: Running) -> dict[str, Any]:
    """Return its status; one remembered from before the other ran (for FRESH_SECONDS) is asked anew."""
    give_up = time.monotonic() + START_SECONDS
    while (status := standin.status())["status"] != "ok" and time.monotonic() < give_up:
        time.sleep(FRESH_SECONDS / 5)
    return status


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/status", "/metrics", "/"])
def test_it_answers_in_both_families(pair: tuple[Running, Running], host: str, path: str) -> None:
    """Every path over IPv4 and over IPv6."""
    assert pair[0].get(path, host=host)[0] == 200


def test_platforms_that_need_each_other_are_both_well(pair: tuple[Running, Running]) -> None:
    """Readiness does not depend on dependencies, so a cycle comes up, and each sees the other in both families."""
    status = once_both_ran(pair[0])
    assert status["status"] == "ok", status
    (dependency,) = status["dependencies"]
    assert dependency["platform"] == "lgsp"
    assert [endpoint["is_up"] for endpoint in dependency["endpoints"]] == [True, True]


def test_a_broken_dependency_is_visible_and_does_not_stop_the_platform(pair: tuple[Running, Running]) -> None:
    """It is degraded, says which dependency and why, and stays ready."""
    status = pair[1].status()
    assert status["status"] == "degraded"
    states = {each["platform"]: each for each in status["dependencies"]}
    assert states["ndxp"]["is_up"] is True
    assert states["gone"]["is_up"] is False
    assert (
        "refused" in states["gone"]["endpoints"][0]["detail"] or "Connect" in states["gone"]["endpoints"][0]["detail"]
    )
    assert pair[1].get("/readyz")[0] == 200


def test_metrics_are_readable_and_tell_the_same(pair: tuple[Running, Running]) -> None:
    """What Prometheus scrapes: each dependency up or down, and how often what was asked."""
    pair[1].status()
    families = {family.name: family for family in text_string_to_metric_families(pair[1].get("/metrics")[1])}
    up = {sample.labels["dependency"]: sample.value for sample in families["platform_dependency_up"].samples}
    assert up == {"ndxp": 1.0, "gone": 0.0}
    (info,) = families["platform_info"].samples
    assert info.labels == {"platform": "ndxp", "agency": "mic", "tier": "cgc", "level": "4"}
    asked = {(sample.labels["path"], sample.labels["code"]) for sample in families["platform_http_requests"].samples}
    assert ("/status", "200") in asked


def test_people_read_their_own_language_and_no_name_becomes_markup(pair: tuple[Running, Running]) -> None:
    """Vietnamese unless English is preferred; names are escaped."""
    assert '<html lang="vi">' in pair[0].get("/")[1]
    english = pair[0].get("/", Accept_Language="en-GB,vi;q=0.4")[1]
    assert "<h1>Integration &quot;platform&quot;</h1>" in english
    assert "Nền tảng &lt;tích hợp&gt;" in english


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("", "vi"), ("en", "en"), ("vi,en;q=0.9", "vi"), ("en;q=0.2,vi;q=0.3", "vi"), ("fr,en;q=x", "vi"), ("*", "vi")],
)
def test_the_preferred_language(accepted: str, language: str) -> None:
    """By weight, as RFC 9110 has it; what is malformed counts for nothing."""
    assert preferred_language(accepted) == language


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
        (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", b"404"),
        (b"GET /livez?probe=1 HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_odd_requests_get_an_answer(pair: tuple[Running, Running], request_bytes: bytes, status: bytes) -> None:
    """Wrong methods, unknown paths, noise and floods are answered, and the service goes on."""
    assert pair[0].say(request_bytes).split()[1] == status
    assert pair[0].get("/livez")[0] == 200


@pytest.mark.slow
def test_a_dependency_that_never_answers_holds_nobody_up() -> None:
    """A call is bounded: `/status` comes within seconds although the far end accepts and stays silent."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with running({"slow": [f"http://127.0.0.1:{silent.getsockname()[1]}"]}) as standin:
            started = time.monotonic()
            (dependency,) = standin.status()["dependencies"]
            assert time.monotonic() - started < 8
            assert dependency["endpoints"][0]["detail"] == "no answer within 2 s"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_told_to(number: signal.Signals) -> None:
    """As process 1 of a pod nobody else would end it: deletion must not wait for the grace period."""
    with running({}) as standin:
        standin.process.send_signal(number)
        assert standin.process.wait(5) == 0


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PLATFORM_ID", "", "PLATFORM_ID is not set"),
        ("PLATFORM_LEVEL", "four", "not a number"),
        ("PLATFORM_DEPENDENCIES", "{", "PLATFORM_DEPENDENCIES"),
        ("PLATFORM_DEPENDENCIES", '["http://x:1"]', "PLATFORM_DEPENDENCIES"),
        ("PLATFORM_DEPENDENCIES", '{"a": ["https://x:1"]}', "PLATFORM_DEPENDENCIES"),
        ("PLATFORM_DEPENDENCIES", '{"a": ["http://x:99999"]}', "PLATFORM_DEPENDENCIES"),
    ],
)
def test_wrong_settings_are_named(name: str, value: str, complaint: str) -> None:
    """It does not start as something that it is not."""
    with pytest.raises(SettingsError, match=complaint):
        Settings.from_environment({**environment(8080, {}), name: value})
