#!/bin/bash
# roots.sh [amd64|base|arm64]: the tree that machines of that architecture boot, Debian 13 with Reptarium's test dependencies in /venv.
# amd64: with systemd, Docker, Podman, and an installation in /opt/reptarium; base: the same, and what an image of ours is built of
# without a network. arm64: without running one aarch64 program here: packages are unpacked, wheels laid out.
. "$(dirname "$0")/lib.sh"
amd64() {
    make_root amd64 trixie amd64 minbase "$(tr -s ' \n' , <<P
ca-certificates systemd-sysv udev dbus dbus-user-session python3-venv procps iproute2 kmod util-linux uidmap make git docker.io docker-cli podman crun
slirp4netns passt fuse-overlayfs netavark aardvark-dns iptables apparmor
P
)"
    local dir=$PLATFORMS/roots/amd64 each
    [ -e "$dir/.ready" ] && return
    put_repo "$dir/src"
    in_root amd64 sh -c 'cd /src && python3 -m venv /venv && /venv/bin/pip install -q -c constraints.txt -e ".[test]" &&
        python3 -m venv /opt/reptarium && /opt/reptarium/bin/pip install -q -c constraints.txt ".[sentry]"' \
        >"$PLATFORMS/log/amd64.log" 2>&1 || stop "amd64 wasn't made: $PLATFORMS/log/amd64.log"
    grep -q '^alice:' "$dir/etc/passwd" || in_root amd64 useradd -m -u 1000 -s /bin/bash alice # for Podman without root
    for each in docker.service docker.socket containerd.service podman.service podman.socket apt-daily.timer apt-daily-upgrade.timer; do
        rm -f "$dir"/etc/systemd/system/*.wants/$each
    done
    touch "$dir/.ready"
}
# a stand-in for the base image that the Dockerfile names: Debian's own Python as `python`, pip set to wheels that lie in it
base() {
    local dir=$PLATFORMS/roots/amd64 base=$PLATFORMS/roots/base
    amd64
    [ -e "$dir/base.tar" ] && return
    in_root amd64 sh -c 'mkdir -p /wheels && cd /src && /venv/bin/pip wheel -q -c constraints.txt -w /wheels ".[sentry]" &&
        /venv/bin/pip download -q -d /wheels "setuptools>=77" wheel && rm /wheels/reptarium-*' >"$PLATFORMS/log/base.log" 2>&1 ||
        stop "the base image wasn't made: $PLATFORMS/log/base.log"
    make_root base trixie amd64 minbase ca-certificates,python3,python3-venv,python3-pip,tini
    ln -sf python3 "$base/usr/bin/python"
    mkdir -p "$base/wheels"; cp "$dir"/wheels/*.whl "$base/wheels/"
    printf '[global]\nno-index = true\nfind-links = /wheels\nbreak-system-packages = true\n' >"$base/etc/pip.conf"
    rm -rf "$base"/etc/apt/sources.list* "$base"/var/cache/apt/archives/*.deb
    tar -C "$base" --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -c -f "$dir/base.tar.new" .
    mv "$dir/base.tar.new" "$dir/base.tar"
}
arm64() {
    local dir=$PLATFORMS/roots/arm64 each packages
    [ -e "$dir/.ready" ] && return
    make_root arm64 trixie arm64 extract "$(tr -s ' \n' , <<P
base-files base-passwd bash dash coreutils util-linux mount tar gzip sed grep findutils gawk procps iproute2 kmod libc-bin login passwd tzdata
python3 python3-venv libstdc++6 netbase hostname perl-base ca-certificates debianutils diffutils
P
)" --skip=check/qemu
    for each in passwd group; do [ -e "$dir/etc/$each" ] || cp "$dir/usr/share/base-passwd/$each.master" "$dir/etc/$each"; done
    [ -e "$dir/usr/bin/awk" ] || ln -s gawk "$dir/usr/bin/awk"
    mkdir -p "$dir"/{proc,sys,dev,run,tmp,root,var/tmp}; chmod 1777 "$dir/tmp" "$dir/var/tmp"
    packages=$dir/venv/lib/python3.13/site-packages
    rm -rf "$dir/venv"; mkdir -p "$dir/venv/bin" "$packages"
    for each in python python3 python3.13; do ln -s /usr/bin/python3.13 "$dir/venv/bin/$each"; done
    printf 'home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.13\nexecutable = /usr/bin/python3.13\n' >"$dir/venv/pyvenv.cfg"
    python3 - "$REPO/pyproject.toml" >"$PLATFORMS/arm64.txt" <<'P'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
wanted = project["dependencies"] + project["optional-dependencies"]["test"]
print("\n".join(one for one in wanted if not one.startswith(("ruff", "mypy"))))
P
    python3 -m pip install -q --target "$packages" --only-binary=:all: --python-version 313 --implementation cp --abi cp313 --abi abi3 --abi none \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        -c "$REPO/constraints.txt" -r "$PLATFORMS/arm64.txt" >"$PLATFORMS/log/arm64.log" 2>&1 || stop "arm64 wasn't made: $PLATFORMS/log/arm64.log"
    printf '#!/venv/bin/python\nfrom reptarium.pool.cli.main import main\nraise SystemExit(main())\n' >"$dir/venv/bin/reptarium"
    chmod 755 "$dir/venv/bin/reptarium"
    touch "$dir/.ready"
}
need mke2fs e2fsprogs git git
for each in "${@:-amd64}"; do
    case $each in amd64 | base | arm64) "$each" ;; *) stop "unknown architecture: $each" ;; esac
done
