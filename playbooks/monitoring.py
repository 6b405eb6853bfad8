"""The operations centre's own files: what Prometheus scrapes and alarms, whom Alertmanager tells, the nation's names.

Pure: everything follows from the declaration. Secrets come from elsewhere, as files at the paths named here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import jinja2

from inventories.model import Addresses, Nation, Node, Role
from inventories.services import ALERTMANAGER_PORT, NODE_EXPORTER_PORT, PROMETHEUS_PORT, Service
from playbooks.bundle import BundleFile, Unit
from playbooks.enrolment import Enrolment

TEMPLATES = Path(__file__).parent / "templates" / "operations"

TLS = "/etc/cgc/tls"  # ca.crt, server.crt, server.key, client.crt, client.key; keys readable for group prometheus
SSH = "/etc/cgc/ssh"  # observer, observer-cert.pub, known_hosts
KUBECONFIGS = "/etc/cgc/kubeconfig"  # CLUSTER.yaml, of a user who may only look
CHECKOUT = "/opt/cgc"
PACKAGES = "/opt/cgc-site-packages"

CERTIFICATE_NOTICE = timedelta(days=14)  # a fortnight to renew in
QUOTA_RATIO = 0.9
DISK_RATIO = 0.1
RETENTION = "15d"


@dataclass(frozen=True, kw_only=True)
class Tempo:
    """How fast the monitoring beats; everything follows from how often the most urgent platform is probed.

    `patience` is what a consequence is given so that its cause is known first, `settle` how long after its mending a
    cause still explains.
    """

    scrape: timedelta
    node_scrape: timedelta
    network_round: timedelta
    platforms_round: timedelta
    findings_round: timedelta
    patience: timedelta
    long_patience: timedelta
    settle: timedelta
    group_wait: timedelta
    group_interval: timedelta
    watchdog: timedelta


def tempo_of(nation: Nation) -> Tempo:
    """Return the tempo that the nation's service objectives and routing timers ask for."""
    beat = min(objective.probe_interval for objective in nation.objectives)
    return Tempo(
        scrape=max(beat * 2 / 5, timedelta(seconds=1)),
        node_scrape=3 * beat,
        network_round=3 * beat,
        platforms_round=3 * beat,
        findings_round=12 * beat,
        # a round just missed, one that waits for a silent node, and a scrape
        patience=6 * beat,
        long_patience=60 * beat,
        settle=max(12 * beat, 6 * nation.bgp_hold),
        group_wait=beat * 3 / 5,
        group_interval=3 * beat,
        watchdog=6 * beat,
    )


def _text(duration: timedelta) -> str:
    """Return a duration as Prometheus writes it."""
    return f"{round(duration.total_seconds() * 1000)}ms" if duration.microseconds else f"{duration // _SECOND}s"


_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class ServiceUnit:
    """How one of our own services runs on the operations centre's node."""

    service: Service
    title: str
    round_seconds: int = 0
    capabilities: tuple[str, ...] = ()
    state_directory: str = ""

    @property
    def name(self) -> str:
        """The service's name, as `cgc serve` takes it."""
        return self.service.value

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.service.port

    @property
    def unit(self) -> str:
        """The unit's name without its suffix; also the scrape job's."""
        return f"cgc-{self.name}"


def services_of(nation: Nation) -> tuple[ServiceUnit, ...]:
    """Return our services, in the order of their ports."""
    tempo = tempo_of(nation)
    ping = ("CAP_NET_RAW",)
    return (
        ServiceUnit(service=Service.UPTIME, title="probes what is declared", capabilities=ping),
        ServiceUnit(
            service=Service.NETWORK,
            title="reads every node",
            round_seconds=tempo.network_round // _SECOND,
            capabilities=ping,
        ),
        ServiceUnit(
            service=Service.PLATFORMS,
            title="reads every cluster",
            round_seconds=tempo.platforms_round // _SECOND,
        ),
        ServiceUnit(
            service=Service.FINDINGS,
            title="judges what runs",
            round_seconds=tempo.findings_round // _SECOND,
        ),
        ServiceUnit(service=Service.ALERTS, title="keeps every alert", state_directory="cgc/alerts"),
    )


