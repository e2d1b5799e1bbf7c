#!/bin/bash
# vm.sh SUITE ARCHITECTURE [JOB]: a machine with that suite's kernel, emulated (no KVM is needed), runs a job of jobs/ (kernel unless
# told) and ends. What it said: $PLATFORMS/log/vm-SUITE-ARCHITECTURE.log. SLOWNESS: how much longer tests' limits are there (20).
# LIMIT: seconds (7200). TESTS: see the job. SMP, MEM: processors, MB. PAGES=16k: a kernel with such pages (arm64).
. "$(dirname "$0")/lib.sh"
suite=$1 arch=$2 job=${3:-kernel} name=$1-$2
case $arch in
amd64) emulator=qemu-system-x86_64 machine="q35 -cpu max" tty=ttyS0; need $emulator qemu-system-x86 ;;
arm64) emulator=qemu-system-aarch64 machine="virt,gic-version=3 -cpu max,pauth-impdef=on" tty=ttyAMA0; need $emulator qemu-system-arm ;;
*) stop "unknown architecture: $arch" ;;
esac
bash "$HERE/roots.sh" "$arch"
version=$(bash "$HERE/kernel.sh" "$suite" "$arch")
root=$PLATFORMS/roots/$arch image=$PLATFORMS/images/$arch.ext4 log=$PLATFORMS/log/vm-$name.log
if [ ! "$image" -nt "$root/.ready" ] || [ ! "$image" -nt "$HERE/guest-init" ]; then
    install -m 755 "$HERE/guest-init" "$root/platform-init"
    : >"$root/etc/resolv.conf"; printf '127.0.0.1 localhost\n' >"$root/etc/hosts"; echo machine >"$root/etc/hostname"
    mke2fs -q -t ext4 -d "$root" "$image.new" "$(($(du -sm "$root" | cut -f1) * 5 / 4 + 500))M"
    mv "$image.new" "$image"
fi
disk=$(mktemp -d "$PLATFORMS/job.XXXXXX"); trap 'rm -rf "$disk"' EXIT
put_repo "$disk/src"
cp "$HERE/jobs/$job.sh" "$disk/job.sh"; cp "$HERE/jobs/common.sh" "$disk/"
echo "export REPTARIUM_TEST_SLOWNESS=${SLOWNESS:-20} TESTS='${TESTS:-}'" >"$disk/environment"
tar -c -C "$disk" -f "$disk.tar" src job.sh common.sh environment; truncate -s %1M "$disk.tar"
trap 'rm -rf "$disk" "$disk.tar"' EXIT
# shellcheck disable=SC2086  # machine is several words
timeout -s KILL "${LIMIT:-7200}" $emulator -machine $machine -accel tcg,thread=multi -smp "${SMP:-1}" -m "${MEM:-3000}" \
    -nographic -no-reboot -net none -snapshot -kernel "$PLATFORMS/kernels/$version/vmlinuz" -initrd "$PLATFORMS/kernels/$version/initrd" \
    -append "console=$tty root=/dev/vda rw quiet panic=-1" \
    -drive file="$image",format=raw,if=virtio,cache=unsafe -drive file="$disk.tar",format=raw,if=virtio,cache=unsafe \
    </dev/null >"$log" 2>&1 || echo "the machine didn't end by itself" >>"$log"
tr -d '\r' <"$log" | grep -aE '^(RESULT|=====)' || true
grep -aq '^=====END 0' <(tr -d '\r' <"$log") || stop "$name: see $log"
