#!/bin/sh
# Makes .venv, exactly as uv.lock says, and says nothing when it is there already.
#
# Needs a POSIX shell and either uv or any Python >= 3.8 that has pip (or venv). The rest goes below this folder:
# uv into .tools/ when there is none, a Python into .tools/ when there is none >= 3.12, everything else into .venv/.
# PYTHON=/path/to/python is tried before any other.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")/.."

# What these would change, this script decides: the environment of the project is .venv, whatever else is active.
unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH UV_PYTHON UV_FROZEN UV_NO_DEV UV_NO_SYNC UV_PROJECT \
    UV_WORKING_DIR UV_MANAGED_PYTHON UV_NO_MANAGED_PYTHON 2>/dev/null || :
UV_PROJECT_ENVIRONMENT=$PWD/.venv
UV_PYTHON_DOWNLOADS=manual
PIP_DISABLE_PIP_VERSION_CHECK=1
PIP_NO_WARN_SCRIPT_LOCATION=1
PIP_REQUIRE_VIRTUALENV=0
PIP_ROOT_USER_ACTION=ignore
PIP_USER=0
# A company that inspects TLS has put its roots where the system keeps them; pip's own setting counts for uv as well.
: "${UV_SYSTEM_CERTS:=1}"
: "${SSL_CERT_FILE:=${PIP_CERT:-}}"
[ -n "$SSL_CERT_FILE" ] && export SSL_CERT_FILE || unset SSL_CERT_FILE
export UV_SYSTEM_CERTS UV_PROJECT_ENVIRONMENT UV_PYTHON_DOWNLOADS PIP_DISABLE_PIP_VERSION_CHECK PIP_NO_WARN_SCRIPT_LOCATION \
    PIP_REQUIRE_VIRTUALENV PIP_ROOT_USER_ACTION PIP_USER

OLDEST_UV=8 # 0.8: the first that reads this lock file without wanting to rewrite it
OLDEST_PYTHON=12
LOG=.tools/bootstrap.log

say() { printf '%s\n' "$@" >&2; }

# fail WHAT NEXT: what happened, the end of what the tool said about it, and what to do.
fail() {
    say "" "$1"
    if [ -s "$LOG" ]; then
        say "" "The end of what was said ($LOG has all of it):"
        tail -n 15 "$LOG" | sed 's/^/    /' >&2
    fi
    say "" "$2"
    exit 1
}

# Interpreters that may be here, the most wanted minors first. The shims of pyenv, mise and asdf answer only for the
# versions that are switched on, so their folders are looked into as well.
pythons() {
    [ -z "${PYTHON:-}" ] || command -v "$PYTHON" || :
    [ ! -x .venv/bin/python ] || printf '%s\n' "$PWD/.venv/bin/python"
    # .../shims on PATH, or one of .../versions/3.x.y/bin itself.
    shims=$(printf '%s\n' "$PATH" | tr ':' '\n' | sed -n -e 's:/shims/*$::p' -e 's:/versions/3\.[0-9.]*/bin/*$::p')
    for minor in "$@"; do
        command -v "python3.$minor" || :
        printf '%s\n' "${PYENV_ROOT:-}" "$shims" "${HOME:-/nonexistent}/.pyenv" | while IFS= read -r root; do
            [ -n "$root" ] || continue
            for found in "$root/versions/3.$minor".*/bin/python3."$minor"; do printf '%s\n' "$found"; done
        done
        for found in \
            .tools/python/cpython-3."$minor".*/bin/python3."$minor" \
            "${HOME:-/nonexistent}"/.local/share/mise/installs/python/3."$minor".*/bin/python3."$minor" \
            "${HOME:-/nonexistent}"/.asdf/installs/python/3."$minor".*/bin/python3."$minor"; do
            printf '%s\n' "$found"
        done
    done
    command -v python3 || :
    command -v python || :
}

# first_of CHECK: the first interpreter on standard input that passes CHECK (Python code), by its real path, since
# what a shim stands for changes with the folder.
first_of() {
    while IFS= read -r candidate; do
        [ -x "$candidate" ] || continue
        "$candidate" -c "$1
print(sys.executable)" </dev/null 2>/dev/null && return
    done
    :
}