@cache
def _environment() -> jinja2.Environment:
    """Return the templates' environment; its marks leave `{{ }}` to Prometheus, whose templates the rules contain."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration files, not pages
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )


def _fill(template: str, **facts: object) -> str:
    return _environment().get_template(template).render(**facts)


RULES = "/etc/prometheus/rules.yml"
PROMETHEUS = "/etc/prometheus/prometheus.yml"
PROMETHEUS_DEFAULTS = "/etc/default/prometheus"
ALERTMANAGER = "/etc/prometheus/alertmanager.yml"
ALERTMANAGER_DEFAULTS = "/etc/default/prometheus-alertmanager"
WEB = "/etc/prometheus/web.yml"
UNBOUND = "/etc/unbound/unbound.conf"
_READ_BY_ITS_SERVICE = 0o644


def monitoring_files(nation: Nation, node: Node, enrolment: Enrolment) -> tuple[BundleFile, ...]:
    """Return the files of an operations centre's node, secrets not included; none for any other node."""
    del enrolment  # every secret is a file that somebody else made for the node
    if node.role is not Role.OPERATIONS:
        return ()
    texts = {
        PROMETHEUS: prometheus_text(nation, node),
        RULES: rules_text(nation),
        ALERTMANAGER: alertmanager_text(nation),
        WEB: _fill("web.yml.j2", tls=TLS),
        PROMETHEUS_DEFAULTS: _fill("defaults.j2", arguments=_prometheus_arguments()),
        ALERTMANAGER_DEFAULTS: _fill("defaults.j2", arguments=_alertmanager_arguments()),
        UNBOUND: unbound_text(nation, node),
        **{_unit_path(service): service_text(nation, node, service) for service in services_of(nation)},
    }
    return tuple(BundleFile(path=path, content=text, mode=_READ_BY_ITS_SERVICE) for path, text in texts.items())


def monitoring_units(nation: Nation, node: Node, enrolment: Enrolment | None = None) -> tuple[Unit, ...]:
    """Return the units of an operations centre's node, in the order they are started; none for any other node."""
    if node.role is not Role.OPERATIONS:
        return ()
    secrets = {file.path for file in enrolment.node_secrets.get(node.name, ())} if enrolment is not None else set()
    served = tuple(sorted(path for path in secrets if path.startswith(f"{TLS}/")))
    observing = tuple(sorted(path for path in secrets if path.startswith((f"{SSH}/", f"{KUBECONFIGS}/"))))
    return (
        Unit(name="unbound.service", restart_on=(UNBOUND,)),
        *(
            Unit(
                name=f"{service.unit}.service",
                restart_on=(_unit_path(service), *served, *(() if service.name == "alerts" else observing)),
            )
            for service in reversed(services_of(nation))  # the receiver first, so that no alert finds it away
        ),
        Unit(
            name="prometheus-alertmanager.service",
            reload_on=(ALERTMANAGER,),
            restart_on=(ALERTMANAGER_DEFAULTS, WEB),
        ),
        Unit(name="prometheus.service", reload_on=(PROMETHEUS, RULES), restart_on=(PROMETHEUS_DEFAULTS, WEB)),
    )


def _unit_path(service: ServiceUnit) -> str:
    return f"/etc/systemd/system/{service.unit}.service"


def prometheus_text(nation: Nation, node: Node) -> str:
    """Return prometheus.yml: every exporter of ours, every node's own, Prometheus and Alertmanager."""
    tempo = tempo_of(nation)
    return _fill(
        "prometheus.yml.j2",
        nation=nation,
        node=node,
        tls=TLS,
        rules_path=RULES,
        scrape=_text(tempo.scrape),
        evaluation=_text(tempo.scrape),
        node_scrape=_text(tempo.node_scrape),
        node_timeout=_text(tempo.node_scrape * 2 / 3),
        services=services_of(nation),
        prometheus_port=PROMETHEUS_PORT,
        alertmanager_port=ALERTMANAGER_PORT,
        node_exporter_port=NODE_EXPORTER_PORT,
    )


