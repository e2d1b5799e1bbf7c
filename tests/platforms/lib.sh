# Sourced by the scripts beside it (see README.md). All that they make lies below $PLATFORMS; nothing else of the machine is changed.
set -euo pipefail
PLATFORMS=${PLATFORMS:-${TMPDIR:-/var/tmp}/reptarium-platforms}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$HERE/../.." && pwd)
mkdir -p "$PLATFORMS"/{roots,images,kernels,log,pythons}
chmod 755 "$PLATFORMS"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

stop() { echo "$*" >&2; exit 2; }

# need PROGRAM PACKAGE…: programs of this machine
need() {
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || stop "$1 is missing: apt-get install --no-install-recommends $2"
        shift 2
    done
}

# Where this machine's own packages come from (its apt configuration says so): any Debian suite is had from there
mirror() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | sed 's,/*$,,' | sort -u | head -1; }

# fetch PATH-BELOW-THE-MIRROR FILE: by apt's own helper, with apt's own proxies and certificates
fetch() { /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$(mirror)/$1" "$2" >/dev/null; }

# index SUITE ARCHITECTURE: the path of the suite's list of packages
index() {
    local out=$PLATFORMS/packages-$1-$2
    if [ ! -s "$out" ]; then
        fetch "dists/$1/main/binary-$2/Packages.xz" "$out.xz"
        xz -dc "$out.xz" >"$out.new"; rm "$out.xz"; mv "$out.new" "$out"
    fi
    echo "$out"
}

# package_file INDEX NAME: where the package lies below the mirror
package_file() { awk -v want="$2" '/^Package: /{p=$2} p==want && /^Filename: /{print $2; exit}' "$1"; }

# The newest suite's keys, so that every suite's signature is known
keyring() {
    local to=$PLATFORMS/keyring out=$PLATFORMS/keyring/all.gpg
    if [ ! -e "$out" ]; then
        mkdir -p "$to"
        fetch "$(package_file "$(index sid amd64)" debian-archive-keyring)" "$to/keyring.deb"
        dpkg-deb -x "$to/keyring.deb" "$to"; rm "$to/keyring.deb"
        ln -s "$(find "$to/usr/share/keyrings" -name 'debian-archive-keyring.[gp]*' | sort | head -1)" "$out"
    fi
    echo "$out"
}

# make_root NAME SUITE ARCHITECTURE VARIANT PACKAGES [OPTIONS…]: a directory tree with a Debian in it
make_root() {
    local name=$1 suite=$2 arch=$3 variant=$4 packages=$5 dir=$PLATFORMS/roots/$1
    shift 5
    [ -e "$dir/.made" ] && return
    need mmdebstrap mmdebstrap
    rm -rf "$dir"
    mmdebstrap --mode=root --variant="$variant" --architectures="$arch" --keyring="$(keyring)" "$@" \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
        --include="$packages" "$suite" "$dir" "deb $(mirror) $suite main" >"$PLATFORMS/log/root-$name.log" 2>&1 ||
        stop "$name wasn't made: $PLATFORMS/log/root-$name.log"
    touch "$dir/.made"
}

# in_root NAME COMMAND…: as root in that tree, with the network; /proc, /sys, /dev and mounts of its own
in_root() {
    local dir=$PLATFORMS/roots/$1 bundle=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
    shift
    cp "$bundle" "$dir/etc/ssl/certs/ca-certificates.crt"
    cp /etc/resolv.conf /etc/hosts "$dir/etc/"
    if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$dir/etc/pip.conf"; fi
    unshare -m -p -f --mount-proc sh -c '
        d=$1; shift
        mount --bind "$d" "$d"; mount -t proc proc "$d/proc"; mount --rbind /sys "$d/sys"; mount --rbind /dev "$d/dev"
        mount -t tmpfs tmpfs "$d/tmp"; mkdir -p "$d/run"; mount -t tmpfs tmpfs "$d/run"
        exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 \
            PIP_ROOT_USER_ACTION=ignore DEBIAN_FRONTEND=noninteractive chroot "$d" "$@"' sh "$dir" "$@"
}

# put_repo DIRECTORY: what is committed
put_repo() {
    rm -rf "$1"; mkdir -p "$1"
    git -C "$REPO" archive HEAD | tar -x -C "$1"
}
