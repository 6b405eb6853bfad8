"""`cgc serve`: the exporters and the receiver of alerts, each as one process that serves until it is told to end.

What an exporter asks and how it judges is `exporters/`' and `policies/`'; here the parts are put together.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from exporters.findings import FindingsCollector, read_findings
from exporters.network import NetworkCollector, NetworkReader
from exporters.platforms import PlatformsCollector
from exporters.probing import Probe, Prober, Target, targets_of
from exporters.readers.kubernetes import Kind, KubernetesReader, kinds_of, read_kubeconfig
from exporters.readers.ssh import SshCredentials, SshReader
from exporters.receiving import Journal, NotificationsCollector, ReceivingApplication
from exporters.rounds import Rounds
from exporters.serving import Admission, MetricsApplication, TlsMaterial, listen, tls_context
from exporters.serving import serve as serve_application
from exporters.uptime import UptimeCollector
from inventories import Nation, load_nation
from inventories.errors import ExitCode
from inventories.model import Node, Role
from inventories.services import Service
from policies.catalogue import all_controls
from policies.control import Finding, Stage
from policies.drift import WATCHED_KINDS, find_drift
from policies.judging import judge_all
from policies.observed import Observed, Planned
from policies.waivers import WAIVERS, read_waivers
from scripts.errors import ScriptError
from scripts.invocation import current
from scripts.presenting import examples
from scripts.rehearsal.container_images import standin_image_name
from stacks.objects import cluster_manifest

STANDIN = Path(__file__).parents[1] / "stacks" / "standin" / "standin.py"


ROUND_SECONDS = {Service.NETWORK: 15.0, Service.PLATFORMS: 15.0, Service.FINDINGS: 60.0}
"""How often each reads, in seconds; a round over the network costs every node some of its processor."""


class ServingError(ScriptError):
    """The command line asks for what cannot be served (CGC-660, CGC-661)."""

    exit_code = ExitCode.WRONG_INPUT


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything a service needs to know besides the nation; see the options of `cgc serve`."""

    vantage: Node
    ssh: Path
    kubeconfigs: Path
    journal: Path
    image: str
    interval_seconds: float | None

    def interval_of(self, service: Service) -> float:
        """Return the seconds between two rounds."""
        return self.interval_seconds or ROUND_SECONDS[service]


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A service ready to run: what answers requests, what goes on behind, and what to close at the end."""

    application: ASGIApp
    background: tuple[Callable[[], Awaitable[None]], ...] = ()
    close: tuple[Callable[[], Awaitable[None]], ...] = ()


def serve(
    service: Annotated[Service, typer.Argument(help="What to serve.")],
    *,
    listen_at: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to listen; default: this machine only."),
    ] = None,
    vantage: Annotated[str | None, typer.Option(help="The node we look from; default: the operations centre.")] = None,
    tls: Annotated[
        Path, typer.Option(metavar="DIR", help="Holds server.crt, server.key and ca.crt (vouches for clients).")
    ] = Path("/etc/cgc/tls"),
    clients: Annotated[
        list[str] | None,
        typer.Option("--client", metavar="NAME", help="Whose client certificate is let in; default: the authority's."),
    ] = None,
    passwords: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON of names and passwords, let in besides certificates.")
    ] = None,
    ssh: Annotated[Path, typer.Option(metavar="DIR", help="Holds observer, observer-cert.pub and known_hosts.")] = Path(
        "/etc/cgc/ssh"
    ),
    kubeconfigs: Annotated[Path, typer.Option(metavar="DIR", help="Holds CLUSTER.yaml of each cluster.")] = Path(
        "/etc/cgc/kubeconfig"
    ),
    journal: Annotated[Path, typer.Option(metavar="FILE", help="Where alerts are kept.")] = Path(
        "/var/lib/cgc/alerts/notifications.jsonl"
    ),
    image: Annotated[
        str | None, typer.Option(help="The image that platforms run; default: the rehearsal's stand-in.")
    ] = None,
    interval: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.5, help="Between two rounds of reading.")
    ] = None,
) -> None:
    """Serve an exporter's metrics, or receive alerts, over TLS, until told to end."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    nation = load_nation(current().declaration)
    admission = Admission(client_names=frozenset(clients or ()), passwords=_read_passwords(passwords))
    material = TlsMaterial(certificate=tls / "server.crt", key=tls / "server.key", client_authority=tls / "ca.crt")
    context = tls_context(material, admission)
    addresses = tuple(_address(text) for text in listen_at or (f"127.0.0.1:{service.port}", f"[::1]:{service.port}"))
    settings = Settings(
        vantage=_vantage(nation, vantage),
        ssh=ssh,
        kubeconfigs=kubeconfigs,
        journal=journal,
        image=image or standin_image_name(STANDIN),
        interval_seconds=interval,
    )
    asyncio.run(_run(service, nation, settings, addresses=addresses, admission=admission, context=context))


