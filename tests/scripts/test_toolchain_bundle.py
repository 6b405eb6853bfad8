"""The bundle: everything a set-up needs in one file, refused when a single byte of it has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.toolchain import bundle, bundling
from scripts.toolchain.errors import BundleRefusedError, ToolchainError
from scripts.toolchain.programs import PROGRAMS

ABOUT = {"architecture": "x86_64"}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a folder with one executable, one empty file, and a tree with a link, a hard link and a private file."""
    folder = tmp_path / "source"
    (folder / "tree" / "etc").mkdir(parents=True)
    (folder / "program").write_bytes(b"\x7fELF" + bytes(range(256)) * 9)
    (folder / "program").chmod(0o755)
    (folder / "record.json").write_text("{}\n")
    (folder / "empty").touch()
    (folder / "tree" / "etc" / "shadow").write_text("root:*\n")
    (folder / "tree" / "etc" / "shadow").chmod(0o640)
    (folder / "tree" / "link").symlink_to("etc/shadow")
    os.link(folder / "tree" / "etc" / "shadow", folder / "tree" / "hard")
    return folder


@pytest.fixture
def packed(source: Path, tmp_path: Path) -> Path:
    """Return a bundle of the source."""
    files = {
        "toolchain/p/1/p": source / "program",
        "toolchain/p/1/record.json": source / "record.json",
        "empty": source / "empty",
    }
    bundle.write(tmp_path / "b", files=files, trees={"base/abc": source / "tree"}, about=ABOUT)
    return tmp_path / "b"


def test_what_went_in_comes_out(packed: Path, tmp_path: Path) -> None:
    """Content, executable bits, modes, links and hard links survive; nothing temporary is left beside."""
    manifest = bundle.verify(packed)
    laid = bundle.unpack(packed, tmp_path / "out", manifest)
    out = tmp_path / "out"
    assert sorted(laid) == ["base/abc.tar", "empty", "toolchain/p/1/p", "toolchain/p/1/record.json"]
    assert (out / "toolchain/p/1/p").read_bytes()[:4] == b"\x7fELF"
    assert (out / "toolchain/p/1/p").stat().st_mode & 0o777 == 0o755
    assert (out / "base/abc/etc/shadow").stat().st_mode & 0o777 == 0o640
    assert (out / "base/abc/link").readlink() == Path("etc/shadow")
    assert (out / "base/abc/hard").stat().st_ino == (out / "base/abc/etc/shadow").stat().st_ino
    assert sorted(path.name for path in out.iterdir()) == ["base", "empty", "toolchain"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "out", "source"]


def test_ordinary_tar_can_list_it(packed: Path) -> None:
    """An operator without the toolkit can look into a bundle."""
    with tarfile.open(packed) as tar:
        names = tar.getnames()
    assert (names[0], names[-1]) == ("seal.json", "manifest.json")
    listed = subprocess.run(["tar", "-tf", str(packed)], capture_output=True, text=True, check=True).stdout.split()
    assert listed == names


def test_the_manifest_names_place_size_and_sum_of_every_member(packed: Path) -> None:
    """Each member is where the manifest says it is."""
    content = packed.read_bytes()
    for member in bundle.verify(packed).members:
        if member.name == "files/toolchain/p/1/p":
            assert content[member.at_byte : member.at_byte + 4] == b"\x7fELF"
            assert member.size_bytes == 4 + 256 * 9


def test_the_same_content_makes_the_same_bundle(source: Path, tmp_path: Path) -> None:
    """A bundle of files holds no time and no owner of its own making."""
    for name in ("one", "two"):
        bundle.write(tmp_path / name, files={"p": source / "program"}, trees={}, about=ABOUT)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_one_changed_byte_is_found_wherever_it_is(packed: Path, where: float, change: int) -> None:
    """Content, headers, padding, manifest, seal or the zeros at the end: one changed byte refuses the whole bundle."""
    content = bytearray(packed.read_bytes())
    content[int(where * len(content))] ^= change
    damaged = packed.with_name("damaged")
    damaged.write_bytes(content)
    with pytest.raises(bundle.BundleDamagedError):
        bundle.verify(damaged)


def test_every_byte_of_the_seal_counts(packed: Path) -> None:
    """The first 1024 bytes, which no sum covers, are held to be exactly what the sum makes them."""
    content = packed.read_bytes()
    for at in range(bundle.SEAL_BYTES):
        damaged = packed.with_name("damaged")
        damaged.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(bundle.BundleDamagedError):
            bundle.verify(damaged)


def test_damage_is_located(packed: Path) -> None:
    """The error names the member that holds the changed byte, and where it lies."""
    member = next(m for m in bundle.verify(packed).members if m.name == "files/toolchain/p/1/p")
    content = bytearray(packed.read_bytes())
    content[member.at_byte + 100] ^= 1
    packed.write_bytes(content)
    with pytest.raises(bundle.BundleDamagedError) as caught:
        bundle.verify(packed)
    end = member.at_byte + member.size_bytes - 1
    assert caught.value.where == f"{packed}, files/toolchain/p/1/p (bytes {member.at_byte}-{end})"


@pytest.mark.parametrize("keep", [0, 10, 1023, 1024, 5000])
def test_a_bundle_cut_short_is_refused(packed: Path, keep: int) -> None:
    """A copy that was interrupted is refused, however little of it there is."""
    packed.write_bytes(packed.read_bytes()[:keep])
    with pytest.raises(bundle.BundleDamagedError):
        bundle.verify(packed)


