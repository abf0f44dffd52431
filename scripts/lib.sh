# Shared by the scripts beside it: where things live, and how what is missing gets installed. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/traincheck

say() { printf '\n== %s\n' "$*" >&2; }

# need_debian COMMAND PACKAGE: installs PACKAGE where COMMAND is not on the PATH.
need_debian() {
    command -v "$1" >/dev/null 2>&1 && return
    install_debian "$2"
}

# install_debian PACKAGE
install_debian() {
    say "installing the Debian package $1"
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -qq >&2
    $sudo apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

# The CPython 3.11 to train with: TRAINCHECK_PYTHON, else the first python3.11 or python3 that is one. It must be
# able to make virtual environments, which Debian has in a package of its own.
find_python() {
    local candidate attempt
    for attempt in 1 2; do
        for candidate in "${TRAINCHECK_PYTHON:-}" python3.11 python3 /usr/bin/python3.11; do
            [ -n "$candidate" ] || continue
            if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
                "$candidate" -c 'import sys; print(sys.executable)'
                return
            fi
        done
        if [ "$attempt" -eq 1 ]; then install_debian python3.11-venv || break; fi
    done
    echo "no CPython 3.11 with the venv module was found; install one or name it in TRAINCHECK_PYTHON" >&2
    return 1
}

# Prints the python of the virtual environment for tests/requirements.txt, making the environment first if it is
# not there. It is keyed by the requirements and the interpreter, and appears under its name only when complete.
venv_python() {
    local python key dir
    python=$(find_python)
    key=$( (cat "$root/tests/requirements.txt"; "$python" -VV; echo "$python") | sha256sum | cut -c1-16)
    dir=$cache/venv-$key
    if [ ! -x "$dir/bin/python" ] || [ ! -e "$dir/complete" ]; then
        say "making the Python environment $dir (PyTorch: several GB, minutes)"
        rm -rf "$dir"
        mkdir -p "$cache"
        "$python" -m venv "$dir" >&2
        "$dir/bin/pip" install --quiet --disable-pip-version-check -r "$root/tests/requirements.txt" >&2
        touch "$dir/complete"
    fi
    echo "$dir/bin/python"
}

# Where cargo puts the release build.
release_folder() { echo "${CARGO_TARGET_DIR:-$root/target}/release"; }

# Builds the agent and the command.
build_release() { (cd "$root" && cargo build --release --locked --quiet); }
