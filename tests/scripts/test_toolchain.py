"""The toolchain: pinned programs come from PATH, from a verified download, or from Go modules, and survive a kill."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.toolchain import building, downloading, installing
from scripts.toolchain.cache import (
    UNUSED_SECONDS,
    How,
    cache_root,
    forget_unused,
    mark_used,
    program_folder,
    program_path,
    read_record,
)
from scripts.toolchain.errors import ToolchainError
from scripts.toolchain.programs import PROGRAMS, GoRecipe, Program, Release

NOW = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
SCRIPT = b"#!/bin/sh\necho planet v1.2.3\n"
OTHER_VERSION = b"#!/bin/sh\necho planet v1.2.30\n"


def a_program(**changes: object) -> Program:
    """Return a program that is a two-line script, so that each way of having it takes milliseconds."""
    release = Release(
        site="http://127.0.0.1:9", path="v1.2.3/{arch}/planet", checksum_path="v1.2.3/{arch}/planet.sha256"
    )
    facts: dict[str, object] = {
        "name": "planet",
        "version": "1.2.3",
        "version_arguments": ("--version",),
        "release": release,
        "recipe": GoRecipe(module="planet", package="example.org/planet"),
        "build_seconds": 1,
    }
    return Program(**{**facts, **changes})  # type: ignore[arg-type] # each value has its field's type


def executable(path: Path, content: bytes) -> Path:
    """Write an executable file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of an empty cache."""
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a mirror of the vendors; yields its folder and its base address."""
    folder = tmp_path / "mirror"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def publish(folder: Path, path: str, content: bytes, *, sha256: str | None = None) -> None:
    """Put a file and its checksum on the mirror."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    (folder / f"{path}.sha256").write_text(f"{sha256 or hashlib.sha256(content).hexdigest()}\n")


def install(root: Path, program: Program, *, path: Path | str = "/usr/bin:/bin", **settings: str) -> list[str]:
    """Install one program and return the progress lines."""
    lines: list[str] = []
    environ = {"PATH": str(path), "HOME": str(root), **settings}
    modules = root.parent / "modules"
    (modules / "planet").mkdir(parents=True, exist_ok=True)
    (modules / "planet" / "go.mod").write_text("module cgc/planet\n\ngo 1.21\n")
    installing.install(root, environ=environ, report=lines.append, programs=[program], modules=modules, now=lambda: NOW)
    return lines


def fake_go(folder: Path, *, builds: bytes = SCRIPT, version: str = "go1.26.8", before: str = "") -> Path:
    """Make a compiler that answers as go does and 'builds' the given script."""
    executable(folder / "built", builds)
    text = f"""#!/bin/sh
if [ "$1" = env ]; then echo {version}; exit; fi
{before}
while [ "$1" != -o ]; do shift; done
cp {folder}/built "$2"
"""
    executable(folder / "go", text.encode())
    return folder


ARCH = "amd64" if os.uname().machine == "x86_64" else "arm64"


def test_every_program_is_pinned_in_one_place() -> None:
    """All that the issue names is there, once, with the version in its release's address and its Go definitions."""
    names = [program.name for program in PROGRAMS]
    kubernetes = ["adm", "let", "-apiserver", "-controller-manager", "-scheduler", "-proxy"]
    assert sorted(names) == sorted([*(f"kube{part}" for part in kubernetes), "coredns", "pulumi"])
    for program in PROGRAMS:
        assert f"v{program.version}" in program.release.address(None, "amd64")
        assert (building.MODULES_FOLDER / program.recipe.module / "go.sum").is_file()
        assert f"v{program.version}" in (building.MODULES_FOLDER / program.recipe.module / "go.mod").read_text()


def test_a_mirror_keeps_the_vendors_paths() -> None:
    """One base address serves all programs: it stands for the vendor's site and nothing else changes."""
    kubelet = next(program for program in PROGRAMS if program.name == "kubelet")
    pulumi = next(program for program in PROGRAMS if program.name == "pulumi")
    assert kubelet.release.address("http://m.example/x/", "arm64") == (
        "http://m.example/x/release/v1.36.1/bin/linux/arm64/kubelet"
    )
    assert pulumi.release.address(None, "amd64").endswith("/v3.259.0/pulumi-v3.259.0-linux-x64.tar.gz")


