"""Every node's files follow from the declaration, in both address families, and are what a person has read once.

The golden files are rewritten with CGC_REWRITE_GOLDEN=1; the guards below still hold then, so that nothing that was
covered is lost without a test saying so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inventories.model import Nation, Role, SessionKind
from playbooks.bundle import Bundle, BundleFile
from playbooks.enrolment import Enrolment
from playbooks.errors import PlaybookError
from playbooks.rendering import EARLY_UNITS, NODE_PROGRAMS, render
from playbooks.routing import pods_of_host

GOLDEN = Path(__file__).parent / "golden"
# One node of each role; the second core shows what differs by plane.
GOLDEN_NODES = (
    "commune-05440",
    "district-164",
    "province-19",
    "core-a-hn",
    "ministry-mof",
    "gateway-hn",
    "cgc-north-1",
    "egc-demo-1",
    "noc-hn-1",
)
# Texts that a person reads as golden files; programs and the operations centre's files have tests of their own.
GOLDEN_FILES = (
    "/etc/frr/daemons",
    "/etc/frr/frr.conf",
    "/etc/nftables.conf",
    "/etc/chrony/chrony.conf",
    "/etc/cgc/interfaces.json",
    "/etc/cgc/node.json",
    "/etc/default/prometheus-node-exporter",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssh/principals/root",
    "/etc/systemd/journald.conf.d/60-cgc.conf",
    "/etc/systemd/system/multi-user.target.d/10-cgc.conf",
    "/etc/wireguard/wg-164.conf",
    "/etc/wireguard/wg-05440.conf",
    "/etc/cni/net.d/10-cgc.conflist",
    "/etc/kubernetes/kubeadm.yaml",
)


def golden_name(path: str) -> str:
    """Return the name under which a path's golden text is kept; no linter takes it for what it describes."""
    return path.lstrip("/").replace("/", "_") + ".golden"


def texts(bundle: Bundle) -> dict[str, str]:
    """Return the bundle's texts by path."""
    return {file.path: file.content for file in bundle.files}


