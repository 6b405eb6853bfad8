from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stacks.errors import StackError
from stacks.provider.install import install_builtin_provider, is_builtin_provider, plugin_path

PYTHON = Path(sys.executable)


def test_puts_an_executable_where_the_engine_looks(tmp_path: Path) -> None:
    """The plugin lies in plugins/resource-kubernetes-vVERSION, executable, and replaces its shell by Python."""
    plugin = install_builtin_provider(pulumi_home=tmp_path, python=PYTHON, version="4.32.0")
    assert plugin == tmp_path / "plugins/resource-kubernetes-v4.32.0/pulumi-resource-kubernetes"
    assert plugin == plugin_path(tmp_path)
    assert plugin.stat().st_mode & 0o777 == 0o755
    assert f"exec {PYTHON}" in plugin.read_text()
    assert is_builtin_provider(plugin)
    assert [path.name for path in (tmp_path / "plugins").iterdir()] == ["resource-kubernetes-v4.32.0"]
    subprocess.run(["sh", "-n", str(plugin)], check=True)


def test_a_second_installation_changes_nothing(tmp_path: Path) -> None:
    """The same installation leaves the file as it is; one that was damaged is put right."""
    plugin = install_builtin_provider(pulumi_home=tmp_path, python=PYTHON)
    before = plugin.stat()
    install_builtin_provider(pulumi_home=tmp_path, python=PYTHON)
    assert (plugin.stat().st_ino, plugin.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    plugin.chmod(0o600)
    install_builtin_provider(pulumi_home=tmp_path, python=PYTHON)
    assert plugin.stat().st_mode & 0o777 == 0o755


def test_an_interpreter_with_a_space_in_its_path_works(tmp_path: Path) -> None:
    """The path of a checkout may hold any character that a file name may."""
    odd = tmp_path / "a b'c"
    odd.mkdir()
    python = odd / "python"
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    python.chmod(0o755)
    plugin = install_builtin_provider(pulumi_home=tmp_path, python=python)
    answer = subprocess.run([str(plugin), "127.0.0.1:1"], check=True, capture_output=True, text=True)
    assert answer.stdout == "-P|-m|stacks.provider|127.0.0.1:1|"


def test_never_overwrites_the_official_plugin(tmp_path: Path) -> None:
    """The states of the two are not interchangeable: an installed official plugin is refused and left alone."""
    plugin = plugin_path(tmp_path)
    plugin.parent.mkdir(parents=True)
    plugin.write_bytes(b"\x7fELF official")
    with pytest.raises(StackError) as caught:
        install_builtin_provider(pulumi_home=tmp_path, python=PYTHON)
    assert caught.value.code == "CGC-239"
    assert plugin.read_bytes() == b"\x7fELF official"
    assert not is_builtin_provider(plugin)
    assert not is_builtin_provider(tmp_path / "none")


def test_says_which_interpreter_is_missing(tmp_path: Path) -> None:
    """A plugin that could not start is not installed."""
    with pytest.raises(StackError, match="nowhere/python"):
        install_builtin_provider(pulumi_home=tmp_path, python=Path("/nowhere/python"))
    assert not plugin_path(tmp_path).exists()


def test_many_installations_at_once_leave_one_whole_plugin(tmp_path: Path) -> None:
    """Stacks converge in parallel and each installs first: all succeed."""
    with ThreadPoolExecutor(8) as threads:
        plugins = list(threads.map(lambda _: install_builtin_provider(tmp_path, PYTHON), range(24)))
    assert set(plugins) == {plugin_path(tmp_path)}
    assert is_builtin_provider(plugin_path(tmp_path))
    assert len(list((tmp_path / "plugins").iterdir())) == 1
