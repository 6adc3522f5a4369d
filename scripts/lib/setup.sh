# Shared by scripts/run and scripts/test: finds Python, makes .venv and installs the locked packages, once.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

is_recent_python() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        is_recent_python "$PYTHON" || fail "PYTHON is set to '$PYTHON', which is not Python 3.11 or newer."
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3.11 python3; do
        if is_recent_python "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed: install it (Debian 12: apt-get install python3.11), or name one in PYTHON."
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        return 1
    fi
}

# apt_install WHAT-FOR PACKAGE...
apt_install() {
    local purpose=$1 messages
    shift
    say "Installing $* ($purpose) ..."
    command -v apt-get >/dev/null 2>&1 || fail "There is no apt-get to install $* with ($purpose): install it by hand."
    messages=$(install_as_root "$@" 2>&1) && return
    [ -z "$messages" ] || printf '%s\n' "$messages" | tail -n 5 >&2
    fail "$* could not be installed ($purpose): run 'apt-get update && apt-get install $*' as root."
}

install_as_root() {
    as_root apt-get update -qq </dev/null \
        && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null
}

need_venv_module() {
    local version
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt_install "for the Python environment" "python$version-venv"
    "$1" -c 'import ensurepip, venv' 2>/dev/null || fail "$1 cannot make environments (no ensurepip): install python$version-venv."
}

# What is installed, in one line: the lock file and the Python it was installed for.
wanted_stamp() {
    { "$1" -c 'import sys; print(sys.version)' && cat requirements-dev.txt; } | sha256sum | cut -d' ' -f1
}

install_packages() {
    local python=$1
    rm -f .venv/installed
    # Left over when an installation was interrupted: what is there cannot be trusted.
    if [ -e .venv/installing ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1 \
        || [ "$("$python" -c 'import sys; print(sys.version)')" != "$(.venv/bin/python -c 'import sys; print(sys.version)')" ]; then
        need_venv_module "$python"
        say "Making the Python environment in .venv ..."
        rm -rf .venv
        mkdir .venv
        touch .venv/installing
        "$python" -m venv .venv || fail "The Python environment could not be made in $PWD/.venv."
    fi
    touch .venv/installing
    say "Installing the locked packages (once, about a minute) ..."
    if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input --retries 5 --require-hashes \
        -r requirements-dev.txt >.venv/install.log 2>&1; then
        tail -n 20 .venv/install.log >&2
        fail "The packages could not be installed (the whole message: $PWD/.venv/install.log)."
    fi
    rm -f .venv/installing
    # Read again: installing the venv package may have brought a newer build of the Python it belongs to.
    wanted_stamp "$python" >.venv/installed
}

# Make .venv ready for use; a second call finds the stamp and returns at once.
set_up() {
    local python stamp
    [ -f requirements-dev.txt ] || fail "requirements-dev.txt is missing: is $PWD a complete copy of the repository?"
    python=$(find_python) || exit 1
    stamp=$(wanted_stamp "$python")
    [ "$(cat .venv/installed 2>/dev/null)" = "$stamp" ] && [ ! -e .venv/installing ] && [ -x .venv/bin/python ] && return
    # One at a time: scripts/run and scripts/test may be started together. The folder itself is the lock.
    (
        flock -n 9 || { say "Waiting for another start, which is installing ..." && flock 9; }
        [ "$(cat .venv/installed 2>/dev/null)" = "$stamp" ] && [ ! -e .venv/installing ] && [ -x .venv/bin/python ] && exit 0
        install_packages "$python"
    ) 9<. || exit 1
}
