"""`cgc nation check|show`: whether the declaration is sound, and the nation that it makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inventories import load_nation
from inventories.model import Nation
from scripts.invocation import JsonOption, current, speak
from scripts.presenting import Column, Table, examples, present

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Check or show the declaration.")


class Part(StrEnum):
    """Which part of the nation to show."""

    SUMMARY = "summary"
    NODES = "nodes"
    LINKS = "links"
    CLUSTERS = "clusters"
    PLATFORMS = "platforms"
    AGENCIES = "agencies"


DirectoryArgument = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="A declaration; default: the one of --declaration.")
]


@app.command(epilog=examples(("cgc nation check", "is it sound?"), ("cgc nation check changed/", "is this one?")))
def check(*, directory: DirectoryArgument = None, as_json: JsonOption = False) -> None:
    """Read the declaration strictly; name every problem with file, line and remedy, and end with 2 if there is one."""
    nation = load_nation(directory or current().declaration)
    present(facts={"declaration": nation.directory, "sound": True, **_counts(nation)}, as_json=as_json)


@app.command(
    epilog=examples(("cgc nation show", "how large is it?"), ("cgc nation show nodes --json", "every node's addresses"))
)
def show(
    *,
    part: Annotated[Part, typer.Argument(help="What to show.")] = Part.SUMMARY,
    as_json: JsonOption = False,
) -> None:
    """Show the nation that the declaration makes."""
    nation = load_nation(current().declaration)
    if part is Part.SUMMARY:
        title = speak(en=nation.title.en, vi=nation.title.vi)
        facts = {"nation": nation.name, "title": title, "scheme": nation.scheme, **_counts(nation)}
        present(facts=facts, as_json=as_json)
        return
    present([TABLES[part](nation)], as_json=as_json)


def _counts(nation: Nation) -> dict[str, object]:
    roles = Counter(node.role.value for node in nation.nodes)
    return {
        "nodes": len(nation.nodes),
        "nodes_by_role": dict(sorted(roles.items())),
        "links": len(nation.links),
        "planes": len(nation.planes),
        "clusters": len(nation.clusters),
        "agencies": len(nation.agencies),
        "platforms": len(nation.platforms),
    }


def _nodes(nation: Nation) -> Table:
    return Table(
        name="nodes",
        columns=(
            Column(key="node", en="node", vi="nút"),
            Column(key="role", en="role", vi="vai trò"),
            Column(key="site", en="site", vi="địa điểm"),
            Column(key="as_number", en="AS", vi="AS"),
            Column(key="loopback4", en="IPv4", vi="IPv4"),
            Column(key="loopback6", en="IPv6", vi="IPv6"),
            Column(key="management", en="management", vi="quản trị"),
        ),
        rows=tuple(
            {
                "node": node.name,
                "role": node.role,
                "site": node.site.name,
                "as_number": node.as_number,
                "loopback4": str(node.loopback.ipv4),
                "loopback6": str(node.loopback.ipv6),
                "management": str(node.management4),
            }
            for node in nation.nodes
        ),
    )


def _links(nation: Nation) -> Table:
    return Table(
        name="links",
        columns=(
            Column(key="link", en="link", vi="liên kết"),
            Column(key="link_class", en="class", vi="loại"),
            Column(key="capacity_mbps", en="Mbit/s", vi="Mbit/s"),
            Column(key="plane", en="plane", vi="mặt phẳng"),
            Column(key="route", en="route", vi="hướng vật lý"),
            Column(key="communes", en="communes behind it", vi="xã phía sau"),
        ),
        rows=tuple(
            {
                "link": link.name,
                "link_class": link.link_class.name,
                "capacity_mbps": link.link_class.capacity_mbps,
                "plane": link.plane,
                "route": link.route,
                "communes": link.communes,
            }
            for link in nation.links
        ),
    )


def _clusters(nation: Nation) -> Table:
    return Table(
        name="clusters",
        columns=(
            Column(key="cluster", en="cluster", vi="cụm"),
            Column(key="tier", en="tier", vi="tầng"),
            Column(key="operator", en="operator", vi="vận hành"),
            Column(key="site", en="site", vi="địa điểm"),
            Column(key="hosts", en="hosts", vi="máy chủ"),
            Column(key="platforms", en="platforms", vi="nền tảng"),
            Column(key="certified_until", en="certified until", vi="chứng nhận đến"),
        ),
        rows=tuple(
            {
                "cluster": cluster.id,
                "tier": cluster.tier,
                "operator": cluster.operator,
                "site": cluster.site,
                "hosts": [host.name for host in cluster.hosts],
                "platforms": [platform.id for platform in nation.platforms_on(cluster)],
                "certified_until": cluster.certification.expires if cluster.certification else None,
            }
            for cluster in nation.clusters
        ),
    )


def _platforms(nation: Nation) -> Table:
    return Table(
        name="platforms",
        columns=(
            Column(key="platform", en="platform", vi="mã"),
            Column(key="name", en="name", vi="tên"),
            Column(key="ref", en="Decision 942", vi="Quyết định 942"),
            Column(key="owner", en="owner", vi="chủ quản"),
            Column(key="tier", en="tier", vi="tầng"),
            Column(key="level", en="level", vi="cấp độ"),
            Column(key="clusters", en="clusters", vi="cụm"),
            Column(key="needs", en="needs", vi="phụ thuộc"),
        ),
        rows=tuple(
            {
                "platform": platform.id,
                "name": speak(en=platform.name.en, vi=platform.name.vi),
                "ref": platform.ref,
                "owner": platform.owner,
                "tier": platform.tier,
                "level": platform.level,
                "clusters": platform.clusters,
                "needs": platform.needs,
            }
            for platform in nation.platforms
        ),
    )


def _agencies(nation: Nation) -> Table:
    return Table(
        name="agencies",
        columns=(
            Column(key="agency", en="agency", vi="mã"),
            Column(key="name", en="name", vi="tên"),
            Column(key="kind", en="kind", vi="loại"),
            Column(key="contact", en="contact", vi="liên hệ"),
        ),
        rows=tuple(
            {
                "agency": agency.id,
                "name": speak(en=agency.name.en, vi=agency.name.vi),
                "kind": agency.kind,
                "contact": agency.contact,
            }
            for agency in nation.agencies
        ),
    )


TABLES: dict[Part, Callable[[Nation], Table]] = {
    Part.NODES: _nodes,
    Part.LINKS: _links,
    Part.CLUSTERS: _clusters,
    Part.PLATFORMS: _platforms,
    Part.AGENCIES: _agencies,
}
