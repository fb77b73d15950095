#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What tc_portbytes-remove, and so the removal of a package, leaves: nothing of ours but what a
# running collectd uses, everything of others. The pins are on a bpffs of this test's own.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
collectd_interval=0.3

make_namespaces
for n in 0 1; do make_veth $n; done
mount_bpffs
start_witness other a1 ingress clsact 0
ok $? "somebody else's filter is on a1"

hooked() { in_a "$PB_TOOLS/hooks" | paste -sd' '; }
pinned() { in_mount find /sys/fs/bpf -path '*tc_portbytes*' ! -name '*.debug'; }
both="a0 ingress egress a1 ingress egress"

# remove NAME STATUS LINE...: the helper ends so, and says these lines and no others, in any order;
# numbers are N in them
remove() {
    local name=$1 status=$2
    shift 2
    in_mount "$PB_TOOLS/tc_portbytes-remove" >"$work/removed" 2>&1
    is $? "$status" "$name: the status"
    is "$(sed -E 's/(program|interface) [0-9]+/\1 N/' "$work/removed" | sort)" \
        "$([ $# -eq 0 ] || printf '%s\n' "$@" | sort)" "$name: what is said"
}

# filters INTERFACE...: the lines for those that are removed
filters() { printf '%s: removed the filter of %s (program N).\n' "$1" ingress "$1" egress; }
unpinned=("interface N, a0: removed what was pinned." "interface N, a1: removed what was pinned.")
lines=()
[ $hook = tcx ] || mapfile -t lines < <(filters a0; filters a1)

# gone NAME: nothing is left of the daemon whose programs $ids are
gone() {
    is "$(hooked)/$(left_of a0)/$(pinned)" "//" "$1: nothing is attached or pinned"
    # shellcheck disable=SC2086
    wait_for 60 none_alive $ids
    ok $? "$1: no program is left"
}

remove "nothing is there" 0

# ---- killed ----

write_config 'MinBytes 0'
start_collectd
ids=$(programs)
kill -KILL "$collectd"
wait "$collectd" 2>/dev/null
if [ $hook = clsact ]; then
    is "$(hooked)" "$both" "killed: its filters stay"
    chmod 711 "$work"
    in_a setpriv "${unprivileged[@]}" "$PB_TOOLS/tc_portbytes-remove" >"$work/refused" 2>&1
    is "$?/$(grep -c 'cannot remove the filter.*: Operation not permitted' "$work/refused")/$(hooked)" \
        "1/4/$both" "killed: without privileges none is removed, and each is named"
fi
remove "killed" 0 "${lines[@]}"
gone "killed"

# ---- stopped with Persist ----

# One of them with a name that would do something to a terminal.
rename() {
    ip -n "$A" link set "$1" down && ip -n "$A" link set "$1" name "$2" && ip -n "$A" link set "$2" up
}

write_config 'MinBytes 0' 'Persist true'
start_collectd "${inside[@]}"
ids=$(programs)
stop_collectd
is "$(hooked)" "$both" "Persist, stopped: it stays attached"
rename a1 $'a\e[1m1'
remove "Persist, stopped" 0 "${lines[@]//a1/a\\x1b[1m1}" "${unpinned[@]//a1/a\\x1b[1m1}"
rename $'a\e[1m1' a1
gone "Persist, stopped"

# ---- beside one that runs ----

start_collectd "${inside[@]}"
runs=$collectd
pins=$(pinned)
ids=$(programs)
second write_config 'MinBytes 0'
second start_collectd
kill -KILL "$collectd"
wait "$collectd" 2>/dev/null
collectd=$runs
remove "one runs, one was killed" 0 "${lines[@]}" \
    "A running collectd has Persist true: what it pinned was left alone."
is "$(hooked)/$(pinned)" "$both/$pins" "one runs: it stays attached, and pinned"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 101 100 >/dev/null
settle
is "$(value a0 udp-53 rx_packets) $(logged "removed externally")" "101 0" "one runs: it counts on"

# ---- its pins are removed, as by the removal of the package ----

in_mount rm -r /sys/fs/bpf/tc_portbytes
stop_collectd
is $? 0 "without pins: it ends well"
is "$(logged "what Persist pinned was removed externally; nothing stays attached")" 1 \
    "without pins: it says that nothing stays"
gone "without pins"

# ---- others' ----

in_a "$PB_TOOLS/tc_portbytes-remove" help >"$work/usage" 2>&1
is "$?/$(grep -c '^usage: ' "$work/usage")" 2/1 "an argument is refused"
is "$(stop_witness other | awk '{ print $4 }')" yes "somebody else's filter is still attached"
finish
