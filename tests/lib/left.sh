# SPDX-License-Identifier: MIT
# What the plugin has in the kernel, and must not leave there. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154

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
