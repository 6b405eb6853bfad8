"""`python -m tests.bench.ansible_view SOURCE HOST…`: print what Ansible sees of an inventory, for comparing two.

Hosts and groups in Ansible's order; the variables are those of the named hosts, without the two that name the source.
Which plugins are enabled stands in the environment or in ansible.cfg.
"""

from __future__ import annotations

import json
import sys

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader

WHERE_FROM = ("inventory_file", "inventory_dir")


def main(source: str, names: list[str]) -> None:
    """Print the view as JSON."""
    init_plugin_loader()
    inventory = InventoryManager(loader=DataLoader(), sources=[source])
    view = {
        "hosts": sorted(inventory.hosts),
        "members": inventory.get_groups_dict(),
        "groups of hosts": {name: sorted(map(str, inventory.hosts[name].groups)) for name in names},
        "variables": {
            name: {key: value for key, value in inventory.hosts[name].vars.items() if key not in WHERE_FROM}
            for name in names
        },
    }
    json.dump(view, sys.stdout, ensure_ascii=False, sort_keys=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
