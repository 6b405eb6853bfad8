"""The other two ways to tell Ansible of a nation: an executable that prints JSON, and a static YAML file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from playbooks.hosts import Host


def script_of(hosts: Iterable[Host], groups: Mapping[str, Iterable[str]], directory: Path) -> Path:
    """Write an executable inventory; it only prints a file, so that its own language costs nothing."""
    told = {
        "_meta": {"hostvars": {host.name: host.variables for host in hosts}},
        **{group: {"hosts": list(members)} for group, members in groups.items()},
    }
    content = directory / "hosts.json"
    content.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    script = directory / "hosts"
    script.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(content))}\n", encoding="utf-8")
    script.chmod(0o755)
    return script


def yaml_of(hosts: Iterable[Host], groups: Mapping[str, Iterable[str]], directory: Path) -> Path:
    """Write a static inventory in Ansible's own YAML."""
    told = {
        "all": {
            "hosts": {host.name: host.variables for host in hosts},
            "children": {group: {"hosts": dict.fromkeys(members)} for group, members in groups.items()},
        }
    }
    path = directory / "hosts.yaml"
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(told, file, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    return path
