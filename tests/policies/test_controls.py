"""Each control passes a lawful nation, names what breaks its duty, and never takes silence for lawfulness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from ipaddress import IPv6Network
from typing import Any

import pytest

from inventories.model import Certification, DualStack, Nation, Tier
from policies.catalogue import all_controls
from policies.control import Stage, Verdict
from policies.controls.host_keys_are_always_checked import CARELESS
from policies.controls.logs_are_kept_long_enough import months_needed, months_of
from policies.judging import judge_all, worst_of
from policies.observed import ClockState, Difference, Planned, Reason, Silence

Objects = list[dict[str, Any]]


def find(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    """Return NIXA's object of that kind and name."""
    rooms = ("bca-nixa", None)
    return next(
        item
        for item in objects
        if (item["kind"], item["metadata"]["name"]) == (kind, name) and item["metadata"].get("namespace") in rooms
    )


def test_a_lawful_nation_is_found_lawful_at_every_stage(lawful: Any) -> None:
    """No control fails, or leaves open, what is as it should be; so a FAIL below comes from the change it makes."""
    bad = [item for item in lawful.findings() if item.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)]
    assert bad == []
    assert {item.control for item in lawful.findings() if item.verdict is Verdict.PASS} == {
        control.id for control in all_controls()
    }


def test_every_control_says_unknown_when_nobody_answers(lawful: Any) -> None:
    """When no node and no cluster answers, no control that looks at reality passes anything."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    silence = Silence(subject="x", seen_at=at, seen_from="test", reason=Reason.UNREACHABLE, detail="no route")
    case = lawful.seeing(
        nodes=dict.fromkeys(lawful.observed.nodes, silence), clusters=dict.fromkeys(lawful.observed.clusters, silence)
    )
    observed = case.findings(stage=Stage.OBSERVED)
    assert {item.verdict for item in observed} == {Verdict.UNKNOWN}
    assert {item.reason for item in observed} == {Reason.UNREACHABLE}
    assert {item.control for item in observed} == {control.id for control in all_controls() if control.observed}


# --- NC-01


def test_a_level_four_platform_at_one_site_is_refused(lawful: Any) -> None:
    """A government platform of level 4 that is declared on one cluster only is refused at its line."""
    case = lawful.with_platform("nixa", clusters=("cgc-north",))
    (found,) = case.failures("NC-01", Stage.DECLARED)
    assert found.subject == "platform/nixa"
    assert found.where == case.nation.place_of("platform/nixa", "clusters")
    assert "30.5b" in str(found.citation)


def test_two_clusters_at_one_site_are_one_site(lawful: Any) -> None:
    """It is sites that count: two clusters in one building fall together."""
    case = lawful.with_cluster("cgc-south", site="hn")
    assert "platform/nixa" in {item.subject for item in case.failures("NC-01", Stage.DECLARED)}


def test_a_planned_deployment_without_replicas_does_not_count(lawful: Any) -> None:
    """A Deployment of zero replicas is not there."""

    def empty(objects: Objects) -> None:
        find(objects, "Deployment", "nixa")["spec"]["replicas"] = 0

    (found,) = lawful.with_planned("cgc-south", empty).failures("NC-01", Stage.PLANNED)
    assert found.subject == "platform/nixa"


def test_a_site_whose_replicas_are_not_ready_does_not_carry(lawful: Any) -> None:
    """With no ready replica at the second site the platform stands on one leg."""

    def broken(objects: Objects) -> None:
        find(objects, "Deployment", "nixa")["status"] = {"readyReplicas": 0}

    (found,) = lawful.with_seen("cgc-south", broken).failures("NC-01", Stage.OBSERVED)
    assert found.subject == "platform/nixa"


def test_a_silent_site_leaves_the_question_open(lawful: Any) -> None:
    """If the second site's cluster is silent, whether the platform runs there is UNKNOWN, neither PASS nor FAIL."""
    silence = Silence(
        subject="cgc-south",
        seen_at=datetime(2026, 11, 24, tzinfo=UTC),
        seen_from="test",
        reason=Reason.DID_NOT_FINISH,
        detail="slow",
    )
    case = lawful.seeing(clusters={"cgc-south": silence})
    verdicts = {item.subject: item.verdict for item in case.findings("NC-01", Stage.OBSERVED)}
    assert verdicts["platform/nixa"] is Verdict.UNKNOWN


