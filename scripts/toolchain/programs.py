"""Which programs the toolkit runs, at which version, and where each of them can be had.

The facts of `scripts/toolchain/`: nothing here touches the machine. Versions move together with the fixtures that were
recorded from them, so they are pinned here and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KUBERNETES_VERSION = "1.36.1"
COREDNS_VERSION = "1.13.1"
PULUMI_VERSION = "3.259.0"

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What the kernel calls the machine -> what Go and the vendors call it."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Where a vendor publishes a program: the site, the paths under it, and what to take out of the archive.

    Paths may hold `{arch}` (amd64) and `{vendor_arch}` (the vendor's own word for it). A mirror keeps the vendor's
    paths, so that one base address serves every program. `member` is None when the file is the program itself.
    """

    site: str
    path: str
    checksum_path: str
    member: str | None = None
    beside: tuple[str, ...] = ()
    vendor_arch: tuple[tuple[str, str], ...] = ()

    def address(self, base: str | None, arch: str) -> str:
        """Return the address of the file for *arch*, under *base* instead of the vendor's site where one is given."""
        return self._under(base, self.path, arch)

    def checksum_address(self, base: str | None, arch: str) -> str:
        """Return the address of the vendor's SHA-256 sums for that file."""
        return self._under(base, self.checksum_path, arch)

    def _under(self, base: str | None, path: str, arch: str) -> str:
        spelled = path.format(arch=arch, vendor_arch=dict(self.vendor_arch).get(arch, arch))
        return f"{(base or self.site).rstrip('/')}/{spelled}"


@dataclass(frozen=True, kw_only=True)
class GoRecipe:
    """How to build a program from Go modules: the folder under `go/`, the package, the linker's -X definitions."""

    module: str
    package: str
    definitions: tuple[tuple[str, str], ...] = ()

    @property
    def linker_flags(self) -> str:
        """Return the value of `-ldflags`: no symbol tables, and the version the program reports about itself."""
        return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in self.definitions)])


@dataclass(frozen=True, kw_only=True)
class Program:
    """One program at its pinned version; `build_seconds` is what a cold build took on two cores."""

    name: str
    version: str
    version_arguments: tuple[str, ...]
    release: Release
    recipe: GoRecipe
    build_seconds: int

    def reports_its_version(self, output: str) -> bool:
        """Say whether *output* of the program's version command names exactly the pinned version."""
        return re.search(rf"(?<![\d.]){re.escape(self.version)}(?![\d.]|-)", output) is not None


def _kubernetes(name: str, build_seconds: int, version_arguments: tuple[str, ...] = ("--version",)) -> Program:
    major, minor, _ = KUBERNETES_VERSION.split(".")
    about = "k8s.io/component-base/version"
    path = f"release/v{KUBERNETES_VERSION}/bin/linux/{{arch}}/{name}"
    return Program(
        name=name,
        version=KUBERNETES_VERSION,
        version_arguments=version_arguments,
        release=Release(site="https://dl.k8s.io", path=path, checksum_path=f"{path}.sha256"),
        recipe=GoRecipe(
            module="kubernetes",
            package=f"k8s.io/kubernetes/cmd/{name}",
            # Without gitVersion the programs call themselves v0.0.0 and clients refuse them.
            definitions=(
                (f"{about}.gitVersion", f"v{KUBERNETES_VERSION}"),
                (f"{about}.gitMajor", major),
                (f"{about}.gitMinor", minor),
                (f"{about}.gitTreeState", "clean"),
            ),
        ),
        build_seconds=build_seconds,
    )


_COREDNS_ARCHIVE = f"coredns/coredns/releases/download/v{COREDNS_VERSION}/coredns_{COREDNS_VERSION}_linux_{{arch}}.tgz"
_PULUMI_RELEASE = f"pulumi/pulumi/releases/download/v{PULUMI_VERSION}"

PROGRAMS: tuple[Program, ...] = (
    _kubernetes("kubeadm", 180, ("version", "-o", "short")),
    _kubernetes("kubelet", 60),
    _kubernetes("kube-apiserver", 120),
    _kubernetes("kube-controller-manager", 70),
    _kubernetes("kube-scheduler", 10),
    _kubernetes("kube-proxy", 10),
    Program(
        name="coredns",
        version=COREDNS_VERSION,
        version_arguments=("-version",),
        release=Release(
            site="https://github.com",
            path=_COREDNS_ARCHIVE,
            checksum_path=f"{_COREDNS_ARCHIVE}.sha256",
            member="coredns",
        ),
        recipe=GoRecipe(module="coredns", package="github.com/coredns/coredns"),
        build_seconds=200,
    ),
    Program(
        name="pulumi",
        version=PULUMI_VERSION,
        version_arguments=("version",),
        release=Release(
            site="https://github.com",
            path=f"{_PULUMI_RELEASE}/pulumi-v{PULUMI_VERSION}-linux-{{vendor_arch}}.tar.gz",
            checksum_path=f"{_PULUMI_RELEASE}/pulumi-{PULUMI_VERSION}-checksums.txt",
            member="pulumi/pulumi",
            # Official releases carry the language host that plain `pulumi up` needs; the Automation API does without.
            beside=("pulumi/pulumi-language-python", "pulumi/pulumi-language-python-exec"),
            vendor_arch=(("amd64", "x64"),),
        ),
        recipe=GoRecipe(
            module="pulumi",
            package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            definitions=(("github.com/pulumi/pulumi/sdk/v3/go/common/version.Version", f"v{PULUMI_VERSION}"),),
        ),
        build_seconds=290,
    ),
)
