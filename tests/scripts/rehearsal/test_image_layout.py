"""Container images are OCI archives, and the same content is the same bytes."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from scripts.rehearsal.image_layout import Content, ImageSettings, write_image


def write(directory: Path, text: str) -> Path:
    """Write an image with a program, a link and a text in it."""
    directory.mkdir()
    (directory / "program").write_bytes(b"\x7fELF" + bytes(5000))
    archive = directory / "image.tar"
    write_image(
        archive,
        name="registry.rehearsal.test/cgc/x:1",
        contents={
            "usr/bin/program": Content(source=directory / "program", mode=0o755),
            "bin": Content(link="usr/bin"),
            "etc/motd": Content(text=text),
        },
        settings=ImageSettings(entrypoint=("/usr/bin/program",), user="65534:65534"),
    )
    return archive


def test_every_blob_is_what_its_digest_says(tmp_path: Path) -> None:
    """The index leads to the manifest, the manifest to the configuration and the layer (OCI image specification)."""
    with tarfile.open(write(tmp_path / "a", "hello")) as archive:
        blobs = {}
        for entry in archive.getmembers():
            file = archive.extractfile(entry)
            assert file is not None
            blobs[entry.name] = file.read()
    for name, blob in blobs.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(blob).hexdigest() == name.rpartition("/")[2]
    described = json.loads(blobs["index.json"])["manifests"][0]
    assert described["annotations"]["io.containerd.image.name"] == "registry.rehearsal.test/cgc/x:1"
    manifest = json.loads(blobs["blobs/sha256/" + described["digest"].removeprefix("sha256:")])
    config = json.loads(blobs["blobs/sha256/" + manifest["config"]["digest"].removeprefix("sha256:")])
    layer = manifest["layers"][0]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert layer["size"] == len(blobs["blobs/sha256/" + layer["digest"].removeprefix("sha256:")])
    assert config["config"]["User"] == "65534:65534"


def test_a_layer_holds_every_entry_with_its_directories(tmp_path: Path) -> None:
    """Directories come before what is in them, files are root's, and links stay links."""
    with tarfile.open(write(tmp_path / "a", "hello")) as archive:
        index = next(e for e in archive.getmembers() if e.size > 5000)
        file = archive.extractfile(index)
        assert file is not None
        with tarfile.open(fileobj=file) as layer:
            entries = {entry.name: entry for entry in layer.getmembers()}
            names = layer.getnames()
    assert names == sorted(names)
    assert entries["usr"].isdir()
    assert entries["bin"].linkname == "usr/bin"
    assert entries["usr/bin/program"].mode == 0o755
    assert {entry.uid for entry in entries.values()} == {0}


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    """Made twice, an image is the same; with one letter changed it is another."""
    first, again = write(tmp_path / "a", "hello").read_bytes(), write(tmp_path / "b", "hello").read_bytes()
    assert first == again
    assert write(tmp_path / "c", "hellO").read_bytes() != first
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["image.tar", "program"]
