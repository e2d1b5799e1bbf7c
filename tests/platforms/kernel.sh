#!/bin/bash
# kernel.sh SUITE [ARCHITECTURE]: the kernel of a Debian suite (bullseye 5.10, bookworm 6.1, trixie 6.12, sid the newest) with an
# initramfs of ours, which loads what an ext4 disk takes and hands over. Prints its version.
. "$(dirname "$0")/lib.sh"
need depmod kmod cpio cpio
suite=$1 arch=${2:-amd64} list=$(index "$1" "${2:-amd64}")
depends() { awk -v want="$1" '/^Package: /{p=$2} p==want && /^(Pre-)?Depends: /{for(i=2;i<=NF;i++) if($i ~ /^linux-(modules|binary|image)/) print $i}' "$list" | tr -d ,; }
package=$(depends "linux-image-$arch" | head -1)
version=${package#linux-image-} out=$PLATFORMS/kernels/${package#linux-image-}
if [ ! -e "$out/initrd" ]; then
    tree=$(mktemp -d "$PLATFORMS/kernel.XXXXXX") start=$PLATFORMS/initrd.$$
    trap 'rm -rf "$tree" "$start"' EXIT
    mkdir -p "$out" "$start"/{bin,m,proc,sys,dev,new}
    for each in "$package" $(depends "$package") busybox-static; do
        file=$(package_file "$list" "$each"); [ -n "$file" ] || continue
        fetch "$file" "$tree/package.deb"; dpkg-deb -x "$tree/package.deb" "$tree/x"; rm "$tree/package.deb"
    done
    # older suites have /lib beside /usr/lib
    [ ! -d "$tree/x/lib/modules" ] || { mkdir -p "$tree/x/usr/lib"; mv "$tree/x/lib/modules" "$tree/x/usr/lib/"; }
    rm -rf "$tree/x/lib"; ln -s usr/lib "$tree/x/lib"
    cp "$(find "$tree/x" -name 'vmlinuz*' -type f | head -1)" "$out/vmlinuz"
    cp "$(find "$tree/x" -path '*/bin/busybox' -type f | head -1)" "$start/bin/busybox"
    depmod -b "$tree/x" "$version"
    for each in virtio_pci virtio_mmio virtio_blk crc32c_generic ext4; do # what is built in, or no module any more, is left out
        modprobe -d "$tree/x" -S "$version" --show-depends "$each" 2>/dev/null | awk '$1=="insmod"{print $2}' || true
    done | awk '!seen[$0]++' | while read -r file; do
        name=$(basename "$file")
        case $name in
        *.xz) name=${name%.xz}; xz -dc "$file" >"$start/m/$name" ;;
        *.zst) name=${name%.zst}; zstd -qdc "$file" >"$start/m/$name" ;;
        *) cp "$file" "$start/m/" ;;
        esac
        echo "$name"
    done >"$start/order"
    cat >"$start/init" <<'I'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc; /bin/busybox mount -t sysfs sysfs /sys; /bin/busybox mount -t devtmpfs dev /dev
while read module; do /bin/busybox insmod /m/$module; done </order
i=0; while [ ! -b /dev/vda ] && [ $i -lt 300 ]; do /bin/busybox sleep 0.2; i=$((i+1)); done
/bin/busybox mount -t ext4 /dev/vda /new || exec /bin/busybox poweroff -f
for each in proc sys dev; do /bin/busybox mount --move /$each /new/$each; done
exec /bin/busybox switch_root /new /platform-init
I
    chmod 755 "$start/init"
    (cd "$start" && find . | cpio -o -H newc --quiet | gzip -1) >"$out/initrd"
fi
echo "$version"
