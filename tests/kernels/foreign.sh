#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# foreign.sh DIRECTORY RELEASE ARCHITECTURE [--unit]: what a guest of another architecture of
# Debian's is to run, cross-built in a clean system of that release, with that architecture's
# libraries. In DIRECTORY:
#
#   payload/   for boot.sh: /pb/tc_portbytes.so, /pb/tools, /pb/objects/own-CLANG, /pb/env
#   version    the compilers
#
# or, in place of these, skip, why it can't be built here, or failed, what was said. With --unit the
# unit tests are built, too, and run by qemu-user, which is no test of memory order: an emulator on
# x86-64 keeps that one's.
#
#   unit       what guest-tests.sh says of them, or unit-skip, why they can't be run
#
# PB_SOURCE: as tests/prepare.sh writes it. PB_CACHE: where the system is kept for the next run; it
# is the one of compile.sh.
# shellcheck source=tests/packages/lib.sh
. "${BASH_SOURCE[0]%/*}/../packages/lib.sh"
need_directory DIRECTORY "$1"
out=$directory release=$2 arch=$3 unit=${4-}
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)

skip_all() {
    printf '%s\n' "$*" >"$out/skip"
    exit 0
}

# The GNU name of its compiler and libraries (https://wiki.debian.org/Multiarch/Tuples), and what
# qemu-user calls it.
case $arch in
arm64) triplet=aarch64-linux-gnu emulator=qemu-aarch64 ;;
armhf) triplet=arm-linux-gnueabihf emulator=qemu-arm ;;
s390x) triplet=s390x-linux-gnu emulator=qemu-s390x ;;
riscv64) triplet=riscv64-linux-gnu emulator=qemu-riscv64 ;;
ppc64el) triplet=powerpc64le-linux-gnu emulator=qemu-ppc64le ;;
*) skip_all "Debian has no architecture $arch that this script knows" ;;
esac
case $release in
bookworm) clang=clang-14 qemu=qemu-user-static emulator+=-static ;;
sid) clang=clang-21 qemu=qemu-user ;;
*) clang=clang-19 qemu=qemu-user ;; # static, too
esac
packages=("$clang" bpftool libbpf-dev make pkgconf "gcc-$triplet"
    libbpf-dev:"$arch" libelf-dev:"$arch" libmnl-dev:"$arch")
bpftool=bpftool unpacked=(collectd-dev)
if [ "$arch" = s390x ] && [ "$release" != sid ]; then
    # bpftool makes objects of its own byte order only, before 7.6: the one of s390x is run.
    packages+=("$qemu" libcap2:s390x)
    unpacked+=(bpftool:s390x)
    bpftool=/cross/s390x/bpftool
fi

# complete: whether the system has all of them
complete() {
    [ -e "$system/cross/$arch/complete" ] && [ "$(<"$system/cross/$arch/complete")" = "${packages[*]}" ]
}

provide() {
    local to=/cross/$arch
    mkdir -p "$system$to/debs"
    inside "$system" dpkg --add-architecture "$arch" && apt "$system" update &&
        apt "$system" install "${packages[@]}" || return
    # collectd-dev wants collectd-core, which is not for building.
    # shellcheck disable=SC2016 # of sh inside
    inside "$system" sh -ec 'cd "$1/debs"
        shift
        apt-get -q -o APT::Sandbox::User=root download "$@"
        for deb in *.deb; do dpkg -x "$deb" ..; done' sh "$to" "${unpacked[@]}" || return
    rm -rf "$system$to/debs"
    printf '#!/bin/sh\nexec %s %s/usr/sbin/bpftool "$@"\n' "$emulator" "$to" >"$system$to/bpftool"
    chmod 755 "$system$to/bpftool"
    echo "${packages[*]}" >"$system$to/complete"
}