# --- NC-02


def _without_default_deny(objects: Objects) -> None:
    objects[:] = [item for item in objects if item["metadata"]["name"] != "default-deny"]


def _one_way_walls(objects: Objects) -> None:
    for item in objects:
        if item["metadata"]["name"] == "default-deny":
            item["spec"]["policyTypes"] = ["Ingress"]


def _allow_all(objects: Objects) -> None:
    find(objects, "NetworkPolicy", "own-port")["spec"]["ingress"].append({})


def _allow_the_world(objects: Objects) -> None:
    rule = {"from": [{"ipBlock": {"cidr": "::/0"}}]}
    find(objects, "NetworkPolicy", "own-port")["spec"]["ingress"].append(rule)


def _allow_every_namespace(objects: Objects) -> None:
    find(objects, "NetworkPolicy", "own-port")["spec"]["ingress"].append({"from": [{"namespaceSelector": {}}]})


def _lax_label(objects: Objects) -> None:
    find(objects, "Namespace", "bca-nixa")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"


def _no_namespace(objects: Objects) -> None:
    objects.remove(find(objects, "Namespace", "bca-nixa"))


@pytest.mark.parametrize(
    "change",
    [
        _without_default_deny,
        _one_way_walls,
        _allow_all,
        _allow_the_world,
        _allow_every_namespace,
        _lax_label,
        _no_namespace,
    ],
)
def test_a_hole_in_the_walls_is_seen_in_plan_and_in_reality(lawful: Any, change: Callable[[Objects], None]) -> None:
    """Whatever opens a level 3+ platform's room is refused before it is made and found after."""
    planned = lawful.with_planned("cgc-north", change).failures("NC-02", Stage.PLANNED)
    observed = lawful.with_seen("cgc-north", change).failures("NC-02", Stage.OBSERVED)
    assert "platform/nixa@cgc-north" in {item.subject for item in planned}
    assert "platform/nixa@cgc-north" in {item.subject for item in observed}


def test_a_pod_nobody_declared_breaks_the_isolation(lawful: Any) -> None:
    """A pod without a controller inside a level 3+ room is a stranger."""

    def stranger(objects: Objects) -> None:
        metadata = {"name": "khach-la", "namespace": "bca-nixa"}
        objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}})

    (found,) = lawful.with_seen("cgc-north", stranger).failures("NC-02", Stage.OBSERVED)
    assert "khach-la" in found.message.en


def test_a_rule_for_one_port_is_no_hole(lawful: Any) -> None:
    """A platform may publish its own port to everyone."""

    def published(objects: Objects) -> None:
        find(objects, "NetworkPolicy", "own-port")["spec"]["ingress"].append({"ports": [{"port": 8080}]})

    assert lawful.with_planned("cgc-north", published).failures("NC-02", Stage.PLANNED) == []


# --- NC-03


@pytest.mark.parametrize(
    "line",
    [
        "host_key_checking = False",
        "host_key_checking=no",
        '    "ANSIBLE_HOST_KEY_CHECKING": "False",',
        "ANSIBLE_HOST_KEY_CHECKING=0 ansible-playbook",
        "os.environ['ANSIBLE_HOST_KEY_CHECKING'] = 'false'",
        "  StrictHostKeyChecking no",
        '"-o", "StrictHostKeyChecking=accept-new"',
        "StrictHostKeyChecking=off",
        "  UserKnownHostsFile /dev/null",
        "await asyncssh.connect(host, known_hosts=None)",
        "client.set_missing_host_key_policy(paramiko.AutoAddPolicy())",
    ],
)
def test_no_way_to_accept_an_unknown_host_key_escapes(lawful: Any, line: str) -> None:
    """In our own files and in those that nodes get, every spelling of 'accept any key' is found at its line."""
    repository = {"playbooks/x.py": f"first\n{line}\n"}
    case = replace(lawful, planned=replace(lawful.planned, repository=repository))
    (found,) = case.failures("NC-03", Stage.PLANNED)
    assert found.where == "playbooks/x.py:2"
    (on_node,) = lawful.with_file("noc-hn-1", "/etc/ssh/ssh_config.d/x.conf", line).failures("NC-03", Stage.PLANNED)
    assert on_node.where == "noc-hn-1:/etc/ssh/ssh_config.d/x.conf:1"


