# Shared by the scripts beside it: where things live, and how what is missing gets installed. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/traincheck

say() { printf '\n== %s\n' "$*" >&2; }

# need_debian COMMAND PACKAGE: installs PACKAGE where COMMAND is not on the PATH.
need_debian() {
    command -v "$1" >/dev/null 2>&1 && return
    say "installing the Debian package $2 (for $1)"
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

# The CPython 3.11 to train with: TRAINCHECK_PYTHON, else the first python3.11 or python3 that is one.
find_python() {
    local candidate
    for candidate in "${TRAINCHECK_PYTHON:-}" python3.11 python3 /usr/bin/python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
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
