"""The catalogue of faults that can be rehearsed: what each breaks, who must notice, and how it is mended.

A fault is inflicted the way it would really happen: a fibre loses its light, a colleague edits a file over SSH, an
object is changed with kubectl.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from inventories.errors import ExitCode
from inventories.model import Node, Platform, Role, Text
from scripts.durable import replace_file
from scripts.errors import ScriptError
from scripts.rehearsal.cabling import cut, splice
from scripts.rehearsal.credentials import CARELESS
from scripts.rehearsal.ground import Ground
from scripts.rehearsal.machines import power_off, power_on

RECORD = "faults.json"
STRAY_POD = "khach-la"  # "a stranger"
EDITED_FILE = "/etc/sysctl.d/60-cgc.conf"
EDITED_LINE = "net.ipv4.conf.all.log_martians = 0"
OPENED_RULE = "tcp dport 23 accept"


class UnknownFaultError(ScriptError):
    """The catalogue has no such fault."""

    exit_code = ExitCode.WRONG_INPUT


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that can break: `alerts` must fire, and `cgc drift` must name each (subject, place) of `drift`."""

    name: str
    what: Text
    inflict: Callable[[Ground], None]
    mend: Callable[[Ground], None]
    alerts: tuple[str, ...] = ()
    drift: Callable[[Ground], tuple[tuple[str, str], ...]] = lambda _ground: ()


def first(ground: Ground, role: Role) -> Node:
    """Return the first node of a role."""
    return ground.nation.with_role(role)[0]


def last(ground: Ground, role: Role) -> Node:
    """Return the last node of a role."""
    return ground.nation.with_role(role)[-1]


def planed_link(node: Node) -> str:
    """Return the name of the node's link to its first plane."""
    return min((item.plane or "", item.link) for item in node.interfaces if item.plane)[1]


def walled_platform(ground: Ground) -> tuple[str, Platform]:
    """Return the first cluster with a platform of level 4 or more, and that platform."""
    return next(
        (cluster.id, platform)
        for cluster in ground.nation.clusters
        for platform in ground.nation.platforms_on(cluster)
        if platform.level >= 4  # noqa: PLR2004 - Decree 85/2016/NĐ-CP: national systems
    )


def edit_by_hand(ground: Ground) -> None:
    """Let a colleague add a line to a router's file over SSH."""
    node = last(ground, Role.PROVINCE)
    ground.access.run_on(node, f"echo '{EDITED_LINE}' >> {EDITED_FILE}", person=CARELESS)


def open_policy(ground: Ground) -> None:
    """Let a colleague add a rule that admits everybody to a platform's first policy."""
    cluster, platform = walled_platform(ground)
    patch = json.dumps([{"op": "add", "path": "/spec/ingress", "value": [{}]}])
    ground.access.kubectl(
        cluster, "-n", platform.namespace, "patch", "networkpolicy", "default-deny", "--type=json", "-p", patch,
        person=CARELESS,
    )  # fmt: skip


def start_stray_pod(ground: Ground) -> None:
    """Let a colleague start a pod that nobody declared in an agency's namespace, from an image that is there."""
    cluster, platform = walled_platform(ground)
    found = ground.access.kubectl(
        cluster, "-n", platform.namespace, "get", "pods", "-o", "jsonpath={.items[0].spec.containers[0]}"
    )
    container = json.loads(found)
    container["name"] = STRAY_POD
    container.pop("volumeMounts", None)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": STRAY_POD, "namespace": platform.namespace},
        "spec": {
            "containers": [container],
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }
    ground.access.kubectl(cluster, "create", "-f", "-", person=CARELESS, text=json.dumps(pod))


def remove_stray_pod(ground: Ground) -> None:
    """Remove the pod that nobody declared."""
    cluster, platform = walled_platform(ground)
    ground.access.kubectl(
        cluster, "-n", platform.namespace, "delete", "pod", STRAY_POD, "--ignore-not-found", "--grace-period=1"
    )


