"""From the model to the files of one node: `render` is pure, and everything a node is given comes from it.

Templates are compiled once, with StrictUndefined: a name that means nothing stops the rendering.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from inventories.model import Cluster, Nation, Node, Role, SessionKind
from inventories.services import (
    API_PORT,
    LIBRARY,
    NODE_AGENT,
    NODE_EXPORTER_PORT,
    OPERATIONS_CENTRE_PORTS,
    SSH_PORT,
)
from playbooks.bundle import Bundle, BundleFile, Check, Unit
from playbooks.enrolment import Enrolment
from playbooks.errors import PlaybookError
from playbooks.monitoring import monitoring_files, monitoring_units
from playbooks.routing import Routing, nation_prefixes, pods_of_host, routing_of

TEMPLATES = Path(__file__).parent / "templates"
NODE_PROGRAMS = {
    "node_agent.py": Path(__file__).parent / "node_agent.py",
    "node_interfaces.py": Path(__file__).parent / "node_interfaces.py",
    "node_apply.py": Path(__file__).parent / "plugins" / "module_utils" / "node_apply.py",
}

KUBERNETES_VERSION = "v1.36.1"
LONGEST_MONTH_DAYS = 31
LONGEST_KEEPALIVE_SHARE = 3  # RFC 4271, 10: a keepalive is a third of the hold time


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration files, not pages
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["quoted"] = lambda words: [f'"{word}"' for word in words]
    return environment


@cache
def _program(name: str) -> str:
    return NODE_PROGRAMS[name].read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What every template can read."""

    nation: Nation
    node: Node
    routing: Routing
    enrolment: Enrolment

    def text(self, template: str, **more: object) -> str:
        """Fill in a template."""
        return _environment().get_template(template).render(
            nation=self.nation, node=self.node, **more
        )  # fmt: skip


def render(nation: Nation, node: Node, enrolment: Enrolment) -> Bundle:
    """Return everything the node must have.

    CGC-301 if a WireGuard peer of the node never said its public key.
    """
    context = _Context(nation=nation, node=node, routing=routing_of(nation, node), enrolment=enrolment)
    files: list[BundleFile] = [
        *_network_files(context),
        *_routing_files(context),
        *_wall_files(context),
        *_access_files(context),
        *_time_files(context),
        *_system_files(context),
        *enrolment.node_secrets.get(node.name, ()),
    ]
    units = list(_units(context))
    validate = list(_validation(files))
    if node.cluster is not None:
        files += _kubernetes_files(context)
    if node.role is Role.OPERATIONS:
        files += monitoring_files(nation, node, enrolment)
        units += monitoring_units(nation, node, enrolment)
        validate += _operations_validation(files)
    files += _boot_files(units)
    _refuse_doubles(node, files)
    return Bundle(
        node=node.name,
        files=tuple(sorted(files, key=lambda file: file.path)),
        units=tuple(units),
        validate=tuple(validate),
        verify=tuple(_verification()),
    )


def render_all(nation: Nation, enrolment: Enrolment) -> dict[str, Bundle]:
    """Return every node's bundle, by the node's name."""
    return {node.name: render(nation, node, enrolment) for node in nation.nodes}


EARLY_UNITS = frozenset({"nftables.service"})  # walls stand before the first interface is up


def _boot_files(units: Iterable[Unit]) -> list[BundleFile]:
    """Say by files what starts at boot: `systemctl enable` leaves links that no bundle holds, and takes seconds."""
    early = [unit.name for unit in units if unit.name in EARLY_UNITS]
    late = [unit.name for unit in units if unit.name not in EARLY_UNITS and not unit.name.startswith("systemd-")]
    return [
        BundleFile(
            path=f"/etc/systemd/system/{target}.d/10-cgc.conf",
            content="[Unit]\n" + "".join(f"Wants={name}\n" for name in names),
        )
        for target, names in (("sysinit.target", early), ("multi-user.target", late))
    ]


def _refuse_doubles(node: Node, files: Iterable[BundleFile]) -> None:
    seen: set[str] = set()
    for file in files:
        if file.path in seen:
            raise PlaybookError(
                "CGC-302",
                f"two parts of the rendering both write {file.path}",
                where=node.name,
                remedy="let one of them own the file",
            )
        seen.add(file.path)