@pytest.mark.parametrize(
    ("output", "pinned"),
    [
        ("Kubernetes v1.2.3\n", True),
        ("CoreDNS-1.2.3\nlinux/amd64, go1.26.8, ", True),
        ("v1.2.30", False),
        ("v11.2.3", False),
        ("v1.2.3-rc.1", False),
        ("v0.0.0", False),
    ],
)
def test_a_version_is_the_pinned_one_or_not(output: str, pinned: bool) -> None:  # noqa: FBT001 - a table's column
    """A neighbouring version, a pre-release and an unversioned build are not the pinned version."""
    assert a_program().reports_its_version(output) is pinned


def test_the_cache_can_be_moved() -> None:
    """$CGC_CACHE names the cache; without it, it is in the home folder."""
    assert cache_root({"CGC_CACHE": "/srv/c", "HOME": "/home/a"}) == Path("/srv/c")
    assert cache_root({"HOME": "/home/a"}) == Path("/home/a/.cache/cgc")


def test_a_program_on_path_with_the_pinned_version_is_used(root: Path, tmp_path: Path) -> None:
    """It is linked into the cache, not copied, and its record says where it comes from."""
    there = executable(tmp_path / "bin" / "planet", SCRIPT)
    lines = install(root, a_program(), path=f"{there.parent}:/usr/bin:/bin")
    record = read_record(root, a_program())
    assert record is not None
    assert (record.how, record.source) == (How.PATH, str(there))
    assert (program_folder(root, a_program()) / "planet").resolve() == there
    assert lines == [f"planet 1.2.3: on PATH as {there}, used"]


def test_another_version_on_path_is_not_used(root: Path, tmp_path: Path, mirror: tuple[Path, str]) -> None:
    """1.2.30 on PATH does not stand for 1.2.3: the release is downloaded."""
    there = executable(tmp_path / "bin" / "planet", OTHER_VERSION)
    publish(mirror[0], f"v1.2.3/{ARCH}/planet", SCRIPT)
    install(root, a_program(), path=f"{there.parent}:/usr/bin:/bin", CGC_TOOLCHAIN_BASE=mirror[1])
    record = read_record(root, a_program())
    assert record is not None
    assert record.how is How.DOWNLOADED


def test_a_release_is_downloaded_and_verified(root: Path, mirror: tuple[Path, str]) -> None:
    """The record has the address and the vendor's SHA-256, and nothing temporary is left."""
    publish(mirror[0], f"v1.2.3/{ARCH}/planet", SCRIPT)
    install(root, a_program(), CGC_TOOLCHAIN_BASE=mirror[1])
    record = read_record(root, a_program())
    assert record is not None
    assert record.sha256 == hashlib.sha256(SCRIPT).hexdigest()
    assert record.source == f"{mirror[1]}/v1.2.3/{ARCH}/planet"
    assert [path.name for path in (root / "toolchain").iterdir() if path.name.startswith(".work")] == []
    assert program_folder(root, a_program()).joinpath("planet").stat().st_mode & 0o777 == 0o755


def test_a_download_that_is_not_what_the_checksum_says_is_refused(root: Path, mirror: tuple[Path, str]) -> None:
    """Nothing is installed, nothing is built instead, and the error names the address and both sums."""
    publish(mirror[0], f"v1.2.3/{ARCH}/planet", SCRIPT, sha256="0" * 64)
    with pytest.raises(ToolchainError, match="CGC-803") as caught:
        install(root, a_program(), CGC_TOOLCHAIN_BASE=mirror[1])
    assert caught.value.where == f"{mirror[1]}/v1.2.3/{ARCH}/planet"
    assert hashlib.sha256(SCRIPT).hexdigest() in caught.value.what
    assert read_record(root, a_program()) is None
    assert not (program_folder(root, a_program()) / "planet").exists()


