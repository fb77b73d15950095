#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# compile.sh DIRECTORY RELEASE CLANG...: the classifier as clang-CLANG of a Debian release
# compiles it, in a clean system of that release, with its headers, libbpf and bpftool. Of each:
#
#   DIRECTORY/RELEASE-CLANG/replay, rows, verify  of tests/packets, around the object; they run in
#                                                 /pb/objects/RELEASE-CLANG of a guest
#   DIRECTORY/RELEASE-CLANG/lib                   what they are linked with: libbpf of that release
#                                                 has a part in loading, see bpf/context.h
#   DIRECTORY/RELEASE-CLANG/version               what the compiler calls itself
#
# or, in place of these, DIRECTORY/RELEASE-CLANG/skip, the reason why there is no such compiler, or
# DIRECTORY/RELEASE-CLANG/failed, what it said.
#
# PB_SOURCE, PB_BUILD: as tests/prepare.sh writes them. PB_CACHE: where the systems are kept for
# the next run, with those of tests/packages.
# shellcheck source=tests/packages/lib.sh
. "${BASH_SOURCE[0]%/*}/../packages/lib.sh"
need_directory DIRECTORY "$1"
out=$directory release=$2
shift 2
compilers=("$@")

# result CLANG FILE TEXT
result() {
    mkdir -p "$out/$release-$1"
    printf '%s\n' "$3" >"$out/$release-$1/$2"
}

# skip_all REASON: for make_base, too
skip_all() {
    local compiler
    for compiler in "${compilers[@]}"; do result "$compiler" skip "$*"; done
    exit 0
}

# has CLANG: whether the system has it
has() { [ -x "$system/usr/bin/clang-$1" ]; }

# provide CLANG: installs it if there is such a package
provide() {
    has "$1" && return
    if ! $updated; then
        apt "$system" update >"$work/apt" 2>&1 ||
            skip_all "apt-get update failed in $release: $(tail -n 1 "$work/apt")"
        updated=true
    fi
    apt "$system" install "clang-$1" libbpf-dev bpftool >"$work/apt" 2>&1 && has "$1"
}

# compile CLANG: as Makefile.am does. What is missing of the output's files was not made.
compile() {
    local at=/classifier to=$out/$release-$1 flags
    flags=$(sed -n 's/^BPF_FLAGS = //p' "$PB_BUILD/Makefile")
    # shellcheck disable=SC2016 # $1 and so on are those of sh inside
    inside "$system" sh -ec 'cd "$1"
        types=$(echo "#include <asm/types.h>" | "clang-$2" -E - |
            sed -n "s|^# 1 \"\(.*\)/asm/types\.h\".*|\1|p" | sed 1q) # as in configure.ac
        "clang-$2" $3 -idirafter "$types" -Ibpf -ffile-prefix-map=./= \
            -c bpf/tc_portbytes.bpf.c -o unlinked.o
        bpftool gen object tc_portbytes.bpf.o unlinked.o
        bpftool gen skeleton tc_portbytes.bpf.o name tc_portbytes_bpf >bpf/tc_portbytes.skel.h
        for program in replay rows verify; do
            "clang-$2" -std=gnu11 -O2 -pthread -Ibpf "tests/packets/$program.c" -o "$program" \
                -lbpf -Wl,-rpath,"$4/lib" -Wl,--dynamic-linker="$4/lib/ld.so"
        done
        rm -rf lib
        mkdir lib
        ldd verify | sed -n "s|^\(.* => \)\{0,1\}[[:space:]]*\(/[^ ]*\) (.*|\2|p" |
            while read -r file; do
                case ${file##*/} in
                ld*) cp -L "$file" lib/ld.so ;;
                *) cp -L "$file" lib ;;
                esac
            done
        "clang-$2" --version | sed -n 1p >version' \
        sh "$at" "$1" "$flags" "/pb/objects/$release-$1" || return
    mkdir -p "$to"
    cp -R "$system$at"/{replay,rows,verify,lib,version} "$to"
}

updated=false
open_compilers "$release"
rm -rf "$system/classifier"
mkdir -p "$system/classifier/tests" && cp -R "$PB_SOURCE/bpf" "$system/classifier" &&
    cp -R "$PB_SOURCE"/tests/{packets,unit} "$system/classifier/tests" || exit
for compiler in "${compilers[@]}"; do
    rm -rf "$out/$release-$compiler"
    # An installation that was cut short would disturb the next one.
    rm -f "$cache/clang.complete"
    if ! provide "$compiler"; then
        result "$compiler" skip "clang-$compiler can't be installed in $release: $(tail -n 1 "$work/apt")"
        continue
    fi
    touch "$cache/clang.complete"
    compile "$compiler" >"$work/compile" 2>&1 ||
        result "$compiler" failed "$(tail -n 5 "$work/compile")"
done
