#!/usr/bin/env bash
# Sets a checkout up from bare: Debian packages, the virtual environment, the toolchain. `make` runs it before everything.
#
#   scripts/setup.sh python     packages and virtual environment only (what `make check` needs)
#   scripts/setup.sh all        and the toolchain
#   BUNDLE=FILE scripts/setup.sh all      the same from a bundle (`cgc toolchain bundle FILE`), without any network
#
# Every step looks first whether it is done, so that a repeat is instant and an interrupted set-up resumes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
checkout=$PWD
extent=${1:-all}
bundle=${BUNDLE:-}
export CGC_CACHE=${CGC_CACHE:-$HOME/.cache/cgc}
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
venv=.venv
stamp=$venv/set-up-$extent

say() { printf 'set-up: %s\n' "$*" >&2; }

fail() { # code, what, remedy
    printf '%s %s; %s\n' "$1" "$2" "$3" >&2
    exit 1
}

timed() { # words of the step, command...
    local words=$1 start=$SECONDS
    shift
    say "$words ..."
    "$@"
    say "$words: done in $((SECONDS - start)) s"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail CGC-814 "neither root nor sudo: cannot run '$*'" "run this as root, or install sudo and allow it to $(id -un)"
    fi
}

# --- what the stamp covers ---------------------------------------------------------------------------------------------

inputs_digest() { # where the checkout lies is part of it: a virtual environment does not survive a move
    { printf '%s\n%s\n%s\n' "$checkout" "$CGC_CACHE" "$bundle"
      cat requirements.in requirements.txt pyproject.toml scripts/setup.sh scripts/toolchain/{debian.txt,programs.py} \
          scripts/toolchain/go/*/go.{mod,sum}
    } | sha256sum | cut -d' ' -f1
}

holds() { # stamp: its first line is the digest, the others are files that must still be there
    local line
    [ -r "$1" ] || return 1
    { read -r line && [ "$line" = "$digest" ] || return 1
      while read -r line; do [ -e "$line" ] || return 1; done
    } <"$1"
}

already_done() { # a set-up of everything is one of Python too
    { holds "$stamp" || holds $venv/set-up-all; } && $venv/bin/python -c '' 2>/dev/null
}

# --- Debian packages ---------------------------------------------------------------------------------------------------

wanted_packages() { sed -e '/^#/d' -e '/^$/d' scripts/toolchain/debian.txt; }

missing_packages() {
    local package
    for package in $(wanted_packages); do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

apt() { as_root apt-get -qq -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 "$@" >&2; }

install_from_bundle() { # packages...
    local repository=$CGC_CACHE/debs place
    [ -e "$repository/Packages" ] || fail CGC-815 "the bundle brought no Debian packages" "make a new one with 'cgc toolchain bundle FILE'"
    place=$(mktemp -d)
    printf 'deb [trusted=yes] file:%s ./\n' "$repository" >"$place/sources.list"
    mkdir -p "$place/lists/partial"
    local only=(-o Dir::Etc::sourcelist="$place/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$place/lists" -o APT::Sandbox::User=root -o Acquire::Languages=none)
    apt "${only[@]}" update && apt "${only[@]}" install -y --no-install-recommends "$@"
    as_root rm -rf "$place"
}

install_from_mirrors() { # packages...
    # An installation that was killed half way leaves dpkg to be told to go on; lists may be missing or old.
    if ! apt install -y --no-install-recommends "$@" 2>/dev/null; then
        as_root dpkg --configure -a >&2
        apt update
        apt install -y --no-install-recommends "$@"
    fi
}

debian_packages() {
    local missing
    command -v apt-get >/dev/null || fail CGC-813 "there is no apt-get here" "use Debian 12 or Ubuntu 22.04 or later"
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086 # one word per package is meant
    if [ -n "$bundle" ]; then
        timed "Debian packages from the bundle: $(echo $missing)" install_from_bundle $missing
    else
        timed "Debian packages: $(echo $missing)" install_from_mirrors $missing
    fi
    missing=$(missing_packages)
    [ -z "$missing" ] || fail CGC-815 "not installed: $(echo $missing)" "see what apt-get said above, mend it, and run this again"
}

# --- the virtual environment -------------------------------------------------------------------------------------------

python_311() { # a version manager's shim may exist and yet not run, so ask each candidate
    local candidate
    for candidate in ${PYTHON:-} python3.11 /usr/bin/python3.11 /usr/local/bin/python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    fail CGC-816 "no Python 3.11 runs here" "install it (apt-get install python3.11), or name it: make PYTHON=/path/to/python3.11"
}

fetch_wheels() { # into a folder that is renamed when it is complete; pip takes what an interrupted run left
    mkdir -p "$wheels.part"
    $venv/bin/python -m pip download -q --only-binary :all: --no-deps --require-hashes \
        -r requirements.txt -d "$wheels.part" --find-links "$wheels.part"
    mv -T "$wheels.part" "$wheels"
}

make_venv() {
    local python
    python=$(python_311)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail CGC-816 "$python has no venv module" "install it (apt-get install python3.11-venv), or name another: make PYTHON=..."
    # pip takes a package for installed that it was killed over, so an unfinished environment is made anew.
    if [ -e $venv/unfinished ] || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
        timed "virtual environment with $python" "$python" -m venv --clear $venv
    fi
    touch $venv/unfinished
    wheels=$CGC_CACHE/wheels/$(sha256sum requirements.txt | cut -c1-16)
    if [ ! -d "$wheels" ]; then
        [ -z "$bundle" ] || fail CGC-815 "the bundle holds no packages for this requirements.txt" "make it anew from this version"
        mkdir -p "$CGC_CACHE/wheels"
        timed "Python packages, fetching" fetch_wheels
    fi
    timed "Python packages, installing" $venv/bin/python -m pip install -q --no-index --find-links "$wheels" \
        --no-deps --require-hashes -r requirements.txt
    timed "the command cgc" $venv/bin/python -m pip install -q --no-index --no-deps --no-build-isolation -e .
    rm $venv/unfinished
}

# --- all of it ---------------------------------------------------------------------------------------------------------

toolchain() { PATH=$PATH:/usr/local/go/bin $venv/bin/python -m scripts.toolchain install >/dev/null; }

unpack_bundle() { "$(python_311)" -I scripts/toolchain/bundle.py "$bundle" "$CGC_CACHE"; }

digest=$(inputs_digest)
if already_done; then exit 0; fi
# One set-up of a checkout at a time. The lock is on the checkout itself and goes down to pip and its like: where a set-up
# was killed, the next one waits until what it had started has ended.
exec 9<.
flock -n 9 || { say "another set-up of this checkout runs, or is ending; waiting for it" && flock 9; }
if already_done; then exit 0; fi
mkdir -p "$CGC_CACHE"
begun=$SECONDS
if [ -n "$bundle" ]; then timed "bundle $bundle" unpack_bundle; fi
debian_packages
make_venv
if [ "$extent" = all ]; then timed "toolchain" toolchain; fi
{
    echo "$digest"
    if [ "$extent" = all ]; then find "$CGC_CACHE/toolchain" -mindepth 3 -name record.json; fi
} >"$stamp.part"
mv "$stamp.part" "$stamp"
say "complete in $((SECONDS - begun)) s"
