"""A platform's stand-in: an HTTP service over IPv4 and IPv6 that calls its declared dependencies for real.

Runs alone in its image: standard library only, no file written, process 1 of an unprivileged container. Configured by
the environment (`Settings.from_environment`). Answers

* `/` a page for people, in Vietnamese or English, with the state of each dependency;
* `/status` the same as JSON, after asking the dependencies anew;
* `/livez`, `/readyz` whether it runs; neither depends on its dependencies, which may depend on it in turn;
* `/metrics` in the text format of Prometheus, version 0.0.4.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

CHECK_SECONDS = 5.0  # between two rounds of asking the dependencies
CALL_SECONDS = 2.0  # for one call, connecting and answering
REQUEST_SECONDS = 5.0  # for a client to say what it wants
FRESH_SECONDS = 0.5  # a round younger than this is not repeated, however many ask
LARGEST_REQUEST_BYTES = 8192
LARGEST_ANSWER_BYTES = 65536
MOST_CONNECTIONS = 256
PATHS = ("/", "/livez", "/metrics", "/readyz", "/status")
_HOSTS = ("0.0.0.0", "::")  # noqa: S104 - a service listens on every address of its pod
_WRONG_SETTINGS = 2


class SettingsError(Exception):
    """The environment does not say what this stand-in stands for."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the stand-in stands for; `dependencies` maps a platform to the base URLs of its endpoints."""

    platform: str
    name_vi: str
    name_en: str
    agency: str
    tier: str
    level: int
    cluster: str
    reference: str
    dependencies: Mapping[str, tuple[str, ...]]
    port: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read `PLATFORM_…` variables; SettingsError names one that is missing or wrong."""

        def text(name: str) -> str:
            value = environment.get(f"PLATFORM_{name}", "")
            if not value:
                raise SettingsError(f"PLATFORM_{name} is not set")
            return value

        def number(name: str) -> int:
            value = text(name)
            if not value.isdecimal():
                raise SettingsError(f"PLATFORM_{name} is {value!r}, not a number")
            return int(value)

        return cls(
            platform=text("ID"),
            name_vi=text("NAME_VI"),
            name_en=text("NAME_EN"),
            agency=text("AGENCY"),
            tier=text("TIER"),
            level=number("LEVEL"),
            cluster=text("CLUSTER"),
            reference=text("REF"),
            dependencies=_read_dependencies(text("DEPENDENCIES")),
            port=number("PORT"),
        )


def _read_dependencies(value: str) -> dict[str, tuple[str, ...]]:
    wrong = SettingsError('PLATFORM_DEPENDENCIES is not like {"platform": ["http://address:port", …]}')
    try:
        read = json.loads(value)
    except ValueError as err:
        raise wrong from err
    if not isinstance(read, dict):
        raise wrong
    for urls in read.values():
        if not isinstance(urls, list) or not all(_is_plain_http(url) for url in urls):
            raise wrong
    return {name: tuple(urls) for name, urls in sorted(read.items())}


def _is_plain_http(url: object) -> bool:
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class EndpointState:
    """How one endpoint of a dependency answered; `checked_at` is seconds since 1970 (UTC)."""

    url: str
    is_up: bool
    detail: str
    seconds: float
    checked_at: float


@dataclass(frozen=True, kw_only=True)
class DependencyState:
    """A dependency with all its endpoints: it is up when one of them is."""

    platform: str
    endpoints: tuple[EndpointState, ...]

    @property
    def is_up(self) -> bool:
        """Whether at least one endpoint answers."""
        return any(endpoint.is_up for endpoint in self.endpoints)


async def ask(url: str) -> EndpointState:
    """Ask one endpoint whether it is ready, within CALL_SECONDS; never raises for what the network does."""
    checked_at, started = time.time(), time.monotonic()
    try:
        async with asyncio.timeout(CALL_SECONDS):
            status = await _status_of(url)
    except TimeoutError:
        is_up, detail = False, f"no answer within {CALL_SECONDS:g} s"
    except (OSError, ValueError) as err:
        is_up, detail = False, str(err) or type(err).__name__
    else:
        is_up, detail = status == HTTPStatus.OK, f"HTTP {status}"
    seconds = round(time.monotonic() - started, 6)
    return EndpointState(url=url, is_up=is_up, detail=detail, seconds=seconds, checked_at=checked_at)


async def _status_of(url: str) -> int:
    """Return the HTTP status of GET `url`/readyz; OSError, ValueError when the answer is none."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        request = (
            f"GET /readyz HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: platform-standin\r\nConnection: close\r\n\r\n"
        )
        writer.write(request.encode())
        line = (await reader.readline()).split()
        await reader.read(LARGEST_ANSWER_BYTES)
    finally:
        writer.close()
    if len(line) < 2 or not line[0].startswith(b"HTTP/1.") or not line[1].isdigit():  # noqa: PLR2004 - version and status
        raise ValueError("the answer is not HTTP")
    return int(line[1])


