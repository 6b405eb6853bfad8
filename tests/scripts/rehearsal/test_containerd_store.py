"""A cluster host's containerd begins with the images that all clusters share."""

from __future__ import annotations

from pathlib import Path

from scripts.rehearsal.containerd_store import begin_store


def test_layers_are_shared_and_databases_are_not(tmp_path: Path) -> None:
    """Blobs and unpacked layers are the same files on disk; a database that one host writes is its own."""
    template = tmp_path / "template"
    blob = template / "io.containerd.content.v1.content/blobs/sha256/aa"
    layer = template / "io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs/usr/bin/program"
    database = template / "io.containerd.metadata.v1.bolt/meta.db"
    for path in (blob, layer, database):
        path.parent.mkdir(parents=True)
        path.write_text(path.name)
    (layer.parent / "link").symlink_to("program")
    left_by_a_crash = tmp_path / "host" / ".containerd.new"
    left_by_a_crash.mkdir(parents=True)
    (left_by_a_crash / "half").write_text("x")
    target = tmp_path / "host" / "containerd"
    begin_store(target, template=template)
    assert (target / blob.relative_to(template)).samefile(blob)
    assert (target / layer.relative_to(template)).samefile(layer)
    assert (target / layer.relative_to(template)).with_name("link").readlink() == Path("program")
    copy = target / database.relative_to(template)
    assert copy.read_text() == "meta.db"
    assert not copy.samefile(database)
    assert not left_by_a_crash.exists()
    assert not (target / "half").exists()
