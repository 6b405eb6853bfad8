"""NC-07: every clock follows the network's own time servers, or no log of one system can be laid beside another's.

QCVN 12:2026/BCA, 3.9.2.1.8: network devices, servers and terminals are synchronised with one time server. TCVN
14423:2026, 6.8.2.1a asks the same of everything that takes part in monitoring, at every level.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from ipaddress import ip_address

from inventories.model import Nation, Node, Role, Text
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard, unknown
from policies.observed import ClockState, NodeObservation, Reason

LARGEST_OFFSET_SECONDS = 0.5  # a rule of our own: half of what a log's whole-second time stamp can tell apart
_SOURCE = re.compile(r"^\s*(?P<kind>server|peer|pool)\s+(?P<address>\S+)", re.MULTILINE)  # chrony.conf(5)
_LOCAL_CLOCK = re.compile(r"^\s*(local\b|refclock\b)", re.MULTILINE)


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge the servers that each node's chrony would be given."""
    declared = _servers(facts.nation)
    for node in facts.nation.nodes:
        subject = f"node/{node.name}"
        files = facts.planned.node_files.get(node.name, {})
        texts = {
            path: text for path, text in files.items() if "chrony" in path and path.endswith((".conf", ".sources"))
        }
        where = f"{node.name}:{min(texts)}" if texts else node.name
        if not texts:
            yield unknown(
                subject,
                reason=Reason.MISSING,
                en="nothing planned says whose time it follows",
                vi="kế hoạch không nêu nguồn thời gian",
                where=where,
            )
            continue
        joined = "\n".join(texts.values())
        sources = [match["address"] for match in _SOURCE.finditer(joined)]
        strange = [source for source in sources if not _is_declared(source, declared)]
        if strange:
            en, vi = f"would follow {', '.join(strange)}", f"sẽ theo nguồn lạ {', '.join(strange)}"
            yield _failed(subject, en=en, vi=vi, where=where)
        elif not sources and not (node.role is Role.CORE and _LOCAL_CLOCK.search(joined)):
            yield _failed(subject, en="would follow nobody", vi="không theo nguồn thời gian nào", where=where)
        else:
            yield passed(
                subject,
                en=f"would follow {len(sources)} declared server(s)",
                vi=f"theo {len(sources)} máy chủ thời gian đã khai báo",
                where=where,
            )


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge what each node's time daemon says."""
    declared = _servers(facts.nation)
    for node in facts.nation.nodes:
        subject = f"node/{node.name}"
        seen = facts.observed.nodes.get(node.name)
        if not isinstance(seen, NodeObservation):
            yield unheard(subject, seen)
        elif seen.clock is None:
            yield unknown(
                subject,
                reason=Reason.MISSING,
                en="does not say how its clock is",
                vi="không cho biết trạng thái đồng hồ",
                where=seen.seen_from,
            )
        else:
            yield _judged_clock(node, seen.clock, declared)


def _judged_clock(node: Node, clock: ClockState, declared: frozenset[str]) -> Judgement:
    subject = f"node/{node.name}"
    if not clock.is_synchronised:
        return _failed(subject, en="its clock is not synchronised", vi="đồng hồ chưa đồng bộ", where=node.name)
    if abs(clock.offset_seconds) > LARGEST_OFFSET_SECONDS:
        en, vi = f"its clock is off by {clock.offset_seconds:.3f} s", f"đồng hồ lệch {clock.offset_seconds:.3f} giây"
        return _failed(subject, en=en, vi=vi, where=node.name)
    # the backbone's routers are the servers: among themselves the one that leads follows its own clock
    if node.role is not Role.CORE and not _is_declared(clock.source, declared):
        return _failed(
            subject, en=f"follows {clock.source}", vi=f"theo nguồn không khai báo {clock.source}", where=node.name
        )
    return passed(
        subject,
        en=f"follows {clock.source}, off by {clock.offset_seconds:.3f} s",
        vi=f"theo {clock.source}, lệch {clock.offset_seconds:.3f} giây",
        where=node.name,
    )


def _servers(nation: Nation) -> frozenset[str]:
    """Return every name and address of the nation's time servers: the backbone's routers."""
    found: set[str] = set()
    for node in nation.with_role(Role.CORE):
        found |= {node.name, f"{node.name}.{nation.domain}", str(node.loopback.ipv4), str(node.loopback.ipv6)}
        found |= {str(interface.ip) for item in node.interfaces for interface in (item.ipv4, item.ipv6)}
    return frozenset(found)


def _is_declared(source: str, declared: frozenset[str]) -> bool:
    try:
        return str(ip_address(source)) in declared
    except ValueError:  # a name
        return source in declared


def _failed(subject: str, *, en: str, vi: str, where: str) -> Judgement:
    return failed(
        subject,
        en=en,
        vi=vi,
        where=where,
        remedy_en="let chrony follow the backbone's routers only: see `cgc drift`, then `cgc converge --apply`",
        remedy_vi="chỉ cho chrony theo các bộ định tuyến trục: xem `cgc drift`, rồi `cgc converge --apply`",
    )


CONTROL = Control(
    id="NC-07",
    title=Text(vi="Đồng hồ đồng bộ với máy chủ thời gian đã khai báo", en="Clocks follow the declared time servers"),
    citation=Citation(
        document="QCVN 12:2026/BCA",
        article="3.9.2.1.8",
        duty=Text(
            vi="thiết bị mạng, máy chủ, thiết bị đầu cuối đồng bộ với một máy chủ thời gian",
            en="network devices, servers and terminals are synchronised with one time server",
        ),
        reading=Reading.TEXT,
    ),
    see_also=(
        Citation(
            document="TCVN 14423:2026",
            article="6.8.2.1a",
            duty=Text(
                vi="đồng bộ thời gian cho mọi thành phần tham gia giám sát",
                en="all components that take part in monitoring are synchronised",
            ),
            reading=Reading.SECOND_HAND,
        ),
    ),
    in_force_from=date(2026, 7, 1),
    planned=judge_planned,
    observed=judge_observed,
)
