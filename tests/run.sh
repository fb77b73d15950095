#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [--quick] [--dir DIR] [LAYER...]: builds everything and runs the tests, in layers;
# installs what they need. Ends with "N passed, N failed, N skipped".
#
#   unit      without privileges
#   sanitize  the unit tests, and the plugin in a real collectd, under the address, undefined
#             behaviour and leak sanitizers
#   fuzz      what is parsed, with libFuzzer, 15 s each
#   lint      compilers, clang-tidy, cppcheck, shellcheck, clang-format; modules without cycles;
#             the docs agree
#   system    a real collectd in network namespaces, attached by tcx
#   clsact    the same by clsact, as on kernels before 6.6
#   try       conf/try.sh --demo; directories that others could change are refused, and releases
#             that are too old; a cross build to the other byte order
#   packets   packet by packet against an independent reader, other people's captures; what
#             the benchmark compares does count
#   stacks    what real servers have in the end: RRD, Graphite, InfluxDB, Prometheus,
#             VictoriaMetrics, collectd; alerts
#   dashboards  Grafana's, against the types of @grafana/schema, which needs npm
#   packages  the Debian package, built and installed in clean systems of two releases; the RPM
#   service   conf/systemd.conf in force: systemd runs Debian's collectd under it
#   guests    only if named: the same on other kernels, in qemu
#   kernels   the packets and the system tests on other kernels, in qemu; a cross build for arm64
#   architectures
#             only if named: cross builds for Debian's other architectures, their unit tests by
#             qemu-user, packets and system tests on their kernels; PB_ARCHITECTURES selects, e.g.
#             "arm64 s390x" (trixie's), "6.1-s390x" (bookworm's) or "7.3-s390x" (sid's)
#   compilers only if named: the packets past the classifier of each compiler on each kernel
#   dist      make distcheck
#   soak      everything at once for PB_SOAK (10) minutes: does anything add up?
#
# The layer kernels takes the most time, nearly all of it the processor's, and those behind it
# mostly wait: they run beside it.
#
# --quick: the layers of a few minutes only. --dir: where to build and to keep logs.
# PB_CACHE (/var/cache/tc_portbytes): where kernels, captures and packages are kept for the next
# run.
# Both must be root's on the whole way, see tests/lib/directory.sh.
set -uo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname "$tests")
# shellcheck source=tests/lib/directory.sh
. "$top/tests/lib/directory.sh"
all="unit sanitize fuzz lint dashboards dist packages packets kernels system clsact try stacks"
all+=" service soak"
quick="unit sanitize fuzz lint system clsact try"
named="architectures compilers guests"

layers=()
dir=
made=       # the directory, if nobody named one
beside=     # the layer that runs in the background
beside_pid= # its process group
again=() # what failed and is to be run once more
while [ $# -gt 0 ]; do
    case $1 in
    --quick) read -ra layers <<<"$quick" ;;
    --dir)
        dir=${2:?--dir wants a directory}
        shift
        ;;
    -*)
        echo "usage: run.sh [--quick] [--dir DIR] [LAYER...]; layers: $all $named" >&2
        exit 2
        ;;
    *)
        if [[ " $all $named " != *" $1 "* ]]; then
            echo "run.sh: there is no layer $1; layers: $all $named" >&2
            exit 2
        fi
        layers+=("$1")
        ;;
    esac
    shift
