"""The container images of the rehearsal's clusters, made without a registry.

Kubernetes' own come from the toolchain's binaries; etcd, nft, conntrack and Python from the Debian of the base, with
the libraries that their own loader names; pause and the etcd starter from two small Go programs beside this file.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.base_image import BaseImage
from scripts.rehearsal.fabric import Fabric
from scripts.rehearsal.image_layout import ContainerImage, Content, ImageSettings, write_image
from scripts.rehearsal.machines import run_inside
from scripts.rehearsal.programs import run_program
from scripts.toolchain.cache import forget_unused, mark_used

REPOSITORY = "registry.rehearsal.test"
KUBERNETES_REPOSITORY = f"{REPOSITORY}/kubernetes"
KUBERNETES_VERSION = "v1.36.1"
COREDNS_TAG = "v1.13.1"
ETCD_TAG = "3.4.23-0"
# The tag that kubeadm 1.36 expects of its sandbox image; containerd's configuration names it too.
PAUSE_TAG = "3.10.2"
STANDIN_NAME = f"{REPOSITORY}/cgc/platform-standin"
STANDIN_PATH = "opt/cgc/standin.py"
NOBODY = "65534:65534"
CONTROL_PLANE_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
TOOLCHAIN_PROGRAMS = (*CONTROL_PLANE_PROGRAMS, "kube-proxy", "coredns")
PYTHON_PACKAGES = ("python3-minimal", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib")
ACCOUNTS = {
    "etc/passwd": Content(text="root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    "etc/group": Content(text="root:x:0:\nnogroup:x:65534:\n"),
}
BUILD_SECONDS = 300
IMPORT_SECONDS = 180
# What decides the bytes of an image beyond its inputs; raised when this file changes them.
RECIPE_EDITION = "1"

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)")


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    name: str
    inputs: tuple[Path, ...]
    settings: ImageSettings
    contents: Callable[[], Mapping[str, Content]]


def libraries_named(loader_output: str) -> list[str]:
    """Absolute paths of the libraries (and of the loader itself) in what ldd(1) prints."""
    return [found for line in loader_output.splitlines() for found in _LIBRARY.findall(line)]


def _real_path(root: Path, path: str) -> str:
    """Where *path* inside *root* really is, as a path below the root: /lib is a link to /usr/lib there."""
    inside = root / path.lstrip("/")
    parent = inside.parent.resolve()
    return str((parent / inside.name).relative_to(root.resolve()))


def _add_file(contents: dict[str, Content], root: Path, path: str) -> None:
    """Add a file of *root* and, when it is a link, what it points to."""
    real = _real_path(root, path)
    source = root / real
    if source.is_symlink():
        target = str(source.readlink())
        contents[real] = Content(link=target)
        beside = target if target.startswith("/") else str(Path("/", real).parent / target)
        if (root / _real_path(root, beside)).exists():
            _add_file(contents, root, beside)
    elif source.is_file():
        contents[real] = Content(source=source, mode=source.stat().st_mode & 0o755)


def debian_contents(root: Path, *, programs: Iterable[str] = (), packages: Iterable[str] = ()) -> dict[str, Content]:
    """Programs, and all files of packages, of the Debian in *root*, with every shared library they load."""
    contents: dict[str, Content] = {
        link: Content(link=f"usr/{link}") for link in ("bin", "lib", "lib64", "sbin") if (root / link).is_symlink()
    }
    for program in programs:
        _add_file(contents, root, program)
    for package in packages:
        for path in (root / f"var/lib/dpkg/info/{_list_name(root, package)}").read_text().splitlines():
            _add_file(contents, root, path)
    loaded = [path for path, content in contents.items() if content.source and _is_elf(content.source)]
    for path in loaded:
        said = run_program(["chroot", root, "ldd", f"/{path}"], timeout_seconds=20, accepted_codes=(0, 1))
        for library in libraries_named(said):
            _add_file(contents, root, library)
    return contents


def _list_name(root: Path, package: str) -> str:
    """Return the file that lists a package's files; multi-architecture packages carry theirs in the name."""
    found = [
        name for name in (f"{package}.list", f"{package}:amd64.list") if (root / "var/lib/dpkg/info" / name).exists()
    ]
    if not found:
        raise ScriptError(
            "CGC-710",
            f"package {package} is not in the base",
            where=str(root),
            remedy="remove this directory of the cache, then run the command again: it is built anew",
        )
    return found[0]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _go_programs(cache: Path, names: Iterable[str]) -> dict[str, Path]:
    """Build our small static programs, each once for its source, offline; their build cache is dropped afterwards."""
    sources = {name: Path(__file__).parent / name / "main.go" for name in names}
    directory = cache / "images" / "programs"
    directory.mkdir(parents=True, exist_ok=True)
    mark_used(directory)
    programs = {
        name: directory / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
        for name, source in sources.items()
    }
    with tempfile.TemporaryDirectory(prefix="cgc-go-") as build_cache:
        environment = {
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "GOCACHE": build_cache,
            "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOPROXY": "off", "GOFLAGS": "-mod=mod",
        }  # fmt: skip
        for name, program in programs.items():
            if not program.exists():
                unfinished = program.with_name(f"{program.name}.new")
                run_program(
                    ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", unfinished, sources[name]],
                    timeout_seconds=BUILD_SECONDS,
                    environment=environment,
                )
                unfinished.replace(program)
    return programs