@pytest.mark.parametrize(
    "line",
    ["host_key_checking = True", "StrictHostKeyChecking yes", "GlobalKnownHostsFile=none", "known_hosts=str(path)"],
)
def test_a_careful_setting_is_left_alone(line: str) -> None:
    """The settings that we do use are not mistaken for careless ones."""
    assert not any(pattern.search(line) for pattern in CARELESS)


def test_a_changed_ssh_configuration_on_a_node_is_found(lawful: Any) -> None:
    """Once a node's SSH configuration is not the planned one, what the plan proved holds no more."""
    difference = Difference(path="/etc/ssh/sshd_config.d/10-cgc.conf", aspect="content", expected="a", found="b")
    (found,) = lawful.with_node("province-19", differences=(difference,)).failures("NC-03", Stage.OBSERVED)
    assert found.subject == "node/province-19"


# --- NC-04


def test_the_strictest_applicable_rule_decides_retention(nation: Nation) -> None:
    """TCVN by level; 12 months for an enterprise's service and for the document axis, whatever their level."""
    needed = {platform.id: months_needed(platform) for platform in nation.platforms}
    assert needed["nixa"] == 6
    assert needed["open-data"] == 3
    assert needed["govtech"] == 12
    assert needed["document-axis"] == 12


def test_retention_below_the_law_is_refused_where_it_is_declared(lawful: Any) -> None:
    """Three months for level 4 are refused, at the line in tiers.yaml."""
    kept = tuple(replace(rule, months=3) if rule.level == 4 else rule for rule in lawful.nation.log_retention)
    case = replace(lawful, nation=replace(lawful.nation, log_retention=kept))
    found = case.failures("NC-04", Stage.DECLARED)
    assert {item.subject for item in found} == {
        "platform/nixa",
        "platform/ndxp",
        "platform/dvcqg",
        "platform/document-axis",
    }
    assert found[0].where == lawful.nation.place_of("level/4", "months")


def test_a_journal_that_forgets_early_is_refused(lawful: Any) -> None:
    """A node whose journal would keep, or keeps, less than its platforms demand is refused."""
    path = "/etc/systemd/journald.conf.d/60-cgc.conf"
    (planned,) = lawful.with_file("cgc-north-1", path, "[Journal]\nMaxRetentionSec=30day\n").failures(
        "NC-04", Stage.PLANNED
    )
    assert planned.where == f"cgc-north-1:{path}"
    (seen,) = lawful.with_node("cgc-north-1", log_retention_months=1).failures("NC-04", Stage.OBSERVED)
    assert seen.subject == "node/cgc-north-1"


def test_a_journal_without_a_limit_in_the_plan_is_unknown(lawful: Any) -> None:
    """A plan that says nothing of retention proves nothing."""
    case = lawful.with_file("core-a-hn", "/etc/systemd/journald.conf.d/60-cgc.conf", "[Journal]\n")
    verdicts = {item.subject: item.verdict for item in case.findings("NC-04", Stage.PLANNED)}
    assert verdicts["node/core-a-hn"] is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("span", "months"), [("1year", 12), ("12month", 12), ("365day", 12), ("52w", 11), ("6month 15d", 6), ("90d", 2)]
)
def test_systemd_spans_are_understood(span: str, months: int) -> None:
    """Time spans count as systemd.time(7) has them."""
    assert months_of(span) == months


# --- NC-05


def test_a_service_in_one_family_is_refused(lawful: Any) -> None:
    """A single-stack service is refused in the plan and found in reality."""

    def single(objects: Objects) -> None:
        find(objects, "Service", "nixa")["spec"]["ipFamilies"] = ["IPv4"]

    assert [item.subject for item in lawful.with_planned("cgc-north", single).failures("NC-05", Stage.PLANNED)] == [
        "cluster/cgc-north"
    ]
    assert [item.subject for item in lawful.with_seen("cgc-north", single).failures("NC-05", Stage.OBSERVED)] == [
        "cluster/cgc-north"
    ]


