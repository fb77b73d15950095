#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What compilers and linters say, and the shape of the code: no cycles, no file over 400 lines. TAP.
# PB_SOURCE, PB_BUILD: as tests/prepare.sh writes them.
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tests/lib/tap.sh
. "$top/tests/lib/tap.sh"
style=$top/.clang-format # not copied to PB_SOURCE
cd "$PB_SOURCE" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check NAME TOOL PACKAGE COMMAND...: quiet and successful, or it fails; PACKAGE is installed
# if the tool is not there
check() {
    local name=$1 tool=$2 package=$3 output
    shift 3
    if ! command -v "$tool" >/dev/null && { ! command -v apt-get >/dev/null ||
        ! DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package" \
            >/dev/null 2>&1 </dev/null; }; then
        skip "$tool is not here and $package can't be installed" "$name"
        return
    fi
    if output=$("$@" 2>&1) && [ -z "$output" ]; then
        ok 0 "$name"
    else
        ok 1 "$name"
        echo "$output" | head -n 40 | sed 's/^/# /'
    fi
}

# The build's own preprocessor flags, from its Makefile.
flags=$(make -s -C "$PB_BUILD" print-flags)
read -ra flags <<<"$flags"
shopt -s nullglob
plugin=(plugin/*.c plugin/*/*.c)
sources=({plugin,plugin/*,bpf}/*.[ch])
units=(tests/unit/*.c tests/tools/*.c tests/packets/*.c tests/fuzz/*.c tests/bench/*.c)
# The benchmark's skeletons are not there after a plain make.
make -s -C "$PB_BUILD" bench-programs >/dev/null || exit 1
scripts=(conf/*.sh conf/packaging/*.sh conf/packaging/debian/{postrm,prerm} tests/*.sh tests/*/*.sh)

compile() {
    local compiler=$1 file
    shift
    for file in "${plugin[@]}" "${units[@]}"; do
        case $file in *.bpf.c) continue ;; esac
        "$compiler" -std=gnu11 -O2 -Wall -Wextra -Wshadow -Werror -I"$PB_BUILD/bpf" \
            -I"$PB_BUILD/tests/tools" -I"$PB_BUILD/tests/bench" "${flags[@]}" -c "$file" \
            -o /dev/null || return 1
    done
}

clang_tidy() {
    clang-tidy --quiet --warnings-as-errors='*' \
        --checks='-*,bugprone-*,clang-analyzer-*,performance-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-assignment-in-if-condition,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result,-clang-analyzer-security.insecureAPI.strcpy,-clang-analyzer-valist.Uninitialized' \
        "${plugin[@]}" -- -std=gnu11 -isystem "$PB_BUILD/bpf" "${flags[@]}" 2>&1 |
        grep -E '/plugin/([a-z_]+/)?[a-z_]+\.[ch]:[0-9]+:[0-9]+: (error|warning)' || true # not the generated skeleton
}

# A module is NAME.c, NAME.h and NAME_private.h, which its other files (NAME_restore.c) include.
module_of() {
    local name=${1%.[ch]}
    echo "${name%_private}"
}

# Module names, "USER USED" a line. Headers are looked up as by the preprocessor: in the directory
# of the file, then -Ibpf -Iplugin; others are not ours.
include_edges() {
    local file header directory user used
    for file in "${sources[@]}"; do
        user=$(module_of "$file")
        while read -r header; do
            for directory in "${file%/*}" bpf plugin; do
                [ -f "$directory/$header" ] || continue
                used=$(module_of "$(realpath --relative-to=. "$directory/$header")")
                [ "$user" = "$used" ] || echo "$user $used"
                break
            done
        done < <(sed -n 's/^[ \t]*#[ \t]*include[ \t]*[<"]\([^>"]*\)[>"].*/\1/p' "$file")
    done
}

# The same by the symbols that the built objects define and refer to.
symbol_edges() {
    local file objects=()
    for file in "${plugin[@]}"; do
        case $file in
        plugin/remove.c) ;; # a program, with a pb_log() of its own
        plugin/top/*) objects+=("${file%.c}.o") ;;
        *) objects+=("${file%/*}/.libs/$(basename "$file" .c).o") ;; # libtool's
        esac
    done
    (cd "$PB_BUILD" && nm -Ag "${objects[@]}") | awk -F '[: ]+' '
        { sub(/\.libs\//, "", $1); sub(/\.o$/, "", $1) }
        NF == 3 { users[$3] = users[$3] " " $1 }
        NF == 4 { definer[$4] = $1 }
        END {
            for (symbol in definer) {
                number = split(users[symbol], user, " ")
                for (i = 1; i <= number; i++)
                    if (user[i] != definer[symbol])
                        print user[i], definer[symbol]
            }
        }'
}

# no_cycle FUNCTION: quiet, or the members of each cycle of the graph that the function prints
no_cycle() {
    "$1" | sort -u >"$work/edges"
    [ -s "$work/edges" ] || echo "$1 found nothing"
    { tsort "$work/edges" >/dev/null; } 2>&1 |
        sed 's/^tsort: //; s/.*: input contains a loop:/cycle:/'
}

too_long() {
    wc -l "${sources[@]}" | awk '$1 > 400 && $2 != "total" { print $2 ": " $1 " lines" }'
}

# What has an interpreter is run by its name. (A copy in PB_SOURCE may have the mode of an older
# one; debian/postrm gets its from dpkg-deb.)
not_executable() {
    local script first
    for script in conf/*.sh tests/*.sh tests/*/*.sh; do
        IFS= read -r first <"$script"
        [[ $first != '#!'* || -x $top/$script ]] || echo "$script is not executable"
    done
}

check "gcc: no warning" gcc gcc compile gcc
check "clang: no warning" clang clang compile clang
check "clang-tidy: nothing to say" clang-tidy clang-tidy clang_tidy
check "cppcheck: nothing to say" cppcheck cppcheck cppcheck --quiet --error-exitcode=1 \
    --enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
    "-DLIBBPF_OPTS(type,name,...)=struct type name = {__VA_ARGS__}" -I bpf -I plugin "${plugin[@]}"
check "clang-format: nothing to change" clang-format clang-format clang-format --style="file:$style" --dry-run -Werror \
    "${sources[@]}" "${units[@]}" tests/{unit,fuzz,bench}/*.h
check "the include graph has no cycle" tsort coreutils no_cycle include_edges
check "the symbol graph has no cycle" nm binutils no_cycle symbol_edges
check "no file over 400 lines" wc coreutils too_long
check "every script can be run" chmod coreutils not_executable
check "shellcheck: nothing to say" shellcheck shellcheck shellcheck -x -S warning -P SCRIPTDIR "${scripts[@]}"
finish