class Dependencies:
    """The dependencies' states as they were seen last; one round of asking at a time, shared by all who want it."""

    def __init__(self, declared: Mapping[str, tuple[str, ...]]) -> None:
        self._declared = declared
        self._round = asyncio.Lock()
        self._asked_at = float("-inf")
        self.states: tuple[DependencyState, ...] = ()

    async def look(self) -> tuple[DependencyState, ...]:
        """Ask every endpoint at once, unless that was just done, and return what they said."""
        async with self._round:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                urls = [url for endpoints in self._declared.values() for url in endpoints]
                answers = dict(zip(urls, await asyncio.gather(*map(ask, urls)), strict=True))
                self.states = tuple(
                    DependencyState(platform=platform, endpoints=tuple(answers[url] for url in endpoints))
                    for platform, endpoints in self._declared.items()
                )
                self._asked_at = time.monotonic()
        return self.states

    async def look_for_ever(self) -> None:
        """Ask every CHECK_SECONDS."""
        while True:
            await self.look()
            await asyncio.sleep(CHECK_SECONDS)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer."""

    status: HTTPStatus
    content_type: str
    body: str
    more: tuple[tuple[str, str], ...] = ()

    def on_the_wire(self, *, head_only: bool) -> bytes:
        """Return the bytes of the answer; to a HEAD request without its body."""
        body = self.body.encode()
        headers = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
            *(f"{name}: {value}" for name, value in self.more),
            "Connection: close",
        ]
        return ("\r\n".join(headers) + "\r\n\r\n").encode() + (b"" if head_only else body)


def _plain(status: HTTPStatus, text: str, *more: tuple[str, str]) -> Answer:
    return Answer(status=status, content_type="text/plain; charset=utf-8", body=text + "\n", more=more)


class Standin:
    """The service: what it is, what it depends on, and what it was asked."""

    def __init__(self, settings: Settings, *, started_at: float) -> None:
        self._settings = settings
        self._started_at = started_at
        self._requests: Counter[tuple[str, int]] = Counter()
        self._open_connections = 0
        self.dependencies = Dependencies(settings.dependencies)

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, answer it, hang up."""
        self._open_connections += 1
        path = "other"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                method, path, headers = await _read_request(reader)
            answer = await self._answer(method, path, headers)
        except TimeoutError:
            method, answer = "GET", _plain(HTTPStatus.REQUEST_TIMEOUT, "the request did not come")
        except ValueError as err:  # also asyncio's for a line that is too long
            method, answer = "GET", _plain(HTTPStatus.BAD_REQUEST, str(err))
        except (ConnectionError, asyncio.IncompleteReadError):
            method, answer = "GET", None  # the client has gone: nobody is there to be answered
        try:
            if answer is not None:
                self._requests[path if path in PATHS else "other", answer.status.value] += 1
                writer.write(answer.on_the_wire(head_only=method == "HEAD"))
                async with asyncio.timeout(REQUEST_SECONDS):
                    await writer.drain()
            writer.close()
        except (ConnectionError, TimeoutError):
            writer.transport.abort()  # it went while being answered
        finally:
            self._open_connections -= 1

    async def _answer(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        if self._open_connections > MOST_CONNECTIONS:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", ("Retry-After", "1"))
        if method not in {"GET", "HEAD"}:
            return _plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD", ("Allow", "GET, HEAD"))
        match path:
            case "/livez" | "/readyz":
                return _plain(HTTPStatus.OK, "ok")
            case "/metrics":
                kind = "text/plain; version=0.0.4; charset=utf-8"
                return Answer(status=HTTPStatus.OK, content_type=kind, body=self.metrics())
            case "/status":
                await self.dependencies.look()
                body = json.dumps(self.status(), ensure_ascii=False, indent=1) + "\n"
                return Answer(status=HTTPStatus.OK, content_type="application/json", body=body)
            case "/":
                language = preferred_language(headers.get("accept-language", ""))
                more = (("Content-Language", language), ("Vary", "Accept-Language"))
                kind = "text/html; charset=utf-8"
                return Answer(status=HTTPStatus.OK, content_type=kind, body=self.page(language), more=more)
        return _plain(HTTPStatus.NOT_FOUND, f"there is nothing here; try one of {', '.join(PATHS)}")

    def status(self) -> dict[str, object]:
        """Return the platform and its dependencies; `status` is degraded while a dependency is down."""
        settings = self._settings
        return {
            "platform": settings.platform,
            "name": {"vi": settings.name_vi, "en": settings.name_en},
            "agency": settings.agency,
            "tier": settings.tier,
            "level": settings.level,
            "cluster": settings.cluster,
            "reference": settings.reference,
            "status": self._word(),
            "started_at": self._started_at,
            "dependencies": [
                {
                    "platform": state.platform,
                    "is_up": state.is_up,
                    "endpoints": [asdict(endpoint) for endpoint in state.endpoints],
                }
                for state in self.dependencies.states
            ],
        }

    def _word(self) -> str:
        return "ok" if all(state.is_up for state in self.dependencies.states) else "degraded"

    def metrics(self) -> str:
        """Return the metrics; a dependency that was never asked yet has none."""
        settings, states = self._settings, self.dependencies.states
        labels = {
            "platform": settings.platform,
            "agency": settings.agency,
            "tier": settings.tier,
            "level": str(settings.level),
        }
        endpoints = [
            ({"dependency": state.platform, "endpoint": endpoint.url}, endpoint)
            for state in states
            for endpoint in state.endpoints
        ]
        families: tuple[tuple[str, str, str, list[tuple[dict[str, str], float]]], ...] = (
            ("platform_info", "gauge", "What this stand-in stands for.", [(labels, 1.0)]),
            (
                "platform_start_time_seconds",
                "gauge",
                "When it started, in seconds since 1970.",
                [({}, self._started_at)],
            ),
            (
                "platform_dependency_up",
                "gauge",
                "Whether an endpoint of the dependency answered when last asked.",
                [({"dependency": state.platform}, float(state.is_up)) for state in states],
            ),
            (
                "platform_dependency_endpoint_up",
                "gauge",
                "Whether this endpoint answered when last asked.",
                [(named, float(endpoint.is_up)) for named, endpoint in endpoints],
            ),
            (
                "platform_dependency_endpoint_duration_seconds",
                "gauge",
                "How long the last call took.",
                [(named, endpoint.seconds) for named, endpoint in endpoints],
            ),
            (
                "platform_http_requests_total",
                "counter",
                "Requests answered, by path and HTTP status.",
                [
                    ({"path": path, "code": str(status)}, float(number))
                    for (path, status), number in sorted(self._requests.items())
                ],
            ),
        )
        return "".join(_family(*family) for family in families)

    def page(self, language: str) -> str:
        """Return the page for people."""
        settings = self._settings
        vietnamese = language == "vi"
        words = _WORDS_VI if vietnamese else _WORDS_EN
        name, other = settings.name_vi, settings.name_en
        if not vietnamese:
            name, other = other, name
        rows = "".join(
            f'<tr class="{"up" if endpoint.is_up else "down"}"><td>{html.escape(state.platform)}</td>'
            f"<td>{html.escape(endpoint.url)}</td>"
            f"<td>{words['up'] if endpoint.is_up else words['down']}: {html.escape(endpoint.detail)}</td></tr>"
            for state in self.dependencies.states
            for endpoint in state.endpoints
        )
        table = f"<table>{rows}</table>" if rows else f"<p>{words['none']}</p>"
        return (
            f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{html.escape(name)}</title>'
            f"<style>{_STYLE}</style><h1>{html.escape(name)}</h1><p>{html.escape(other)}</p>"
            f"<p>{words['level']} {settings.level} · {html.escape(settings.tier.upper())} · "
            f"{html.escape(settings.agency)} · {html.escape(settings.cluster)}</p>"
            f'<p class="{self._word()}">{words[self._word()]}</p><h2>{words["dependencies"]}</h2>{table}</html>\n'
        )


_WORDS_EN = {
    "level": "Security level",
    "dependencies": "Depends on",
    "none": "nothing",
    "up": "answers",
    "down": "does not answer",
    "ok": "Everything it depends on answers.",
    "degraded": "Something it depends on does not answer.",
}
_WORDS_VI = {
    "level": "Cấp độ an toàn",
    "dependencies": "Phụ thuộc vào",
    "none": "không có",
    "up": "hoạt động",
    "down": "không phản hồi",
    "ok": "Mọi hệ thống phụ thuộc đều hoạt động.",
    "degraded": "Có hệ thống phụ thuộc không phản hồi.",
}
_STYLE = (
    "body{font:16px/1.5 sans-serif;margin:2rem auto;max-width:48rem;padding:0 1rem}td{padding:.2rem .8rem .2rem 0}"
    ".down,.degraded{color:#a00}.up,.ok{color:#060}"
)


def preferred_language(accepted: str) -> str:
    """Return `en` where an Accept-Language header (RFC 9110) prefers it to Vietnamese, else `vi`."""
    weights = {"vi": 0.0, "en": 0.0}
    for part in accepted.split(","):
        tag, _, parameter = part.strip().partition(";")
        _, _, quality = parameter.strip().partition("q=")
        language = tag.strip().lower().partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _quality(quality))
    return "en" if weights["en"] > weights["vi"] else "vi"


def _quality(text: str) -> float:
    if not text:
        return 1.0
    try:
        return float(text)
    except ValueError:
        return 0.0  # a weight that is none says nothing in its language's favour


def _family(name: str, kind: str, about: str, samples: list[tuple[dict[str, str], float]]) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
    """Return method, path and headers (lower-case names); ValueError when they are not an HTTP/1 request."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as err:
        raise ValueError("the request is too large") from err
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        raise ValueError("this is not an HTTP/1 request")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return words[0], urlsplit(words[1]).path or "/", headers


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, which end it at once: as process 1 it has no default handler."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    standin = Standin(settings, started_at=time.time())
    server = await asyncio.start_server(
        standin.serve_connection, list(_HOSTS), settings.port, limit=LARGEST_REQUEST_BYTES
    )
    looking = asyncio.create_task(standin.dependencies.look_for_ever())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    if looking.done():
        looking.result()  # it ends only by a defect: let that be seen
    looking.cancel()


def main() -> int:
    """Run the stand-in that the environment describes."""
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as err:
        sys.stderr.write(f"platform-standin: {err}\n")
        return _WRONG_SETTINGS
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