def test_a_session_planned_over_ipv4_only_is_refused(lawful: Any) -> None:
    """Each neighbour appears in both families or not at all."""
    session = lawful.nation.node_by_name["province-19"].sessions[0]
    text = lawful.planned.node_files["province-19"]["/etc/frr/frr.conf"]
    broken = text.replace(f" neighbor {session.peer_addresses.ipv6} remote-as {session.peer_as}\n", "")
    (found,) = lawful.with_file("province-19", "/etc/frr/frr.conf", broken).failures("NC-05", Stage.PLANNED)
    assert session.peer in found.message.en


def test_an_interface_that_lost_its_ipv6_is_found(lawful: Any) -> None:
    """An interface with an IPv4 address and only a link-local IPv6 one is half there."""
    seen = lawful.observed.nodes["district-164"]
    halved = tuple(
        replace(item, addresses=(item.addresses[0], "fe80::1/64")) if item.name == "province-19" else item
        for item in seen.interfaces
    )
    (found,) = lawful.with_node("district-164", interfaces=halved).failures("NC-05", Stage.OBSERVED)
    assert "province-19 has no IPv6 address" in found.message.en


def test_a_session_down_in_one_family_is_found(lawful: Any) -> None:
    """BGP that stands over IPv4 and not over IPv6 is found; down in both it is another alarm's matter."""
    seen = lawful.observed.nodes["province-19"]
    down = tuple(replace(item, state="Active") if item.family == "ipv6" else item for item in seen.bgp)
    assert len(lawful.with_node("province-19", bgp=down).failures("NC-05", Stage.OBSERVED)) == 1
    all_down = tuple(replace(item, state="Active") for item in seen.bgp)
    assert lawful.with_node("province-19", bgp=all_down).failures("NC-05", Stage.OBSERVED) == []


def test_site_local_addresses_are_no_twin(lawful: Any) -> None:
    """RFC 3879 withdrew fec0::/10."""
    pair = lawful.nation.management
    local = DualStack(ipv4=pair.ipv4, ipv6=IPv6Network("fec0:0:0:4::/64"))
    case = replace(lawful, nation=replace(lawful.nation, management=local))
    (found,) = case.failures("NC-05", Stage.DECLARED)
    assert "fec0" in found.message.en


# --- NC-06


def _certified(**facts: Any) -> Certification:
    usual = {"issued_by": "mic", "criteria": "1145", "issued": date(2026, 1, 15), "expires": date(2027, 12, 31)}
    return Certification(**{**usual, **facts})


@pytest.mark.parametrize(
    ("certification", "fact"),
    [
        (_certified(expires=date(2026, 11, 23)), "certification.expires"),
        (_certified(issued=date(2026, 11, 25)), "certification.issued"),
        (_certified(issued_by="vpcp"), "certification.issued_by"),
        (_certified(issued_by="dn-demo"), "certification.issued_by"),
        (None, "certification"),
    ],
)
def test_an_enterprise_cloud_without_a_valid_certification_is_refused(
    lawful: Any, certification: Certification | None, fact: str
) -> None:
    """Expired, not yet valid, by somebody who may not certify, by itself, or none at all."""
    case = lawful.with_cluster("egc-demo", certification=certification)
    (found,) = case.failures("NC-06", Stage.DECLARED)
    assert found.where == lawful.nation.place_of("cluster/egc-demo", fact)
    assert len(case.failures("NC-06", Stage.OBSERVED)) == 1


def test_a_certification_holds_on_its_last_day(lawful: Any) -> None:
    """The day of expiry still counts."""
    case = lawful.with_cluster("egc-demo", certification=_certified(expires=date(2026, 11, 24)))
    assert case.failures("NC-06", Stage.DECLARED) == []


# --- NC-07


@pytest.mark.parametrize("text", ["pool 2.debian.pool.ntp.org iburst\n", "server 192.0.2.1\n", "makestep 1 3\n"])
def test_a_clock_that_would_follow_strangers_or_nobody_is_refused(lawful: Any, text: str) -> None:
    """Only the backbone's routers give the time."""
    (found,) = lawful.with_file("commune-05440", "/etc/chrony/chrony.conf", text).failures("NC-07", Stage.PLANNED)
    assert found.subject == "node/commune-05440"


