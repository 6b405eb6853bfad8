"""The nation in the forms that other programs read: Ansible's inventory, Prometheus' targets, a map.

Pure; the same nation gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inventories.model import Link, Nation, Node, Role, Site
from inventories.services import ALERTMANAGER_PORT, NODE_EXPORTER_PORT, PROMETHEUS_PORT
from playbooks.hosts import groups_of, hosts_of
from playbooks.monitoring import services_of

_NO_VARIABLES: Mapping[str, Any] = {}


def ansible_text(nation: Nation, nodes: Iterable[Node]) -> str:
    """Return a static inventory of these nodes, as JSON that Ansible's `yaml` inventory plugin reads.

    Hosts are in the order in which a change reaches them. `ansible-inventory -i FILE --list` makes of it what an
    inventory script would print. It has the declared facts only, not the settings of group_vars.
    """
    wanted = {node.name for node in nodes}
    hosts = [host for host in hosts_of(nation) if host.name in wanted]
    groups = {
        group: {"hosts": dict.fromkeys(members, _NO_VARIABLES)} for group, members in groups_of(nation, hosts).items()
    }
    variables = {host.name: host.variables for host in hosts}
    return json.dumps({"all": {"hosts": variables, "children": groups}}, indent=2, ensure_ascii=False) + "\n"


def file_sd_text(nation: Nation, nodes: Iterable[Node]) -> str:
    """Return Prometheus' targets at these nodes (file_sd_config, JSON), addressed over the management network.

    Jobs, ports and the labels `node`, `site` and `role` are those of the nation's own Prometheus: its rules fit.
    """
    return _lines("[", (group for node in nodes for group in _targets(nation, node)), "]")


def _targets(nation: Nation, node: Node) -> Iterator[dict[str, Any]]:
    cluster = nation.cluster_by_id[node.cluster] if node.cluster is not None else None
    facts = {
        "node": node.name,
        "site": node.site.code,
        "role": node.role.value,
        "region": node.site.region.value,
        "province": node.site.province,
        "plane": node.plane,
        "cluster": node.cluster,
        "tier": cluster.tier.value if cluster is not None else None,
    }
    labels = {name: value for name, value in facts.items() if value is not None}
    yield {"targets": [f"{node.management4}:{NODE_EXPORTER_PORT}"], "labels": {"job": "node", **labels}}
    if node.role is Role.OPERATIONS:
        served = [("prometheus", PROMETHEUS_PORT), ("prometheus-alertmanager", ALERTMANAGER_PORT)]
        served += [(service.unit, service.port) for service in services_of(nation)]
        for job, port in served:
            secured = {"job": job, "__scheme__": "https", **labels}
            yield {"targets": [f"{node.management4}:{port}"], "labels": secured}


def geojson_text(nation: Nation, sites: Iterable[Site], links: Iterable[Link]) -> str:
    """Return sites as points and links between different places as lines (RFC 7946: WGS 84, longitude first)."""
    features = [_site_feature(nation, site) for site in sites]
    features += [feature for link in links if (feature := _link_feature(nation, link)) is not None]
    return _lines('{"type": "FeatureCollection", "features": [', features, "]}")


def _site_feature(nation: Nation, site: Site) -> dict[str, Any]:
    agency = nation.agency_at(site)
    properties = {
        "what": "site",
        "code": site.code,
        "name": site.name,
        "level": site.level,
        "kind": site.centre.kind if site.centre is not None else None,
        "region": site.region,
        "province": site.province,
        "home": site.home,
        "access_level": site.access_level,
        "agency": agency.id if agency is not None else None,
    }
    point = {"type": "Point", "coordinates": _position(site)}
    return {"type": "Feature", "id": f"site/{site.code}", "geometry": point, "properties": properties}


def _link_feature(nation: Nation, link: Link) -> dict[str, Any] | None:
    lower, upper = (nation.node_by_name[end].site for end in link.ends)
    line = [_position(lower), _position(upper)]
    if line[0] == line[1]:
        return None  # a line from a place to itself shows nothing
    properties = {
        "what": "link",
        "name": link.name,
        "link_class": link.link_class.name,
        "capacity_mbps": link.link_class.capacity_mbps,
        "plane": link.plane,
        "route": link.route,
        "communes": len(link.communes),
    }
    geometry = {"type": "LineString", "coordinates": line}
    return {"type": "Feature", "id": f"link/{link.name}", "geometry": geometry, "properties": properties}


def _position(site: Site) -> list[float]:
    return [site.longitude, site.latitude]


def _lines(opening: str, members: Iterable[Mapping[str, Any]], closing: str) -> str:
    """Return a JSON list with a member a line: as easy to compare by line as to parse."""
    written = ",\n".join(json.dumps(member, ensure_ascii=False) for member in members)
    return f"{opening}\n{written}\n{closing}\n"