def _close_policy(ground: Ground) -> None:
    cluster, platform = walled_platform(ground)
    patch = json.dumps([{"op": "remove", "path": "/spec/ingress"}])
    found = ground.access.kubectl(
        cluster, "-n", platform.namespace, "get", "networkpolicy", "default-deny", "-o", "json"
    )
    if "ingress" in json.loads(found)["spec"]:
        ground.access.kubectl(
            cluster, "-n", platform.namespace, "patch", "networkpolicy", "default-deny", "--type=json", "-p", patch
        )


def _undo_edit(ground: Ground) -> None:
    node = last(ground, Role.PROVINCE)
    quoted = EDITED_LINE.replace(".", r"\.")
    ground.access.run_on(node, f"sed -i '/^{quoted}$/d' {EDITED_FILE}")


def _unit(role: Role, unit: str, action: str) -> Callable[[Ground], None]:
    def act(ground: Ground) -> None:
        ground.access.run_on(last(ground, role), f"systemctl {action} {unit}")

    return act


def _scale(replicas: str) -> Callable[[Ground], None]:
    def act(ground: Ground) -> None:
        platform = ground.nation.platform_by_id["open-data"]
        for cluster in platform.clusters:
            wanted = replicas or str(platform.replicas)
            ground.access.kubectl(
                cluster, "-n", platform.namespace, "scale", f"deployment/{platform.id}", f"--replicas={wanted}",
                person=CARELESS,
            )  # fmt: skip

    return act


def _open_firewall(ground: Ground) -> None:
    node = first(ground, Role.GATEWAY)
    ground.access.run_on(node, f"nft insert rule inet cgc input {OPENED_RULE}", person=CARELESS)


def _close_firewall(ground: Ground) -> None:
    ground.access.run_on(first(ground, Role.GATEWAY), "nft -f /etc/nftables.conf")


def _tunnel(action: str) -> Callable[[Ground], None]:
    def act(ground: Ground) -> None:
        node = first(ground, Role.COMMUNE)
        ground.access.run_on(node, f"systemctl {action} wg-quick@{node.tunnels[0].name}")

    return act


def _cut(ground: Ground) -> None:
    cut(ground.fabric, planed_link(first(ground, Role.PROVINCE)))


def _splice(ground: Ground) -> None:
    splice(ground.fabric, planed_link(first(ground, Role.PROVINCE)))


def _commune_off(ground: Ground) -> None:
    power_off(ground.fabric, last(ground, Role.COMMUNE).name, abruptly=True)


def _commune_on(ground: Ground) -> None:
    power_on(ground.fabric, last(ground, Role.COMMUNE).name)


def _on_node(chosen: Callable[[Ground, Role], Node], role: Role) -> Callable[[Ground], tuple[tuple[str, str], ...]]:
    return lambda ground: ((f"node/{chosen(ground, role).name}", ""),)


def policy_opened(ground: Ground) -> tuple[tuple[str, str], ...]:
    """Return where the drift lies that `open_policy` makes."""
    cluster, platform = walled_platform(ground)
    return ((f"cluster/{cluster}", f"NetworkPolicy/{platform.namespace}/default-deny"),)


def stray_pod(ground: Ground) -> tuple[tuple[str, str], ...]:
    """Return where the drift lies that `start_stray_pod` makes."""
    cluster, platform = walled_platform(ground)
    return ((f"cluster/{cluster}", f"Pod/{platform.namespace}/{STRAY_POD}"),)


def _open_data(ground: Ground) -> tuple[tuple[str, str], ...]:
    platform = ground.nation.platform_by_id["open-data"]
    where = f"Deployment/{platform.namespace}/{platform.id}"
    return tuple((f"cluster/{cluster}", where) for cluster in platform.clusters)