@pytest.mark.parametrize(
    "clock",
    [
        ClockState(is_synchronised=False, offset_seconds=0, stratum=16, source=""),
        ClockState(is_synchronised=True, offset_seconds=-3.0, stratum=3, source="10.64.0.1"),
        ClockState(is_synchronised=True, offset_seconds=0.0, stratum=3, source="192.0.2.1"),
    ],
)
def test_a_clock_that_is_wrong_or_follows_strangers_is_found(lawful: Any, clock: ClockState) -> None:
    """Not synchronised, off by seconds, or synchronised with somebody undeclared."""
    (found,) = lawful.with_node("commune-05440", clock=clock).failures("NC-07", Stage.OBSERVED)
    assert found.subject == "node/commune-05440"


# --- NC-08


def _container_with(**context: Any) -> Callable[[Objects], None]:
    def change(objects: Objects) -> None:
        pod = find(objects, "Deployment", "nixa")["spec"]["template"]["spec"]
        pod["containers"][0]["securityContext"] = context

    return change


def _pod_with(**facts: Any) -> Callable[[Objects], None]:
    def change(objects: Objects) -> None:
        find(objects, "Deployment", "nixa")["spec"]["template"]["spec"] |= facts

    return change


@pytest.mark.parametrize(
    "change",
    [
        _container_with(privileged=True),
        _container_with(capabilities={"add": ["SYS_ADMIN"]}),
        _container_with(capabilities={"add": ["CAP_NET_ADMIN"]}),
        _container_with(procMount="Unmasked"),
        _pod_with(hostNetwork=True),
        _pod_with(hostPID=True),
        _pod_with(volumes=[{"name": "x", "hostPath": {"path": "/"}}]),
        _pod_with(initContainers=[{"name": "i", "securityContext": {"privileged": True}}]),
    ],
)
def test_power_over_the_machine_is_refused(lawful: Any, change: Callable[[Objects], None]) -> None:
    """Whatever gets hold of the host is refused in the plan and found in reality."""
    assert len(lawful.with_planned("cgc-north", change).failures("NC-08", Stage.PLANNED)) == 1
    assert len(lawful.with_seen("cgc-north", change).failures("NC-08", Stage.OBSERVED)) == 1


def test_the_clusters_own_pods_may_work_on_the_machine(lawful: Any) -> None:
    """kube-proxy is privileged by design."""

    def proxy(objects: Objects) -> None:
        metadata = {"name": "kube-proxy-x", "namespace": "kube-system"}
        spec = {"hostNetwork": True, "containers": [{"name": "p", "securityContext": {"privileged": True}}]}
        objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    assert lawful.with_seen("cgc-north", proxy).failures("NC-08", Stage.OBSERVED) == []


# --- NC-09


def test_a_cut_fibre_leaves_a_province_on_one_plane(lawful: Any) -> None:
    """When a province's link to one plane has no carrier, the duty of two directions is not met until it is mended."""
    seen = lawful.observed.nodes["province-19"]
    dark = tuple(replace(item, has_carrier=item.name != "core-a-hn") for item in seen.interfaces)
    (found,) = lawful.with_node("province-19", interfaces=dark).failures("NC-09", Stage.OBSERVED)
    assert found.subject == "site/19"
    assert "5.1a" in str(found.citation)


def test_two_links_on_one_physical_route_share_its_fate(lawful: Any) -> None:
    """Two planes in one duct are one digger away from none."""
    links = tuple(
        replace(link, route="QL3") if link.name.startswith("province-19--") else link for link in lawful.nation.links
    )
    case = replace(lawful, nation=replace(lawful.nation, links=links))
    assert [item.subject for item in case.failures("NC-09", Stage.DECLARED)] == ["site/19"]


def test_a_plane_in_two_pieces_is_refused(lawful: Any) -> None:
    """Each plane joins all its routers by links of its own."""
    links = tuple(link for link in lawful.nation.links if link.name != "core-b-hcm--core-b-hn")
    case = replace(lawful, nation=replace(lawful.nation, links=links))
    assert "plane/b" in {item.subject for item in case.failures("NC-09", Stage.DECLARED)}


