"""Put the built-in provider where the Pulumi engine looks for plugins."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path

from stacks.errors import StackError
from stacks.provider import PLUGIN_NAME, PLUGIN_VERSION

_MARK = "# The built-in Kubernetes provider of cgc"
_EXECUTABLE = f"pulumi-resource-{PLUGIN_NAME}"
_MODE = 0o755


def plugin_path(pulumi_home: Path, version: str = PLUGIN_VERSION) -> Path:
    """Where the engine looks for the Kubernetes plugin of *version*, whichever of the two it is."""
    return pulumi_home / "plugins" / f"resource-{PLUGIN_NAME}-v{version}" / _EXECUTABLE


def is_builtin_provider(plugin: Path) -> bool:
    """Whether *plugin* is the built-in provider; False when there is none or it is the official one."""
    try:
        with plugin.open("rb") as file:
            return _MARK.encode() in file.read(len(_MARK) * 2)
    except FileNotFoundError:
        return False


def install_builtin_provider(pulumi_home: Path, python: Path, version: str = PLUGIN_VERSION) -> Path:
    """Install the plugin for *python* (an interpreter that has this package) and answer its path.

    Idempotent, and atomic: whoever looks sees no plugin, the old one or the new one, whole. Raises StackError CGC-239
    when *python* is not there or the official plugin is: states of the two are not interchangeable.
    """
    if not os.access(python, os.X_OK):
        remedy = "give the interpreter of the virtual environment (`make` builds it)"
        raise StackError("CGC-239", "there is no such Python interpreter", where=str(python), remedy=remedy)
    plugin = plugin_path(pulumi_home, version)
    if plugin.exists() and not is_builtin_provider(plugin):
        remedy = "use it, or move its folder away and re-create the stacks that it converged"
        raise StackError("CGC-239", "the official plugin is installed here", where=str(plugin), remedy=remedy)
    script = _script(python)
    if plugin.exists() and plugin.read_text(encoding="utf-8") == script and plugin.stat().st_mode & 0o777 == _MODE:
        return plugin
    try:
        _put(plugin, script)
    except OSError as err:
        remedy = "free space there and make it writable for this user"
        raise StackError("CGC-239", f"cannot install it: {err}", where=str(plugin), remedy=remedy) from err
    return plugin


def _script(python: Path) -> str:
    # exec: the provider watches its parent, which must be the engine. -P: no module of the engine's working directory.
    return f'#!/bin/sh\n{_MARK}\nexec {shlex.quote(str(python.absolute()))} -P -m stacks.provider "$@"\n'


def _put(plugin: Path, script: str) -> None:
    plugins = plugin.parent.parent
    plugins.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plugins, prefix=".installing-") as folder:
        fresh = Path(folder) / plugin.parent.name
        fresh.mkdir()
        executable = fresh / plugin.name
        executable.write_text(script, encoding="utf-8")
        executable.chmod(_MODE)
        try:
            fresh.rename(plugin.parent)
        except OSError:
            if not plugin.parent.is_dir():
                raise
            executable.replace(plugin)  # an older one, or another run's of this moment
