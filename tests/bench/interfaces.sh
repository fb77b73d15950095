# SPDX-License-Identifier: MIT
# The section "interfaces" of run.sh, for sourcing: what many interfaces cost, against the revision
# that had a classifier for each. Everything of a turn is by one collectd, from its start to its
# end; the variants take turns.
# shellcheck shell=bash disable=SC2154 # of run.sh and lib/*.sh

# build_old: the old revision, from git, in $dir/old; sets old_build, or notes why it can't
old=${PB_OLD:-ea4a1f6}
old_build=
build_old() {
    # Its own list lacks log.lo.
    # shellcheck disable=SC2016
    local source=$dir/old-source prepare libraries='libcore.la plugin/log.lo -lm $(LIBBPF_LIBS) $(LIBMNL_LIBS)'
    [ -z "$old_build" ] || return 0
    rm -rf "$source"
    mkdir -p "$source" "$dir/old"
    # What was unpacked once need not be fetched again.
    [ ! -e "$dir/work/collectd/complete" ] || [ -e "$dir/old/collectd" ] ||
        cp -al "$dir/work/collectd" "$dir/old/collectd"
    # shellcheck source=/dev/null
    if git -C "$top" archive -o "$dir/old.tar" "$old" 2>"$work/errors" &&
        tar -x -f "$dir/old.tar" -C "$source" 2>>"$work/errors" &&
        prepare=$(find "$source/conf" "$source/tests" -name prepare.sh) &&
        "$prepare" "$dir/old" >>"$work/errors" 2>&1 &&
        rm -f "$dir/old/build/tests/bench/timed.la" &&
        make -s -C "$dir/old/build" tests/bench/timed.la tests_bench_timed_la_LIBADD="$libraries" \
            >"$dir/old-build.log" 2>&1; then
        old_build=$dir/old/build
        about "old revision" "$(git -C "$top" log -1 --format='%h, %cs' "$old")"
    else
        note "$section" "revision $old: skipped, it can't be built: $(tail -n 1 "$work/errors")"
        return 1
    fi
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" -v by="${2:-1}" 'BEGIN { printf "%.4f", (b - a) * by }'; }
are_logged() { [ "$(logged ": counting.")" -ge "$1" ]; }

# descriptors [BELOW]: of collectd, the least of a second
descriptors() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        find "/proc/$collectd/fd" -mindepth 1 -printf '%f\n' |
            awk -v below="${1:-1000000000}" '$1 < below { n++ } END { print n + 0 }'
        sleep 0.1
    done | sort -n | head -n 1
}

# churn SECONDS: 50 links come and go in each of them, and live half a second; prints how many came
churn() {
    local end=$((SECONDS + $1)) n=0
    while [ $SECONDS -lt "$end" ]; do
        echo "link add c$n group $((500 + n / 25 % 2)) arp off up type veth peer name d$n netns $B"
        n=$((n + 1))
        [ $((n % 25)) -ne 0 ] || [ $n -lt 50 ] || echo "link del group $((500 + n / 25 % 2))"
        sleep 0.018
    done > >(ip -n "$A" -force -batch - 2>/dev/null)
    echo $n
}

