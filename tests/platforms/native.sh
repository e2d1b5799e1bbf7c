#!/bin/bash
# native.sh JOB: the tree of roots.sh with its own systemd as process 1 of namespaces of its own (mounts, pids, network with nothing
# but loopback, control groups v2 without controllers) on this machine's kernel: minutes where an emulated machine takes hours, for
# what doesn't depend on the kernel or on limits of control groups. The tree stays as it is (an overlay in memory takes what is written).
# The job is jobs/JOB.sh; what it said: $PLATFORMS/log/native-JOB.log. LIMIT: seconds (1800).
. "$(dirname "$0")/lib.sh"
job=$1 root=$PLATFORMS/roots/amd64 log=$PLATFORMS/log/native-$1.log
[ "$(id -u)" = 0 ] || stop "root is needed"
case $job in containers) bash "$HERE/roots.sh" base ;; *) bash "$HERE/roots.sh" amd64 ;; esac
groups=$(findmnt -n -o TARGET -t cgroup2 | head -1)
[ "$groups" ] || stop "no control groups v2 are mounted here"
dir=$(mktemp -d "$PLATFORMS/native.XXXXXX") group=$groups/reptarium-$$
mkdir "$group" "$dir/tree" "$dir/docker" "$dir/home" "$dir/out"
put_repo "$dir/src"
cp "$HERE/jobs/$job.sh" "$HERE/jobs/common.sh" "$HERE/brokerload.py" "$dir/"
cleanup() {
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
    rm -rf "$dir" 2>/dev/null || true
}
trap cleanup EXIT
export dir root job group
: >"$dir/out/log"
(
    echo $BASHPID >"$group/cgroup.procs"
    exec timeout -s KILL "${LIMIT:-1800}" unshare -m -p -f -u -i -n -C --kill-child=KILL bash -c '
    set -e
    mount --make-rprivate /
    mount -t tmpfs -o size=3g tmpfs "$dir/tree"; mkdir "$dir"/tree/{upper,work,root}; r=$dir/tree/root
    mount -t overlay overlay -o "lowerdir=$root,upperdir=$dir/tree/upper,workdir=$dir/tree/work" "$r"
    # Docker has an overlay of its own, which cannot lie on another
    mkdir -p "$r/var/lib/docker" "$r/home/alice" "$r/platform"; chown 1000:1000 "$dir/home"; chmod 755 "$dir" "$r"
    mount --bind "$dir/docker" "$r/var/lib/docker"; mount --bind "$dir/home" "$r/home/alice"
    mount -t proc proc "$r/proc"; mount -t sysfs sysfs "$r/sys"; mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$r/dev"
    for each in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0" "fuse 10 229"; do set -- $each; mknod -m 666 "$r/dev/$1" c $2 $3; done
    mkdir "$r"/dev/{pts,shm,net}; mount -t devpts -o newinstance,ptmxmode=666 devpts "$r/dev/pts"; ln -s pts/ptmx "$r/dev/ptmx"
    mount -t tmpfs tmpfs "$r/dev/shm"; mknod -m 666 "$r/dev/net/tun" c 10 200
    ln -s /proc/self/fd "$r/dev/fd"; for each in "0 stdin" "1 stdout" "2 stderr"; do set -- $each; ln -s fd/$1 "$r/dev/$2"; done
    mount -t tmpfs -o mode=755 tmpfs "$r/run"; mount -t tmpfs tmpfs "$r/tmp"
    rm -rf "$r/src"; cp -a "$dir/src" "$r/src"; cp "$dir"/*.sh "$dir/brokerload.py" "$r/platform/"
    mkdir "$r/platform/out"; mount --bind "$dir/out" "$r/platform/out"
    cat >"$r/etc/systemd/system/platform.service" <<U
[Unit]
After=basic.target
[Service]
Type=oneshot
Environment=HOME=/root LC_ALL=C.UTF-8
ExecStart=/bin/sh -c "bash /platform/$job.sh; echo =====END \$\$?; systemctl poweroff --force --force"
StandardOutput=append:/platform/out/log
StandardError=append:/platform/out/log
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
U
    mkdir -p "$r/etc/systemd/system/multi-user.target.wants"; ln -sf ../platform.service "$r/etc/systemd/system/multi-user.target.wants/"
    for each in systemd-udevd.service systemd-udev-trigger.service getty.target console-getty.service e2scrub_reap.service apparmor.service; do
        ln -sf /dev/null "$r/etc/systemd/system/$each"
    done
    ip link set lo up; hostname platform
    cd "$r"; mkdir -p .old; pivot_root . .old
    exec chroot . /bin/sh -c "umount -l /.old; rmdir /.old 2>/dev/null; mount --make-rshared /
        exec env -i container=reptarium PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init --log-target=console --show-status=1"' </dev/null >"$dir/console" 2>&1
) || true
cp "$dir/out/log" "$log"; cp "$dir/console" "$log.console"
grep -aE '^(RESULT|=====)' "$log" || true
grep -aq '^=====END 0' "$log" || stop "$job: see $log (and $log.console)"
