#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [SECONDS [TARGET...]]: what is parsed, fuzzed with libFuzzer under the address and
# undefined behaviour sanitizers, each target so long (15). TAP. PB_SOURCE, PB_BUILD: as
# tests/prepare.sh writes them. What a target broke on is kept in PB_LOGS (a directory of its own
# in TMPDIR), which nobody else may be able to change.
#
# PB_SEED (1): by hand 0, for one by the clock; as a test, the same inputs as far as time lets.
# A target's corpus/ says what inputs look like; tests/fuzz/run.sh 600 netlink goes deeper.
set -uo pipefail
# shellcheck source=tests/lib/directory.sh
. "$(cd "$(dirname "${BASH_SOURCE[0]}")/../lib" && pwd)/directory.sh"
# shellcheck source=tests/lib/tap.sh
. "${BASH_SOURCE[0]%/*}/../lib/tap.sh"
logs=
if [ -n "${PB_LOGS:-}" ]; then
    need_directory PB_LOGS "$PB_LOGS"
    logs=$directory
fi
cd "$PB_SOURCE" || exit 1
seconds=${1:-15}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(config netlink snapshot top)
declare -A sources=(
    [config]='plugin/config.c plugin/config_ports.c plugin/config_value.c plugin/groups.c
        plugin/port_option.c plugin/selection.c -lm
        -fno-sanitize-coverage=trace-cmp' # four times as fast: a range has up to 65,535 ports
    [snapshot]='plugin/array.c plugin/bar.c plugin/key_index.c plugin/ledger.c
        plugin/ledger_limits.c plugin/ledger_restore.c plugin/log_event.c plugin/series_name.c
        plugin/slots.c plugin/slots_reserve.c plugin/slots_restore.c plugin/snapshot.c
        plugin/tally.c -lm
        -fno-sanitize-coverage=trace-cmp' # ten times as fast: it looks at each of 196,608 ports
    [top]='plugin/top/print.c plugin/top/query.c plugin/top/seen.c plugin/top/table.c
        plugin/top/unixsock.c plugin/array.c -lm
        -Wl,--wrap=socket,--wrap=setsockopt,--wrap=connect,--wrap=close,--wrap=poll,--wrap=send
        -Wl,--wrap=recv,--wrap=clock_gettime,--wrap=getservbyport'
    [netlink]='plugin/netlink.c plugin/netlink_links.c plugin/netlink_route.c
        plugin/netlink_sockets.c plugin/array.c -lmnl'
)
declare -A longest=([top]=6000) # a line may be longer than tc_portbytes-top's buffer

work=$(mktemp -d)
kept=${logs:-$(mktemp -d)}
# Nothing found, nothing kept.
trap 'rm -rf "$work"; [ -n "$logs" ] || rmdir "$kept" 2>/dev/null' EXIT

# say STATUS NAME LOG
say() {
    ok "$1" "$2"
    [ "$1" -eq 0 ] || tail -n 30 "$3" | sed 's/^/# /'
}

works() {
    echo 'int LLVMFuzzerTestOneInput(const char *d, long s) { return d && s < 0; }' |
        clang -fsanitize=fuzzer,address,undefined -x c - -o "$work/works" 2>/dev/null
}

# What is missing is installed: clang, and its sanitizers, which Debian has in a package of
# clang's version since 12 and in clang's own library package before.
provide() {
    local major
    works && return
    command -v apt-get >/dev/null || return
    export DEBIAN_FRONTEND=noninteractive
    command -v clang >/dev/null ||
        apt-get install -qy --no-install-recommends clang >/dev/null 2>&1 </dev/null || return
    major=$(clang -dumpversion | cut -d. -f1)
    apt-get install -qy --no-install-recommends "libclang-rt-$major-dev" >/dev/null 2>&1 </dev/null ||
        apt-get install -qy --no-install-recommends "libclang-common-$major-dev" >/dev/null 2>&1 </dev/null
    works
}

if ! provide; then
    echo "1..0 # SKIP clang with libFuzzer is not here and can't be installed"
    exit 0
fi

flags=$(make -s -C "$PB_BUILD" print-flags)
read -ra flags <<<"$flags"

build() {
    # shellcheck disable=SC2086 # several words
    clang -std=gnu11 -g -O1 -Wall -Wextra -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=undefined -I"$PB_BUILD/bpf" "${flags[@]}" \
        "tests/fuzz/$1.c" ${sources[$1]} -o "$work/$1"
}

# fuzz TARGET: in a directory of its own; the corpus is read only
fuzz() {
    local artifacts=$kept/fuzz-$1-
    mkdir "$work/$1.new"
    # -timeout: of one input. 5 minutes of grace to end: a machine that does other things too.
    timeout -k 10 $((seconds + 300)) "$work/$1" -max_total_time="$seconds" -timeout=20 \
        -seed="${PB_SEED:-1}" \
        -max_len="${longest[$1]:-1200}" -print_final_stats=1 -artifact_prefix="$artifacts" \
        "$work/$1.new" "tests/fuzz/corpus/$1" >"$work/$1.log" 2>&1
    echo $? >"$work/$1.status"
}

# Two at a time.
running=0
for target in "${targets[@]}"; do
    if ! build "$target" >"$work/$target.log" 2>&1; then
        echo 1 >"$work/$target.status"
        continue
    fi
    [ $running -lt 2 ] || { wait -n && running=$((running - 1)); }
    fuzz "$target" &
    running=$((running + 1))
done
wait

for target in "${targets[@]}"; do
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log")
    say "$(cat "$work/$target.status")" \
        "$target: $seconds s of fuzzing find nothing" "$work/$target.log"
    echo "# $target: ${runs:-0} inputs," \
        "$(grep -o 'cov: [0-9]*' "$work/$target.log" | tail -n 1), corpus of $(find "tests/fuzz/corpus/$target" -type f | wc -l)"
    # A target that refuses everything at once would find nothing, too.
    [ "${runs:-0}" -gt 1000 ]
    say $? "$target: that were more than 1000 inputs" "$work/$target.log"
done
finish
