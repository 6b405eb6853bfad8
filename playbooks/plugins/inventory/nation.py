"""A declaration as an Ansible inventory: hosts in the order in which a change reaches them, and their groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleParserError
from ansible.inventory.host import Host
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.utils.path import basedir

from inventories.errors import CgcError
from playbooks.compiled_hosts import HostList, load_hosts
from playbooks.knobs import KNOBS, check_knobs, places_of_variables

DOCUMENTATION = r"""
name: nation
short_description: The nodes of a declaration
description:
  - The source is the declaration itself, C(inventories/.../nation.yaml); every node of it is a host.
  - A host's address is the one on the management network; what else it is stands in its variables.
  - Groups are C(network) (all), C(role_...), C(level_...), C(region_...), C(province_CODE), C(agency_ID),
    C(plane_...), C(tier_...), C(cluster_ID) and C(centre_KIND).
  - Knobs, such as timeouts, are read from C(inventories/group_vars/); facts of the nation are refused there.
  - Groups and variables of your own come from a second source, whose plugin is C(ansible.builtin.constructed).
options: {}
author:
  - The cgc authors (@cgc)
"""

SOURCE = "nation.yaml"


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]  # Ansible ships no types
    """Reads declarations."""

    NAME = "nation"

    def verify_file(self, path: str) -> bool:
        """Tell whether the file is a declaration's."""
        return bool(super().verify_file(path)) and Path(path).name == SOURCE

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: FBT001, FBT002 - Ansible's signature
        """Fill the inventory from the declaration."""
        super().parse(inventory, loader, path, cache)
        declaration = Path(path).parent
        try:
            hosts = load_hosts(declaration.resolve())
        except CgcError as err:
            raise AnsibleParserError(str(err)) from err
        knobs = knobs_in(loader, KNOBS)
        for place in places_of_variables(declaration):
            knobs_in(loader, place)
        fill(inventory, hosts)
        for name in knobs.keys() & inventory.groups.keys():
            for key, value in knobs[name].items():
                inventory.groups[name].set_variable(key, value)


def fill(inventory: Any, hosts: HostList) -> None:
    """Add hosts, their variables and their groups to Ansible's inventory, which may hold some from other sources.

    Its own `add_host`, `set_variable` and `add_child`, called once an item, take seconds for a nation. The variables
    get no tags: they are data, which Ansible 2.19 and later never takes for templates.
    """
    source = inventory.current_source
    origin = {"inventory_file": source, "inventory_dir": basedir(source) if source else None}
    for name in {*constants.LOCALHOST}.intersection(hosts.names):
        inventory.add_host(name)  # which also keeps Ansible from making one of its own
    known: dict[str, Any] = inventory.hosts
    for name, variables in zip(hosts.names, hosts.variables, strict=True):
        if name not in known:
            known[name] = Host(name)
            known[name].vars = origin.copy()
        known[name].vars |= variables
    listed = [known[name] for name in hosts.names]
    everyone = inventory.groups["all"]
    for name, positions in hosts.groups.items():
        group = inventory.groups[inventory.add_group(name)]
        if not group.get_ancestors():
            everyone.add_child_group(group)
        lineage = [*group.get_ancestors(), group]
        names = group.host_names
        members = [host for host in (listed[position] for position in positions) if host.name not in names]
        group.hosts += members
        names.update(host.name for host in members)
        for host in members:
            host.populate_ancestors(lineage)
        group.clear_hosts_cache()


def knobs_in(loader: Any, directory: Path) -> dict[str, dict[str, Any]]:
    """Return the variables that the files of a directory set, by group (in host_vars: by host).

    Raises Ansible's error with CGC-330 for a fact of the nation, with CGC-331 for a file that is no mapping.
    """
    found: dict[str, dict[str, Any]] = {}
    names = {entry.name.partition(".")[0] for entry in directory.iterdir()} if directory.is_dir() else set()
    for name in sorted(names - {""}):
        for file in loader.find_vars_files(str(directory), name):
            variables = loader.load_from_file(file, cache="all", unsafe=True, trusted_as_template=True) or {}
            try:
                check_knobs(variables, file)
            except CgcError as err:
                raise AnsibleParserError(str(err)) from err
            found.setdefault(name, {}).update(variables)
    return found
