#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [--devices]: the plugin on other kernels. TAP, one test for each compiler whose
# classifier they get, one for each architecture that it is built for, one for each kernel.
#
# --devices  only whether the guests boot and have what the tests need; wants no build
#
# PB_BUILD             build directory (.)
# PB_PLUGIN            the plugin (PB_BUILD/.libs/tc_portbytes.so)
# PB_TOOLS             directory of the programs and preload libraries that the scripts
#                      want, .libs included (PB_BUILD/tests)
# PB_COLLECTD          a collectd binary (the installed one)
# PB_COLLECTD_PLUGINS  directory of its plugins (the one it was built for)
# PB_TYPESDB           its types.db
# PB_KERNELS           which series, e.g. "6.1 7.3" (all)
# PB_SCRIPTS           which scripts, relative to tests/, instead of the lists below
# PB_COMPILERS         whose classifiers packets.sh loads, each RELEASE:CLANG of Debian's, or
#                      "own", the build's (own, and those of "compilers" below)
# PB_UNIT              if set, the unit tests of other architectures, too, by qemu-user
# PB_JOBS              guests at a time (2)
# PB_LOGS              directory for output and console of each guest (a temporary one,
#                      kept if a kernel failed); nobody else may be able to change it
# PB_BOOT_TIMEOUT      seconds for a guest (3000); PB_SCRIPT_TIMEOUT for one script (600)
# PB_RETRY             1: scripts that fail run once more, aloud, in a second guest, whose result
#                      counts; if a guest died or timed out, all from that script on
# and those of boot.sh and fetch.sh. LD_LIBRARY_PATH is obeyed, and kept in the guest;
# so is PB_HOOK. PB_KERNEL is the series there.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

kernels=(5.10 6.1 6.12 6.18 7.3 7.3-rt 6.1-cpus 6.12-arm64)
# Scripts of a kernel, relative to tests/. Patterns are expanded; lib.sh is for
# sourcing and left out.
scripts_default='kernels/devices.sh kernels/packets.sh system/{count,recycle,coexist,links}.sh'
# Besides the build's own, if that is another: the oldest and the newest of a stable Debian.
compilers=(bookworm:14 trixie:19)
# What takes minutes runs on one kernel of each way to attach. The PREEMPT_RT kernel is there for
# what is different on it, and for devices that the others have not.
declare -A scripts=(
    [5.10]='kernels/devices.sh kernels/refusal.sh'
    [6.1]="$scripts_default system/{gso,selection,hotplug,persist,pins,heal,killed}.sh \
        system/{privileges,remove,qdisc,ipsec,kinds}.sh"
    [7.3]="$scripts_default system/{gso,selection,default,groups,ipsec,kinds,hosts}.sh kernels/atomics.sh"
    [6.1-cpus]='kernels/cpus.sh'
    [7.3-rt]='kernels/devices.sh kernels/packets.sh kernels/atomics.sh system/{count,router}.sh'
    [6.12-arm64]='system/count.sh' # the rest is the layer architectures
)
# SERIES-cpus is that kernel in a machine of 256 possible CPUs, 4 of them online, 4 to come. Later
# kernels (seen: 6.12) take only those that are present for possible: 255 don't boot in 5 minutes.
cpus_smp=8 cpus_cmdline='maxcpus=4 possible_cpus=256'
# Plugins of collectd taken along. The first line is a must, of the rest those
# that are there and whose libraries are.
plugins_must=(csv logfile)
plugins_nice=(uptime load interface unixsock network write_graphite write_http exec syslog)

tests=$(cd "$here/.." && pwd)
devices_only=
[[ ${1-} != --devices ]] || devices_only=1
[[ -z ${PB_KERNELS-} ]] || read -ra kernels <<<"$PB_KERNELS"
if [[ $devices_only ]]; then # of other architectures only the build is of interest
    for i in "${!kernels[@]}"; do ! foreign "${kernels[i]}" || unset "kernels[$i]"; done
    kernels=("${kernels[@]}")
fi
export PB_BOOT_TIMEOUT=${PB_BOOT_TIMEOUT:-3000}

skip_layer() { echo "1..0 # SKIP $*"; exit 0; }
bail() { echo "Bail out! $*"; exit 1; }

