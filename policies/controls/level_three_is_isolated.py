"""NC-02: a platform of level 3 or higher has a room of its own, with walls in both directions.

Decree 331/2026/NĐ-CP, article 30.8: on rented clouds, systems of level 3 and 4 are separated logically from others,
their network zones too, with control of access between them. (Level 5 asks for physical separation, article 30.9; a
logical one is the least of it.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from ipaddress import ip_network
from typing import Any

from inventories.model import Cluster, Platform, Text
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard
from policies.kubernetes import Object, controller_of, in_namespace, labels_of, name_of, of_kind
from policies.observed import ClusterObservation

LOWEST_LEVEL = 3  # article 30.8
POD_SECURITY_LABEL = "pod-security.kubernetes.io/enforce"
STRICT_ENOUGH = ("restricted",)  # PSS-20: tenants get the strictest profile
BOTH_DIRECTIONS = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}


def judge_declared(facts: Facts) -> Iterator[Judgement]:
    """Judge that no other platform on the cluster shares the namespace."""
    nation = facts.nation
    for platform, cluster in _concerned(facts):
        others = [
            other.id
            for other in nation.platforms_on(cluster)
            if other.id != platform.id and other.namespace == platform.namespace
        ]
        yield _judged(platform, cluster, [_shares(other) for other in others])


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge the room and its walls as they would be made."""
    for platform, cluster in _concerned(facts):
        objects = facts.planned.cluster_objects.get(cluster.id, ())
        yield _judged(platform, cluster, _faults_of_room(platform, objects))


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge the room and its walls as they are, and that no stranger is inside."""
    for platform, cluster in _concerned(facts):
        seen = facts.observed.clusters.get(cluster.id)
        if not isinstance(seen, ClusterObservation):
            yield unheard(_subject(platform, cluster), seen)
            continue
        faults = _faults_of_room(platform, seen.objects)
        faults += [
            (f"the pod {name} belongs to nothing declared", f"pod {name} không thuộc đối tượng khai báo nào")
            for name in _strangers(platform, seen.objects)
        ]
        yield _judged(platform, cluster, faults)


def _concerned(facts: Facts) -> Iterator[tuple[Platform, Cluster]]:
    for platform in facts.nation.platforms:
        if platform.level >= LOWEST_LEVEL:
            yield from ((platform, facts.nation.cluster_by_id[cluster]) for cluster in platform.clusters)


def _subject(platform: Platform, cluster: Cluster) -> str:
    return f"platform/{platform.id}@{cluster.id}"


def _shares(other: str) -> tuple[str, str]:
    return f"shares its namespace with {other}", f"dùng chung không gian tên với {other}"


def _faults_of_room(platform: Platform, objects: Iterable[Object]) -> list[tuple[str, str]]:
    kept = tuple(objects)
    room = next((item for item in of_kind(kept, "Namespace") if name_of(item) == platform.namespace), None)
    if room is None:
        return [("has no namespace of its own", "không có không gian tên riêng")]
    faults: list[tuple[str, str]] = []
    profile = labels_of(room).get(POD_SECURITY_LABEL)
    if profile not in STRICT_ENOUGH:
        faults.append(
            (f"its Pod Security label says {profile!r}", f"nhãn Pod Security là {profile!r}, không phải restricted")
        )
    policies = tuple(of_kind(in_namespace(kept, platform.namespace), "NetworkPolicy"))
    faults += [
        (f"{direction} is not denied by default", f"chiều {direction} không bị chặn mặc định")
        for direction in BOTH_DIRECTIONS
        if not any(_denies_all(policy, direction) for policy in policies)
    ]
    faults += [
        (
            f"the network policy {name_of(policy)} has an {direction} rule that allows everything",
            f"chính sách mạng {name_of(policy)} có quy tắc {direction} cho phép tất cả",
        )
        for policy in policies
        for direction in BOTH_DIRECTIONS
        if any(_allows_all(rule, direction) for rule in _rules(policy, direction))
    ]
    return faults


def _directions(policy: Object) -> tuple[str, ...]:
    """Return the directions a policy governs (NetworkPolicySpec: Ingress always where policyTypes is left out)."""
    spec = policy.get("spec") or {}
    types = spec.get("policyTypes")
    return tuple(types) if types else ("Ingress", *(("Egress",) if spec.get("egress") else ()))


def _rules(policy: Object, direction: str) -> tuple[Mapping[str, Any], ...]:
    if direction not in _directions(policy):
        return ()
    return tuple((policy.get("spec") or {}).get(BOTH_DIRECTIONS[direction][0]) or ())


def _denies_all(policy: Object, direction: str) -> bool:
    spec = policy.get("spec") or {}
    selects_all = not any((spec.get("podSelector") or {}).values())
    return selects_all and direction in _directions(policy) and not _rules(policy, direction)


def _allows_all(rule: Mapping[str, Any], direction: str) -> bool:
    """Whether a rule opens every port to everyone: without peers, or with a peer that is the whole world."""
    if rule.get("ports"):
        return False
    peers = rule.get(BOTH_DIRECTIONS[direction][1]) or ()
    return not peers or any(_is_everyone(peer) for peer in peers)


def _is_everyone(peer: Mapping[str, Any]) -> bool:
    block = peer.get("ipBlock")
    if block is not None:
        return ip_network(block["cidr"], strict=False).prefixlen == 0
    namespaces = peer.get("namespaceSelector")
    return namespaces is not None and not any(namespaces.values()) and not any((peer.get("podSelector") or {}).values())


def _strangers(platform: Platform, objects: Iterable[Object]) -> list[str]:
    return sorted(
        name_of(pod) for pod in of_kind(in_namespace(objects, platform.namespace), "Pod") if controller_of(pod) is None
    )


def _judged(platform: Platform, cluster: Cluster, faults: list[tuple[str, str]]) -> Judgement:
    subject = _subject(platform, cluster)
    where = f"{cluster.id}: Namespace/{platform.namespace}"
    if not faults:
        return passed(subject, en="is alone behind its walls", vi="được cách ly", where=where)
    return failed(
        subject,
        en=f"level {platform.level}: {'; '.join(en for en, _ in faults)}",
        vi=f"cấp độ {platform.level}: {'; '.join(vi for _, vi in faults)}",
        where=where,
        remedy_en="converge the cluster with `cgc converge --apply`; remove what nobody declared",
        remedy_vi="hội tụ cụm bằng `cgc converge --apply`; gỡ bỏ những gì không được khai báo",
    )


CONTROL = Control(
    id="NC-02",
    title=Text(
        vi="Nền tảng từ cấp độ 3 được cách ly cả hai chiều",
        en="Platforms of level 3 and higher are isolated in both directions",
    ),
    citation=Citation(
        document="Decree 331/2026/NĐ-CP",
        article="article 30.8",
        duty=Text(
            vi="hệ thống cấp độ 3, 4 trên đám mây thuê phải tách riêng về lô-gic và có quản lý truy cập",
            en="systems of level 3 and 4 on a rented cloud are separated logically from others, with controlled access",
        ),
        reading=Reading.TEXT,
    ),
    see_also=(
        Citation(
            document="CIS Kubernetes Benchmark v1.12",
            article="5.3.2",
            duty=Text(vi="mỗi không gian tên có chính sách mạng", en="every namespace has network policies"),
            reading=Reading.TEXT,
        ),
        Citation(
            document="Kubernetes Pod Security Standards",
            article="restricted",
            duty=Text(
                vi="không gian tên của cơ quan áp dụng hồ sơ restricted", en="tenants' namespaces enforce restricted"
            ),
            reading=Reading.OWN,
        ),
    ),
    in_force_from=date(2026, 8, 19),
    declared=judge_declared,
    planned=judge_planned,
    observed=judge_observed,
)