find_python() {
    # What is there already is kept; uv knows of more places (its own pythons, Homebrew's, the system's).
    wanted=$(sed -n 's/^3\.\([0-9]*\).*/\1/p' .python-version)
    { pythons "$wanted" 12 13 14 15 16 && "$uv" python find --no-project ">=3.$OLDEST_PYTHON" 2>/dev/null || :; } | first_of "
import bz2, ctypes, lzma, sqlite3, ssl, sys, zlib
assert sys.implementation.name == 'cpython' and sys.version_info >= (3, $OLDEST_PYTHON)
assert getattr(sys, '_is_gil_enabled', lambda: True)()"
}

recent_uv() {
    version=$("$1" --version 2>/dev/null | sed -n 's/^uv \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$version" ] && { [ "${version% *}" -gt 0 ] || [ "${version#* }" -ge "$OLDEST_UV" ]; }
}

find_uv() {
    for candidate in "$(command -v uv || :)" "${HOME:-/nonexistent}/.local/bin/uv" .tools/uv/bin/uv .tools/venv/bin/uv; do
        if [ -x "$candidate" ] && recent_uv "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
}

install_uv() {
    version=$(sed -n '/^name = "uv"$/{n;s/^version = "\(.*\)"$/\1/p;}' uv.lock)
    helper=$(pythons 12 13 14 11 10 9 8 | first_of 'import sys, pip; assert sys.version_info >= (3, 8)')
    if [ -n "$helper" ]; then
        say "Getting uv $version with the pip of $helper"
        rm -rf .tools/uv
        "$helper" -m pip install --quiet --target .tools/uv "uv==$version" >"$LOG" 2>&1 && return
    else
        helper=$(pythons 12 13 14 11 10 9 8 | first_of 'import ensurepip, sys, venv; assert sys.version_info >= (3, 8)')
        [ -n "$helper" ] || fail "There is neither uv nor a Python (3.8 or newer, with pip) on this machine." \
            "Install one of them and run make again: 'apt install python3-pip' on Debian and Ubuntu, 'brew install uv' on a Mac."
        say "Getting uv $version with $helper"
        "$helper" -m venv --clear .tools/venv >"$LOG" 2>&1 &&
            .tools/venv/bin/python -m pip install --quiet "uv==$version" >>"$LOG" 2>&1 && return
    fi
    fail "uv $version could not be installed." \
        "If PyPI is reached through a proxy or a mirror of your company's, pip's own settings apply (HTTPS_PROXY, PIP_INDEX_URL). Or install uv yourself and run make again."
}

fetch_python() {
    say "No Python 3.$OLDEST_PYTHON or newer was found; fetching one into .tools/"
    UV_PYTHON_INSTALL_DIR=$PWD/.tools/python "$uv" python install --no-bin "3.$OLDEST_PYTHON" >"$LOG" 2>&1 ||
        fail "hoop-mitm needs Python 3.$OLDEST_PYTHON or newer; none was found, and none could be fetched." \
            "Install one (apt, brew, pyenv, your company's way) and run make again; PYTHON=/path/to/python names one that lies elsewhere."
}

# The stamp stands for everything that the environment is made from. A .venv that was copied or moved with its folder
# still starts programs of the old one, so it is made anew.
stamp=$(cat pyproject.toml uv.lock .python-version scripts/bootstrap.sh | cksum)
folder=$(sed -n 2p .venv/.bootstrapped 2>/dev/null || :)
if [ "$(sed -n 1p .venv/.bootstrapped 2>/dev/null)" = "$stamp" ] && [ "$folder" = "$PWD" ] &&
    .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi
[ "${folder:-$PWD}" = "$PWD" ] || rm -rf .venv

mkdir -p .tools
: >"$LOG"
uv=$(find_uv)
[ -n "$uv" ] || { install_uv && uv=$(find_uv); }
[ -n "$uv" ] || fail "uv was installed below .tools/ but does not run." "Delete .tools/ and run make again, or install uv yourself."
python=$(find_python)
[ -n "$python" ] || { fetch_python && python=$(find_python); }
[ -n "$python" ] || fail "A Python was fetched below .tools/ but does not run." "Install Python 3.$OLDEST_PYTHON or newer yourself and run make again."

say "Setting up .venv with $("$python" --version) (a minute or so the first time)"
"$uv" sync --locked --compile-bytecode --python "$python" >"$LOG" 2>&1 ||
    fail "The packages of uv.lock could not be installed into .venv." \
        "If a package could not be downloaded, running make again goes on where this stopped; behind a company's proxy set HTTPS_PROXY."
printf '%s\n' "$stamp" "$PWD" >.venv/.bootstrapped