scripts_of() {
    local script
    # shellcheck disable=SC2086  # patterns
    (cd "$tests" && shopt -s nullglob && eval "set -- ${PB_SCRIPTS:-${scripts[$1]-$scripts_default}}" && for script; do
        [[ ${script##*/} == lib.sh ]] || echo "$script"
    done)
}

# shellcheck disable=SC2317  # called by the trap
cleanup() {
    local pid
    # boot.sh takes its qemu down itself
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || :
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "$work"
    if [[ -z ${PB_LOGS-} ]] && ((failures == 0)); then rm -rf "$logs"; fi
}

# scripts_to ROOT: the tests' scripts
scripts_to() {
    mkdir -p "$1/pb/tests"
    cp "$here/guest-tests.sh" "$1/pb/"
    cp -R "$here" "$1/pb/tests/kernels"
    cp -R "$tests/system" "$tests/lib" "$1/pb/tests/"
}

# record: packets are built and judged by Python, which guests have not: recorded, once for all, in
# $work/records
record() {
    [[ ! -e $work/records ]] || return 0
    mkdir "$work/records"
    (cd "$here/../packets" && PB_REPLAY=${PB_BUILD:-.}/tests/packets/replay PYTHONDONTWRITEBYTECODE=1 \
        python3 record.py "$work/records") >"$logs/record" 2>&1 ||
        bail "recording the packets failed: $(tail -n 1 "$logs/record")"
}

# foreign_payload SERIES ROOT: what a guest of another architecture gets over its root; a test
# whether it can be built, and one for its unit tests. If not, the guest is left out.
foreign_payload() {
    local arch release out=$work/foreign-$1 number=$((tests_said += 1)) f
    arch=$(architecture "$1") release=$(release "$1")
    mkdir "$out"
    "$here/foreign.sh" "$out" "$release" "$arch" ${PB_UNIT:+--unit} >"$logs/build-$1" 2>&1 || :
    if [[ -e $out/skip ]]; then
        skipped[$1]="not built: $(<"$out/skip")"
        echo "ok $number - built for $arch, $release # SKIP $(<"$out/skip")"
    elif [[ ! -e $out/version ]]; then
        skipped[$1]="not built"
        failures=$((failures + 1))
        echo "not ok $number - built for $arch, $release"
        cat "$out/failed" "$logs/build-$1" 2>/dev/null | sed 's/^/# /' || :
    else
        echo "ok $number - built for $arch, $release: $(<"$out/version")"
    fi
    [[ -e $out/version ]] || { unset "version[$1]"; return 0; }
    [[ -z ${PB_UNIT-} ]] || unit_tests "$1" "$out"
    [[ -n ${version[$1]-} ]] || return 0
    mv "$out/payload" "$2"
    scripts_to "$2"
    for f in "$2"/pb/objects/*; do
        [[ " ${rows[*]-} " == *" ${f##*/} "* ]] || rows+=("${f##*/}")
    done
    [[ " $(scripts_of "$1" | xargs) " == *" kernels/packets.sh "* ]] || return 0
    record
    cp -R "$work/records" "$2/pb/records"
    [[ $arch != s390x ]] || PYTHONDONTWRITEBYTECODE=1 python3 "$here/../packets/record.py" --swap "$2/pb/records"
}

# unit_tests SERIES DIRECTORY: the test that foreign.sh made of them
unit_tests() {
    local number=$((tests_said += 1)) total
    if [[ -e $2/unit-skip ]]; then
        echo "ok $number - unit tests of $1 # SKIP $(<"$2/unit-skip")"
        return
    fi
    cp "$2/unit" "$logs/unit-$1.log"
    grep -E '# SKIP|^not ok|^== |^PB-' "$2/unit" | sed 's/^/# /' || :
    total=$(sed -n 's/^PB-TOTAL //p' "$2/unit")
    if passed "$total"; then
        echo "ok $number - unit tests of $1: ${BASH_REMATCH[1]} ok, ${BASH_REMATCH[2]} skipped"
    else
        failures=$((failures + 1))
        echo "not ok $number - unit tests of $1: ${total:-no verdict}"
    fi
}

# passed TOTAL: whether guest-tests.sh ends well by that; BASH_REMATCH has what was ok and skipped
passed() { [[ $1 =~ ^ok=([0-9]+)\ skip=([0-9]+)\ fail=0$ ]] && ((BASH_REMATCH[1] > 0)); }

# payload ROOT: what the guests with this machine's programs get over their root
payload() {
    local root=$1 build plugin collectd plugins typesdb program f
    mkdir -p "$root/pb/tools"
    scripts_to "$root"
    [[ -z $devices_only ]] || return 0

    build=${PB_BUILD:-.}
    plugin=${PB_PLUGIN:-$build/.libs/tc_portbytes.so}
    [[ -e $plugin ]] || bail "no $plugin: PB_BUILD is to be a finished build"
    libs_to "$root" "$plugin" || bail "libraries of the plugin are missing"
    cp -L "$plugin" "$root/pb/tc_portbytes.so"

    # lt-*: libtool's relinked copies of the same programs; its wrappers are no ELF
    while IFS= read -r program; do
        is_elf "$program" || continue
        libs_to "$root" "$program" || bail "libraries of $program are missing"
        cp -L "$program" "$root/pb/tools/"
    done < <(find "${PB_TOOLS:-$build/tests}" "$build/tests/packets" -type f \( -perm -u+x -o -name '*.so' \) ! -name 'lt-*')

    record
    cp -R "$work/records" "$root/pb/records"
    compile "$build" "$root"

    collectd=$(realpath -e "$collectd_found")
    plugins=${PB_COLLECTD_PLUGINS:-$("$collectd" -h | sed -n 's/^ *Plugin directory  *//p')}
    typesdb=${PB_TYPESDB:-/usr/share/collectd/types.db}
    [[ -d $plugins ]] || bail "no plugin directory $plugins: PB_COLLECTD_PLUGINS"
    [[ -s $typesdb ]] || bail "no $typesdb: PB_TYPESDB"
    plugins=$(realpath "$plugins")
    # at its own place, where its run path and plugins expect it
    copy_with_libs "$root" "$collectd" || bail "libraries of $collectd are missing"
    for f in "${plugins_must[@]}"; do
        copy_with_libs "$root" "$plugins/$f.so" || bail "no usable $f.so in $plugins"
    done
    for f in "${plugins_nice[@]}"; do
        [[ ! -e $plugins/$f.so ]] || { libs_to "$root" "$plugins/$f.so" 2>/dev/null && copy_to "$root" "$plugins/$f.so"; } || :
    done
    cp -L "$typesdb" "$root/pb/types.db"
    printf 'export %s=%q\n' PB_PLUGIN /pb/tc_portbytes.so PB_TOOLS /pb/tools \
        PB_COLLECTD "$collectd" PB_COLLECTD_PLUGINS "$plugins" PB_TYPESDB /pb/types.db \
        >"$root/pb/env"
    for f in LD_LIBRARY_PATH PB_HOOK PB_SCRIPT_TIMEOUT; do
        [[ -z ${!f-} ]] || printf 'export %s=%q\n' "$f" "${!f}" >>"$root/pb/env"
    done
}

# compile BUILD ROOT: the classifier of each compiler, in ROOT/pb/objects; a test for each
compile() {
    local own one release version
    version=$("$(sed -n 's/^CLANG = //p' "$1/Makefile")" --version | sed -n 1p)
    own=$(sed 's/.*version \([0-9]*\).*/\1/' <<<"$version")
    if [[ -n ${PB_COMPILERS-} ]]; then
        read -ra compilers <<<"$PB_COMPILERS"
    else
        for one in "${!compilers[@]}"; do
            [[ ${compilers[one]} != *:"$own" ]] || unset "compilers[$one]"
        done
        compilers=(own "${compilers[@]}")
    fi
    mkdir -p "$work/objects" "$2/pb/objects"
    for release in $(printf '%s\n' "${compilers[@]}" | sed -n 's/:.*//p' | sort -u); do
        # shellcheck disable=SC2046 # a list of words
        "$here/compile.sh" "$work/objects" "$release" \
            $(printf '%s\n' "${compilers[@]}" | sed -n "s/^$release://p") \
            >"$logs/compile-$release" 2>&1 || :
    done
    for one in "${compilers[@]}"; do
        if [[ $one == own ]]; then
            one=own:$own
            mkdir "$work/objects/own-$own"
            mkdir "$work/objects/own-$own/lib" # they take the host's, which the guest has
            cp "$1"/tests/packets/{replay,rows,verify} "$work/objects/own-$own/"
            echo "$version" >"$work/objects/own-$own/version"
        fi
        take_object "${one/:/-}" "$2/pb/objects"
    done
}

# take_object NAME TO: what compile.sh made; says the test
take_object() {
    local from=$work/objects/$1
    tests_said=$((tests_said + 1))
    if [[ -e $from/skip ]]; then
        echo "ok $tests_said - classifier $1 # SKIP $(<"$from/skip")"
    elif [[ ! -e $from/failed && -e $from/replay && -e $from/rows && -e $from/verify ]]; then
        rows+=("$1")
        mkdir "$2/$1"
        cp -R "$from"/{replay,rows,verify,lib} "$2/$1/"
        echo "ok $tests_said - classifier $1: $(<"$from/version")"
    else
        failures=$((failures + 1))
        echo "not ok $tests_said - classifier $1"
        cat "$from/failed" "$logs/compile-${1%-*}" 2>/dev/null | sed 's/^/# /' || :
    fi
}

# table: verified instructions of both programs, ingress/egress, by compiler and kernel
table() {
    local series row cell loaded=()
    for series in "${kernels[@]}"; do
        ! grep -qsE '^# (verified instructions|refused), ' "$logs/$series.log" || loaded+=("$series")
    done
    ((${#rows[@]} && ${#loaded[@]})) || return 0
    printf '# verified instructions, ingress/egress:\n# %-12s' ''
    printf '%14s' "${loaded[@]}"
    echo
    for row in "${rows[@]}"; do
        printf '# %-12s' "$row"
        for series in "${loaded[@]}"; do
            cell=
            [[ -z ${version[$series]-} ]] ||
                cell=$({ cat "$logs/$series"{,-again}.log 2>/dev/null || :; } |
                    sed -n "s/^# verified instructions, $row on [^:]*: //p
                        s/^# \(refused\), $row on .*/\1/p" | tail -n1)
            cell=${cell/ //}
            printf '%14s' "${cell:--}"
        done
        echo
    done
}

# boot SERIES LOG SCRIPT...: runs them in a guest
boot() {
    local series=$1 log=$logs/$2 status=0 root=$work/root
    ! foreign "$series" || root+=-$series
    shift 2
    if [[ $series == *-cpus ]]; then
        local -x PB_SMP=$cpus_smp PB_CMDLINE="$cpus_cmdline ${PB_CMDLINE-}"
    fi
    PB_CONSOLE_LOG=$log.console "$here/boot.sh" "${series%-cpus}" "$root" \
        env PB_KERNEL="$series" bash /pb/guest-tests.sh "$@" >"$log.log" 2>&1 &
    # so that a signal ends boot.sh too
    trap 'kill "$!" 2>/dev/null; wait "$!"; exit 143' TERM
    wait "$!" || status=$?
    return $status
}

# not_passed LOG SCRIPT...: those of the scripts that failed, or didn't run to their end
not_passed() {
    local log=$logs/$1.log script
    shift
    for script; do
        grep -q "^== $script: .*, 0 failed, [0-9]* s\$" "$log" || echo "$script"
    done
}

# start INDEX: boots that kernel in the background
start() {
    local series=${kernels[$1]} list again
    mapfile -t list < <(scripts_of "$series")
    [[ -z $devices_only ]] || list=(kernels/devices.sh)
    rm -f "$logs/$series-again".{log,console}
    (
        begin=$EPOCHREALTIME
        status=0
        boot "$series" "$series" "${list[@]}" || status=$?
        mapfile -t again < <(not_passed "$series" "${list[@]}")
        # of another status a second guest would have the same
        if [[ ${PB_RETRY-} == 1 && $status =~ ^(1|124|125)$ ]] && ((${#again[@]})); then
            echo "# kernel $series: $(ending "$status"); once more: ${again[*]}"
            status=0
            boot "$series" "$series-again" "${again[@]}" || status=$?
        fi
        awk -v a="$begin" -v b="$EPOCHREALTIME" -v s="$status" 'BEGIN { printf "%d %.0f\n", s, b - a }' >"$work/$series.end"
    ) &
    pids[$1]=$!
}

# ending STATUS: in words
ending() {
    case $1 in
    1) echo "tests failed" ;;
    124) echo "timed out after $PB_BOOT_TIMEOUT s" ;;
    125) echo "the guest died" ;;
    *) echo "no verdict, exit status $1" ;;
    esac
}

# finish INDEX: waits for that kernel and says its test, tests_said
finish() {
    local series=${kernels[$1]} number=$tests_said status=125 seconds=0 total name what failed
    local log=$logs/${kernels[$1]}.log note='' ok skip
    wait "${pids[$1]}" || :
    [[ ! -s $work/$series.end ]] || read -r status seconds <"$work/$series.end"
    sed 's/^/# /' "$log"
    if [[ -e $logs/$series-again.log ]]; then
        log=$logs/$series-again.log
        echo "# == once more"
        sed 's/^/# /' "$log"
        note="; at the second try: $(sed -n 's/^== \([^ ]*\):.*/\1/p' "$log" | xargs)"
    fi
    name="kernel $series (${version[$series]})"
    total=$(sed -n 's/^PB-TOTAL //p' "$log" | tail -n1)
    if ((status == 0)) && passed "$total"; then
        # of each script the last run
        read -r ok skip < <(cat "$logs/$series.log" "$log" |
            awk '/^== .*: [0-9]+ ok, [0-9]+ skipped, [0-9]+ failed, [0-9]+ s$/ { ok[$2] = $3; skip[$2] = $5 }
                END { for (i in ok) { o += ok[i]; s += skip[i] }; print o + 0, s + 0 }')
        echo "ok $number - $name: $ok ok, $skip skipped, $seconds s$note"
        return
    fi
    failures=$((failures + 1))
    what=$(ending "$status")
    ((status == 124 || status == 125)) || what=${total:-$what}
    # All of them are in the comments. A # in a test's name would read as a directive.
    mapfile -t failed < <(sed -n 's/^PB-FAILED //p' "$log" | tr -d '#')
    ((${#failed[@]} <= 3)) || failed=("${failed[@]:0:3}" "and $((${#failed[@]} - 3)) more")
    what+=", $seconds s"
    ((${#failed[@]} == 0)) || what+=$(printf '; %s' "${failed[@]}")
    echo "not ok $number - $name: $what"
}

use_cache || skip_layer "PB_CACHE: $refusal"
if [[ -n ${PB_LOGS-} ]]; then
    need_directory PB_LOGS "$PB_LOGS"
    PB_LOGS=$directory
fi
need qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod \
    ip:iproute2 bpftool:bpftool xz:xz-utils ldd:libc-bin || skip_layer "$need_reason"
if [[ -z $devices_only ]]; then
    collectd_found=${PB_COLLECTD:-$(command -v collectd || :)}
    [[ -n $collectd_found ]] || skip_layer "no collectd: PB_COLLECTD names one"
    [[ -x $collectd_found ]] || bail "$collectd_found is no program"
fi

declare -A version=() skipped=()
while IFS=$'\t' read -r series v reason _ note; do
    if [[ $v == SKIP ]]; then
        skipped[$series]=$reason
    else
        version[$series]=$v${note:+; $note}
    fi
done < <("$here/fetch.sh" "${kernels[@]%-cpus}")
for series in "${kernels[@]}"; do
    [[ -z ${version[${series%-cpus}]-} ]] || version[$series]=${version[${series%-cpus}]}
    [[ -z ${skipped[${series%-cpus}]-} ]] || skipped[$series]=${skipped[${series%-cpus}]}
done

pids=() failures=0 tests_said=0 rows=()
work=$(mktemp -d)
logs=${PB_LOGS:-$(mktemp -d)}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
native=()
for series in "${kernels[@]}"; do
    if foreign "$series"; then
        foreign_payload "$series" "$work/root-$series"
    else
        native+=("$series")
    fi
done
((${#native[@]} == 0)) || payload "$work/root"

# Results come in the order of the list, as soon as all before them are there.
said=0
say_finished() {
    local series
    while ((said < ${#kernels[@]})); do
        series=${kernels[said]}
        [[ -z ${version[$series]-} || -e $work/$series.end || ${1-} == all ]] || return 0
        tests_said=$((tests_said + 1))
        if [[ -z ${version[$series]-} ]]; then
            echo "ok $tests_said - kernel $series # SKIP ${skipped[$series]:-fetch.sh did not say why}"
        else
            finish "$said"
        fi
        said=$((said + 1))
    done
}
running=0
for i in "${!kernels[@]}"; do
    [[ -n ${version[${kernels[i]}]-} ]] || continue
    if ((running >= ${PB_JOBS:-2})); then
        wait -n || :
        running=$((running - 1))
        say_finished
    fi
    start "$i"
    running=$((running + 1))
done
while ((running > 0)); do
    wait -n || :
    running=$((running - 1))
    say_finished
done
say_finished all
table
echo "1..$tests_said"
((failures == 0)) || { echo "# logs: $logs"; exit 1; }