def test_a_program_is_taken_out_of_its_archive(root: Path, mirror: tuple[Path, str]) -> None:
    """A release may be an archive whose sums are in one file for many; what belongs beside the program comes along."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in (
            ("planet/planet", SCRIPT),
            ("planet/planet-language", b"#!/bin/sh\n"),
            ("planet/x", b"x"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    (mirror[0] / "planet.tgz").write_bytes(packed.getvalue())
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    (mirror[0] / "sums.txt").write_text(f"{'1' * 64}  planet-arm.tgz\n{digest}  planet.tgz\n")
    release = Release(
        site="http://127.0.0.1:9",
        path="planet.tgz",
        checksum_path="sums.txt",
        member="planet/planet",
        beside=("planet/planet-language",),
    )
    install(root, a_program(release=release), CGC_TOOLCHAIN_BASE=mirror[1])
    names = sorted(path.name for path in program_folder(root, a_program()).iterdir())
    assert names == ["planet", "planet-language", "record.json"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A" * 64 + "\n", "a" * 64),
        ("a" * 64 + "  planet\n", "a" * 64),
        ("a" * 64 + " *dist/planet\n", "a" * 64),
        ("b" * 64 + "  comet\n" + "a" * 64 + "  planet\n", "a" * 64),
        ("b" * 64 + "  comet\n", None),
        ("<html>not found</html>", None),
        ("", None),
        ("a" * 63 + "\n", None),
    ],
)
def test_a_vendors_checksum_is_read_in_each_of_its_spellings(text: str, found: str | None) -> None:
    """A bare sum, sha256sum's lines, and nothing where the file is not named."""
    assert downloading.checksum_for("planet", text) == found


def test_a_vendor_that_never_answers_costs_the_deadline_once() -> None:
    """Eight programs behind a site that accepts and stays silent: found out within the deadline, not eight of them."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        answers = downloading.ask_vendors(PROGRAMS, base=base, arch="amd64", deadline_seconds=0.3)
        took_seconds = time.monotonic() - started
    assert [answer.sha256 for answer in answers] == [None] * len(PROGRAMS)
    assert took_seconds < 0.3 * 2
    assert downloading.ANSWER_DEADLINE_SECONDS <= 3


def test_what_cannot_be_downloaded_is_built(root: Path, tmp_path: Path) -> None:
    """The refused connection is told with its address, then the program is built and the build caches are dropped."""
    go = fake_go(tmp_path / "go", before='mkdir -p "$GOCACHE" "$GOMODCACHE"')
    lines = install(root, a_program(), path=f"{go}:/usr/bin:/bin")
    record = read_record(root, a_program())
    assert record is not None
    assert (record.how, record.source) == (How.BUILT, "example.org/planet")
    assert "127.0.0.1:9" in lines[0]
    assert lines[-1].startswith("planet 1.2.3: built in ")
    assert not (root / "toolchain" / ".go").exists()


def test_build_caches_stay_where_asked(root: Path, tmp_path: Path) -> None:
    """CGC_KEEP_BUILD_CACHE=1 keeps Go's caches for the next build."""
    go = fake_go(tmp_path / "go", before='mkdir -p "$GOCACHE" "$GOMODCACHE"')
    install(root, a_program(), path=f"{go}:/usr/bin:/bin", CGC_KEEP_BUILD_CACHE="1")
    assert sorted(path.name for path in (root / "toolchain" / ".go").iterdir()) == ["build", "modules"]


def test_a_build_uses_its_own_caches_and_the_pinned_modules() -> None:
    """The user's caches, workspace and flags do not reach a build, and modules may not change while building."""
    environ = building.build_environment({"GOFLAGS": "-mod=mod", "GOCACHE": "/home/a/c", "GOPROXY": "x"}, Path("/c"))
    assert (environ["GOCACHE"], environ["GOMODCACHE"]) == ("/c/build", "/c/modules")
    assert "-mod=readonly" in environ["GOFLAGS"]
    assert environ["GOPROXY"] == "x"
    assert (environ["CGO_ENABLED"], environ["GOTOOLCHAIN"], environ["GOWORK"]) == ("0", "local", "off")


