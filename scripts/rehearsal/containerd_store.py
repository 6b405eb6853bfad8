"""A containerd store that holds the clusters' images already, from which each cluster host's own store begins.

Importing the same images on every host costs each of them ten seconds and a copy of a gigabyte. Here they are imported
once, into a store kept in the cache; a new host gets that store with its blobs and unpacked layers as hard links.
Neither is ever written to: containerd writes blobs and layers once, and containers write into layers of their own. So
hosts share them on disk and in memory, and only the two small databases are copies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from scripts.rehearsal.base_image import BaseImage, only_builder
from scripts.rehearsal.image_layout import ContainerImage
from scripts.rehearsal.mounts import forget_nspawn
from scripts.rehearsal.programs import run_program
from scripts.toolchain.cache import forget_unused, mark_used

STORE_EDITION = "1"
IMPORT_SECONDS = 300
# Written once and never again (containerd docs/content-flow.md): safe to share between stores.
SHARED_PARTS = ("io.containerd.content.v1.content", "io.containerd.snapshotter.v1.overlayfs/snapshots")
IMAGES_INSIDE = "/mnt"
IMPORT_SCRIPT = """
set -eu
printf '%s\\n' 'version = 2' 'disabled_plugins = ["io.containerd.grpc.v1.cri"]' >/run/config.toml
containerd --root /srv --config /run/config.toml --log-level error &
carrier=$!
tries=0
until ctr version >/dev/null 2>&1; do
    tries=$((tries + 1)); [ $tries -lt 200 ]; sleep 0.1
done
for image in "$@"; do ctr -n k8s.io images import "/mnt/$image/image.tar"; done
kill -TERM $carrier
wait $carrier || [ $? -le 143 ]
"""


def _fingerprint(images: Iterable[ContainerImage]) -> str:
    parts = [STORE_EDITION, *sorted(f"{image.name} {image.archive.parent.name}" for image in images)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def open_store(
    images: tuple[ContainerImage, ...], *, base: BaseImage, cache: Path, report: Callable[[str], None]
) -> Path:
    """Return the store that holds *images*, filled in the cache first if this set of images is new."""
    directory = cache / "containerd"
    directory.mkdir(parents=True, exist_ok=True)
    store = directory / _fingerprint(images)
    if not store.is_dir():
        with only_builder(directory) as lock:
            for unfinished in directory.glob(".building-*"):
                shutil.rmtree(unfinished)
            if not store.is_dir():
                report(f"images: importing {len(images)} once, for all clusters")
                _fill(store, images, base=base, archives=cache / "images", lock=lock)
            for unused in forget_unused(directory, now=time.time()):
                report(f"images: forgot {unused}, which nobody used for days")
    mark_used(store)
    return store


def _fill(store: Path, images: tuple[ContainerImage, ...], *, base: BaseImage, archives: Path, lock: int) -> None:
    """Run the base's containerd over an empty store, in a container without a network, until all images are in."""
    unfinished = store.with_name(f".building-{store.name}")
    unfinished.mkdir()
    name = f"cgc-images-{store.name}"
    run_program(
        [
            "systemd-nspawn", "--quiet", "--read-only", f"--directory={base.layers[-1]}", f"--machine={name}",
            "--register=no", "--keep-unit", "--private-network", "--pipe", "--as-pid2", "--resolv-conf=off",
            "--timezone=off", "--link-journal=no", f"--bind={unfinished}:/srv",
            f"--bind-ro={archives}:{IMAGES_INSIDE}", "/bin/sh", "-c", IMPORT_SCRIPT, "sh",
            *(image.archive.parent.name for image in images),
        ],
        timeout_seconds=IMPORT_SECONDS,
        kept_open=(lock,),
    )  # fmt: skip
    forget_nspawn(name)
    unfinished.replace(store)


def begin_store(target: Path, *, template: Path) -> None:
    """Make the store *target* from *template*; it appears under its name only when it is complete."""
    unfinished = target.with_name(f".{target.name}.new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    shared = tuple(template / part for part in SHARED_PARTS)
    can_link = template.stat().st_dev == target.parent.stat().st_dev

    def take_over(source: str, copy: str) -> None:
        if can_link and any(Path(source).is_relative_to(part) for part in shared):
            os.link(source, copy, follow_symlinks=False)
        else:
            shutil.copy2(source, copy, follow_symlinks=False)

    shutil.copytree(template, unfinished, symlinks=True, copy_function=take_over)
    unfinished.replace(target)
