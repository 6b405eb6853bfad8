"""What group_vars may hold: knobs, which say how a tool works. What a node is stands in the declaration alone.

A knob is written in `inventories/group_vars/GROUP.yaml` and holds for every declaration. Ansible's own places beside a
declaration and beside a play work as they always do; they, too, may hold knobs only.
"""

from __future__ import annotations

from pathlib import Path

from playbooks.errors import PlaybookError

PROJECT = Path(__file__).parents[1]
KNOBS = PROJECT / "inventories" / "group_vars"

# The host variables that follow from the declaration (playbooks/hosts.py: variables_of).
FACTS = frozenset(
    {
        "access_level",
        "agency",
        "ansible_host",
        "ansible_python_interpreter",
        "ansible_user",
        "as_number",
        "cluster",
        "home",
        "level",
        "loopback4",
        "loopback6",
        "node_role",
        "plane",
        "province",
        "region",
        "site",
        "site_name",
        "tier",
    }
)
# Other names by which Ansible's ssh connection takes facts, and before those.
_ALIASES = {"ansible_ssh_host": "ansible_host", "ansible_ssh_user": "ansible_user"}


def places_of_variables(declaration: Path) -> tuple[Path, ...]:
    """Return the directories in which Ansible itself may look for variables of our hosts."""
    rooms = (declaration, PROJECT / "inventories", PROJECT / "playbooks")
    return tuple(room / name for room in rooms for name in ("group_vars", "host_vars"))


def check_knobs(content: object, file: str) -> None:
    """Raise CGC-331 if what a file of variables holds is no mapping, CGC-330 if it sets a fact of the nation."""
    if not isinstance(content, dict):
        raise PlaybookError("CGC-331", "is no mapping", where=file, remedy="write one knob a line, as `name: value`")
    for name in content:
        fact = _ALIASES.get(name, name)
        if fact in FACTS:
            also = f" (by its other name {name!r})" if fact != name else ""
            raise PlaybookError(
                "CGC-330",
                f"sets {fact!r}{also}, a fact of the nation that follows from its declaration",
                where=file,
                remedy="remove it there; if the fact is wrong, change the declaration",
            )