def test_a_machine_without_go_is_told_the_ways_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No release, no compiler: the error names Go's version, the mirror setting and the bundle."""
    monkeypatch.setattr(building, "USUAL_GO_FOLDERS", ())
    with pytest.raises(ToolchainError, match="CGC-804") as caught:
        install(root, a_program(), path="/nowhere")
    for way in ("Go 1.21", "CGC_TOOLCHAIN_BASE", "BUNDLE=FILE"):
        assert way in caught.value.remedy


def test_an_old_go_is_refused_before_it_fails(root: Path, tmp_path: Path) -> None:
    """Debian 12's own Go is too old for the modules: said at once, with both versions."""
    go = fake_go(tmp_path / "go", version="go1.19.8")
    with pytest.raises(ToolchainError, match=r"Go 1\.19\.8 is too old: 1\.21\.0 is needed"):
        install(root, a_program(), path=f"{go}:/usr/bin:/bin")


def test_a_failed_build_says_what_the_compiler_said(root: Path, tmp_path: Path) -> None:
    """The compiler's last lines and the package are in the error, downloads are not; caches stay for the next try."""
    before = 'mkdir -p "$GOCACHE"; echo "go: downloading x" >&2; echo "planet.go:3: undefined: moon" >&2; exit 1'
    go = fake_go(tmp_path / "go", before=before)
    with pytest.raises(ToolchainError, match="undefined: moon") as caught:
        install(root, a_program(), path=f"{go}:/usr/bin:/bin")
    assert "downloading" not in caught.value.what
    assert (root / "toolchain" / ".go" / "build").is_dir()


def test_a_build_of_another_version_is_refused(root: Path, tmp_path: Path) -> None:
    """What reports another version than the pinned one is not put in place."""
    go = fake_go(tmp_path / "go", builds=OTHER_VERSION)
    with pytest.raises(ToolchainError, match="CGC-807"):
        install(root, a_program(), path=f"{go}:/usr/bin:/bin")
    assert read_record(root, a_program()) is None


def test_an_installed_program_is_left_alone(root: Path, tmp_path: Path) -> None:
    """A second installation does nothing, says nothing and needs neither network nor compiler."""
    go = fake_go(tmp_path / "go")
    install(root, a_program(), path=f"{go}:/usr/bin:/bin")
    before = (program_folder(root, a_program()) / "planet").stat().st_mtime_ns
    assert install(root, a_program(), path="/nowhere") == []
    assert (program_folder(root, a_program()) / "planet").stat().st_mtime_ns == before


def test_a_program_that_was_changed_is_brought_anew(root: Path, tmp_path: Path) -> None:
    """A byte changed in place, size kept: found by its sum, removed and built again."""
    go = fake_go(tmp_path / "go")
    install(root, a_program(), path=f"{go}:/usr/bin:/bin")
    binary = program_folder(root, a_program()) / "planet"
    binary.write_bytes(SCRIPT.replace(b"planet", b"plamet"))
    assert installing.damaged(root, [a_program()]) == [a_program()]
    lines = install(root, a_program(), path=f"{go}:/usr/bin:/bin")
    assert lines[0] == "planet 1.2.3: is not what its record says; removed"
    assert binary.read_bytes() == SCRIPT


@pytest.mark.parametrize("content", ["", "{", '{"program": "planet"}', "[]", '{"how": "stolen"}'])
def test_a_record_that_cannot_be_read_is_no_record(root: Path, tmp_path: Path, content: str) -> None:
    """A torn or foreign record does not stop the installation: the program is checked and recorded again."""
    install(root, a_program(), path=f"{fake_go(tmp_path / 'go')}:/usr/bin:/bin")
    (program_folder(root, a_program()) / "record.json").write_text(content)
    assert read_record(root, a_program()) is None
    assert install(root, a_program()) == ["planet 1.2.3: was in the cache, adopted"]