def test_routing_planned_towards_one_plane_only_is_refused(lawful: Any) -> None:
    """A router that would not speak to the second plane does not use it."""
    text = lawful.planned.node_files["ministry-mof"]["/etc/frr/frr.conf"]
    session = next(item for item in lawful.nation.node_by_name["ministry-mof"].sessions if item.peer == "core-b-hn")
    kept = [
        line for line in text.splitlines() if session.peer not in line and str(session.peer_addresses.ipv4) not in line
    ]
    (found,) = lawful.with_file("ministry-mof", "/etc/frr/frr.conf", "\n".join(kept)).failures("NC-09", Stage.PLANNED)
    assert found.subject == "site/ministry-mof"


# --- NC-10


def test_a_level_four_platform_moved_to_an_enterprise_is_refused_with_the_article(lawful: Any) -> None:
    """The day's unlawful change: NIXA in tier egc."""
    case = lawful.with_platform("nixa", tier=Tier.EGC, clusters=("egc-demo",))
    (found,) = case.failures("NC-10", Stage.DECLARED)
    assert found.subject == "platform/nixa"
    assert found.where == lawful.nation.place_of("platform/nixa", "tier")
    assert str(found.citation) == "Decision 942/QĐ-TTg, IV.2b"


def test_no_declaration_lets_level_five_onto_an_enterprises_cloud(lawful: Any) -> None:
    """Article 30.9's physical separation is not the declaration's to waive."""
    tiers = tuple(replace(rules, highest_level=5) for rules in lawful.nation.tiers)
    case = replace(lawful, nation=replace(lawful.nation, tiers=tiers)).with_platform("govtech", level=5)
    assert [item.subject for item in case.failures("NC-10", Stage.DECLARED)] == ["platform/govtech"]


def test_a_platform_that_runs_where_nobody_declared_it_is_found(lawful: Any) -> None:
    """The room of a level-4 platform on an enterprise's cluster is found although it is not declared there."""

    def smuggled(objects: Objects) -> None:
        objects.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bca-nixa"}})

    (found,) = lawful.with_seen("egc-demo", smuggled).failures("NC-10", Stage.OBSERVED)
    assert found.subject == "platform/nixa"


# --- NC-11


def test_reality_that_departs_fails_the_drift_control(lawful: Any) -> None:
    """A node's difference and a cluster's are both FAIL, each of its own subject."""
    difference = Difference(path="/etc/frr/frr.conf", aspect="content", expected="a", found="b")
    case = lawful.with_node("core-a-hn", differences=(difference,)).with_seen("cgc-north", _allow_all)
    assert [item.subject for item in case.failures("NC-11", Stage.OBSERVED)] == ["cluster/cgc-north", "node/core-a-hn"]


# --- all of them


def test_a_plan_that_is_not_given_is_not_judged(nation: Nation) -> None:
    """Without a plan and observations only the declaration is judged, and it is lawful."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    findings = judge_all(nation, planned=None, observed=None, waivers=(), at=at)
    assert {finding.stage for finding in findings} == {Stage.DECLARED}
    assert worst_of(findings) is Verdict.PASS


def test_an_empty_plan_proves_nothing(nation: Nation) -> None:
    """A plan in which a node's files are missing is UNKNOWN or FAIL for it, never PASS."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    findings = judge_all(nation, planned=Planned(), observed=None, waivers=(), at=at)
    on_nodes = [
        item for item in findings if item.stage is Stage.PLANNED and item.subject.startswith(("node/", "site/"))
    ]
    assert on_nodes
    assert {item.verdict for item in on_nodes} == {Verdict.UNKNOWN}


def test_a_duty_binds_from_its_date(nation: Nation) -> None:
    """Before Decree 331/2026/NĐ-CP came into force its controls did not apply."""
    before = judge_all(nation, planned=None, observed=None, waivers=(), at=datetime(2026, 8, 18, tzinfo=UTC))
    after = judge_all(nation, planned=None, observed=None, waivers=(), at=datetime(2026, 8, 19, tzinfo=UTC))
    assert {item.verdict for item in before if item.control == "NC-01"} == {Verdict.NOT_APPLICABLE}
    assert {item.verdict for item in after if item.control == "NC-01"} == {Verdict.PASS}
