# SPDX-License-Identifier: MIT
# What the system tests share: TAP, namespaces of their own, a real collectd, its values.
# Sourced with these set: PB_PLUGIN (tc_portbytes.so), PB_TOOLS (directory of the
# compiled tools), PB_COLLECTD, PB_COLLECTD_PLUGINS, PB_TYPESDB. PB_HOOK=clsact hides
# tcx from the plugin.
# shellcheck shell=bash
set -uo pipefail

work=$(mktemp -d "${TMPDIR:-/tmp}/tc_portbytes-test.XXXXXX")
A=pbA$$ # the plugin's namespace, with a0, a1, ...
B=pbB$$ # the other end, with b0, b1, ...
tests=0
failures=0
started=() # processes to end

cleanup() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do
        kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    ip netns del "$A" 2>/dev/null
    ip netns del "$B" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# What the plugin attaches by here: tcx came with Linux 6.6.
IFS=.- read -r major minor _ <<<"$(uname -r)"
hook=clsact
[ "${PB_HOOK:-}" != clsact ] && [ $((major * 1000 + minor)) -ge 6006 ] && hook=tcx

# ---- TAP ----

# ok CONDITION-STATUS NAME: the test passed if the status is 0
ok() {
    tests=$((tests + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tests - $2"
    else
        echo "not ok $tests - $2"
        failures=$((failures + 1))
    fi
    return 0
}

# is GOT EXPECTED NAME
is() {
    local status=1
    [ "$1" = "$2" ] && status=0
    ok $status "$3"
    [ $status -eq 0 ] || echo "#   got: $1"$'\n'"#   expected: $2"
}

skip() {
    tests=$((tests + 1))
    echo "ok $tests - $2 # SKIP $1"
}

# The end of every test script.
finish() {
    echo "1..$tests"
    [ "$failures" -eq 0 ] || show_log
    exit $((failures > 0))
}

show_log() {
    [ -f "$work/log" ] && sed 's/^/# log: /' "$work/log"
    return 0
}

# ---- without privileges ----

# A user of this test alone: what it owns no other process can change, as one of 65534, which
# daemons run as, could. Outside the ranges that are in use (systemd's docs/UIDS-GIDS).
stranger=$((1900000000 + $$))
# shellcheck disable=SC2034 # for setpriv, in those who source this
unprivileged=("--reuid=$stranger" "--regid=$stranger" --clear-groups)

# lend_work: a collectd of that user can write in $work, too
lend_work() { chown "$stranger:root" "$work" && chmod 770 "$work"; }

# ---- namespaces ----

in_a() { ip netns exec "$A" "$@"; }
in_b() { ip netns exec "$B" "$@"; }

# The kernel's own chatter (neighbour and multicast discovery) would be counted too.
quiet() {
    ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
        net.ipv6.conf.default.disable_ipv6=1 2>/dev/null ||
        ip netns exec "$1" sh -c 'for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done'
}

# Two namespaces; nothing is sent in them that the test does not send.
make_namespaces() {
    ip netns add "$A" && ip netns add "$B" && quiet "$A" && quiet "$B"
    ip -n "$A" link set lo up
}

# make_veth N: aN in A, bN in B, up; no address, no ARP.
make_veth() { make_veths "$1" "$1"; }

# make_veths FIRST LAST: the same for many, with few processes
make_veths() {
    local i ends=() pairs=()
    for ((i = $1; i <= $2; i++)); do
        ends+=("b$i")
        pairs+=("a$i" "b$i")
    done
    printf "link add %s arp off type veth peer name %s netns $B\n" "${pairs[@]}" |
        ip -n "$A" -batch - || return
    printf 'link set %s arp off up\n' "${ends[@]}" | ip -n "$B" -batch -
    printf 'link set %s up\n' "${ends[@]/b/a}" | ip -n "$A" -batch -
    # aN has its carrier before its queue is made. bN, which was up first, gets a queue now.
    ready "$B" "${ends[@]}"
}

# ready NAMESPACE INTERFACE...: waits until they have noticed their carrier and their queues are
# active: what is sent before is dropped. The kernel does both under the rtnl lock, which ip takes
# as well.
ready() {
    wait_for 60 are_up "$@"
    ip -n "$1" link set "$2" up
}
are_up() {
    local files=("${@:2}")
    files=("${files[@]/#//sys/class/net/}")
    [ -z "$(ip netns exec "$1" grep -Lx up "${files[@]/%//operstate}" 2>&1)" ]
}

# mount_bpffs: in a mount namespace that lives as long as the test. Sets inside, the words that
# start a command there, for start_collectd.
mount_bpffs() {
    local holder
    # shellcheck disable=SC2016
    ip netns exec "$A" sh -c 'mount -t bpf bpf /sys/fs/bpf && echo >"$1" && exec sleep 3600' sh "$work/mounted" &
    holder=$!
    started+=("$holder")
    wait_for 60 test -e "$work/mounted"
    ok $? "a bpffs of the test's own"
    inside=(nsenter -t "$holder" -m)
}
in_mount() { ip netns exec "$A" "${inside[@]}" "$@"; }

# interface_counter NAMESPACE INTERFACE rx|tx packets|bytes
interface_counter() {
    ip netns exec "$1" cat "/sys/class/net/$2/statistics/$3_$4"
}

# listen NAME NAMESPACE SOCKET...: see tests/tools/listen.c; sets listen_NAME, its pid
listen() {
    local name=$1 namespace=$2
    shift 2
    rm -f "$work/listen-$name"
    ip netns exec "$namespace" "$PB_TOOLS/listen" "$work/listen-$name" "$@" & # no function: $! is its pid
    eval "listen_$name=$!"
    started+=("$!")
    wait_for 60 grep -qs open "$work/listen-$name"
}

# ---- waiting ----

# Tests wait for what has to happen, not for a time in which it should: on a slow machine that
# only takes longer. A limit is met only by what never happens, so none is below a minute.

# wait_for SECONDS COMMAND...: until it succeeds. After three timeouts the script has failed;
# further ones are cut short, so that it ends.
vain=0
wait_for() {
    local end limit=$1
    shift
    [ "$vain" -lt 3 ] || limit=$((limit < 10 ? limit : 10))
    end=$((SECONDS + limit))
    until "$@"; do
        [ $SECONDS -lt $end ] || { vain=$((vain + 1)); return 1; }
        sleep 0.05
    done
}

# says TEXT COMMAND...: whether that is what the command says
says() { [ "$("${@:2}")" = "$1" ]; }

# delivered: until what was sent has passed the hooks. A busy CPU leaves that to its ksoftirqd,
# which sleeps when nothing is left.
softirqs=$(pgrep '^ksoftirqd/')
delivered() {
    local thread
    for thread in $softirqs; do wait_for 60 sleeps "$thread"; done
}
sleeps() {
    local state
    read -r _ _ state _ <"/proc/$1/stat"
    [ "$state" = S ]
}

# ---- time ----

# ticks: what the CPUs did since the boot, what they did nothing, and what collectd did
ticks() {
    echo "$(head -n 1 /proc/stat) $(cat "/proc/${collectd:-0}/stat" 2>/dev/null)" | awk '{
        for (i = 2; i <= 11; i++) all += $i
        print all, $5 + $6, $25 + $26
    }'
}

# in_time TICKS-BEFORE CONDITION-STATUS NAME: as ok, but it is no failure when others had more
# than a quarter of the CPUs meanwhile
in_time() {
    local busy
    busy=$(echo "$1 $(ticks)" |
        awk '{ printf "%d", 100 * (($4 - $1) - ($5 - $2) - ($6 - $3)) / ($4 - $1 + 1) }')
    if [ -n "${PB_KERNEL:-}" ]; then
        skip "times in an emulated machine mean nothing" "$3"
    elif [ "$2" -ne 0 ] && [ "$busy" -gt 25 ]; then
        skip "others had $busy % of the CPUs" "$3"
    else
        ok "$2" "$3"
    fi
}

# ---- collectd ----

# write_config [LINE...]: the lines of the plugin's block; none: no block at all.
# collectd_interval sets the interval, extra_config is put in front of the plugin. A single
# writer stores values in the order of the reads. Several overtake each other, and two that create
# the same file overwrite each other's first line.
collectd_interval=1
collectd_writers=1
extra_config=
write_config() {
    {
        cat <<-END
			BaseDir "$work"
			PIDFile "$work/pid"
			Hostname "host"
			FQDNLookup false
			Interval $collectd_interval
			WriteThreads $collectd_writers
			TypesDB "$PB_TYPESDB"
			PluginDir "$PB_COLLECTD_PLUGINS"
			LoadPlugin logfile
			<Plugin logfile>
			  LogLevel debug
			  File "$work/log"
			</Plugin>
			LoadPlugin csv
			<Plugin csv>
			  DataDir "$work/csv"
			</Plugin>
			$extra_config
			PluginDir "${PB_PLUGIN%/*}"
			LoadPlugin tc_portbytes
		END
        if [ $# -gt 0 ]; then
            echo "<Plugin tc_portbytes>"
            printf '  %s\n' "$@"
            echo "</Plugin>"
        fi
    } >"$work/conf"
}

# plugin_said: what the plugin said, but for what it doesn't count by default
plugin_said() {
    sed -n 's/.*tc_portbytes plugin: //p' "$work/log" | grep -v '^not counted by default: '
}

# logged TEXT: how many lines of the log have it
logged() {
    local number=0
    [ -f "$work/log" ] && number=$(grep -cF -- "$1" "$work/log")
    echo "$number"
}

has_logged() { [ "$(logged "$1")" -gt 0 ]; }

# start_collectd [COMMAND...]: in namespace A, under the command if any; waits until it
# reads. Sets collectd.
start_collectd() {
    local preload=
    [ $hook = clsact ] && preload="$PB_TOOLS/libnotcx.so"
    rm -f "$work/log"
    ip netns exec "$A" env LD_PRELOAD="$preload" "$@" \
        "$PB_COLLECTD" -f -C "$work/conf" >"$work/stdout" 2>&1 &
    collectd=$!
    started+=("$collectd")
    wait_for 180 has_logged "entering read-loop" || { show_log; sed 's/^/# /' "$work/stdout"; return 1; }
}

# stop_collectd: with SIGTERM; its exit status
stop_collectd() {
    kill -TERM "$collectd"
    wait "$collectd"
}

# second FUNCTION...: one of these, for another collectd beside the first, which has files of
# its own. The caller keeps its pid, from collectd, apart.
second() {
    mkdir -p "$work/second"
    work=$work/second "$@"
}

# refused LINE WORDS...: collectd refuses to start, and says one line with all the words
refused() {
    local option=$1 status word missing=0
    shift
    write_config "${option//; /$'\n'}" # several lines
    rm -f "$work/log"
    ip netns exec "$A" timeout 180 "$PB_COLLECTD" -f -C "$work/conf" >"$work/stdout" 2>&1
    status=$?
    ok $((status != 1)) "$option: collectd refuses to start"
    is "$(logged "tc_portbytes plugin: ")" 1 "$option: one line says why"
    for word in "$@"; do
        grep -F "tc_portbytes plugin: " "$work/log" | grep -qF -- "$word" || missing=1
    done
    ok $missing "$option: it names option, value and what is allowed"
    [ $missing -eq 0 ] || show_log
}

# reads NUMBER: until so many reads that began after this call are stored completely. If they do
# not come that is a failed test: checks that follow would prove nothing.
clock_ahead=0 # seconds that collectd's clock is ahead of ours
reads() {
    local since
    since=$(awk -v now="$EPOCHREALTIME" -v ahead=$clock_ahead 'BEGIN { printf "%.6f", now + ahead }')
    wait_for 120 are_stored "$1" "$since" || {
        ok 1 "collectd reads: $1 times within 120 s"
        return 1
    }
}

# settle: until all that was sent is counted and stored. That takes two reads: a new series first
# reports 0, one that returns its old total. And on a slow machine not all interfaces are attached,
# or read if they were pinned, when collectd begins to read.
settle() {
    delivered
    if has_logged "the others follow."; then
        wait_for 180 has_logged "interfaces are attached."
    fi
    reads 2
}

# are_stored NUMBER TIME: whether so many reads that began after TIME are stored completely. The
# last one is when a later one is there, since there is one writer, or when each series of the
# read before has a value of it. The csv plugin rounds times to milliseconds.
are_stored() {
    tail -vn $(($1 + 6)) "$work"/csv/*/tc_portbytes-*/* 2>/dev/null | awk -F, -v number="$1" -v since="$2" '
        function following(this,    time, first) {
            for (time in later)
                if (time - this > 0 && (first == "" || time - first < 0)) first = time
            return first
        }
        /^==>/ { file++ }
        /^[0-9]/ {
            has[file, $1]
            if ($1 - since > 0.0005) later[$1]
            else if ($1 - last > 0) last = $1
        }
        END {
            for (n = 0; n < number; n++) {
                previous = last
                last = following(last)
                if (last == "") exit 1
            }
            if (following(last) != "") exit 0
            if (previous == "") exit 1
            for (n = 1; n <= file; n++)
                if ((n, previous) in has && !((n, last) in has)) exit 1
        }'
}

# value INTERFACE INSTANCE COLUMN: the last one stored; columns rx_bytes, rx_packets, ...
value() {
    cat "$work/csv/host/tc_portbytes-$1/port_traffic-$2"-????-??-?? 2>/dev/null |
        awk -F, -v want="$3" '
            /^epoch/ { next }
            { last = $0 }
            END {
                split("rx_bytes rx_packets tx_bytes tx_packets", name, " ")
                split(last, field, ",")
                for (i in name)
                    if (name[i] == want)
                        printf "%s\n", last == "" ? "none" : field[i + 1]
            }'
}

# values INTERFACE INSTANCE: all four
values() {
    echo "$(value "$1" "$2" rx_bytes) $(value "$1" "$2" rx_packets)" \
        "$(value "$1" "$2" tx_bytes) $(value "$1" "$2" tx_packets)"
}

# series INTERFACE: the instances stored, sorted
series() {
    local file
    for file in "$work/csv/host/tc_portbytes-$1"/port_traffic-*; do
        [ -f "$file" ] || continue
        file=${file##*/port_traffic-}
        echo "${file%-????-??-??}"
    done | sort -u
}

# total INTERFACE COLUMN: over all series
total() {
    local instance sum=0
    for instance in $(series "$1"); do
        sum=$((sum + $(value "$1" "$instance" "$2")))
    done
    echo "$sum"
}

# falls: how many values of any series are below the one before. By time, not by line:
# collectd's write threads may overtake each other when reads follow closely, and a late read
# may be followed by the next in the same millisecond. Without the last line, which may be
# half written.
falls() {
    local file
    for file in "$work"/csv/host/tc_portbytes-*/port_traffic-*; do
        [ -f "$file" ] || continue
        head -n -1 "$file" | sort -t, -k1,1n -k2,2n -k3,3n -k4,4n -k5,5n | awk -F, '
            /^epoch/ { next }
            { for (i = 2; i <= 5; i++) { if ($i + 0 < before[i]) print; before[i] = $i + 0 } }'
    done | wc -l
}

# exact NAME: all series of a0 together are what the interface itself has received since the
# last baseline
declare -A at_baseline=([packets]=0 [bytes]=0)
baseline() {
    local unit
    for unit in packets bytes; do at_baseline[$unit]=$(interface_counter "$A" a0 rx $unit); done
}
exact() {
    local unit
    for unit in packets bytes; do
        is "$(total a0 rx_$unit)" $(($(interface_counter "$A" a0 rx $unit) - at_baseline[$unit])) \
            "$1: all series together are exact in $unit"
    done
    is "$(falls)" 0 "$1: no series falls"
}

# ---- what must not be left ----

# programs: the ids of the classifiers that collectd holds
programs() {
    grep -h '^prog_id:' "/proc/$collectd/fdinfo/"* 2>/dev/null | awk '{ print $2 }' | sort -u
}

# held: what collectd holds, as "FDS PROGRAMS MAPS LINKS"
held() {
    local kind numbers
    numbers=$(find "/proc/$collectd/fd" -mindepth 1 | wc -l)
    for kind in prog map link; do
        numbers+=" $(cat "/proc/$collectd/fdinfo/"* 2>/dev/null | grep "^${kind}_id:" | sort -u | wc -l)"
    done
    echo "$numbers"
}

# held_at_rest: the same, the least, seen five times: a read opens files and sockets
held_at_rest() {
    local least='' now
    local -A seen=()
    while [ -z "$least" ] || [ "${seen[$least]}" -lt 5 ]; do
        now=$(held)
        seen[$now]=$((${seen[$now]:-0} + 1))
        [ -n "$least" ] && [ "${now%% *}" -ge "${least%% *}" ] || least=$now
        sleep 0.05
    done
    echo "$least"
}

# memory: what collectd has of its own, in kB
memory() { awk '/^RssAnon/ { print $2 }' "/proc/$collectd/status"; }

# kernel_memory: KiB that the kernel has for collectd's maps and programs. Of maps that can be
# mapped (BPF_F_MMAPABLE) what is mapped is counted, since a descriptor need not be held of them.
kernel_memory() {
    cat "/proc/$collectd/fdinfo/"* "/proc/$collectd/smaps" 2>/dev/null | awk '
        /^pos:/ { flags = 0 }
        /^map_flags:/ { flags = $2 }
        /^memlock:/ { locked = $2 }
        /^prog_id:/ { of[$1, $2] = locked }
        /^map_id:/ { of[$1, $2] = flags ~ /[4-7c-f]..$/ ? 0 : locked }
        /^[0-9a-f]+-[0-9a-f]+ / { ours = /bpf-map/ }
        /^Size:/ && ours { sum += $2 }
        END { for (id in of) sum += of[id] / 1024; printf "%d\n", sum }'
}

steady() { [ "$(held)" = "$1" ]; }

# alive ID...: those of the programs that still exist
alive() {
    local id
    for id in "$@"; do
        bpftool prog show id "$id" 2>/dev/null | grep -o '^[0-9]*'
    done
}

# none_alive ID...: the kernel frees programs a moment after the last use
none_alive() {
    [ -z "$(alive "$@")" ]
}

# clsact_of INTERFACE: the filters and qdiscs of clsact there
clsact_of() {
    ip netns exec "$A" tc qdisc show dev "$1" 2>/dev/null | grep clsact
    filters_of "$1"
}
filters_of() {
    ip netns exec "$A" tc filter show dev "$1" ingress 2>/dev/null
    ip netns exec "$A" tc filter show dev "$1" egress 2>/dev/null
}

# left_of INTERFACE: what a daemon left there that it shouldn't have: filters, and by tcx a qdisc.
# By clsact the qdisc stays, and it is said if it is not there.
left_of() {
    local qdisc
    qdisc=$(ip netns exec "$A" tc qdisc show dev "$1" 2>/dev/null | grep clsact)
    [ $hook = tcx ] || qdisc=${qdisc:+expected}
    case $hook/$qdisc in
    clsact/) echo "the qdisc has gone" ;;
    tcx/?*) echo "$qdisc" ;;
    esac
    filters_of "$1"
}

# start_witness NAME INTERFACE DIRECTION KIND VERDICT: another classifier in A
start_witness() {
    local name=$1
    shift
    rm -f "$work/witness-$name"
    ip netns exec "$A" "$PB_TOOLS/witness" "$@" "$work/witness-$name" & # no function: $! is its pid
    eval "witness_$name=$!"
    started+=("$!")
    wait_for 60 test -s "$work/witness-$name"
}

# stop_witness NAME: prints "packets N attached yes|no"
stop_witness() {
    local pid="witness_$1"
    kill -TERM "${!pid}"
    wait_for 60 grep -q packets "$work/witness-$1"
    cat "$work/witness-$1"
}