CATALOGUE = (
    Fault(
        name="fibre-cut",
        what=Text(vi="Đứt cáp quang từ tỉnh lên một mặt phẳng", en="a province's fibre to one plane is cut"),
        inflict=_cut,
        mend=_splice,
        alerts=("LinkDown",),
    ),
    Fault(
        name="commune-dark",
        what=Text(vi="Một xã mất điện", en="a commune loses power"),
        inflict=_commune_off,
        mend=_commune_on,
        alerts=("NodeUnreachable",),
    ),
    Fault(
        name="router-daemon-stopped",
        what=Text(vi="Dịch vụ định tuyến của một huyện dừng", en="a district's routing daemon is stopped"),
        inflict=_unit(Role.DISTRICT, "frr", "stop"),
        mend=_unit(Role.DISTRICT, "frr", "start"),
        drift=_on_node(last, Role.DISTRICT),
        alerts=("DriftFound",),
    ),
    Fault(
        name="tunnel-down",
        what=Text(vi="Đường hầm của một xã bị tắt", en="a commune's tunnel is taken down"),
        inflict=_tunnel("stop"),
        mend=_tunnel("start"),
        drift=_on_node(first, Role.COMMUNE),
    ),
    Fault(
        name="clock-lost",
        what=Text(vi="Một tỉnh mất đồng bộ thời gian", en="a province's time daemon is stopped"),
        inflict=_unit(Role.PROVINCE, "chrony", "stop"),
        mend=_unit(Role.PROVINCE, "chrony", "start"),
        alerts=("ClockUnsynchronised",),
        drift=_on_node(last, Role.PROVINCE),
    ),
    Fault(
        name="file-edited",
        what=Text(vi="Một tệp trên bộ định tuyến bị sửa tay", en="a router's file is edited by hand"),
        inflict=edit_by_hand,
        mend=_undo_edit,
        drift=_on_node(last, Role.PROVINCE),
    ),
    Fault(
        name="firewall-opened",
        what=Text(vi="Tường lửa của cổng kết nối bị mở thêm", en="a rule is added to the gateway's firewall"),
        inflict=_open_firewall,
        mend=_close_firewall,
        drift=_on_node(first, Role.GATEWAY),
    ),
    Fault(
        name="policy-opened",
        what=Text(vi="Chính sách mạng của nền tảng bị mở cho tất cả", en="a platform's network policy admits all"),
        inflict=open_policy,
        mend=_close_policy,
        drift=policy_opened,
    ),
    Fault(
        name="stray-pod",
        what=Text(vi="Một pod không khai báo chạy trong không gian của cơ quan", en="a pod nobody declared is started"),
        inflict=start_stray_pod,
        mend=remove_stray_pod,
        drift=stray_pod,
    ),
    Fault(
        name="platform-down",
        what=Text(vi="Cổng dữ liệu quốc gia ngừng phục vụ", en="the open-data portal is scaled to nothing"),
        inflict=_scale("0"),
        mend=_scale(""),
        alerts=("PlatformDown",),
        drift=_open_data,
    ),
    Fault(
        name="exporter-silent",
        what=Text(vi="Bộ thu thập số liệu mạng dừng", en="the network exporter is stopped"),
        inflict=_unit(Role.OPERATIONS, "cgc-network.service", "stop"),
        mend=_unit(Role.OPERATIONS, "cgc-network.service", "start"),
        alerts=("ExporterSilent",),
        drift=_on_node(first, Role.OPERATIONS),
    ),
)


def fault_called(name: str) -> Fault:
    """Return the fault of this name; CGC-720 if the catalogue has none."""
    known = {fault.name: fault for fault in CATALOGUE}
    if name not in known:
        near = get_close_matches(name, known)
        hint = f"did you mean {near[0]}?" if near else "`cgc rehearse break` lists them"
        raise UnknownFaultError("CGC-720", f"no fault is called {name!r}", where="the catalogue", remedy=hint)
    return known[name]


def inflicted(state: Path) -> tuple[str, ...]:
    """Return the names of the faults that were inflicted and not mended, in that order."""
    path = state / RECORD
    return tuple(json.loads(path.read_text())) if path.exists() else ()


def break_it(ground: Ground, fault: Fault) -> None:
    """Inflict a fault and note that it was; the note comes first, so that a killed run can still be mended."""
    note(ground, fault.name, is_broken=True)
    fault.inflict(ground)


def mend_it(ground: Ground, fault: Fault) -> None:
    """Undo a fault, whether it was noted or not."""
    fault.mend(ground)
    note(ground, fault.name, is_broken=False)


def note(ground: Ground, name: str, *, is_broken: bool) -> None:
    """Note that a fault was inflicted, or that it is no more."""
    others = [other for other in inflicted(ground.access.state) if other != name]
    names = [*others, name] if is_broken else others
    replace_file(ground.access.state / RECORD, json.dumps(names).encode())
