"""The operations centre's files: accepted by the programs that read them, and one page for one cause."""

from __future__ import annotations

import configparser
import re
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml

from inventories import load_nation
from inventories.model import Nation, Node, Role
from inventories.services import Service
from playbooks.bundle import BundleFile
from playbooks.enrolment import Enrolment
from playbooks.monitoring import (
    ALERTMANAGER,
    PROMETHEUS,
    RULES,
    TLS,
    UNBOUND,
    WEB,
    monitoring_files,
    monitoring_units,
    rules_text,
    services_of,
    tempo_of,
)
from scripts.authority import Authority
from tests.exporters.world import AT, World
from tests.playbooks.rule_scenarios import ALERTS_NOW, PAGES_EVER, Phase, Question, Scenario, ask
from tests.tools import run_tool

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"
ENROLMENT = Enrolment(wireguard_public_keys={}, ssh_user_authority="")


@pytest.fixture(scope="module")
def nation() -> Nation:
    """Return the rehearsal's nation."""
    return load_nation(REHEARSAL)


@pytest.fixture(scope="module")
def centre(nation: Nation) -> Node:
    """Return the operations centre's node."""
    return nation.with_role(Role.OPERATIONS)[0]


@pytest.fixture(scope="module")
def files(nation: Nation, centre: Node) -> dict[str, str]:
    """Return the operations centre's files, path → text."""
    return {file.path: file.content for file in monitoring_files(nation, centre, ENROLMENT)}


def test_only_an_operations_centre_monitors(nation: Nation) -> None:
    """No other node gets a file or a unit of the monitoring."""
    for node in nation.nodes:
        if node.role is not Role.OPERATIONS:
            assert monitoring_files(nation, node, ENROLMENT) == ()
            assert monitoring_units(nation, node, ENROLMENT) == ()


def test_no_file_names_where_the_declaration_was_rendered(files: dict[str, str]) -> None:
    """What a node is given does not depend on the machine it was rendered on."""
    assert all(str(REHEARSAL.parents[1]) not in text for text in files.values())


