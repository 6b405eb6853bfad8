"""Everything generated is accepted by the daemons that read it, in the root file system of the machines."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from playbooks.bundle import Bundle
from tests.tools import cache_root

PARSED = (
    "/etc/frr/frr.conf",
    "/etc/nftables.conf",
    "/etc/chrony/chrony.conf",
    "/etc/ssh/sshd_config.d/10-cgc.conf",
)
# In mount and network namespaces of its own, which end with it: the generated files are bound into the shared root,
# which stays as it is, and `nft -c` asks a kernel that holds no rule of ours.
SCRIPT = r"""
root=$1 files=$2
mount --bind "$files" "$root/mnt"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/sshd"
ssh-keygen -q -t ed25519 -N '' -f "$root/run/key"
for directory in "$root"/mnt/*/; do
    node=$(basename "$directory")
    try() { chroot "$root" "$@" >/dev/null || echo "REFUSED $node: $*"; }
    try nft -c -f "/mnt/$node/etc/nftables.conf"
    try vtysh -C -f "/mnt/$node/etc/frr/frr.conf"
    try chronyd -p -f "/mnt/$node/etc/chrony/chrony.conf"
    sed 's#^HostKey .*#HostKey /run/key#; /^HostCertificate /d' \
        "$directory/etc/ssh/sshd_config.d/10-cgc.conf" >"$root/run/sshd.conf"
    try /usr/sbin/sshd -t -f /run/sshd.conf
    for tunnel in "$directory"/etc/wireguard/*.conf; do
        if [ -e "$tunnel" ]; then try wg-quick strip "/mnt/$node/etc/wireguard/$(basename "$tunnel")"; fi
    done
    echo "read $node"
done
"""


def written(bundles: Mapping[str, Bundle], directory: Path) -> Path:
    """Write what the parsers read, one directory a node, and return where."""
    for name, bundle in bundles.items():
        for file in bundle.files:
            if file.path in PARSED or file.path.startswith("/etc/wireguard/"):
                target = directory / name / file.path.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(file.content)
                target.chmod(file.mode)
    return directory


def read_by_daemons(files: Path) -> list[str]:
    """Return what the daemons' parsers said of the files; skipped without root or without a built root file system."""
    roots = sorted(path.parents[2] for path in cache_root().glob("base/debian-*/usr/sbin/nft"))
    if os.geteuid() != 0 or not roots:
        pytest.skip("needs root, and a root file system that `cgc rehearse up` built")
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--propagation=private", "bash", "-s", str(roots[0]), str(files)],
        input=SCRIPT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


@pytest.mark.slow
def test_every_nodes_files_are_accepted(bundles: Mapping[str, Bundle], tmp_path: Path) -> None:
    """nft, vtysh, chronyd, sshd and wg-quick read every node's files without a word."""
    assert read_by_daemons(written(bundles, tmp_path)) == [f"read {name}" for name in sorted(bundles)]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/nftables.conf", "/etc/frr/frr.conf", "/etc/chrony/chrony.conf"])
def test_a_broken_file_is_refused(path: str, bundles: Mapping[str, Bundle], tmp_path: Path) -> None:
    """The parsers that say nothing of ours do speak up: the test above can fail."""
    files = written({"core-a-hn": bundles["core-a-hn"]}, tmp_path)
    target = files / "core-a-hn" / path.lstrip("/")
    target.write_text(target.read_text() + "utter nonsense\n")
    assert any(line.startswith("REFUSED core-a-hn") for line in read_by_daemons(files))


@pytest.mark.slow
def test_kubeadm_accepts_its_configuration(bundles: Mapping[str, Bundle], tmp_path: Path) -> None:
    """`kubeadm config validate` finds no unknown field, for every cluster."""
    programs = sorted(cache_root().glob("toolchain/kubeadm/*/kubeadm"))
    if not programs:
        pytest.skip("the toolchain has no kubeadm yet")
    for name, bundle in bundles.items():
        for file in bundle.files:
            if file.path == "/etc/kubernetes/kubeadm.yaml":
                path = tmp_path / f"{name}.yaml"
                path.write_text(file.content)
                done = subprocess.run(
                    [programs[-1], "config", "validate", "--config", path], capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stderr