serve.epilog = examples(  # type: ignore[attr-defined] # cli.load reads it
    ("cgc serve uptime", "probe what is declared, serve the outcomes"),
    ("cgc serve network --interval 5", "read all nodes every five seconds"),
    ("cgc serve alerts --journal alerts.jsonl", "receive and keep notifications"),
)


async def _run(
    service: Service,
    nation: Nation,
    settings: Settings,
    *,
    addresses: tuple[tuple[str, int], ...],
    admission: Admission,
    context: ssl.SSLContext,
) -> None:
    assembled = assemble(service, nation, settings)
    try:
        await serve_application(
            assembled.application,
            sockets=listen(addresses),
            admission=admission,
            tls=context,
            background=assembled.background,
        )
    finally:
        for close in assembled.close:
            await close()


def assemble(service: Service, nation: Nation, settings: Settings) -> Assembled:
    """Put a service together; inside a running event loop."""
    build = {
        Service.UPTIME: _uptime,
        Service.NETWORK: _network,
        Service.PLATFORMS: _platforms,
        Service.FINDINGS: _findings,
        Service.ALERTS: _alerts,
    }[service]
    return build(nation, settings)


def _uptime(nation: Nation, settings: Settings) -> Assembled:
    registry = CollectorRegistry()
    trust = {cluster: read_kubeconfig(path).context for cluster, path in _kubeconfigs(nation, settings).items()}
    prober = Prober(targets_of(nation, vantage=settings.vantage), trust=trust)
    registry.register(UptimeCollector(prober.targets, vantage=settings.vantage.name, source=prober.outcomes))
    return Assembled(application=MetricsApplication(registry), background=(prober.run,), close=(prober.close,))


def _network(nation: Nation, settings: Settings) -> Assembled:
    registry = CollectorRegistry()
    reader = _ssh_reader(settings)
    pinged = [target for target in targets_of(nation, vantage=settings.vantage) if target.probe is Probe.ICMP]
    prober = Prober(pinged)
    by_node: dict[str, list[Target]] = {}
    for target in pinged:
        by_node.setdefault(target.node, []).append(target)

    async def answers_ping(node: Node) -> bool:
        outcomes = await asyncio.gather(*(prober.probe(target) for target in by_node.get(node.name, ())))
        return any(outcome.is_success for outcome in outcomes)

    network = NetworkReader(nation, observe_all=reader.observe_all, answers_ping=answers_ping)
    rounds = Rounds(network.read, interval_seconds=settings.interval_of(Service.NETWORK))
    registry.register(NetworkCollector(nation, vantage=settings.vantage.name, source=rounds.reading))
    return Assembled(
        application=MetricsApplication(registry), background=(rounds.run,), close=(reader.close, prober.close)
    )


def _platforms(nation: Nation, settings: Settings) -> Assembled:
    registry = CollectorRegistry()
    wanted = _wanted(nation, settings)
    reader = _kubernetes_reader(nation, settings, wanted)
    rounds = Rounds(
        lambda: reader.observe_all(nation.clusters), interval_seconds=settings.interval_of(Service.PLATFORMS)
    )
    registry.register(PlatformsCollector(nation, source=rounds.reading, wanted=wanted))
    return Assembled(application=MetricsApplication(registry), background=(rounds.run,), close=(reader.close,))


