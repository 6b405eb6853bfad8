"""A bundle is applied whole or not at all: tried on a directory, with programs that only write down their calls."""

from __future__ import annotations

import grp
import json
import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.bundle import Bundle, BundleFile, Check, Unit
from playbooks.plugins.module_utils import node_apply
from playbooks.plugins.module_utils.node_apply import (
    AGENT,
    MANIFEST,
    STATE,
    ApplyError,
    Done,
    Node,
    apply,
    confirm,
    fingerprint_of,
    undo,
)

OWNER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name
SHOWN = "Id={name}\nNames={name}\nActiveState={state}\n"


class Machine:
    """A node of one directory whose programs obey a script: units have states, chosen commands fail."""

    def __init__(self, root: Path) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.states: dict[str, str] = {}
        self.refused: set[str] = set()  # a command that contains one of these words fails
        self.runtime: list[dict[str, Any]] = []
        self.node = Node(root=root, run=self.run)

    def run(self, argv: Sequence[str]) -> Done:
        """Answer as the node's programs would."""
        self.calls.append(tuple(argv))
        if any(word in " ".join(argv) for word in self.refused):
            return Done(code=1, output="refused by the test")
        if argv[0] == "systemctl" and argv[1] == "show":
            names = argv[argv.index("--") + 1 :]
            shown = [SHOWN.format(name=name, state=self.states.get(name, "inactive")) for name in names]
            return Done(code=0, output="\n".join(shown))
        if argv[0] == "systemctl" and argv[2] in ("restart", "start"):
            self.states.update(dict.fromkeys(argv[3:], "active"))
        if argv[0] == "systemctl" and argv[2] == "stop":
            self.states.update(dict.fromkeys(argv[3:], "inactive"))
        if argv[-1] == "snapshot":
            return Done(code=0, output='{"nftables": "", "frr": ""}')
        if argv[-1] == "runtime":
            return Done(code=0, output=json.dumps(self.runtime))
        return Done(code=0, output="")

    def called(self, *words: str) -> list[tuple[str, ...]]:
        """Return the calls that contain all of the words."""
        return [call for call in self.calls if set(words) <= set(call)]

    def paths(self) -> list[str]:
        """Return where the node's files lie, those of the toolkit's own state left out."""
        found = (f"/{path.relative_to(self.node.root)}" for path in self.node.root.rglob("*") if path.is_file())
        return sorted(path for path in found if not path.startswith(STATE))

    def files(self) -> dict[str, str]:
        """Return the node's files, path → text."""
        return {path: self.node.at(path).read_text() for path in self.paths()}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return an empty node that gives up verifying at once."""
    monkeypatch.setattr(node_apply, "VERIFY_SECONDS", 0.0)
    monkeypatch.setattr(node_apply, "LOCK_SECONDS", 0.0)
    monkeypatch.setattr(node_apply, "POLL_SECONDS", 0.0)
    return Machine(tmp_path)


def file(path: str, content: str, *, mode: int = 0o644, secret: bool = False) -> BundleFile:
    """Return a file that this user can own."""
    return BundleFile(path=path, content=content, mode=mode, owner=OWNER, group=GROUP, secret=secret)


def bundle_of(
    *files: BundleFile, units: tuple[Unit, ...] = (), validate: tuple[Check, ...] = (), verify: tuple[Check, ...] = ()
) -> Bundle:
    """Return a bundle that holds the agent, as every one does."""
    agent = file(AGENT, "the agent\n", mode=0o755)
    return Bundle(node="n", files=(*files, agent), units=units, validate=validate, verify=verify)


def sent(bundle: Bundle) -> Mapping[str, Any]:
    """Return the bundle as it arrives on the node."""
    arrived: Mapping[str, Any] = json.loads(json.dumps(asdict(bundle)))
    return arrived


ROUTER = Unit(name="frr.service", reload_on=("/etc/frr.conf",), restart_on=("/etc/daemons",))


def test_the_node_computes_the_fingerprint_that_the_model_has(bundles: Mapping[str, Bundle]) -> None:
    """The manifest that the node remakes from what it was sent is the one of playbooks.bundle."""
    for bundle in bundles.values():
        assert fingerprint_of(sent(bundle)) == bundle.fingerprint


def test_a_bundle_is_applied_and_a_second_time_changes_nothing(machine: Machine) -> None:
    """Files get their text and mode, units start, and the next run finds nothing to do."""
    bundle = bundle_of(file("/etc/frr.conf", "router\n", mode=0o640), units=(ROUTER,))
    first = apply(sent(bundle), node=machine.node)
    assert first.is_changed
    assert first.fingerprint == bundle.fingerprint
    assert [change.aspects for change in first.changes] == [("new",), ("new",)]
    assert first.units == ("restart frr.service",)
    assert machine.files()["/etc/frr.conf"] == "router\n"
    assert (machine.node.at("/etc/frr.conf").stat().st_mode & 0o777) == 0o640
    machine.calls.clear()
    second = apply(sent(bundle), node=machine.node)
    assert not second.is_changed
    assert not machine.called("restart")
    assert not machine.called("reload")


def test_check_mode_touches_nothing_and_says_what_would_change(machine: Machine) -> None:
    """A dry run shows the diff, lets the parsers read, and leaves neither files nor units changed."""
    bundle = bundle_of(
        file("/etc/frr.conf", "router\n"),
        units=(ROUTER,),
        validate=(Check(name="frr", command=("vtysh", "-f", "{root}/etc/frr.conf")),),
    )
    outcome = apply(sent(bundle), node=machine.node, is_check=True)
    assert outcome.is_changed
    assert outcome.changes[0].as_diff()["after"] == "router\n"
    assert machine.files() == {}
    assert machine.called("vtysh", "-f")
    assert not machine.called("restart", "frr.service")
    assert not list(machine.node.at(f"{STATE}/staged").iterdir())


def test_a_changed_file_reloads_its_unit_and_no_other(machine: Machine) -> None:
    """Reload where reload serves, restart only where it must be."""
    other = Unit(name="chrony.service", restart_on=("/etc/chrony.conf",))
    files = (file("/etc/chrony.conf", "a\n"), file("/etc/daemons", "a\n"))
    apply(sent(bundle_of(file("/etc/frr.conf", "a\n"), *files, units=(ROUTER, other))), node=machine.node)
    outcome = apply(sent(bundle_of(file("/etc/frr.conf", "b\n"), *files, units=(ROUTER, other))), node=machine.node)
    assert outcome.units == ("reload frr.service",)


def test_what_an_earlier_bundle_left_is_removed(machine: Machine) -> None:
    """A file and a unit that the new bundle does not have go."""
    gone = Unit(name="wg-quick@wg-1.service", restart_on=("/etc/wg-1.conf",))
    apply(sent(bundle_of(file("/etc/wg-1.conf", "a\n"), units=(gone,))), node=machine.node)
    outcome = apply(sent(bundle_of()), node=machine.node)
    assert [(change.path, change.aspects) for change in outcome.changes] == [("/etc/wg-1.conf", ("removed",))]
    assert "/etc/wg-1.conf" not in machine.files()
    assert machine.called("stop", "wg-quick@wg-1.service")


def test_what_a_parser_refuses_never_reaches_its_place(machine: Machine) -> None:
    """The parser's words are in the error, and the node is as it was."""
    before = bundle_of(file("/etc/frr.conf", "good\n"), units=(ROUTER,))
    apply(sent(before), node=machine.node)
    files = machine.files()
    machine.refused.add("vtysh")
    check = Check(name="/etc/frr.conf", command=("vtysh", "-C", "-f", "{root}/etc/frr.conf"))
    with pytest.raises(ApplyError, match="refused by the test") as refused:
        apply(sent(bundle_of(file("/etc/frr.conf", "bad\n"), units=(ROUTER,), validate=(check,))), node=machine.node)
    assert refused.value.stage == "validate"
    assert machine.files() == files