build() {
    # shellcheck disable=SC2016 # of sh inside
    inside "$system" sh -ec 'cd "/cross/$1/build"
        ../../source/configure -q --host="$2" --with-collectd-headers="/cross/$1/usr/include" \
            --with-plugin-dir=/usr/lib/collectd CLANG="$5" BPFTOOL="$3" PKG_CONFIG=pkg-config \
            PKG_CONFIG_LIBDIR="/usr/lib/$2/pkgconfig:/usr/share/pkgconfig"
        make -s -j2 all
        make -s -j2 test-tools # which include what the first one makes
        [ -z "$4" ] || make -s -j2 check TESTS=' sh "$arch" "$triplet" "$bpftool" "$unit" "$clang"
}

# take: what the guest gets of it
take() {
    local from=$system/cross/$arch/build to=$out/payload/pb f own
    own=own-$(clang_version | sed 's/.*version \([0-9]*\).*/\1/')
    mkdir -p "$to/tools" "$to/objects/$own"
    cp "$from/.libs/tc_portbytes.so" "$to/" &&
        find "$from/tests/tools" -maxdepth 1 -type f -perm -u+x -exec cp -t "$to/tools" {} + &&
        cp "$from"/tests/tools/.libs/*.so "$from/tc_portbytes-remove" "$to/tools/" &&
        cp "$from"/tests/packets/{replay,rows,verify} "$to/objects/$own/" || return
    printf 'export %s=%q\n' PB_PLUGIN /pb/tc_portbytes.so PB_TOOLS /pb/tools \
        PB_COLLECTD /usr/sbin/collectd PB_COLLECTD_PLUGINS /usr/lib/collectd \
        PB_TYPESDB /usr/share/collectd/types.db >"$to/env"
    for f in "$to"/tools/* "$to/objects/$own"/*; do
        ! is_native "$f" || { echo "$f is of this machine's architecture"; return 1; }
    done
}

# is_native FILE: e_machine is this machine's, see elf(5)
is_native() { cmp -s -i 18 -n 2 "$1" /proc/self/exe; }

clang_version() { inside "$system" "$clang" --version | sed -n 1p; }

# As they do not write in the system, others may have it meanwhile: they take minutes. The emulator
# is static, and finds the libraries by -L, so it needs no chroot and no binfmt_misc.
run_unit_tests() {
    local test arguments
    apt "$system" install "$qemu" >"$work/log" 2>&1 || {
        echo "$qemu can't be installed in $release: $(tail -n 1 "$work/log")" >"$out/unit-skip"
        return
    }
    mkdir "$work/unit" && find "$system/cross/$arch/build/tests/unit" -name 'test_*' -type f \
        -perm -u+x -exec cp -t "$work/unit" {} + || return
    exec 9>&-
    for test in "$work/unit"/test_*; do
        arguments=
        # A million take ten minutes.
        [ "${test##*/}" != test_slots_stress ] || arguments="packets=50000"
        echo "exec '$system/usr/bin/$emulator' -L '$system' '$test' $arguments" >"$test.sh"
    done
    (cd "$work/unit" && PB_TESTS=$work/unit PB_SCRIPT_TIMEOUT=1200 \
        bash "$here/guest-tests.sh" test_*.sh >"$out/unit" 2>"$work/log") || :
}

open_compilers "$release"
if ! complete; then
    rm -f "$cache/clang.complete"
    provide >"$work/log" 2>&1 ||
        skip_all "the compiler for $arch, or its libraries, can't be installed: $(tail -n 1 "$work/log")"
    touch "$cache/clang.complete"
fi
rm -rf "$system/cross/source" "$system/cross/$arch/build"
mkdir "$system/cross/$arch/build"
cp -a "$PB_SOURCE" "$system/cross/source" || exit # with its times, or make calls automake
if ! { build && take; } >"$work/log" 2>&1; then
    tail -n 30 "$work/log" >"$out/failed"
    exit
fi
echo "$(inside "$system" "$triplet-gcc" --version | sed -n 1p), $(clang_version)" >"$out/version"
[ -z "$unit" ] || run_unit_tests
