#!/bin/bash
# pythons.sh [VERSION…]: other CPythons (3.14 unless told; Debian's newest suite says which there are), to be run where they lie.
# Prints the path of each, for PYTHONS= of .ci/pythons and PYTHON= of make. No chroot: the interpreter is told where the libraries
# lie that belong to it, so it runs in this machine's own user space, with whatever namespaces that gives.
. "$(dirname "$0")/lib.sh"
need mmdebstrap mmdebstrap patchelf patchelf
arch=$(dpkg --print-architecture)
for version in "${@:-3.14}"; do
    root=$PLATFORMS/roots/python$version python=$PLATFORMS/pythons/python$version
    if [ ! -e "$python" ]; then
        grep -qx "Package: python$version-venv" "$(index sid "$arch")" || stop "Debian's newest suite has no CPython $version"
        make_root "python$version" sid "$arch" extract "python$version-venv,libstdc++6"
        binary=$root/usr/bin/python$version
        loader=$(find "$root/usr/lib" -name 'ld-linux*.so.*' | head -1)
        libraries=$(dirname "$(find "$root/usr/lib" -name libc.so.6 | head -1)")
        # for the libraries of what is installed later, too: the older kind of path, which what is loaded inherits
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$binary"
        # Debian's own wheels of pip are looked for where the distribution has them
        grep -lZ "'/usr/share/python-wheels" "$root/usr/lib/python$version"/_sysconfigdata*.py |
            xargs -0r sed -i "s,'/usr/share/python-wheels,'$root/usr/share/python-wheels,"
        find "$root/usr/lib/python$version" -name '_sysconfigdata*.pyc' -delete
        chmod 755 "$root"
        "$binary" -c 'import ssl, sqlite3, ctypes, ensurepip, zlib, lzma' || stop "$binary doesn't run here"
        ln -s "$binary" "$python"
    fi
    echo "$python"
done
