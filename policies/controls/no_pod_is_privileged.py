"""NC-08: no pod of an agency gets hold of the machine it runs on.

CIS Kubernetes Benchmark v1.12, 5.2.2 to 5.2.12; Pod Security Standards, profile baseline. A privileged pod of one
agency ends the separation that Decree 331/2026/NĐ-CP, article 30.8 asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any

from inventories.model import Cluster, Text
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard
from policies.kubernetes import Object, containers_of, controller_of, identity_of, pod_specs
from policies.observed import ClusterObservation

# The nodes' own part of Kubernetes (kube-proxy, the control plane) works on the machine by design.
INFRASTRUCTURE = frozenset({"kube-system"})
# Pod Security Standards, baseline: what may be added to a container's capabilities.
HARMLESS_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip
HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge the pods that each cluster's objects would make."""
    for cluster in facts.nation.clusters:
        yield _judged(cluster, facts.planned.cluster_objects.get(cluster.id, ()))


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge the pods that run and the templates that would make more of them."""
    for cluster in facts.nation.clusters:
        seen = facts.observed.clusters.get(cluster.id)
        if isinstance(seen, ClusterObservation):
            yield _judged(cluster, seen.objects)
        else:
            yield unheard(f"cluster/{cluster.id}", seen)


def _judged(cluster: Cluster, objects: Iterable[Object]) -> Judgement:
    counted, faults = 0, []
    for item in objects:
        if (item.get("metadata") or {}).get("namespace") in INFRASTRUCTURE:
            continue
        for pod in pod_specs(item):
            counted += 1
            # what a controller made is said once, of the object that declares it
            said = sorted(set(_powers(pod))) if item.get("kind") == "Pod" or controller_of(item) is None else []
            faults += [f"{identity_of(item)}: {', '.join(said)}"] if said else []
    subject = f"cluster/{cluster.id}"
    if not faults:
        return passed(
            subject,
            en=f"none of {counted} pods and templates reaches the machine",
            vi=f"không pod hay mẫu pod nào trong {counted} chạm tới máy chủ",
            where=cluster.id,
        )
    return failed(
        subject,
        en=f"privileged: {'; '.join(faults)}",
        vi=f"có đặc quyền: {'; '.join(faults)}",
        where=f"{cluster.id}: {faults[0].partition(':')[0]}",
        remedy_en="remove the pod, or take the privilege out of its declaration",
        remedy_vi="gỡ pod, hoặc bỏ đặc quyền khỏi khai báo",
    )


def _powers(pod: Mapping[str, Any]) -> Iterator[str]:
    """Yield each power over the machine that the pod has (Pod Security Standards, baseline)."""
    yield from (name for name in HOST_NAMESPACES if pod.get(name))
    yield from ("hostPath" for volume in pod.get("volumes") or () if volume.get("hostPath") is not None)
    for container in containers_of(pod):
        context = container.get("securityContext") or {}
        if context.get("privileged"):
            yield "privileged"
        if context.get("procMount") not in (None, "Default"):
            yield "procMount"
        added = {str(name).removeprefix("CAP_") for name in (context.get("capabilities") or {}).get("add") or ()}
        yield from (f"capability {name}" for name in sorted(added - HARMLESS_CAPABILITIES))
        yield from ("hostPort" for port in container.get("ports") or () if port.get("hostPort"))


CONTROL = Control(
    id="NC-08",
    title=Text(vi="Không pod nào có đặc quyền trên máy chủ", en="No pod is privileged"),
    citation=Citation(
        document="CIS Kubernetes Benchmark v1.12",
        article="5.2.2 to 5.2.12",
        duty=Text(
            vi="hạn chế pod đặc quyền, dùng chung không gian máy chủ, hostPath, hostPort",
            en="privileged pods, host namespaces, host paths and host ports are kept out",
        ),
        reading=Reading.TEXT,
    ),
    see_also=(
        Citation(
            document="Kubernetes Pod Security Standards",
            article="baseline",
            duty=Text(vi="hồ sơ baseline", en="the profile baseline"),
            reading=Reading.TEXT,
        ),
        Citation(
            document="Decree 331/2026/NĐ-CP",
            article="article 30.8a",
            duty=Text(
                vi="hệ thống tách riêng, độc lập với hệ thống khác",
                en="systems are separate from, and independent of, others",
            ),
            reading=Reading.TEXT,
        ),
    ),
    in_force_from=date(2026, 8, 19),
    planned=judge_planned,
    observed=judge_observed,
)