def _findings(nation: Nation, settings: Settings) -> Assembled:
    registry = CollectorRegistry()
    wanted = _wanted(nation, settings)
    clusters = _kubernetes_reader(nation, settings, wanted, watched=WATCHED_KINDS)
    nodes = _ssh_reader(settings)
    planned = Planned(cluster_objects=wanted)
    waivers = read_waivers(WAIVERS, controls=(control.id for control in all_controls()))

    def judge(observed: Observed, at: datetime) -> tuple[Finding, ...]:
        findings = judge_all(nation, planned=planned, observed=observed, waivers=waivers, at=at)
        # The plan is judged before it is applied; what is shown here is the declaration and what runs.
        return tuple(finding for finding in findings if finding.stage is not Stage.PLANNED)

    rounds = Rounds(
        lambda: read_findings(
            nation,
            observe_nodes=nodes.observe_all,
            observe_clusters=clusters.observe_all,
            judge=judge,
            find_drift=lambda observed: find_drift(nation, planned, observed),
            now=lambda: datetime.now(UTC),
        ),
        interval_seconds=settings.interval_of(Service.FINDINGS),
    )
    registry.register(FindingsCollector(source=rounds.reading))
    return Assembled(
        application=MetricsApplication(registry), background=(rounds.run,), close=(nodes.close, clusters.close)
    )


def _alerts(nation: Nation, settings: Settings) -> Assembled:
    del nation
    registry = CollectorRegistry()
    journal = Journal(settings.journal)
    registry.register(NotificationsCollector(journal))

    async def close() -> None:
        journal.close()

    return Assembled(application=ReceivingApplication(journal, registry), close=(close,))


def _wanted(nation: Nation, settings: Settings) -> dict[str, tuple[Mapping[str, Any], ...]]:
    return {cluster.id: cluster_manifest(nation, cluster, image=settings.image) for cluster in nation.clusters}


def _ssh_reader(settings: Settings) -> SshReader:
    credentials = SshCredentials(
        private_key=settings.ssh / "observer",
        certificate=settings.ssh / "observer-cert.pub",
        known_hosts=settings.ssh / "known_hosts",
    )
    return SshReader(credentials, seen_from=settings.vantage.name)


def _kubernetes_reader(
    nation: Nation,
    settings: Settings,
    wanted: Mapping[str, tuple[Mapping[str, Any], ...]],
    *,
    watched: frozenset[Kind] = frozenset(),
) -> KubernetesReader:
    return KubernetesReader(
        _kubeconfigs(nation, settings),
        seen_from=settings.vantage.name,
        kinds={cluster: kinds_of(objects) | watched for cluster, objects in wanted.items()},
    )


def _kubeconfigs(nation: Nation, settings: Settings) -> dict[str, Path]:
    """Return the kubeconfigs that are there; a cluster without one is silent, and shown as such."""
    paths = {cluster.id: settings.kubeconfigs / f"{cluster.id}.yaml" for cluster in nation.clusters}
    return {cluster: path for cluster, path in paths.items() if path.exists()}


def _vantage(nation: Nation, name: str | None) -> Node:
    found = nation.node_by_name.get(name) if name else next(iter(nation.with_role(Role.OPERATIONS)), None)
    if found is None:
        raise ServingError(
            "CGC-660",
            f"there is no node {name!r} to look from" if name else "there is no operations centre to look from",
            where=str(nation.directory),
            remedy="name a declared node with --vantage",
        )
    return found


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:  # noqa: PLR2004 - ports have 16 bits
        raise ServingError(
            "CGC-661", f"{text!r} is not ADDRESS:PORT", where="--listen", remedy="write 127.0.0.1:9801 or [::1]:9801"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _read_passwords(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as err:
        raise ServingError(
            "CGC-661",
            f"not a JSON object of names and passwords: {err}",
            where=str(path),
            remedy='write {"name": "password"}, or leave --passwords out to let in certificates only',
        ) from err
