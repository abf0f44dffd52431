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

# find_python 3.MINOR: an interpreter of that version which can make virtual environments. TRAINCHECK_PYTHON comes
# first, then the PATH, then what pyenv has. 3.11, which everything needs, is installed from Debian's packages where
# there is none; fails without a word where another is missing.
find_python() {
    local version=$1 candidate attempt
    for attempt in 1 2; do
        for candidate in "${TRAINCHECK_PYTHON:-}" "python$version" python3 "/usr/bin/python$version" \
            "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
            [ -n "$candidate" ] || continue
            if "$candidate" -c 'import ensurepip, sys, sysconfig, venv
v = tuple(map(int, sys.argv[1].split(".")))
sys.exit(sys.version_info[:2] != v or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))' "$version" 2>/dev/null; then
                "$candidate" -c 'import sys; print(sys.executable)'
                return
            fi
        done
        [ "$version" = 3.11 ] && [ "$attempt" -eq 1 ] && install_debian python3.11-venv || break
    done
    return 1
}

# The installer of Python packages: it links files from one cache, so that several environments with the same
# packages, gigabytes each, cost the disk and the network little more than one.
uv_command() {
    local version=0.9.11 dir
    dir=$cache/uv-$version
    if [ ! -e "$dir/complete" ]; then
        rm -rf "$dir"
        mkdir -p "$cache"
        "$(find_python 3.11)" -m venv "$dir" >&2
        "$dir/bin/pip" install --quiet --disable-pip-version-check "uv==$version" >&2
        touch "$dir/complete"
    fi
    echo "$dir/bin/uv"
}

# venv_python [ENVIRONMENT]: prints the python of the virtual environment for tests/environments/ENVIRONMENT.txt,
# making the environment first if it is not there. It is keyed by the requirements and the interpreter, and appears
# under its name only when complete. ENVIRONMENT begins with py3MINOR.
venv_python() {
    local environment=${1:-py311-torch2.9} requirements python version key dir uv
    requirements=$root/tests/environments/$environment.txt
    version=${environment#py3} version=3.${version%%-*}
    if ! python=$(find_python "$version"); then
        echo "no CPython $version with the venv module was found; install one or name it in TRAINCHECK_PYTHON" >&2
        return 1
    fi
    key=$( (cat "$requirements"; "$python" -VV; echo "$python") | sha256sum | cut -c1-16)
    dir=$cache/venv-$key
    if [ ! -x "$dir/bin/python" ] || [ ! -e "$dir/complete" ]; then
        say "making the Python environment $dir for $environment (PyTorch: several GB, minutes)"
        uv=$(uv_command)
        rm -rf "$dir"
        "$python" -m venv --without-pip "$dir" >&2
        # The tests write no bytecode, so without this each of their many starts would compile all of PyTorch.
        UV_CACHE_DIR=$cache/uv-cache "$uv" pip install --quiet --compile-bytecode --python "$dir/bin/python" -r "$requirements" >&2
        touch "$dir/complete"
    fi
    echo "$dir/bin/python"
}

# Where cargo puts the release build.
release_folder() { echo "${CARGO_TARGET_DIR:-$root/target}/release"; }

# Builds the agent and the command.
build_release() { (cd "$root" && cargo build --release --locked --quiet); }