def rules_text(nation: Nation) -> str:
    """Return the recorded series and the alerts."""
    tempo = tempo_of(nation)
    objectives = [
        {
            "id": objective.id,
            "latency_seconds": objective.latency.total_seconds(),
            "platforms": [platform.id for platform in nation.platforms if platform.objective == objective.id],
        }
        for objective in nation.objectives
    ]
    return _fill(
        "rules.yml.j2",
        nation=nation,
        evaluation=_text(tempo.scrape),
        patience=_text(tempo.patience),
        long_patience=_text(tempo.long_patience),
        exporter_patience=_text(4 * tempo.scrape),
        scrape_twice=_text(2 * tempo.scrape),
        settle=_text(tempo.settle),
        slow_objectives=[objective for objective in objectives if objective["platforms"]],
        certificate_seconds=CERTIFICATE_NOTICE // _SECOND,
        quota_ratio=QUOTA_RATIO,
        disk_ratio=DISK_RATIO,
        own_jobs=[
            *(service.unit for service in services_of(nation)),
            "prometheus-alertmanager",
        ],
    )


def alertmanager_text(nation: Nation) -> str:
    """Return alertmanager.yml."""
    tempo = tempo_of(nation)
    receiver = next(service for service in services_of(nation) if service.name == "alerts")
    return _fill(
        "alertmanager.yml.j2",
        tls=TLS,
        group_wait=_text(tempo.group_wait),
        group_interval=_text(tempo.group_interval),
        watchdog=_text(tempo.watchdog),
        receiver_port=receiver.port,
    )


def _prometheus_arguments() -> tuple[str, ...]:
    return (
        f"--config.file={PROMETHEUS}",
        "--storage.tsdb.path=/var/lib/prometheus/metrics2/",
        f"--storage.tsdb.retention.time={RETENTION}",
        f"--web.config.file={WEB}",
        f"--web.listen-address=[::]:{PROMETHEUS_PORT}",  # IPv4 too; the walls admit the management network only
        "--log.level=warn",
    )


def _alertmanager_arguments() -> tuple[str, ...]:
    return (
        f"--config.file={ALERTMANAGER}",
        "--storage.path=/var/lib/prometheus/alertmanager/",
        f"--web.config.file={WEB}",
        f"--web.listen-address=[::]:{ALERTMANAGER_PORT}",
        "--cluster.listen-address=",  # alone: no gossip
        "--log.level=warn",
    )


def service_text(nation: Nation, node: Node, service: ServiceUnit) -> str:
    """Return the systemd unit of one of our services."""
    return _fill(
        "service.j2",
        nation=nation,
        node=node,
        service=service,
        description=f"CGC {service.name}: {service.title}",
        checkout=CHECKOUT,
        packages=PACKAGES,
        listen=("127.0.0.1", "[::1]", node.management4, f"[{node.management6}]"),
    )


def unbound_text(nation: Nation, node: Node) -> str:
    """Return unbound.conf: the loopback addresses of every node and of every platform's endpoints, in both families."""
    named: list[tuple[str, Addresses]] = [(one.name, one.loopback) for one in nation.nodes]
    named += [
        (platform.id, endpoint.addresses) for platform in nation.platforms for endpoint in nation.endpoints_of(platform)
    ]
    records = [
        {"name": name, "kind": kind, "address": address}
        for name, addresses in named
        for kind, address in (("A", addresses.ipv4), ("AAAA", addresses.ipv6))
    ]
    pointers = [
        {"name": one.name, "address": address}
        for one in nation.nodes
        for address in (one.loopback.ipv4, one.loopback.ipv6)
    ]
    admitted = [prefix for both in (*nation.prefixes, nation.management) for prefix in (both.ipv4, both.ipv6)]
    return _fill(
        "unbound.conf.j2",
        nation=nation,
        node=node,
        records=records,
        pointers=pointers,
        listen=("127.0.0.1", "::1", node.loopback.ipv4, node.loopback.ipv6),
        admitted=("127.0.0.0/8", "::1/128", *admitted),
    )