def test_a_member_outside_the_cache_is_refused(source: Path, tmp_path: Path) -> None:
    """A bundle made with ill will cannot write beside the cache."""
    manifest = bundle.write(tmp_path / "b", files={"../evil": source / "program"}, trees={}, about=ABOUT)
    with pytest.raises(bundle.BundleDamagedError, match="outside the cache"):
        bundle.unpack(tmp_path / "b", tmp_path / "out", manifest)
    assert not (tmp_path / "evil").exists()


def test_unpacking_resumes_and_leaves_what_is_there(packed: Path, tmp_path: Path) -> None:
    """Leftovers of a killed unpacking go, finished members stay as they are, only the missing ones are laid."""
    out = tmp_path / "out"
    (out / ".unpack-1").mkdir(parents=True)
    manifest = bundle.verify(packed)
    bundle.unpack(packed, out, manifest, only=["toolchain"])
    (out / "toolchain/p/1/record.json").unlink()
    assert bundle.unpack(packed, out, manifest, only=["toolchain"]) == ["toolchain/p/1/record.json"]
    assert sorted(path.name for path in out.iterdir()) == ["toolchain"]


def test_a_bare_machine_unpacks_it_with_its_own_python(packed: Path, tmp_path: Path) -> None:
    """Run by its path, isolated from every package, the module needs nothing of ours; damage is exit code 2."""
    command = [sys.executable, "-I", "-S", str(Path(bundle.__file__)), str(packed), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "out/toolchain/p/1/p").is_file()
    packed.write_bytes(packed.read_bytes()[:-1])
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("CGC-810 ")
    assert "cgc toolchain bundle" in refused.stderr


def installed_cache(root: Path, requirements: Path) -> None:
    """Make a cache that has everything, each program a few bytes long."""
    for program in PROGRAMS:
        folder = root / "toolchain" / program.name / program.version
        folder.mkdir(parents=True)
        (folder / program.name).write_bytes(b"program")
        record = {"program": program.name, "version": program.version, "sha256": "x", "size_bytes": 7}
        (folder / "record.json").write_text(json.dumps({**record, "how": "built", "source": "s", "installed_at": "t"}))
    for place in (
        bundling.wheels_folder(root, requirements) / "a.whl",
        root / "debs/a.deb",
        root / "base/debian-1/bin/sh",
    ):
        place.parent.mkdir(parents=True)
        place.write_bytes(b"content")
    (root / "base" / ".building-2").mkdir()
    (root / "toolchain" / ".go" / "build").mkdir(parents=True)
    (root / "wheels" / "older").mkdir()
    (root / "wheels" / "older" / "b.whl").touch()


def test_a_bundle_holds_what_is_installed_and_nothing_unfinished(tmp_path: Path) -> None:
    """Programs, the wheels of this requirements.txt, Debian packages, root file systems; no build caches, no drafts."""
    requirements = tmp_path / "requirements.txt"
    requirements.touch()
    root = tmp_path / "cache"
    installed_cache(root, requirements)
    contents = bundling.gather(root, requirements)
    assert list(contents.trees) == ["base/debian-1"]
    assert [place for place in contents.files if place.startswith("wheels/")] == [
        str((bundling.wheels_folder(root, requirements) / "a.whl").relative_to(root))
    ]
    assert "toolchain/kubelet/1.36.1/kubelet" in contents.files
    assert len(contents.files) == 2 * len(PROGRAMS) + 2


@pytest.mark.parametrize(
    ("missing", "said"),
    [("toolchain/kubelet", "kubelet"), ("wheels", "wheels"), ("debs", "Debian packages"), ("base", "root file system")],
)
def test_a_bundle_that_would_not_do_is_not_made(tmp_path: Path, missing: str, said: str) -> None:
    """What a set-up would miss is found when the bundle is made, not where there is no network."""
    requirements = tmp_path / "requirements.txt"
    requirements.touch()
    root = tmp_path / "cache"
    installed_cache(root, requirements)
    (root / missing).rename(tmp_path / "away")
    with pytest.raises(ToolchainError, match=said) as caught:
        bundling.gather(root, requirements)
    assert caught.value.remedy.startswith("run `")


def test_a_bundle_for_other_versions_is_refused(tmp_path: Path) -> None:
    """Another requirements.txt, machine or program version: refused with exit code 2 before anything is laid."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("a==1\n")
    root = tmp_path / "cache"
    installed_cache(root, requirements)
    about = {"architecture": "pdp11", "requirements_sha256": "0", "programs": {"kubelet": {"version": "1.0.0"}}}
    bundle.write(tmp_path / "b", files={"p": requirements}, trees={}, about=about)
    with pytest.raises(BundleRefusedError, match="CGC-817") as caught:
        bundling.unmake(tmp_path / "b", root=root, requirements=requirements, report=print)
    assert caught.value.exit_code == 2
    assert not (root / "p").exists()
    differences = bundling.unfit(about, requirements_sha256="1", architecture="x86_64")
    assert differences[0] == "the bundle is for pdp11, this machine is x86_64"
    assert "the bundle has kubelet 1.0.0, wanted is 1.36.1" in differences


def test_a_missing_or_damaged_bundle_is_refused_with_exit_code_2(tmp_path: Path, packed: Path) -> None:
    """No such file, and a damaged one: both say where and what to do."""
    requirements = tmp_path / "requirements.txt"
    requirements.touch()
    with pytest.raises(BundleRefusedError, match="CGC-811"):
        bundling.unmake(tmp_path / "none", root=tmp_path / "c", requirements=requirements, report=print)
    packed.write_bytes(packed.read_bytes().replace(b"root:*", b"root::"))
    with pytest.raises(BundleRefusedError, match=r"trees/base/abc\.tar") as caught:
        bundling.unmake(packed, root=tmp_path / "c", requirements=requirements, report=print)
    assert (caught.value.code, caught.value.exit_code) == ("CGC-810", 2)
    assert not (tmp_path / "c").exists()
