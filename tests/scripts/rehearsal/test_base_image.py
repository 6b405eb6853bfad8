"""The base is made from this machine's own package sources, and anew only when its recipe changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.rehearsal import base_image

LISTED = """http://mirror.test/debian/|bookworm|main|Debian
http://mirror.test/debian/|bookworm-updates|main|Debian
http://mirror.test/security/|bookworm-security|main|Debian
http://mirror.test/debian/|trixie|main|Debian
http://mirror.test/node/|nodistro|main|Node Source
http://mirror.test/debian/|bookworm|main|Debian
"""


def test_only_the_suites_of_our_debian_are_used() -> None:
    """Third parties' sources and other releases of this machine do not leak into the base."""
    assert base_image.package_sources(LISTED).splitlines() == [
        "deb http://mirror.test/debian/ bookworm main",
        "deb http://mirror.test/debian/ bookworm-updates main",
        "deb http://mirror.test/security/ bookworm-security main",
    ]


def test_a_machine_without_a_source_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a source of our Debian the error names the setting that gives one."""
    monkeypatch.delenv(base_image.SOURCES_SETTING, raising=False)
    monkeypatch.setattr(base_image, "run_program", lambda *_, **__: "http://m.test/|noble|main|Ubuntu\n")
    with pytest.raises(ScriptError, match="CGC-705") as refused:
        base_image._sources_of_this_machine()
    assert base_image.SOURCES_SETTING in refused.value.remedy


def test_every_change_of_the_factory_files_is_another_base(tmp_path: Path) -> None:
    """Content, mode, link target and presence of a file all count."""
    files = tmp_path / "factory"
    shutil.copytree(base_image.FACTORY_FILES, files, symlinks=True)
    seen = [base_image.factory_fingerprint(files)]
    assert seen == [base_image.factory_fingerprint()]
    unit = files / "etc/systemd/system/kubelet.service"
    unit.write_text(unit.read_text() + "# changed\n")
    seen.append(base_image.factory_fingerprint(files))
    unit.chmod(0o755)
    seen.append(base_image.factory_fingerprint(files))
    link = files / "etc/systemd/system/sysinit.target.wants/kubernetes-ground.service"
    link.unlink()
    link.symlink_to("/elsewhere")
    seen.append(base_image.factory_fingerprint(files))
    link.unlink()
    seen.append(base_image.factory_fingerprint(files))
    assert len(set(seen)) == len(seen)


def test_the_factory_lets_in_only_holders_of_a_certificate() -> None:
    """No password, no authorised key of a machine's own: only what the operators' authority signed."""
    text = (base_image.FACTORY_FILES / "etc/ssh/sshd_config.d/50-factory.conf").read_text().splitlines()
    assert {"PasswordAuthentication no", "AuthorizedKeysFile none", "KbdInteractiveAuthentication no"} <= set(text)
    assert any(line.startswith("TrustedUserCAKeys ") for line in text)


def test_units_that_start_by_themselves_are_unlinked(tmp_path: Path) -> None:
    """Installing a server does not start it in every machine; sshd alone stays enabled, with its alias."""
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for unit in ("ssh.service", "frr.service"):
        (wants / unit).symlink_to(f"/lib/systemd/system/{unit}")
    (wants.parent / "sshd.service").symlink_to("/lib/systemd/system/ssh.service")
    base_image._disable_units(tmp_path)
    assert {path.name for path in wants.parent.rglob("*") if path.is_symlink()} == {"ssh.service", "sshd.service"}