# turn_of VARIANT NUMBER: collectd with that many interfaces, from its start to its end
declare -A timed_of limit_of
turn_of() {
    local variant=$1 number=$2 name case before after mark begin cpu
    name=${variant_names[$variant]}
    case="$number interface$([ "$number" -eq 1 ] || echo s)"
    put() { sample interfaces "$case" "$1: $name" "${3:-}" "$2"; }

    : >"$PB_BENCH_READS"
    write_bench_config "${timed_of[$variant]}"
    rm -f "$work/log"
    begin=$EPOCHREALTIME
    # shellcheck disable=SC2016
    ip netns exec "$A" sh -c 'ulimit -Sn "$1"; shift; exec "$@"' sh "${limit_of[$variant]}" \
        "$PB_COLLECTD" -f -C "$work/conf" >"$work/stdout" 2>&1 &
    collectd=$!
    started+=("$collectd")
    wait_for 180 has_logged "entering read-loop" || return
    put "until init returns, s" "$(since "$begin")"
    if [ "$variant" != without ]; then
        # shellcheck disable=SC2034 # of wait_for
        vain=0 # one that is slow must not shorten the others' time
        wait_for 180 are_logged "$number" || note interfaces "$name: only $(
            logged ": counting.") of $number are attached"
        put "until all are attached, s" "$(since "$begin")"
    fi
    # A packet or so for everything that there is.
    # shellcheck disable=SC2016
    in_b bash -c 'for ((i = 0; i < $1; i++)); do
            "$0" "b$i" 4 udp 40000 1000-1009 100 100 >/dev/null
        done' "$PB_TOOLS/blast" "$number"
    sleep 3
    mark=$(wc -l <"$PB_BENCH_READS") before=$(cpu_of "$collectd")
    sleep $at_rest
    after=$(cpu_of "$collectd")
    put "CPU at rest, ms a second" "$(awk -v us=$((after - before)) -v s=$at_rest 'BEGIN { print us / 1e3 / s }')"
    tail -n +$((mark + 1)) "$PB_BENCH_READS" >"$work/new-reads"
    while read -r us cpu; do
        put "a read, ms" "$(awk -v n="$us" 'BEGIN { print n / 1000 }')"
        put "  of which CPU, ms" "$(awk -v n="$cpu" 'BEGIN { print n / 1000 }')"
    done <"$work/new-reads"
    put "kernel memory, KiB" "$(kernel_memory)"
    put "RssAnon, KiB" "$(awk '/^RssAnon/ { print $2 }' "/proc/$collectd/status")"
    put "descriptors" "$(descriptors)"
    put "descriptors below 1,024" "$(descriptors 1024)"
    before=$(cpu_of "$collectd") begin=$EPOCHREALTIME
    mark=$(churn $churning)
    put "CPU while links come and go, ms a second" "$(awk -v us=$(($(cpu_of "$collectd") - before)) \
        -v s="$(since "$begin")" 'BEGIN { print us / 1e3 / s }')"
    put "links that came, a second" "$(awk -v n="$mark" -v s="$(since "$begin")" 'BEGIN { print n / s }')"
    for group in 500 501; do ip -n "$A" link del group $group 2>/dev/null; done
    [ "$(logged "Too many open files")" -eq 0 ] ||
        note interfaces "$name, $case: $(logged "Too many open files") times \"Too many open files\""
    begin=$EPOCHREALTIME
    kill -TERM "$collectd"
    wait "$collectd"
    put "a stop, s" "$(since "$begin")"
}

section_interfaces() {
    local number rounds round variant variants at_rest=6 churning=8
    declare -A variant_names=([new]=tc_portbytes [old]="revision $old" [without]="collectd without it")
    $quick && at_rest=3 churning=4
    mkdir -p "$work/timed" "$work/timed-old"
    cp "$PB_BUILD/tests/bench/.libs/timed.so" "$work/timed/tc_portbytes.so"
    timed_of=([new]=$work/timed [without]=-)
    limit_of=([new]=1024 [without]=1024)
    if build_old; then
        cp "$old_build/tests/bench/.libs/timed.so" "$work/timed-old/tc_portbytes.so"
        timed_of[old]=$work/timed-old
        # It takes ten for each, below the soft limit.
        limit_of[old]=$(ulimit -Hn)
    fi
    export PB_BENCH_READS=$work/reads
    while read -r number rounds variants; do
        $quick && rounds=1
        ip netns del "$A" 2>/dev/null
        ip netns del "$B" 2>/dev/null
        make_namespaces
        make_veths 0 $((number - 1)) || note interfaces "no $number interfaces"
        for ((round = 0; round < rounds; round++)); do
            for variant in $variants; do
                [ -n "${timed_of[$variant]:-}" ] || continue
                turn_of "$variant" "$number" || {
                    note interfaces "${variant_names[$variant]}: collectd does not start with $number"
                    kill -KILL "$collectd" 2>/dev/null
                    wait "$collectd" 2>/dev/null
                }
            done
        done
    done <<-END
		1 3 without new old
		10 3 without new old
		200 3 without new old
		1000 2 without new
	END
}