def _image_fingerprint(recipe: _Recipe, base: BaseImage) -> str:
    """Return what an image is kept under: its name, and its inputs by path, size and time of change."""
    parts = [RECIPE_EDITION, recipe.name, base.fingerprint, repr(recipe.settings)]
    for path in recipe.inputs:
        found = path.stat()
        parts.append(f"{path}|{found.st_size}|{found.st_mtime_ns}")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build(recipe: _Recipe, *, base: BaseImage, cache: Path, report: Callable[[str], None]) -> ContainerImage:
    directory = cache / "images" / _image_fingerprint(recipe, base)
    archive = directory / "image.tar"
    if not archive.exists():
        report(f"images: making {recipe.name}")
        directory.mkdir(parents=True, exist_ok=True)
        write_image(archive, name=recipe.name, contents=recipe.contents(), settings=recipe.settings)
        forget_unused(cache / "images", now=time.time())
    mark_used(directory)
    return ContainerImage(name=recipe.name, archive=archive)


def _program(name: str, source: Path) -> dict[str, Content]:
    return {**ACCOUNTS, f"usr/local/bin/{name}": Content(source=source, mode=0o755)}


def kubernetes_images(
    programs: Mapping[str, Path], *, base: BaseImage, cache: Path, report: Callable[[str], None]
) -> tuple[ContainerImage, ...]:
    """Every image that a kubeadm cluster needs; *programs* maps TOOLCHAIN_PROGRAMS to their binaries."""
    missing = [name for name in TOOLCHAIN_PROGRAMS if name not in programs or not programs[name].is_file()]
    if missing:
        raise ScriptError(
            "CGC-710",
            f"the toolchain lacks {', '.join(missing)}",
            where=str(cache / "toolchain"),
            remedy="run `cgc toolchain install`",
        )
    debian = base.layers[-1]
    ours = _go_programs(cache, ("etcd", "pause"))
    pause, etcd = ours["pause"], ours["etcd"]
    recipes = [
        _Recipe(
            name=f"{KUBERNETES_REPOSITORY}/{name}:{KUBERNETES_VERSION}",
            inputs=(programs[name],),
            settings=ImageSettings(entrypoint=()),
            contents=lambda name=name: _program(name, programs[name]),  # type: ignore[misc]  # binds this round's name
        )
        for name in CONTROL_PLANE_PROGRAMS
    ]
    recipes += [
        _Recipe(
            name=f"{KUBERNETES_REPOSITORY}/kube-proxy:{KUBERNETES_VERSION}",
            inputs=(programs["kube-proxy"],),
            settings=ImageSettings(entrypoint=()),
            contents=lambda: {
                **debian_contents(debian, programs=("/usr/sbin/nft", "/usr/sbin/conntrack")),
                **_program("kube-proxy", programs["kube-proxy"]),
            },
        ),
        _Recipe(
            name=f"{KUBERNETES_REPOSITORY}/coredns:{COREDNS_TAG}",
            inputs=(programs["coredns"],),
            settings=ImageSettings(entrypoint=("/usr/local/bin/coredns",)),
            contents=lambda: _program("coredns", programs["coredns"]),
        ),
        _Recipe(
            name=f"{KUBERNETES_REPOSITORY}/etcd:{ETCD_TAG}",
            inputs=(etcd,),
            settings=ImageSettings(entrypoint=()),
            contents=lambda: {**debian_contents(debian, programs=("/usr/bin/etcd",)), **_program("etcd", etcd)},
        ),
        _Recipe(
            name=f"{KUBERNETES_REPOSITORY}/pause:{PAUSE_TAG}",
            inputs=(pause,),
            settings=ImageSettings(entrypoint=("/usr/local/bin/pause",), user=NOBODY),
            contents=lambda: _program("pause", pause),
        ),
    ]
    return tuple(_build(recipe, base=base, cache=cache, report=report) for recipe in recipes)


def standin_image_name(program: Path) -> str:
    """Return the stand-in's image name; its tag is the program's hash: a changed program is another image."""
    return f"{STANDIN_NAME}:{hashlib.sha256(program.read_bytes()).hexdigest()[:12]}"


def standin_image(program: Path, *, base: BaseImage, cache: Path, report: Callable[[str], None]) -> ContainerImage:
    """Make the image of the platforms' stand-in: Debian's Python, its standard library, and the one file *program*."""
    recipe = _Recipe(
        name=standin_image_name(program),
        inputs=(program,),
        settings=ImageSettings(
            entrypoint=("/usr/bin/python3", "-I", "-u", f"/{STANDIN_PATH}"),
            environment=("PATH=/usr/bin:/bin", "LANG=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"),
            user=NOBODY,
        ),
        contents=lambda: {
            **ACCOUNTS,
            **debian_contents(base.layers[-1], packages=PYTHON_PACKAGES),
            STANDIN_PATH: Content(source=program),
        },
    )
    return _build(recipe, base=base, cache=cache, report=report)


def import_images(fabric: Fabric, machine: str, images: Iterable[ContainerImage]) -> list[str]:
    """Give a machine's containerd the images it does not have yet; returns their names."""
    present = set(run_inside(fabric, machine, ["ctr", "-n", "k8s.io", "images", "ls", "-q"]).split())
    missing = [image for image in images if image.name not in present]
    for image in missing:
        run_inside(
            fabric,
            machine,
            ["ctr", "-n", "k8s.io", "images", "import", "-"],
            stdin=image.archive,
            timeout_seconds=IMPORT_SECONDS,
        )
    return [image.name for image in missing]
