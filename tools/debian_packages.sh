#!/bin/sh
# Sees to it that the Debian packages of some stages are there: tools/debian_packages.sh build [test] [bench]
#
# debian-packages.txt lists them. What is missing is installed with apt-get, through sudo when that is needed.
# Fails, naming what is missing, when it cannot be installed.
set -eu

cd "$(dirname "$0")/.."
# One at a time, for apt-get does not wait for another one.
if command -v flock >/dev/null; then
    exec 9<tools/debian_packages.sh
    flock 9
fi
PYTHON=${PYTHON:-python3}
export PYTHON
# Debian keeps servers here, and does not have it in everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

is_there() { # package probe
    if [ -n "$2" ] && sh -c "$2" >/dev/null 2>&1; then
        return 0
    fi
    [ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

missing=
for wanted in "$@"; do
    while read -r stage package probe; do
        if [ "$stage" = "$wanted" ] && ! is_there "$package" "$probe"; then
            case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
        fi
    done <debian-packages.txt
done
missing=${missing# }
[ -n "$missing" ] || exit 0

give_up() {
    echo "error: these Debian packages are needed and $1: $missing" >&2
    echo "       install them yourself: apt-get install $missing" >&2
    exit 1
}

command -v apt-get >/dev/null || give_up "there is no apt-get here"
as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || give_up "installing them needs root or sudo"
    as_root="sudo"
fi
echo "== installing Debian packages: $missing"
$as_root apt-get update -q || give_up "apt-get update failed"
# shellcheck disable=SC2086  # a list of words is meant
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing ||
    give_up "apt-get could not install them"