done
[ ${#layers[@]} -gt 0 ] || read -ra layers <<<"$all"

if [ "$(id -u)" -ne 0 ]; then
    echo "run.sh: only root can load a classifier and make namespaces: sudo tests/run.sh" >&2
    exit 1
fi

need_directory PB_CACHE "${PB_CACHE:-/var/cache/tc_portbytes}"
export PB_CACHE=$directory
# shellcheck disable=SC2317 # called by the trap
cleanup() {
    if [ -n "$beside_pid" ]; then
        kill -TERM -- "-$beside_pid" 2>/dev/null
        wait "$beside_pid"
    fi
    [ -z "$made" ] || rm -rf "$made"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "$dir" ]; then
    dir=$(mktemp -d /var/tmp/tc_portbytes-tests.XXXXXX) || exit 1
    chmod 755 "$dir" # the tests without privileges load the plugin from there
    made=$dir
fi
need_directory --dir "$dir"
dir=$directory
export PB_LOGS=$dir/logs
mkdir -p "$PB_LOGS"
# Debian's own tools, not a user's.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL=C

passed=0
failed=0
skipped=0

# run_tap NAME COMMAND...: runs a test that prints TAP, shows and counts what it says. With
# PB_RETRY=1 one that fails is run once more, aloud, when all others have ended, and the second
# run counts: for machines whose timing is not their own. run_once: not even then. Guests take too
# long for that: kernels/run.sh itself repeats what failed in one.
run_tap() {
    local before=$failed good_before=$passed skips_before=$skipped name value settings=
    run_once "$@"
    if [ "${PB_RETRY:-0}" = 1 ] && [ "$failed" -gt "$before" ]; then
        echo "== $1 failed; once more at the end"
        failed=$before passed=$good_before skipped=$skips_before
        for name in PB_HOOK PB_PLUGIN ASAN_OPTIONS; do
            value=${!name-}
            settings+="$name=${value@Q} "
        done
        again+=("$settings run_once ${*@Q}")
    fi
}

run_once() {
    local name=$1 status output=$PB_LOGS/$1.tap good bad skips plan seen began=$SECONDS
    shift
    echo "== $name"
    "$@" 2>&1 </dev/null | tee "$output" | grep --line-buffered -v '^ok [0-9]* - [^#]*$'
    status=${PIPESTATUS[0]}
    skips=$(grep -c '^ok .*# SKIP' "$output")
    good=$(($(grep -c '^ok ' "$output") - skips))
    bad=$(grep -c '^not ok ' "$output")
    plan=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$output" | tail -n 1)
    seen=$((good + skips + bad))
    # A whole layer that says it can't run: one skip.
    if [ "$plan" = 0 ] && grep -q '^1\.\.0 # SKIP' "$output"; then
        skips=$((skips + 1))
    elif [ "$plan" != "$seen" ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        echo "not ok - $name ended with status $status after $seen of ${plan:-an unknown number of} tests"
        bad=$((bad + 1))
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + skips))
    echo "== $name: $good passed, $bad failed, $skips skipped, $((SECONDS - began)) s"
}

# one_test NAME COMMAND...: a command as TAP, its output as diagnostics
one_test() {
    local name=$1 status
    shift
    "$@" 2>&1 | sed 's/^/# /'
    status=${PIPESTATUS[0]}
    if [ "$status" -eq 0 ]; then echo "ok 1 - $name"; else echo "not ok 1 - $name"; fi
    echo "1..1"
    return "$status"
}

build() {
    "$top/tests/prepare.sh" "$dir/work" "$@" || return 1
    # shellcheck source=/dev/null
    . "$dir/work/env"
    export PB_SOURCE PB_BUILD PB_PLUGIN PB_COLLECTD PB_COLLECTD_PLUGINS PB_TYPESDB PB_BPFTOOL
    make -s -C "$PB_BUILD" -j"$(nproc)" check TESTS= >"$PB_LOGS/build" 2>&1 || {
        tail -n 30 "$PB_LOGS/build"
        return 1
    }
    # The compiled tools, without libtool's wrappers.
    PB_TOOLS=$dir/work/tools
    mkdir -p "$PB_TOOLS"
    find "$PB_BUILD/tests/tools" -maxdepth 1 -type f -perm -u+x -exec cp -t "$PB_TOOLS" {} +
    cp "$PB_BUILD"/tests/tools/.libs/*.so "$PB_BUILD/tc_portbytes-remove" "$PB_TOOLS"
    export PB_TOOLS
    PATH=${PB_BPFTOOL%/*}:$PATH
}

layer_unit() {
    local test
    for test in "$PB_BUILD"/tests/unit/test_*; do
        [ -x "$test" ] && [ -f "$test" ] && run_tap "unit-${test##*/test_}" "$test"
    done
}

layer_sanitize() {
    local test flags='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined'
    mkdir -p "$dir/sanitize"
    (cd "$dir/sanitize" && "$PB_SOURCE/configure" -q --with-collectd-headers="$(headers)" \
        --with-plugin-dir=/nowhere BPFTOOL="$PB_BPFTOOL" CFLAGS="$flags" &&
        make -s -j"$(nproc)" check TESTS=) >"$PB_LOGS/sanitize-build" 2>&1 || {
        run_tap sanitize-build one_test "the sanitizer build" tail -n 20 "$PB_LOGS/sanitize-build"
        failed=$((failed + 1))
        return
    }
    for test in "$dir"/sanitize/tests/unit/test_*; do
        [ -x "$test" ] && [ -f "$test" ] &&
            ASAN_OPTIONS=detect_leaks=1 run_tap "sanitize-${test##*/test_}" "$test"
    done
    PB_PLUGIN=$dir/sanitize/.libs/tc_portbytes.so run_tap sanitize-collectd \
        "$tests/sanitize/collectd.sh"
}

# The directory of collectd's headers that the build was configured with.
headers() {
    sed -n 's/^COLLECTD_INCLUDES = //p' "$PB_BUILD/Makefile"
}