def test_parsers_read_only_what_changed(machine: Machine) -> None:
    """A file that stays as it is needs no proof, which keeps a small change fast."""
    check = Check(name="frr", command=("vtysh", "-f", "{root}/etc/frr.conf"))
    kept = file("/etc/frr.conf", "same\n")
    apply(sent(bundle_of(kept, validate=(check,))), node=machine.node)
    machine.calls.clear()
    apply(sent(bundle_of(kept, file("/etc/motd", "new\n"), validate=(check,))), node=machine.node)
    assert not machine.called("vtysh")


@pytest.mark.parametrize("word", ["--quiet reload", "is-it-well"])
def test_a_failure_after_the_swap_puts_everything_back(machine: Machine, word: str) -> None:
    """Whether reloading or verifying fails: old texts are back, new files are gone, the error says so."""
    apply(sent(bundle_of(file("/etc/frr.conf", "good\n"), units=(ROUTER,))), node=machine.node)
    files = machine.files()
    machine.refused.add(word)
    wrong = bundle_of(
        file("/etc/frr.conf", "bad\n"),
        file("/etc/extra", "new\n"),
        units=(ROUTER,),
        verify=(Check(name="it is well", command=("is-it-well",)),),
    )
    with pytest.raises(ApplyError) as failed:
        apply(sent(wrong), node=machine.node)
    assert machine.files() == files
    assert failed.value.is_undone == (word == "is-it-well")  # a unit that refuses to reload refuses the old text too
    assert not machine.node.at(f"{STATE}/undo").exists()
    machine.refused.clear()
    assert apply(sent(wrong), node=machine.node).is_changed