def test_the_rules_are_accepted(files: dict[str, str], tmp_path: Path) -> None:
    """`promtool check rules` finds nothing."""
    path = tmp_path / "rules.yml"
    path.write_text(files[RULES])
    done = run_tool("promtool", "check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_prometheus_configuration_is_accepted(files: dict[str, str], tmp_path: Path) -> None:
    """`promtool check config` and `check web-config` find nothing, with the certificates in place."""
    now = AT
    authority = Authority.create_or_load(tmp_path / "authority", now=now)
    issued = authority.issue_server("noc", dns_names=["localhost"], ip_addresses=["127.0.0.1"], now=now)
    for name, source in (
        ("ca.crt", authority.certificate_path),
        ("server.crt", issued.certificate_path),
        ("server.key", issued.key_path),
        ("client.crt", issued.certificate_path),
        ("client.key", issued.key_path),
    ):
        target = tmp_path / TLS.lstrip("/") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    for path, text in files.items():
        staged = tmp_path / path.lstrip("/")
        staged.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(text.replace("/etc/", f"{tmp_path}/etc/"))
    done = run_tool("promtool", "check", "config", str(tmp_path / PROMETHEUS.lstrip("/")))
    assert done.returncode == 0, done.stdout + done.stderr
    done = run_tool("promtool", "check", "web-config", str(tmp_path / WEB.lstrip("/")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_configuration_is_accepted(files: dict[str, str], tmp_path: Path) -> None:
    """`amtool check-config` finds nothing."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(files[ALERTMANAGER])
    done = run_tool("amtool", "check-config", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_name_servers_configuration_is_accepted(files: dict[str, str], tmp_path: Path) -> None:
    """`unbound-checkconf` finds nothing; the user and the directory are the node's, so they are left out here."""
    path = tmp_path / "unbound.conf"
    text = files[UNBOUND].replace("username: unbound", 'username: ""').replace("/etc/unbound", str(tmp_path))
    path.write_text(text.replace("/run/unbound.pid", f"{tmp_path}/unbound.pid"))
    done = run_tool("unbound-checkconf", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_name_has_its_addresses_in_both_families(nation: Nation, files: dict[str, str]) -> None:
    """Every node and every platform's every endpoint: an A and an AAAA record with the loopback addresses."""
    found = set(re.findall(r'local-data: "(\S+)\.dientap\.test\. 60 IN (A|AAAA) (\S+)"', files[UNBOUND]))
    expected = {
        (name, kind, str(address))
        for name, addresses in (
            *((node.name, node.loopback) for node in nation.nodes),
            *(
                (platform.id, endpoint.addresses)
                for platform in nation.platforms
                for endpoint in nation.endpoints_of(platform)
            ),
        )
        for kind, address in (("A", addresses.ipv4), ("AAAA", addresses.ipv6))
    }
    assert {(name, kind, str(ip_address(address))) for name, kind, address in found} == expected


def test_everything_that_exports_is_scraped_with_a_certificate(nation: Nation, files: dict[str, str]) -> None:
    """Our services, Prometheus and Alertmanager over TLS with a client certificate; every node's own exporter."""
    jobs = {job["job_name"]: job for job in yaml.safe_load(files[PROMETHEUS])["scrape_configs"]}
    ours = {*(service.unit for service in services_of(nation)), "prometheus", "prometheus-alertmanager"}
    assert set(jobs) == ours | {"node"}
    for name in ours:
        assert jobs[name]["scheme"] == "https"
        assert jobs[name]["tls_config"]["cert_file"] == "/etc/cgc/tls/client.crt"
        assert "insecure_skip_verify" not in jobs[name]["tls_config"]
    watched = {config["labels"]["node"]: config["targets"] for config in jobs["node"]["static_configs"]}
    assert watched == {node.name: [f"{node.management4}:9100"] for node in nation.nodes}


def test_the_services_are_those_the_command_serves(nation: Nation) -> None:
    """Each unit runs `cgc serve NAME` on the port where Prometheus looks for it."""
    assert {(service.name, service.port) for service in services_of(nation)} == {
        (service.value, service.port) for service in Service
    }


def test_the_services_have_no_powers_they_do_not_need(nation: Nation, files: dict[str, str]) -> None:
    """The units are hardened; only those that ping may open raw sockets."""
    for service in services_of(nation):
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names are case-sensitive
        unit.read_string(files[f"/etc/systemd/system/{service.unit}.service"])
        settings = unit["Service"]
        assert settings["ProtectSystem"] == "strict"
        assert settings["NoNewPrivileges"] == "yes"
        pings = service.name in ("uptime", "network")
        assert settings["CapabilityBoundingSet"] == ("CAP_NET_RAW" if pings else "")
        assert f" serve {service.name} " in settings["ExecStart"]


def test_a_changed_secret_restarts_who_reads_it(nation: Nation, centre: Node) -> None:
    """A renewed server certificate restarts what serves with it, a renewed SSH certificate only what observes."""
    secrets = tuple(
        BundleFile(path=path, content="", secret=True)
        for path in ("/etc/cgc/tls/server.crt", "/etc/cgc/ssh/observer-cert.pub")
    )
    enrolment = replace(ENROLMENT, node_secrets={centre.name: secrets})
    units = {unit.name: unit for unit in monitoring_units(nation, centre, enrolment)}
    assert "/etc/cgc/tls/server.crt" in units["cgc-alerts.service"].restart_on
    assert "/etc/cgc/ssh/observer-cert.pub" in units["cgc-network.service"].restart_on
    assert "/etc/cgc/ssh/observer-cert.pub" not in units["cgc-alerts.service"].restart_on


def test_every_alert_says_what_happened_and_what_to_do_in_both_languages(nation: Nation) -> None:
    """Severity, cause, summary and remedy are there for each alert, in Vietnamese and English."""
    rules = yaml.safe_load(rules_text(nation))["groups"][0]["rules"]
    alerts = [rule for rule in rules if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) >= 15
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket", "none")
        # A broken link's cause comes with its series: the route, which the topology knows.
        assert "cause" in rule["labels"] or rule["alert"] == "LinkDown"
        assert {"summary_en", "summary_vi", "remedy_en", "remedy_vi"} <= set(rule["annotations"])


def test_the_tempo_follows_the_declaration(nation: Nation) -> None:
    """A nation that probes three times as seldom is scraped and alarmed three times as slowly."""
    slower = replace(
        nation,
        objectives=tuple(replace(one, probe_interval=3 * one.probe_interval) for one in nation.objectives),
    )
    assert tempo_of(nation).scrape == timedelta(seconds=2)
    assert tempo_of(slower).scrape == 3 * tempo_of(nation).scrape
    assert tempo_of(slower).patience == 3 * tempo_of(nation).patience


# --- one page for one cause, as Prometheus itself evaluates the rules ------------------------------------------------

CALM_SECONDS = 60
BROKEN_SECONDS = 150
RETURNING_SECONDS = 40  # after mending, until sessions are back
AFTERWARDS_SECONDS = 120


def lived_through(
    broken: World, expected: set[tuple[str, str]], *, name: str, returning: World | None = None
) -> Scenario:
    """Return a scenario: calm, broken, mended but not back yet, calm; exactly these pages ever, and none at the end."""
    calm = World(nation=broken.nation)
    phases = (
        Phase(seconds=CALM_SECONDS, world=calm),
        Phase(seconds=BROKEN_SECONDS, world=broken),
        Phase(seconds=RETURNING_SECONDS, world=returning or calm),
        Phase(seconds=AFTERWARDS_SECONDS, world=calm),
    )
    end = sum(phase.seconds for phase in phases)
    pairs = frozenset(expected)
    return Scenario(
        name=name,
        phases=phases,
        questions=(
            Question(at_seconds=CALM_SECONDS - 5, expression=ALERTS_NOW, pairs=frozenset()),
            Question(at_seconds=end - 5, expression=PAGES_EVER, pairs=pairs),
            Question(at_seconds=end - 5, expression=ALERTS_NOW, pairs=frozenset()),
        ),
    )


def returning_sessions(nation: Nation, *, links: frozenset[str] = frozenset(), node: str = "") -> World:
    """Return the world just after mending: links carry, but the BGP sessions over them are not back yet."""
    closed = {
        (one.name, session.peer, family)
        for one in nation.nodes
        for session in one.sessions
        for family in ("ipv4", "ipv6")
        if any(set(nation.link_by_name[link].ends) == {one.name, session.peer} for link in links)
        or node in (one.name, session.peer)
    }
    return World(nation=nation, closed_sessions=frozenset(closed))


def cuts(nation: Nation) -> list[Scenario]:
    """Return the cut of every link."""
    return [
        lived_through(
            World(nation=nation, cut=frozenset({link.name})),
            {("LinkDown", f"route/{link.route}")},
            name=f"cut {link.name}",
            returning=returning_sessions(nation, links=frozenset({link.name})),
        )
        for link in nation.links
    ]


def test_a_nation_without_faults_alarms_nobody(nation: Nation, tmp_path: Path) -> None:
    """Ten calm minutes: no page, no ticket."""
    calm = Phase(seconds=600, world=World(nation=nation))
    quiet = (
        Question(at_seconds=595, expression=PAGES_EVER, pairs=frozenset()),
        Question(at_seconds=595, expression=ALERTS_NOW, pairs=frozenset()),
    )
    assert ask(nation, tmp_path, [Scenario(name="calm", phases=(calm,), questions=quiet)]) == ""


@pytest.mark.slow
def test_every_cut_sends_one_page_that_names_the_route(nation: Nation, tmp_path: Path) -> None:
    """Whichever link is cut, and until routing is back after the mending: LinkDown of that route, no other page."""
    assert ask(nation, tmp_path, cuts(nation)) == ""


@pytest.mark.slow
def test_every_dead_node_sends_one_page_that_names_it(nation: Nation, tmp_path: Path) -> None:
    """Whichever node loses power: NodeUnreachable for it, and nothing for its links, sessions and platforms."""
    scenarios = [
        lived_through(
            World(nation=nation, dead=frozenset({node.name})),
            {("NodeUnreachable", f"node/{node.name}")},
            name=f"dead {node.name}",
            returning=returning_sessions(nation, node=node.name),
        )
        for node in nation.nodes
        if node.role is not Role.OPERATIONS
    ]
    assert ask(nation, tmp_path, scenarios) == ""


@pytest.mark.slow
def test_every_stopped_routing_sends_one_page(nation: Nation, tmp_path: Path) -> None:
    """Whichever node's routing stops: the node is named, or its session where it has only one."""
    scenarios = []
    for node in nation.nodes:
        if node.role is Role.OPERATIONS:
            continue
        peers = sorted({session.peer for session in node.sessions})
        only = "--".join(sorted((node.name, peers[0])))
        expected = ("RoutingDown", f"node/{node.name}") if len(peers) > 1 else ("BgpSessionDown", f"session/{only}")
        broken = World(nation=nation, stopped_routing=frozenset({node.name}))
        scenarios.append(lived_through(broken, {expected}, name=f"routing of {node.name}"))
    assert ask(nation, tmp_path, scenarios) == ""


@pytest.mark.slow
def test_other_faults_send_what_names_them(nation: Nation, tmp_path: Path) -> None:
    """One fault of each further kind: its own page and no other."""
    north = frozenset((platform.id, "cgc-north") for platform in nation.platforms if "cgc-north" in platform.clusters)
    first_cut = nation.link_by_name["province-19--core-a-hn"]
    scenarios = [
        lived_through(World(nation=nation, cut=frozenset({first_cut.name})), {("LinkDown", "route/province-19/a")},
                      name="a province's cut", returning=returning_sessions(nation, links=frozenset({first_cut.name}))),
        lived_through(World(nation=nation, dead=frozenset({"agc-tn-1"})), {("NodeUnreachable", "node/agc-tn-1")},
                      name="a dead cluster host"),
        lived_through(World(nation=nation, stopped_ospf=frozenset({"core-a-hn"})),
                      {("OspfNeighbourDown", "adjacency/core-a-hcm--core-a-hn")}, name="no OSPF"),
        lived_through(World(nation=nation, stopped_tunnels=frozenset({"commune-05440"})),
                      {("BgpSessionDown", "session/commune-05440--district-164")}, name="a tunnel taken down"),
        lived_through(World(nation=nation, lost_platforms=frozenset({("open-data", "cgc-south")})),
                      {("PlatformDown", "platform/open-data/cgc-south")}, name="a platform is lost"),
        lived_through(World(nation=nation, lost_platforms=north),
                      {("ClusterPlatformsDown", "cluster/cgc-north")}, name="all platforms of a cluster are lost"),
        lived_through(World(nation=nation, mute=frozenset({"core-b-hn"})), set(), name="a mute router"),
        lived_through(World(nation=nation, cut=frozenset({"province-19--core-a-hn", "province-92--core-b-hcm"})),
                      {("LinkDown", "route/province-19/a"), ("LinkDown", "route/province-92/b")}, name="two cuts"),
        lived_through(World(nation=nation, cut=frozenset({"district-164--province-19"}),
                            lost_platforms=frozenset({("nixa", "cgc-north")})),
                      {("LinkDown", "route/district-164/province-19"), ("PlatformDown", "platform/nixa/cgc-north")},
                      name="a cut and an unrelated platform"),
    ]  # fmt: skip
    assert ask(nation, tmp_path, scenarios) == ""


@pytest.mark.slow
def test_what_is_not_urgent_is_a_ticket(nation: Nation, tmp_path: Path) -> None:
    """Clocks, mute routers, drift, controls, quotas and disks make tickets, which name their subject."""
    world = World(nation=nation, unsynchronised=frozenset({"province-92"}), mute=frozenset({"core-b-hn"}))
    more = {
        'cgc_drift_items{subject="node/province-92",where="/etc/x",departure="changed"}': 1.0,
        'cgc_control_verdict{control="NC-03",verdict="fail"}': 1.0,
        'cgc_control_verdict{control="NC-04",verdict="fail"}': 0.0,
        'cgc_quota_used{platform="nixa",cluster="cgc-north",resource="pods"}': 8.0,
        'cgc_quota_limit{platform="nixa",cluster="cgc-north",resource="pods"}': 8.0,
        'node_filesystem_avail_bytes{node="core-a-hn",site="hn",mountpoint="/",fstype="overlay"}': 5.0,
        'node_filesystem_size_bytes{node="core-a-hn",site="hn",mountpoint="/",fstype="overlay"}': 100.0,
        'cgc_platform_replicas_ready{platform="nixa",cluster="cgc-north"}': 1.0,
        'cgc_platform_replicas_wanted{platform="nixa",cluster="cgc-north"}': 2.0,
        'cgc_cluster_up{cluster="egc-demo",node="egc-demo-1"}': 0.0,
    }
    expected = {
        ("ClockUnsynchronised", "clock/province-92"),
        ("NodeSilent", "node/core-b-hn"),
        ("DriftFound", "drift/node/province-92"),
        ("ControlFails", "control/NC-03"),
        ("QuotaNearlyFull", "quota/nixa/cgc-north"),
        ("DiskNearlyFull", "disk/core-a-hn"),
        ("PlatformDegraded", "platform/nixa/cgc-north"),
        ("ClusterSilent", "cluster/egc-demo"),
    }
    scenario = Scenario(
        name="tickets",
        phases=(Phase(seconds=300, world=world, more=more),),
        questions=(
            Question(at_seconds=295, expression=ALERTS_NOW, pairs=frozenset(expected)),
            Question(at_seconds=295, expression=PAGES_EVER, pairs=frozenset()),
        ),
    )
    assert ask(nation, tmp_path, [scenario]) == ""


def test_blind_monitoring_is_a_page(nation: Nation, tmp_path: Path) -> None:
    """An exporter that is not scraped, gone from the list, or has nothing fresh pages; the pulse goes on."""
    world = World(nation=nation)
    down = {'up{job="cgc-network"}': 0.0, 'cgc_round_fresh{round="platforms"}': 0.0}
    scenario = Scenario(
        name="blind",
        phases=(Phase(seconds=60, world=world), Phase(seconds=120, world=world, more=down)),
        questions=(
            Question(
                at_seconds=175,
                expression=PAGES_EVER,
                pairs=frozenset({("ExporterSilent", "exporter/cgc-network"), ("StaleRound", "exporter/platforms")}),
            ),
            Question(
                at_seconds=175,
                expression='count by (alertname, cause) (ALERTS{alertstate="firing",severity="none"})',
                pairs=frozenset({("AlertChainWatchdog", "watchdog")}),
            ),
        ),
    )
    assert ask(nation, tmp_path, [scenario]) == ""