layer_fuzz() {
    run_tap fuzz "$tests/fuzz/run.sh"
}

layer_lint() {
    run_tap lint "$tests/check/lint.sh"
    run_tap docs "$tests/check/docs.sh"
}

# run_all NAME: the scripts of the directory; lib.sh is for sourcing
run_all() {
    local test
    for test in "$tests/$1"/*.sh; do
        test=${test##*/}
        [ "$test" = lib.sh ] || run_tap "$1-${test%.sh}" "$tests/$1/$test"
    done
}

layer_system() {
    run_all system
}

# hotplug.sh takes minutes, and a kernel without tcx runs it in the layer kernels.
layer_clsact() {
    local test
    for test in count coexist qdisc many shared rows persist pins heal killed privileges \
        remove; do
        PB_HOOK=clsact run_tap "clsact-$test" "$tests/system/$test.sh"
    done
}

layer_try() {
    run_tap directories "$tests/check/directories.sh"
    run_tap release "$tests/check/release.sh"
    run_tap cross "$tests/check/cross.sh"
    run_tap try one_test "conf/try.sh --demo: what was sent is what was counted" \
        "$top/conf/try.sh" --demo --dir "$dir/try"
}

layer_packets() {
    run_tap packets "$tests/packets/differential.sh"
    run_tap bench "$tests/bench/check.sh"
}

layer_stacks() {
    run_all stacks
}

layer_dashboards() {
    run_tap dashboards "$tests/dashboards/schema.sh"
}

layer_packages() {
    run_all packages
}

layer_service() {
    run_tap service "$tests/service/unit.sh"
}

layer_guests() {
    run_once guests "$tests/service/guests.sh"
}

layer_kernels() {
    run_once kernels "$tests/kernels/run.sh"
}

layer_architectures() {
    local one series=()
    for one in ${PB_ARCHITECTURES:-arm64 armhf riscv64 7.3-s390x 7.3-ppc64el}; do
        case $one in
        *-*) series+=("$one") ;;
        *) series+=("6.12-$one") ;;
        esac
    done
    # Guests of some architectures have no JIT compiler for BPF: the classifier is interpreted.
    PB_KERNELS=${series[*]} PB_UNIT=1 PB_BOOT_TIMEOUT=7200 PB_SCRIPT_TIMEOUT=1800 \
        PB_SCRIPTS="system/{count,recycle,persist}.sh kernels/{atomics,packets}.sh" \
        run_once architectures "$tests/kernels/run.sh"
}

layer_compilers() {
    PB_COMPILERS="bookworm:14 bookworm:16 trixie:19 sid:21" PB_KERNELS="6.1 6.12 6.18 7.3" \
        PB_SCRIPTS=kernels/packets.sh run_once compilers "$tests/kernels/run.sh"
}

layer_dist() {
    # All else is built by gcc.
    run_tap dist one_test "make distcheck, by clang" \
        make -s -C "$PB_BUILD" distcheck \
        DISTCHECK_CONFIGURE_FLAGS="CC=$(sed -n 's/^CLANG = //p' "$PB_BUILD/Makefile")"
}

layer_soak() {
    run_tap soak "$tests/soak.sh" "${PB_SOAK:-10}"
}

run_beside() {
    passed=0 failed=0 skipped=0
    renice -n 10 "$BASHPID" >/dev/null
    "layer_$beside"
    echo "$passed $failed $skipped" >"$PB_LOGS/$beside.counts"
}

# start_beside LAYER: in the background, and out of the way of what is timed. No run_tap in it: what
# failed there would not be run again.
start_beside() {
    beside=$1
    rm -f "$PB_LOGS/$beside.counts"
    echo "== $beside: runs beside the others, shown when they have ended"
    set -m # a process group of its own, for cleanup
    run_beside >"$PB_LOGS/$beside.out" 2>&1 &
    set +m
    beside_pid=$!
}

finish_beside() {
    local good=0 bad=1 skips=0 # if it died
    wait "$beside_pid"
    beside_pid=
    cat "$PB_LOGS/$beside.out"
    read -r good bad skips <"$PB_LOGS/$beside.counts"
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + skips))
}

if ! build iproute2 iputils-ping nftables procps python3 util-linux xz-utils; then
    echo "the build failed"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
fi
for layer in "${layers[@]}"; do
    if [ "$layer" = kernels ] && [ "$layer" != "${layers[-1]}" ]; then
        start_beside "$layer"
    else
        "layer_$layer"
    fi
done
[ -z "$beside" ] || finish_beside
for command in "${again[@]}"; do eval "$command"; done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