def test_a_first_bundle_that_fails_leaves_an_empty_node(machine: Machine) -> None:
    """Nothing of it stays, and the units that it started are stopped again."""
    machine.refused.add("is-it-well")
    check = Check(name="it is well", command=("is-it-well",))
    with pytest.raises(ApplyError):
        apply(sent(bundle_of(file("/etc/frr.conf", "a\n"), units=(ROUTER,), verify=(check,))), node=machine.node)
    assert machine.files() == {}
    assert machine.states["frr.service"] == "inactive"


@pytest.mark.parametrize("crash_at", range(1, 5))
def test_a_crash_in_the_middle_is_undone_by_the_next_run(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, crash_at: int
) -> None:
    """However many files were already swapped when the run died, the next one starts from the state before it."""
    apply(sent(bundle_of(*(file(f"/etc/{n}", "old\n") for n in range(4)))), node=machine.node)
    before = machine.files()
    wanted = bundle_of(*(file(f"/etc/{n}", "new\n") for n in range(4)))
    swapped = 0
    write = Node.write

    def dying(self: Node, path: str, text: str, **more: Any) -> None:
        nonlocal swapped
        if path.startswith("/etc/"):
            swapped += 1
            if swapped == crash_at:
                raise KeyboardInterrupt
        write(self, path, text, **more)

    monkeypatch.setattr(Node, "write", dying)
    with pytest.raises(KeyboardInterrupt):
        apply(sent(wanted), node=machine.node)
    monkeypatch.setattr(Node, "write", write)
    assert undo(machine.node, reason="test")
    assert machine.files() == before
    outcome = apply(sent(wanted), node=machine.node)
    assert outcome.is_changed
    assert machine.files()["/etc/3"] == "new\n"


def test_without_contact_the_change_is_taken_back_and_with_it_kept(machine: Machine) -> None:
    """An unconfirmed change arms a timer whose undoing restores everything; a confirmed one cannot be undone."""
    apply(sent(bundle_of(file("/etc/frr.conf", "old\n"))), node=machine.node)
    wanted = sent(bundle_of(file("/etc/frr.conf", "new\n")))
    apply(wanted, node=machine.node, confirm_within_seconds=60)
    assert machine.called("systemd-run", "--on-active=60", "undo")
    assert undo(machine.node, reason="nobody came")
    assert machine.files()["/etc/frr.conf"] == "old\n"
    apply(wanted, node=machine.node, confirm_within_seconds=60)
    assert confirm(machine.node)
    assert not undo(machine.node, reason="too late")
    assert machine.files()["/etc/frr.conf"] == "new\n"