def _network_files(context: _Context) -> list[BundleFile]:
    nation, node = context.nation, context.node
    drop_in = context.text("network/after-interfaces.conf.j2")
    files = [
        BundleFile(path=f"{LIBRARY}/node_interfaces.py", content=_program("node_interfaces.py"), mode=0o755),
        BundleFile(path="/etc/cgc/interfaces.json", content=_json(wanted_interfaces(node))),
        BundleFile(
            path="/etc/systemd/system/cgc-interfaces.service",
            content=context.text("network/cgc-interfaces.service.j2"),
        ),
        BundleFile(
            path="/etc/sysctl.d/60-cgc.conf",
            content=context.text("network/sysctl.conf.j2", forwards=node.role.is_router or node.role is Role.CLUSTER),
        ),
        BundleFile(
            path="/etc/resolv.conf",
            content=context.text(
                "network/resolv.conf.j2", centres=[nation.node_by_name[name] for name in node.resolvers]
            ),
        ),
        BundleFile(path="/etc/hosts", content=context.text("network/hosts.j2", neighbours=_known_by_name(context))),
        BundleFile(path="/etc/systemd/system/frr.service.d/10-cgc.conf", content=drop_in),
        BundleFile(path="/etc/systemd/system/prometheus-node-exporter.service.d/10-cgc.conf", content=drop_in),
    ]
    for tunnel in node.tunnels:
        key = context.enrolment.wireguard_public_keys.get(tunnel.peer)
        if key is None:
            raise PlaybookError(
                "CGC-301",
                f"{tunnel.peer}, the far end of its tunnel {tunnel.name}, has no WireGuard key enrolled",
                where=node.name,
                remedy="enrol the node (`cgc rehearse up` does), then render again",
            )
        files += [
            BundleFile(
                path=f"/etc/wireguard/{tunnel.name}.conf",
                content=context.text("network/tunnel.conf.j2", tunnel=tunnel, public_key=key),
                mode=0o600,
            ),
            BundleFile(path=f"/etc/systemd/system/wg-quick@{tunnel.name}.service.d/10-cgc.conf", content=drop_in),
        ]
    if node.role is Role.CLUSTER:
        files.append(BundleFile(path="/etc/systemd/system/kubelet.service.d/20-cgc.conf", content=drop_in))
    return files


def wanted_interfaces(node: Node) -> dict[str, list[str]]:
    """Return the addresses each interface of the node must have, tunnels not included (wg-quick brings them)."""
    wanted = {"lo": [f"{node.loopback.ipv4}/32", f"{node.loopback.ipv6}/128"]}
    for interface in node.interfaces:
        wanted[interface.name] = [str(interface.ipv4), str(interface.ipv6)]
    return wanted


def _known_by_name(context: _Context) -> list[Node]:
    """Return the nodes whose names a node must know before names can be looked up: itself, its way up, the centre."""
    node, nation = context.node, context.nation
    names = {node.name, *(session.peer for session in node.sessions)}
    names.update(centre.name for centre in nation.with_role(Role.OPERATIONS))
    if node.cluster is not None:
        names.update(host.name for host in nation.hosts_of(nation.cluster_by_id[node.cluster]))
    return [nation.node_by_name[name] for name in sorted(names)]


