# Shared by the scripts beside it: finds Python, makes .venv and installs the locked packages, once.
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
    for candidate in python3.11 python3 python3.12 python3.13 python3.14; do
        if is_recent_python "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed: install it (Debian: apt-get install python3), or name one in PYTHON."
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

# What is installed, in one line: the lock file, the Python it was installed for, and the place, because an environment
# that was moved looks for itself where it was made.
wanted_stamp() {
    { "$1" -c 'import sys; print(sys.version)' && pwd -P && cat "$2"; } | sha256sum | cut -d' ' -f1
}

# The environment that is there was made here, by this Python, and to its end.
is_usable() {
    [ ! -e .venv/installing ] && [ "$(cat .venv/place 2>/dev/null)" = "$(pwd -P)" ] \
        && .venv/bin/python -m pip --version >/dev/null 2>&1 \
        && [ "$("$1" -c 'import sys; print(sys.version)')" = "$(.venv/bin/python -c 'import sys; print(sys.version)')" ]
}

install_packages() {
    local python=$1 lock=$2
    if ! is_usable "$python"; then
        need_venv_module "$python"
        if [ -e .venv/place ] && [ "$(cat .venv/place)" != "$(pwd -P)" ]; then
            say "This checkout was moved from $(cat .venv/place): its Python environment is made anew."
        fi
        say "Making the Python environment in .venv ..."
        rm -rf .venv
        mkdir .venv
        touch .venv/installing
        "$python" -m venv .venv || fail "The Python environment could not be made in $PWD/.venv."
    fi
    rm -f .venv/installed-*
    touch .venv/installing
    say "Installing the locked packages of $lock (once; about a minute, more on a busy machine) ..."
    if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input --retries 5 --timeout 60 \
        --require-hashes -r "$lock" >.venv/install.log 2>&1; then
        tail -n 20 .venv/install.log >&2
        fail "The packages could not be installed (the whole message: $PWD/.venv/install.log)."
    fi
    pwd -P >.venv/place
    rm -f .venv/installing
    # Read again: installing the venv package may have brought a newer build of the Python it belongs to.
    wanted_stamp "$python" "$lock" >".venv/installed-$lock"
    # The larger lock holds the smaller one.
    [ "$lock" != requirements-dev.txt ] || wanted_stamp "$python" requirements.txt >.venv/installed-requirements.txt
}

# Make .venv ready for use; a second call finds the stamp and returns at once.
# set_up LOCK: requirements.txt to run the app, requirements-dev.txt to check and test it too
set_up() {
    local python stamp lock=$1 file
    for file in requirements.txt "$lock"; do
        [ -f "$file" ] || fail "$file is missing: is $PWD a complete copy of the repository?"
    done
    python=$(find_python) || exit 1
    stamp=$(wanted_stamp "$python" "$lock")
    is_installed "$lock" "$stamp" && return
    # One at a time: scripts/run and scripts/test may be started together. The folder itself is the lock.
    (
        flock -n 9 || { say "Waiting for another start, which is installing ..." && flock 9; }
        is_installed "$lock" "$stamp" && exit 0
        install_packages "$python" "$lock"
    ) 9<. || exit 1
}

is_installed() {
    [ "$(cat ".venv/installed-$1" 2>/dev/null)" = "$2" ] && [ ! -e .venv/installing ] && [ -x .venv/bin/python ]
}
