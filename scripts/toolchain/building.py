"""Building a program from Go modules, where no release can be had.

Each module under `go/` pins every dependency with its hash (go.mod, go.sum). The build and module caches are
private, so that the user's own are neither needed nor filled; they survive an interruption, which is what makes a
build resume.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.toolchain.errors import ToolchainError
from scripts.toolchain.programs import GoRecipe, Program

MODULES_FOLDER = Path(__file__).parent / "go"
USUAL_GO_FOLDERS = ("/usr/local/go/bin", "/usr/lib/go/bin")
BUILD_FREE_BYTES = 12 * 10**9  # modules 3 GB, build cache 6 GB, programs 1 GB, and room for the linker
_LAST_LINES = 15


@dataclass(frozen=True, kw_only=True)
class Go:
    """The Go compiler of this machine; `version` is like (1, 26, 8)."""

    binary: Path
    version: tuple[int, ...]


def version_numbers(text: str) -> tuple[int, ...]:
    """Return the first dotted number in *text* as integers: 'go1.26.8' -> (1, 26, 8)."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups(default="0")) if found else ()


def wanted_go(go_mod: str) -> tuple[int, ...]:
    """Return the Go version that the text of a go.mod asks for."""
    line = re.search(r"^go (\S+)", go_mod, re.MULTILINE)
    return version_numbers(line[1]) if line else (1, 0, 0)


def find_go(environ: Mapping[str, str]) -> Go | None:
    """Return the Go compiler on PATH or in its usual places, None where there is none that runs."""
    places = os.pathsep.join([environ.get("PATH", ""), *USUAL_GO_FOLDERS])
    found = shutil.which("go", path=places)
    if found is None:
        return None
    told = subprocess.run(
        [found, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={**environ, "GOTOOLCHAIN": "local"},
    )
    version = version_numbers(told.stdout)
    return Go(binary=Path(found), version=version) if told.returncode == 0 and version else None


def usable_go(environ: Mapping[str, str], recipes: Sequence[GoRecipe], modules: Path = MODULES_FOLDER) -> Go:
    """Return a Go compiler that is new enough for all *recipes*; raises ToolchainError CGC-804 where there is none."""
    wanted = max(wanted_go((modules / recipe.module / "go.mod").read_text(encoding="utf-8")) for recipe in recipes)
    spelled = ".".join(str(number) for number in wanted)
    remedy = (
        f"install Go {spelled} or later and put it on PATH, or set CGC_TOOLCHAIN_BASE to a mirror of the releases, "
        "or set up from a bundle: `make rehearse BUNDLE=FILE`"
    )
    go = find_go(environ)
    if go is None:
        raise ToolchainError(
            "CGC-804", "no release can be reached and there is no Go compiler to build with", remedy=remedy
        )
    if go.version < wanted:
        has = ".".join(str(number) for number in go.version)
        raise ToolchainError(
            "CGC-804", f"Go {has} is too old: {spelled} is needed", where=str(go.binary), remedy=remedy
        )
    return go


def build_environment(environ: Mapping[str, str], caches: Path) -> dict[str, str]:
    """Return the environment of a build: the machine's own, with the compiler fixed and the caches private."""
    return {
        **environ,
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -buildvcs=false -modcacherw",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOCACHE": str(caches / "build"),
        "GOMODCACHE": str(caches / "modules"),
    }


def build_command(go: Go, recipe: GoRecipe, target: Path) -> list[str]:
    """Return the command that builds *recipe* into the file *target*."""
    command = [str(go.binary), "build", "-trimpath", "-ldflags", recipe.linker_flags, "-o", str(target), recipe.package]
    # A build whose set-up was killed must not go on beside the set-up that resumes it.
    guard = shutil.which("setpriv")
    return [guard, "--pdeathsig", "KILL", *command] if guard else command


def build(
    program: Program, *, go: Go, into: Path, caches: Path, environ: Mapping[str, str], modules: Path = MODULES_FOLDER
) -> None:
    """Build *program* into the folder *into*; raises ToolchainError CGC-805 with the compiler's last words."""
    room = shutil.disk_usage(into).free
    if room < BUILD_FREE_BYTES and not (caches / "build").is_dir():
        raise ToolchainError(
            "CGC-806",
            f"{room / 1e9:.0f} GB are free, a cold build needs {BUILD_FREE_BYTES / 1e9:.0f} GB",
            where=str(into),
            remedy="make room there, or set CGC_CACHE to a folder on a larger disk",
        )
    workplace = into / "module"
    shutil.copytree(modules / program.recipe.module, workplace)
    target = into / program.name
    done = subprocess.run(
        build_command(go, program.recipe, target),
        cwd=workplace,
        env=build_environment(environ, caches),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join(line for line in done.stderr.splitlines() if "downloading" not in line)
        raise ToolchainError(
            "CGC-805",
            f"building {program.name} {program.version} failed:\n" + "\n".join(said.splitlines()[-_LAST_LINES:]),
            where=program.recipe.package,
            remedy="check the way to the Go modules (`go env GOPROXY`) and run it again: it resumes",
        )
    shutil.rmtree(workplace)
    target.chmod(0o755)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