def test_leftovers_of_a_killed_installation_are_swept(root: Path, tmp_path: Path) -> None:
    """A workplace that nobody works in is removed by the next installation."""
    left = root / "toolchain" / ".work-planet-1" / "half"
    executable(left, b"half a program")
    install(root, a_program(), path=f"{fake_go(tmp_path / 'go')}:/usr/bin:/bin")
    assert not left.parent.exists()


def test_a_program_that_is_missing_is_named_with_its_remedy(root: Path) -> None:
    """Who asks for a program that is not installed learns which command brings it."""
    with pytest.raises(ToolchainError, match="make set-up"):
        program_path("kubelet", {"CGC_CACHE": str(root)})
    with pytest.raises(ToolchainError, match="no program 'kublet'"):
        program_path("kublet", {"CGC_CACHE": str(root)})


INSTALL_AND_WAIT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_toolchain import a_program, install
install(Path(sys.argv[2]), a_program(), path=sys.argv[3])
"""


@pytest.mark.parametrize("moment_seconds", [0.0, 0.1, 0.3])
def test_an_installation_killed_at_any_moment_resumes(root: Path, tmp_path: Path, moment_seconds: float) -> None:
    """Kill -9 while the compiler runs: no record, no half program, the compiler dies too, and a second run succeeds."""
    started = tmp_path / "started"
    slow = fake_go(tmp_path / "slow", before=f"echo $$ > {started}.part; mv {started}.part {started}; sleep 30")
    command = [sys.executable, "-c", INSTALL_AND_WAIT, str(Path(__file__).parent), str(root), f"{slow}:/usr/bin:/bin"]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(moment_seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    compiler = Path(f"/proc/{started.read_text().strip()}/cmdline")
    end = time.monotonic() + 5
    while compiler.exists() and b"slow/go" in compiler.read_bytes() and time.monotonic() < end:
        time.sleep(0.02)
    assert not (compiler.exists() and b"slow/go" in compiler.read_bytes())
    assert read_record(root, a_program()) is None
    install(root, a_program(), path=f"{fake_go(tmp_path / 'go')}:/usr/bin:/bin")
    assert read_record(root, a_program()) is not None
    assert [path.name for path in (root / "toolchain").iterdir() if path.name.startswith(".work")] == []


@pytest.mark.slow
def test_a_real_compiler_builds_a_program_that_reports_its_version(root: Path, tmp_path: Path) -> None:
    """The recipe's -X definition reaches the program through a real build of a module of one file."""
    if building.find_go(os.environ) is None:
        pytest.skip("there is no Go compiler here; releases are downloaded")
    modules = tmp_path / "real"
    (modules / "planet").mkdir(parents=True)
    (modules / "planet" / "go.mod").write_text("module example.org/planet\n\ngo 1.21\n")
    (modules / "planet" / "go.sum").touch()
    (modules / "planet" / "main.go").write_text('package main\n\nvar v = "unset"\n\nfunc main() { println(v) }\n')
    program = a_program(
        recipe=GoRecipe(module="planet", package="example.org/planet", definitions=(("main.v", "v1.2.3"),))
    )
    installing.install(root, environ=os.environ, report=print, programs=[program], modules=modules)
    record = read_record(root, program)
    assert record is not None
    assert record.how is How.BUILT


def test_what_nobody_used_for_days_is_forgotten(tmp_path: Path) -> None:
    """An entry that was marked lately stays, as does work in progress; an old one goes."""
    old, fresh, unfinished = (tmp_path / name for name in ("old", "fresh", ".building-old"))
    for entry in (old, fresh, unfinished):
        entry.mkdir()
        os.utime(entry, (0, 0))
    (old / "image.tar").write_text("x")
    mark_used(fresh)
    now = fresh.stat().st_mtime
    assert forget_unused(tmp_path, now=now + UNUSED_SECONDS) == [old]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".building-old", "fresh"]
    assert forget_unused(tmp_path, now=now + UNUSED_SECONDS + 1) == [fresh]