def test_what_runs_is_put_right_although_no_file_changed(machine: Machine) -> None:
    """A rule added by hand, an address that nobody declared: reload the walls, restart what sets addresses."""
    units = (
        Unit(name="nftables.service", reload_on=("/etc/nftables.conf",)),
        Unit(name="cgc-interfaces.service", restart_on=("/etc/interfaces.json",)),
    )
    bundle = sent(bundle_of(file("/etc/nftables.conf", "a\n"), file("/etc/interfaces.json", "{}\n"), units=units))
    apply(bundle, node=machine.node)
    machine.runtime = [
        {"aspect": "nftables", "path": "t", "diff": ""},
        {"aspect": "interface", "path": "i", "diff": ""},
    ]
    assert apply(bundle, node=machine.node, is_check=True).is_changed
    outcome = apply(bundle, node=machine.node)
    assert outcome.units == ("restart cgc-interfaces.service", "reload nftables.service")


def test_secrets_are_in_no_diff_and_in_no_staged_copy(machine: Machine) -> None:
    """The diff has hashes; after a change only the file itself holds the secret."""
    outcome = apply(sent(bundle_of(file("/etc/key", "sesame\n", mode=0o600, secret=True))), node=machine.node)
    assert "sesame" not in str([change.as_diff() for change in outcome.changes])
    holders = [path for path in machine.node.root.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]
    assert holders == [machine.node.at("/etc/key")]


def test_a_file_that_was_edited_by_hand_is_set_right(machine: Machine) -> None:
    """Content and mode are compared with the disk, not with what was once applied."""
    bundle = sent(bundle_of(file("/etc/frr.conf", "declared\n")))
    apply(bundle, node=machine.node)
    machine.node.at("/etc/frr.conf").write_text("by hand\n")
    machine.node.at("/etc/frr.conf").chmod(0o666)
    outcome = apply(bundle, node=machine.node)
    assert [change.aspects for change in outcome.changes] == [("content", "mode 0666 → 0644")]
    assert machine.files()["/etc/frr.conf"] == "declared\n"


def test_an_owner_that_the_node_does_not_know_is_refused_before_anything_is_touched(machine: Machine) -> None:
    """The error names the user and what to do."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    stranger = BundleFile(path="/etc/x", content="", owner="nobody-knows")
    with pytest.raises(ApplyError, match="no user 'nobody-knows'"):
        apply(sent(bundle_of(stranger)), node=machine.node)
    assert "/etc/x" not in machine.files()


def test_only_one_change_at_a_time(machine: Machine) -> None:
    """While one holds the lock, another one gives up and says why."""
    with node_apply._alone(machine.node), pytest.raises(ApplyError, match="another change"):
        apply(sent(bundle_of()), node=machine.node)


TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40)


@settings(max_examples=30, deadline=None)
@given(
    first=st.dictionaries(st.sampled_from("abcd"), TEXT),
    second=st.dictionaries(st.sampled_from("abcd"), TEXT),
)
def test_undo_restores_any_state(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, str], second: dict[str, str]
) -> None:
    """Whatever two bundles hold, undoing the second leaves exactly the files of the first."""
    machine = Machine(tmp_path_factory.mktemp("node"))
    apply(sent(bundle_of(*(file(f"/etc/{name}", text) for name, text in first.items()))), node=machine.node)
    before = {path: machine.node.at(path).read_bytes() for path in machine.paths()}
    wanted = sent(bundle_of(*(file(f"/etc/{name}", text) for name, text in second.items())))
    if apply(wanted, node=machine.node, confirm_within_seconds=9).is_changed:
        assert undo(machine.node, reason="test")
    assert {path: machine.node.at(path).read_bytes() for path in machine.paths()} == before
    assert MANIFEST in before