def _routing_files(context: _Context) -> list[BundleFile]:
    node, routing = context.node, context.routing
    daemons = {"bgpd"}
    if node.role is Role.CORE:
        daemons |= {"ospfd", "ospf6d"}
    hold_seconds = int(context.nation.bgp_hold.total_seconds())
    frr = context.text(
        "routing/frr.conf.j2",
        backbone=routing.backbone,
        sessions=routing.sessions,
        own=routing.own,
        prefix_lists=routing.prefix_lists,
        route_maps=routing.route_maps,
        pods=pods_of_host(context.nation, node),
        hold_seconds=hold_seconds,
        keepalive_seconds=max(1, hold_seconds // LONGEST_KEEPALIVE_SHARE),
    )
    return [
        _frr("daemons", context.text("routing/daemons.j2", daemons=daemons)),
        _frr("frr.conf", frr),
        _frr("vtysh.conf", context.text("routing/vtysh.conf.j2"), group="frrvty"),
    ]


def _frr(name: str, content: str, *, group: str = "frr") -> BundleFile:
    return BundleFile(path=f"/etc/frr/{name}", content=content, mode=0o640, owner="frr", group=group)


def _wall_files(context: _Context) -> list[BundleFile]:
    nation, node, routing = context.nation, context.node, context.routing
    centres = nation.with_role(Role.OPERATIONS)
    watched = {SSH_PORT, NODE_EXPORTER_PORT}
    if node.role is Role.CLUSTER:
        watched.add(API_PORT)
    managed = watched | (OPERATIONS_CENTRE_PORTS if node.role is Role.OPERATIONS else set())
    walls = context.text(
        "walls/nftables.conf.j2",
        nation4=nation_prefixes(nation, 4),
        nation6=nation_prefixes(nation, 6),
        operations4=[centre.loopback.ipv4 for centre in centres],
        operations6=[centre.loopback.ipv6 for centre in centres],
        is_stateful_forwarder=node.role in (Role.CLUSTER, Role.GATEWAY, Role.OPERATIONS),
        tunnels=node.tunnels,
        sessions=routing.sessions,
        backbone=routing.backbone,
        serves_time=node.role is Role.CORE,
        mates=_mates(nation, node),
        management_ports=sorted(managed),
        operations_ports=sorted(watched),
        enclosures=[_enclosure(nation, child) for child in _enterprise_hosts_behind(nation, node)],
    )
    return [
        BundleFile(path="/etc/nftables.conf", content=walls, mode=0o755),
        BundleFile(
            path="/etc/systemd/system/nftables.service.d/10-cgc.conf",
            content=context.text("system/nftables.service.conf.j2"),
        ),
    ]


def _mates(nation: Nation, node: Node) -> list[Node]:
    if node.cluster is None:
        return []
    return [host for host in nation.hosts_of(nation.cluster_by_id[node.cluster]) if host.name != node.name]


def _enterprise_hosts_behind(nation: Nation, node: Node) -> list[Node]:
    if node.role is not Role.GATEWAY:
        return []
    peers = [nation.node_by_name[session.peer] for session in node.sessions if not session.is_upward]
    return [peer for peer in peers if peer.role is Role.CLUSTER]


def _enclosure(nation: Nation, host: Node) -> dict[str, Any]:
    """Return what an enterprise's host behind a gateway may reach, and where others may reach it."""
    cluster: Cluster = nation.cluster_by_id[host.cluster or ""]
    others = [node for node in nation.with_role(Role.CLUSTER) if node.cluster != host.cluster]
    pods = pods_of_host(nation, host)
    clocks = nation.with_role(Role.CORE)
    own = sorted(platform.port for platform in nation.platforms_on(cluster))
    uplink = next(interface for interface in host.interfaces)
    return {
        "interface": host.name,
        "sources4": [host.loopback.ipv4, uplink.ipv4.ip, *([pods.ipv4] if pods else [])],
        "sources6": [host.loopback.ipv6, uplink.ipv6.ip, *([pods.ipv6] if pods else [])],
        "hosts4": [node.loopback.ipv4 for node in others],
        "hosts6": [node.loopback.ipv6 for node in others],
        "ports": sorted({platform.port for platform in nation.platforms}),
        "own_ports": own,
        "clocks4": [clock.loopback.ipv4 for clock in clocks],
        "clocks6": [clock.loopback.ipv6 for clock in clocks],
    }


def _access_files(context: _Context) -> list[BundleFile]:
    return [
        BundleFile(path="/etc/ssh/sshd_config.d/10-cgc.conf", content=context.text("access/sshd.conf.j2"), mode=0o600),
        BundleFile(path="/etc/ssh/principals/root", content=context.text("access/principals.j2")),
        BundleFile(
            path="/etc/ssh/operators_authority.pub",
            content=context.text("access/authority.pub.j2", authority=context.enrolment.ssh_user_authority.strip()),
        ),
    ]


def _time_files(context: _Context) -> list[BundleFile]:
    nation, node = context.nation, context.node
    return [
        BundleFile(
            path="/etc/chrony/chrony.conf",
            content=context.text(
                "time/chrony.conf.j2",
                time_servers=[nation.node_by_name[name] for name in node.clocks],
                serves_time=node.role is Role.CORE,
                nation_prefixes=(*nation_prefixes(nation, 4), *nation_prefixes(nation, 6)),
            ),
        ),
        BundleFile(path="/etc/default/chrony", content=context.text("time/chrony.default.j2")),
        BundleFile(path=f"{LIBRARY}/chronyd-by-right", content=context.text("time/chronyd-by-right.j2"), mode=0o755),
        BundleFile(
            path="/etc/systemd/system/chrony.service.d/10-cgc.conf", content=context.text("time/chrony.service.conf.j2")
        ),
    ]


def level_carried_by(nation: Nation, node: Node) -> int:
    """Return the highest security level whose traffic, data or logs the node carries.

    A cluster host carries its platforms; everything else may carry any platform's traffic.
    """
    if node.cluster is not None:
        return nation.highest_level_on(nation.cluster_by_id[node.cluster])
    return max((platform.level for platform in nation.platforms), default=1)


def _system_files(context: _Context) -> list[BundleFile]:
    nation, node = context.nation, context.node
    level = level_carried_by(nation, node)
    addresses = [
        str(node.loopback.ipv4),
        f"[{node.loopback.ipv6}]",
        str(node.management4),
        f"[{node.management6}]",
    ]
    listen = [f"--web.listen-address={address}:{NODE_EXPORTER_PORT}" for address in addresses]
    return [
        BundleFile(
            path="/etc/systemd/journald.conf.d/60-cgc.conf",
            content=context.text("system/journald.conf.j2", level=level, months=nation.retention_months(level)),
        ),
        BundleFile(
            path="/etc/default/prometheus-node-exporter",
            content=context.text("system/node-exporter.default.j2", listen=listen),
        ),
        BundleFile(path=NODE_AGENT, content=_program("node_agent.py"), mode=0o755),
        BundleFile(path=f"{LIBRARY}/node_apply.py", content=_program("node_apply.py"), mode=0o755),
        BundleFile(path="/etc/cgc/node.json", content=_json(declared_state(nation, node))),
    ]


def declared_state(nation: Nation, node: Node) -> dict[str, Any]:
    """Return what the node must see of its neighbours once all of them are converged."""
    return {
        "node": node.name,
        "role": node.role.value,
        "sessions": [
            {"peer": session.peer, "address": str(address), "family": f"ipv{address.version}"}
            for session in node.sessions
            for address in (session.peer_addresses.ipv4, session.peer_addresses.ipv6)
        ],
        "adjacencies": [link.interface.name for link in routing_of(nation, node).backbone],
        "tunnels": [{"interface": tunnel.name, "peer": tunnel.peer} for tunnel in node.tunnels],
        "upward": [session.peer for session in node.sessions if session.is_upward],
        "planes": sorted({session.peer for session in node.sessions if session.kind is SessionKind.INTERNAL}),
    }


def _kubernetes_files(context: _Context) -> list[BundleFile]:
    nation, node = context.nation, context.node
    cluster = nation.cluster_by_id[node.cluster or ""]
    images = context.enrolment.kubernetes
    months = nation.retention_months(level_carried_by(nation, node))
    kubeadm = context.text(
        "kubernetes/kubeadm.yaml.j2",
        cluster=cluster,
        images=images,
        version=KUBERNETES_VERSION,
        audit_days=months * LONGEST_MONTH_DAYS,
    )
    files = [
        BundleFile(path="/etc/kubernetes/kubeadm.yaml", content=kubeadm),
        BundleFile(path="/etc/kubernetes/audit-policy.yaml", content=context.text("kubernetes/audit-policy.yaml.j2")),
        BundleFile(
            path="/etc/kubernetes/authentication.yaml", content=context.text("kubernetes/authentication.yaml.j2")
        ),
        BundleFile(
            path=f"{LIBRARY}/make-encryption-key",
            content=context.text("kubernetes/make-encryption-key.j2"),
            mode=0o755,
        ),
        BundleFile(
            path="/etc/cni/net.d/10-cgc.conflist",
            content=context.text("kubernetes/cni.conflist.j2", pods=pods_of_host(nation, node)),
        ),
    ]
    if not images.etcd_has_livez:
        patch = context.text("kubernetes/etcd-patch.json.j2")
        files.append(BundleFile(path="/etc/kubernetes/patches/etcd0+json.yaml", content=patch))
    return files


def _units(context: _Context) -> Iterable[Unit]:
    node = context.node
    library = f"{LIBRARY}/node_interfaces.py"
    drop_ins = "/etc/systemd/system"
    yield Unit(name="systemd-journald.service", restart_on=("/etc/systemd/journald.conf.d/60-cgc.conf",))
    yield Unit(name="systemd-sysctl.service", restart_on=("/etc/sysctl.d/60-cgc.conf",))
    yield Unit(name="nftables.service", reload_on=("/etc/nftables.conf",))
    yield Unit(
        name="cgc-interfaces.service",
        restart_on=("/etc/cgc/interfaces.json", library, f"{drop_ins}/cgc-interfaces.service"),
    )
    yield Unit(
        name="ssh.service",
        reload_on=(
            "/etc/ssh/sshd_config.d/10-cgc.conf",
            "/etc/ssh/operators_authority.pub",
        ),
    )
    for tunnel in node.tunnels:
        yield Unit(name=f"wg-quick@{tunnel.name}.service", restart_on=(f"/etc/wireguard/{tunnel.name}.conf",))
    yield Unit(
        name="frr.service",
        reload_on=("/etc/frr/daemons", "/etc/frr/frr.conf", "/etc/frr/vtysh.conf"),
    )
    yield Unit(
        name="chrony.service",
        restart_on=(
            "/etc/chrony/chrony.conf",
            "/etc/default/chrony",
            f"{LIBRARY}/chronyd-by-right",
            f"{drop_ins}/chrony.service.d/10-cgc.conf",
        ),
    )
    if node.role is Role.CLUSTER:
        yield Unit(name="containerd.service")
    yield Unit(name="prometheus-node-exporter.service", restart_on=("/etc/default/prometheus-node-exporter",))


# Each daemon's own parser, run on the staged file and only if that file changed.
_PARSERS: Mapping[str, tuple[str, ...]] = {
    "/etc/frr/frr.conf": ("vtysh", "-C", "-f", "{root}/etc/frr/frr.conf"),
    "/etc/nftables.conf": ("nft", "-c", "-f", "{root}/etc/nftables.conf"),
    "/etc/ssh/sshd_config.d/10-cgc.conf": ("sshd", "-t", "-f", "{root}/etc/ssh/sshd_config.d/10-cgc.conf"),
    "/etc/chrony/chrony.conf": ("chronyd", "-p", "-f", "{root}/etc/chrony/chrony.conf"),
}


def _validation(files: Iterable[BundleFile]) -> Iterable[Check]:
    for file in files:
        if file.path in _PARSERS:
            yield Check(name=file.path, command=_PARSERS[file.path])
        elif file.path.startswith("/etc/wireguard/"):
            yield Check(name=file.path, command=("wg-quick", "strip", f"{{root}}{file.path}"))


_OPERATIONS_PARSERS: tuple[tuple[str, Callable[[str], tuple[str, ...]]], ...] = (
    ("/etc/prometheus/rules", lambda path: ("promtool", "check", "rules", f"{{root}}{path}")),
    ("/etc/prometheus/alertmanager.yml", lambda path: ("amtool", "check-config", f"{{root}}{path}")),
    ("/etc/unbound/unbound.conf", lambda path: ("unbound-checkconf", f"{{root}}{path}")),
)


def _operations_validation(files: Iterable[BundleFile]) -> list[Check]:
    return [
        Check(name=file.path, command=command(file.path))
        for file in files
        for prefix, command in _OPERATIONS_PARSERS
        if file.path.startswith(prefix)
    ]


def _verification() -> Iterable[Check]:
    yield Check(name="nftables holds our table", command=("nft", "list", "chain", "inet", "cgc", "input"))
    yield Check(name="zebra and bgpd answer", command=("vtysh", "-d", "bgpd", "-c", "show bgp summary json"))
    yield Check(name="chronyd answers", command=("chronyc", "-n", "tracking"))


def _json(value: object) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
