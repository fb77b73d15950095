#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A cross build for a host of the other byte order: the classifier is of that order, by the host's
# asm/types.h; where bpftool can't make it, configure says so. TAP. PB_SOURCE, PB_BUILD: as
# tests/prepare.sh writes them. No cross compiler: to configure, the host is what it is told, and
# what its compiler includes.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

# order OBJECT: 1 little endian, 2 big endian (EI_DATA, see elf(5))
order() { od -An -tu1 -j5 -N1 "$1" | tr -d ' '; }

variable() { sed -n "s/^$1 = //p" "$2/Makefile"; }

native=$(order "$PB_BUILD/bpf/tc_portbytes.bpf.o")
is "$native" "$(order "$PB_BUILD/plugin/.libs/load_error.o")" \
    "the classifier has the byte order of the plugin around it"
case $native in
1) other=2 host=aarch64_be-linux-gnu big_endian=yes target=bpfeb ;;
2) other=1 host=aarch64-linux-gnu big_endian=no target=bpfel ;;
*) echo "Bail out! the classifier's object in PB_BUILD isn't ELF"; exit 1 ;;
esac

# The host's compiler finds asm/types.h in a place of its own.
mkdir "$work"/{host,bin,build}
headers=$(variable BPF_INCLUDES "$PB_BUILD")
cp -RL "${headers#-idirafter }/asm" "$work/host/asm" # of a link gcc would tell the target
fake() { { echo '#!/bin/sh'; cat; } >"$work/bin/$1" && chmod 755 "$work/bin/$1"; }
fake cc <<END
exec $(variable CC "$PB_BUILD") -isystem "$work/host" "\$@"
END
# As bpftool is before and after it links objects of either byte order.
fake bpftool-old <<'END'
echo "libbpf: unsupported byte order of ELF file: no error" >&2
exit 161
END
fake bpftool-new <<'END'
case $2 in
object) exec cp "$4" "$3" ;;
skeleton) echo "/* $3 */" ;;
esac
END
fake collectd <<'END'
echo "    Plugin directory        /of/this/machine"
END

# configure_for BPFTOOL: configure's output is in said. --build, since what the compiler makes does
# run here, by which configure would take it for no cross build.
configure_for() {
    (cd "$work/build" && PATH=$work/bin:$PATH exec "$PB_SOURCE/configure" -q --host="$host" \
        --build="$("$PB_SOURCE/build-aux/config.guess")" \
        --with-collectd-headers="$(variable COLLECTD_INCLUDES "$PB_BUILD")" \
        ac_cv_c_bigendian=$big_endian PKG_CONFIG=pkg-config \
        CLANG="$(variable CLANG "$PB_BUILD")" CC="$work/bin/cc" \
        BPFTOOL="$work/bin/$1") >"$work/said" 2>&1 </dev/null
}

configure_for bpftool-old
ok $(($? == 0)) "configure refuses where bpftool can't link objects of the host's byte order"
is "$(grep -c '^configure: error: ' "$work/said")" 1 "by one sentence"
grep -q "^configure: error: .*bpftool-old can't link objects for $target; .*version 7\.6" \
    "$work/said"
ok $? "which names the byte order, and the version of bpftool that can"
[ ! -e "$work/build/Makefile" ]
ok $? "there is nothing to build by"

configure_for bpftool-new
ok $? "configure accepts one that can"
sed 's/^/# /' "$work/said"
is "$(variable BPF_INCLUDES "$work/build")" "-idirafter $work/host" \
    "asm/types.h is the one of the host's compiler"
# shellcheck disable=SC2016 # so it is in the Makefile
is "$(variable plugindir "$work/build")" '${libdir}/collectd' \
    "the plugin directory is not that of this machine's collectd"
make -s -C "$work/build" bpf/tc_portbytes.skel.h >"$work/said" 2>&1
is "$(order "$work/build/bpf/tc_portbytes.bpf.o")" $other "the classifier has the host's byte order"
sed 's/^/# /' "$work/said"
finish
