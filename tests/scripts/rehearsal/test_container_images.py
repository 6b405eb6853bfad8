"""What goes into the clusters' images."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.errors import ScriptError
from scripts.rehearsal import container_images
from scripts.rehearsal.base_image import BaseImage

LDD = """\tlinux-vdso.so.1 (0x00007ffd)
\tlibnftables.so.1 => /lib/x86_64-linux-gnu/libnftables.so.1 (0x00007f1)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f2)
\tlibmissing.so.1 => not found
"""


def test_libraries_are_those_that_the_loader_names() -> None:
    """The loader itself counts; the kernel's virtual library and missing ones do not."""
    assert container_images.libraries_named(LDD) == [
        "/lib/x86_64-linux-gnu/libnftables.so.1",
        "/lib64/ld-linux-x86-64.so.2",
    ]
    assert container_images.libraries_named("\tnot a dynamic executable\n") == []


def test_files_are_found_through_the_merged_directories(tmp_path: Path) -> None:
    """A package lists /lib/x, which really is /usr/lib/x; a link brings what it points to."""
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "usr/lib/libx.so.1.2").write_text("library")
    (tmp_path / "usr/lib/libx.so.1").symlink_to("libx.so.1.2")
    lists = tmp_path / "var/lib/dpkg/info"
    lists.mkdir(parents=True)
    (lists / "libx1:amd64.list").write_text("/.\n/lib\n/lib/libx.so.1\n")
    contents = container_images.debian_contents(tmp_path, packages=("libx1",))
    assert contents["lib"].link == "usr/lib"
    assert contents["usr/lib/libx.so.1"].link == "libx.so.1.2"
    assert contents["usr/lib/libx.so.1.2"].source == tmp_path / "usr/lib/libx.so.1.2"


def test_a_package_that_is_not_in_the_base_is_named(tmp_path: Path) -> None:
    """A base of an older recipe is told from a wrong name by the remedy."""
    with pytest.raises(ScriptError, match="CGC-710"):
        container_images.debian_contents(tmp_path, packages=("absent",))


def test_a_missing_toolchain_is_named(tmp_path: Path) -> None:
    """Which programs are missing, and the command that gets them."""
    base = BaseImage(layers=(tmp_path,), fingerprint="f")
    with pytest.raises(ScriptError, match="CGC-710") as refused:
        container_images.kubernetes_images({}, base=base, cache=tmp_path, report=print)
    assert "kube-proxy" in refused.value.what
    assert refused.value.remedy


def test_a_changed_stand_in_is_another_image(tmp_path: Path) -> None:
    """The tag is the program's hash, so that a cluster never runs an old one under a new name."""
    program = tmp_path / "standin.py"
    program.write_text("print(1)\n")
    first = container_images.standin_image_name(program)
    program.write_text("print(2)\n")
    assert container_images.standin_image_name(program) != first
    assert first.startswith("registry.rehearsal.test/cgc/platform-standin:")


def test_the_factory_and_the_images_agree_on_the_sandbox() -> None:
    """Containerd's configuration names the very pause image that is made."""
    text = (Path(container_images.__file__).parent / "factory/etc/containerd/config.toml").read_text()
    assert f'sandbox_image = "{container_images.KUBERNETES_REPOSITORY}/pause:{container_images.PAUSE_TAG}"' in text