@pytest.mark.parametrize("name", GOLDEN_NODES)
def test_a_node_gets_exactly_the_files_that_were_reviewed(name: str, bundles: Mapping[str, Bundle]) -> None:
    """What is rendered for one node of each role is, letter for letter, what lies in golden/."""
    rendered = {path: text for path, text in texts(bundles[name]).items() if path in GOLDEN_FILES}
    directory = GOLDEN / name
    if os.environ.get("CGC_REWRITE_GOLDEN"):
        for path, text in rendered.items():
            target = directory / golden_name(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    kept = {file.name: file.read_text() for file in directory.iterdir()}
    assert kept == {golden_name(path): text for path, text in rendered.items()}


def test_the_golden_files_cover_every_role_and_every_template_of_routing_and_walls(nation: Nation) -> None:
    """Each role has a golden node, and every path that is said to be golden occurs."""
    assert {nation.node_by_name[name].role for name in GOLDEN_NODES} == set(Role)
    kept = {file.name for name in GOLDEN_NODES for file in (GOLDEN / name).iterdir()}
    assert kept == {golden_name(path) for path in GOLDEN_FILES}


def test_rendering_is_a_function_of_the_declaration(
    nation: Nation, enrolment: Enrolment, bundles: Mapping[str, Bundle]
) -> None:
    """Rendered again, every bundle has the same fingerprint."""
    assert {node.name: render(nation, node, enrolment).fingerprint for node in nation.nodes} == {
        name: bundle.fingerprint for name, bundle in bundles.items()
    }


def test_every_interface_has_both_families(nation: Nation, bundles: Mapping[str, Bundle]) -> None:
    """Each interface, lo and every tunnel included, is given an IPv4 and an IPv6 address."""
    for node in nation.nodes:
        rendered = texts(bundles[node.name])
        wanted = json.loads(rendered["/etc/cgc/interfaces.json"])
        assert set(wanted) == {"lo", *(interface.name for interface in node.interfaces)}
        for addresses in wanted.values():
            assert sorted(":" in address for address in addresses) == [False, True]
        for tunnel in node.tunnels:
            text = rendered[f"/etc/wireguard/{tunnel.name}.conf"]
            assert f"Address = {tunnel.ipv4}, {tunnel.ipv6}" in text


def test_every_session_runs_in_both_families_with_a_policy_each_way(
    nation: Nation, bundles: Mapping[str, Bundle]
) -> None:
    """For each BGP session and family: remote AS, activation, a limit, and a route map in and out (RFC 8212)."""
    for node in nation.nodes:
        frr = texts(bundles[node.name])["/etc/frr/frr.conf"].splitlines()
        for session in node.sessions:
            for address in (session.peer_addresses.ipv4, session.peer_addresses.ipv6):
                assert f" neighbor {address} remote-as {session.peer_as}" in frr
                assert f"  neighbor {address} activate" in frr
                assert f"  neighbor {address} maximum-prefix {nation.maximum_prefixes}" in frr
                maps = [line.split() for line in frr if line.startswith(f"  neighbor {address} route-map ")]
                assert sorted(words[-1] for words in maps) == ["in", "out"]
                for words in maps:
                    assert any(line.startswith(f"route-map {words[3]} ") for line in frr), words
                is_guarded = f" neighbor {address} ttl-security hops 1" in frr
                assert is_guarded == (session.kind is SessionKind.EXTERNAL)


def test_every_prefix_list_that_is_used_exists(bundles: Mapping[str, Bundle]) -> None:
    """A route map that names a list nobody wrote would permit everything."""
    for bundle in bundles.values():
        lines = texts(bundle)["/etc/frr/frr.conf"].splitlines()
        used = {line.split()[-1] for line in lines if " address prefix-list " in line}
        made = {line.split()[2] for line in lines if line.startswith(("ip prefix-list", "ipv6 prefix-list"))}
        assert used == made


def test_nobody_passes_traffic_from_one_plane_to_the_other(nation: Nation, bundles: Mapping[str, Bundle]) -> None:
    """Upward a node announces its own and what is below it, never what it learnt from the other plane."""
    cores = {str(core.loopback.ipv4) for core in nation.with_role(Role.CORE)}
    for node in nation.nodes:
        if any(session.is_upward for session in node.sessions):
            lines = texts(bundles[node.name])["/etc/frr/frr.conf"].splitlines()
            announced = {line.split()[-1].split("/")[0] for line in lines if line.startswith("ip prefix-list below4 ")}
            assert str(node.loopback.ipv4) in announced
            assert not announced & cores


def test_only_declared_neighbours_may_speak_bgp(nation: Nation, bundles: Mapping[str, Bundle]) -> None:
    """The walls let in port 179 from the peers' addresses on their interfaces and from nowhere else."""
    for node in nation.nodes:
        walls = texts(bundles[node.name])["/etc/nftables.conf"]
        admitted = [line for line in walls.splitlines() if "dport 179" in line]
        assert len(admitted) == 2 * len(node.sessions)
        for session in node.sessions:
            for address in (session.peer_addresses.ipv4, session.peer_addresses.ipv6):
                assert any(f" saddr {address} " in line for line in admitted)


def test_walls_refuse_what_nobody_allowed(bundles: Mapping[str, Bundle]) -> None:
    """Input and forwarding are dropped by default, on every node, and no other table is touched."""
    for bundle in bundles.values():
        walls = texts(bundle)["/etc/nftables.conf"]
        assert "hook input priority filter; policy drop;" in walls
        assert "hook forward priority filter; policy drop;" in walls
        assert "flush ruleset" not in walls
        assert walls.count("table inet cgc\n") == 2


def test_an_access_link_carries_only_its_tunnel(nation: Nation, bundles: Mapping[str, Bundle]) -> None:
    """Nothing is forwarded from or to an access link, and what comes in is the tunnel's from its one endpoint."""
    for node in nation.nodes:
        walls = texts(bundles[node.name])["/etc/nftables.conf"]
        for tunnel in node.tunnels:
            assert f'iifname "{tunnel.underlay}" counter drop' in walls
            assert f'oifname "{tunnel.underlay}" counter drop' in walls
            assert f"ip6 saddr {tunnel.endpoint} udp dport {tunnel.listen_port} accept" in walls
            assert f'"{tunnel.name}"' in walls.split("fib saddr . iif oif missing")[0].splitlines()[-1]


def test_logs_are_kept_as_long_as_the_highest_level_demands(nation: Nation, bundles: Mapping[str, Bundle]) -> None:
    """A cluster host keeps its logs for its own platforms' level, everybody else for the nation's highest."""
    for node in nation.nodes:
        level = max(platform.level for platform in nation.platforms)
        if node.cluster is not None:
            level = nation.highest_level_on(nation.cluster_by_id[node.cluster])
        text = texts(bundles[node.name])["/etc/systemd/journald.conf.d/60-cgc.conf"]
        assert f"MaxRetentionSec={nation.retention_months(level)}month\n" in text


def test_everybody_has_time_from_a_core_router(nation: Nation, bundles: Mapping[str, Bundle]) -> None:
    """Each node asks cores, in both families; a core asks nobody, and only cores answer."""
    for node in nation.nodes:
        servers = [nation.node_by_name[name] for name in node.clocks]
        assert bool(servers) == (node.role is not Role.CORE)
        assert all(server.role is Role.CORE and server != node for server in servers)
        text = texts(bundles[node.name])["/etc/chrony/chrony.conf"]
        for server in servers:
            assert f"server {server.loopback.ipv4} " in text
            assert f"server {server.loopback.ipv6} " in text
        assert ("local stratum" in text) == (node.role is Role.CORE)
        assert ("\nport 0\n" in text) == (node.role is not Role.CORE)


def test_sshd_takes_certificates_only(bundles: Mapping[str, Bundle]) -> None:
    """No password, no plain key, no forwarding; and sessions are written down with their certificate's identity."""
    for bundle in bundles.values():
        lines = set(texts(bundle)["/etc/ssh/sshd_config.d/10-cgc.conf"].splitlines())
        assert {
            "PasswordAuthentication no",
            "AuthorizedKeysFile none",
            "AuthenticationMethods publickey",
            "DisableForwarding yes",
            "LogLevel VERBOSE",
        } <= lines
        accepted = next(line for line in lines if line.startswith("PubkeyAcceptedAlgorithms "))
        assert all("-cert-v01@" in name for name in accepted.split()[1].split(","))


def test_every_unit_starts_at_boot_and_every_trigger_is_a_file_of_the_bundle(bundles: Mapping[str, Bundle]) -> None:
    """Units are wanted by a target that the bundle extends; what reloads a unit is something that can change."""
    for bundle in bundles.values():
        rendered = texts(bundle)
        wanted = rendered["/etc/systemd/system/multi-user.target.d/10-cgc.conf"]
        early = rendered["/etc/systemd/system/sysinit.target.d/10-cgc.conf"]
        for unit in bundle.units:
            assert set(unit.reload_on) | set(unit.restart_on) <= set(rendered), unit
            if not unit.name.startswith("systemd-"):
                assert f"Wants={unit.name}\n" in (early if unit.name in EARLY_UNITS else wanted)


def test_what_a_node_runs_of_ours_is_shipped_as_it_is_here(bundles: Mapping[str, Bundle]) -> None:
    """The agent and its fellows in the bundle are the files of this room."""
    for bundle in bundles.values():
        rendered = texts(bundle)
        for name, source in NODE_PROGRAMS.items():
            assert rendered[f"/usr/local/lib/cgc/{name}"] == source.read_text()


def test_no_file_is_written_twice(nation: Nation, enrolment: Enrolment) -> None:
    """Two parts that both claim a path are refused (CGC-302)."""
    node = nation.node_by_name["core-a-hn"]
    doubled = replace(enrolment, node_secrets={node.name: (BundleFile(path="/etc/hosts", content="", secret=True),)})
    with pytest.raises(PlaybookError, match="CGC-302"):
        render(nation, node, doubled)


def test_a_tunnel_without_its_peers_key_is_refused(nation: Nation, enrolment: Enrolment) -> None:
    """A node whose peer never enrolled cannot be rendered (CGC-301), and the error names both."""
    with pytest.raises(PlaybookError, match="CGC-301") as refused:
        render(nation, nation.node_by_name["commune-05440"], replace(enrolment, wireguard_public_keys={}))
    assert "district-164" in refused.value.what
    assert refused.value.where == "commune-05440"


def test_secrets_come_with_the_bundle_and_stay_marked(nation: Nation, enrolment: Enrolment) -> None:
    """A secret given at enrolment is a file of the node's bundle and of no other's."""
    secret = BundleFile(path="/etc/cgc/password", content="open sesame", mode=0o600, secret=True)
    given_to = replace(enrolment, node_secrets={"noc-hn-1": (secret,)})
    assert secret in render(nation, nation.node_by_name["noc-hn-1"], given_to).files
    assert secret not in render(nation, nation.node_by_name["core-a-hn"], given_to).files


def test_no_bundle_holds_a_private_wireguard_key(bundles: Mapping[str, Bundle]) -> None:
    """The key is read on the node, from the file in which the node made it."""
    for bundle in bundles.values():
        for path, text in texts(bundle).items():
            if path.startswith("/etc/wireguard/"):
                assert "PrivateKey" not in text
                assert "PostUp = wg set %i private-key /etc/wireguard/node.key" in text


def test_kubernetes_is_configured_as_the_benchmark_asks(nation: Nation, bundles: Mapping[str, Bundle]) -> None:
    """Audit log kept as long as logs must be, secrets encrypted, no profiling, strangers only at health endpoints."""
    for cluster in nation.clusters:
        host = nation.hosts_of(cluster)[0]
        rendered = texts(bundles[host.name])
        parts = {part["kind"]: part for part in yaml.safe_load_all(rendered["/etc/kubernetes/kubeadm.yaml"])}
        arguments = {one["name"]: one["value"] for one in parts["ClusterConfiguration"]["apiServer"]["extraArgs"]}
        months = nation.retention_months(nation.highest_level_on(cluster))
        assert int(arguments["audit-log-maxage"]) >= months * 30
        assert arguments["profiling"] == "false"
        assert arguments["encryption-provider-config"] == "/etc/kubernetes/encryption.yaml"
        assert "/etc/kubernetes/encryption.yaml" not in rendered  # made on the host
        anonymous = yaml.safe_load(rendered["/etc/kubernetes/authentication.yaml"])["anonymous"]
        assert {one["path"] for one in anonymous["conditions"]} == {"/livez", "/readyz", "/healthz"}
        for family in ("podSubnet", "serviceSubnet"):
            assert [":" in part for part in parts["ClusterConfiguration"]["networking"][family].split(",")] == [
                False,
                True,
            ]
        names = parts["ClusterConfiguration"]["apiServer"]["certSANs"]
        assert {str(host.management4), str(host.management6), str(host.loopback.ipv6)} <= set(names)


def test_pods_of_a_host_lie_in_its_clusters_prefixes(nation: Nation) -> None:
    """Each host's share is inside what the cluster was given; other nodes have none."""
    for node in nation.nodes:
        pods = pods_of_host(nation, node)
        assert (pods is None) == (node.cluster is None)
        if pods is not None:
            cluster = nation.cluster_by_id[node.cluster or ""]
            assert pods.ipv4.subnet_of(cluster.pods.ipv4)
            assert pods.ipv6.subnet_of(cluster.pods.ipv6)


def test_an_enterprise_reaches_platforms_names_and_time_and_no_more(
    nation: Nation, bundles: Mapping[str, Bundle]
) -> None:
    """At the gateway, an enterprise's host is let through to published ports of other clusters' hosts, DNS and NTP."""
    walls = texts(bundles["gateway-hn"])["/etc/nftables.conf"]
    chain = walls.split("chain from_enterprise_1 {")[1].split("}\n    chain")[0]
    accepted = [line.strip() for line in chain.splitlines() if line.strip().endswith("accept")]
    assert [line for line in accepted if "dport" not in line] == [
        "ct state established,related accept",
        "meta l4proto { icmp, ipv6-icmp } limit rate 50/second accept",
    ]
    assert chain.rstrip().endswith("counter drop")
    egc = nation.node_by_name["egc-demo-1"]
    assert str(egc.loopback.ipv4) not in "".join(line for line in accepted if "daddr" in line)


@settings(max_examples=20, deadline=None)
@given(key=st.binary(min_size=32, max_size=32))
def test_the_fingerprint_tells_any_two_enrolments_apart(key: bytes) -> None:
    """Another key of a peer is another bundle; the same key the same one."""
    one = Bundle(node="x", files=(BundleFile(path="/k", content=key.hex()),), units=(), validate=(), verify=())
    other = Bundle(node="x", files=(BundleFile(path="/k", content=key.hex() + "0"),), units=(), validate=(), verify=())
    assert one.fingerprint != other.fingerprint
    assert one.fingerprint == replace(one).fingerprint
