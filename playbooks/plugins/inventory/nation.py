"""The declared nation as an Ansible inventory: hosts in the order in which a change reaches them, and their groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin

from inventories import load_nation
from inventories.errors import CgcError
from playbooks.hosts import groups_of, hosts_of

DOCUMENTATION = r"""
name: nation
short_description: The nodes of a declaration
description:
  - Every node of the declaration is a host; its address is the one on the management network.
  - Groups are C(network) (all), C(role_…), C(level_…), C(plane_…), C(tier_…), C(region_…) and C(cluster_…).
options:
  plugin:
    description: The name of this plugin.
    required: true
    choices: [nation]
  declaration:
    description: The declaration's directory, relative to this file.
    required: true
    type: str
author:
  - The cgc authors (@cgc)
"""


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]  # Ansible ships no types
    """Reads `*.nation.yaml` files."""

    NAME = "nation"

    def verify_file(self, path: str) -> bool:
        """Tell whether the file is ours."""
        return bool(super().verify_file(path)) and path.endswith(".nation.yaml")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: FBT001, FBT002 - Ansible's signature
        """Fill the inventory from the declaration."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        directory = Path(path).parent / self.get_option("declaration")
        try:
            nation = load_nation(directory.resolve())
        except CgcError as err:
            raise AnsibleParserError(str(err)) from err
        for host in hosts_of(nation):
            inventory.add_host(host.name)
            for name, value in host.variables.items():
                inventory.set_variable(host.name, name, value)
        for group, members in groups_of(nation).items():
            inventory.add_group(group)
            for member in members:
                inventory.add_child(group, member)
