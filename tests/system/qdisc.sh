#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# By clsact a filter needs a qdisc. It is never deleted, since somebody may just be adding a filter
# of theirs. Where one of kind ingress is in its place, ingress is counted, exactly, and egress once
# that has gone. By tcx none is needed, and none is made.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
collectd_interval=0.5

blocked_text="egress is not counted: the interface has a qdisc of kind ingress"
unblocked_text="the qdisc of kind ingress was removed; counting egress from now on."
removed_text="classifier was removed externally"

hooked() { in_a "$PB_TOOLS/hooks" | paste -sd,; }
is_hooked() { [ "$(hooked)" = "$1" ]; }
is_logged() { [ "$(logged "$2")" -ge "$1" ]; }

# said: what the plugin said beside that it counts
said() { plugin_said | grep -v ': counting\.$'; }

# counted INTERFACE RX TX NAME: after so many packets in each direction its series has them all
declare -A rx tx
counted() {
    rx[$1]=$((${rx[$1]:-0} + $2)) tx[$1]=$((${tx[$1]:-0} + $3))
    in_b "$PB_TOOLS/blast" "b${1#a}" 4 udp 40000 53 "$2" 100 >/dev/null
    in_a "$PB_TOOLS/blast" "$1" 4 udp 53 40000 "$3" 100 >/dev/null
    settle
    # What could not be counted is not expected later either.
    [ "${4:-}" = both ] || tx[$1]=$((tx[$1] - $3))
    is "$(values "$1" udp-53)" \
        "$((100 * rx[$1])) ${rx[$1]} $((100 * tx[$1])) ${tx[$1]}" "$5"
    is "$(total "$1" rx_packets) $(total "$1" tx_packets)" "${rx[$1]} ${tx[$1]}" \
        "... and nothing in another series"
}

make_namespaces
for n in 0 1 2; do make_veth $n; done
for interface in a0 a1; do in_a tc qdisc add dev $interface ingress; done
start_witness theirs a1 ingress clsact:7:0x4d -1
ok $? "somebody else's filter is in a qdisc of kind ingress"

write_config 'MinBytes 0'
start_collectd
ok $? "collectd starts, where two interfaces have a qdisc of kind ingress"

if [ $hook = tcx ]; then
    is "$(hooked)" "a0 ingress egress,a1 ingress egress,a2 ingress egress" "by tcx all is attached"
    counted a0 101 211 both "and counted"
    is "$(said)" "" "there is nothing to be said"
    stop_collectd
    is "$(in_a tc qdisc show dev a0 | grep -c ' ingress ')$(clsact_of a0)$(clsact_of a2)" 1 \
        "the qdisc is still there, and none was made"
    is "$(stop_witness theirs)" "packets 0 attached yes" "so is the filter"
    finish
fi

# ---- a qdisc of kind ingress ----

is "$(hooked)" "a0 ingress,a1 ingress,a2 ingress egress" "there only ingress is attached"
for interface in a0 a1; do
    is "$(logged "$interface: $blocked_text, whose filters all run in ingress; remove it with tc qdisc del dev $interface ingress, or use Linux 6.6 or later")" \
        1 "$interface: one line says so, with the remedy"
done
is "$(said | wc -l)" 2 "and nothing else is said"
counted a0 101 211 ingress "ingress is exact, and egress is not in it"
counted a1 103 223 ingress "beside somebody else's filter, too"
counted a2 107 227 both "elsewhere egress is counted, too"
reads 2
is "$(said | wc -l)" 2 "it is not said again"

in_a tc qdisc del dev a0 ingress
wait_for 60 has_logged "a0: $unblocked_text"
ok $? "that qdisc is deleted: the next read counts egress"
wait_for 60 has_logged "a0: $removed_text"
ok $? "... and attaches to ingress again"
counted a0 109 229 both "both are exact"
is "$(logged "$unblocked_text") $(logged "$removed_text")" "1 1" "each is said once"

# ---- it comes while we count ----

kill -STOP "$collectd"
in_a sh -c 'tc qdisc del dev a2 clsact && tc qdisc add dev a2 ingress'
kill -CONT "$collectd"
wait_for 60 has_logged "a2: $removed_text"
wait_for 60 has_logged "a2: $blocked_text"
ok $? "clsact is replaced by a qdisc of kind ingress: said"
counted a2 113 233 ingress "ingress is counted, and egress is not in it"
kill -STOP "$collectd"
in_a sh -c 'tc qdisc del dev a2 ingress && tc qdisc add dev a2 clsact'
kill -CONT "$collectd"
wait_for 60 has_logged "a2: $unblocked_text"
ok $? "and that by clsact again: the next read counts egress"
wait_for 60 is_logged 2 "a2: $removed_text"
counted a2 127 239 both "both are exact"
is "$(said | wc -l)" 8 "each is said once"
is "$(falls)" 0 "no series ever fell"

stop_collectd
is "$?/$(hooked)/$(left_of a0)/$(left_of a2)" "0///" "it ends well, and only qdiscs are left"
is "$(in_a tc qdisc show dev a1 | grep -c ' ingress ')" 1 "also the one of kind ingress"
is "$(stop_witness theirs)" "packets 103 attached yes" "and somebody else's filter, which saw all"

# ---- egress only ----

rm -rf "$work/csv"
rx=() tx=()
in_a tc qdisc del dev a0 clsact
in_a tc qdisc add dev a0 ingress
write_config 'MinBytes 0' 'Direction "egress"' 'Interface "a0"' 'Interface "a2"'
start_collectd
ok $? "Direction \"egress\": collectd starts"
is "$(hooked)" "a2 egress" "nothing is attached beside a qdisc of kind ingress"
is "$(said | grep -c "^a0: $blocked_text")/$(said | wc -l)" 1/1 "one line says so"
is "$(logged "a0: counting.") $(logged "a2: counting.")" "0 1" "and not that it counts"
in_a tc qdisc del dev a0 ingress
wait_for 60 has_logged "a0: $unblocked_text"
counted a0 0 241 both "that qdisc is deleted: egress is counted"
kill -STOP "$collectd"
in_a sh -c 'tc qdisc del dev a2 clsact && tc qdisc add dev a2 ingress'
kill -CONT "$collectd"
wait_for 60 has_logged "a2: $blocked_text"
ok $? "clsact is replaced by one: said"
reads 2
is "$(hooked)/$(logged "$removed_text")/$(said | wc -l)" "a0 egress/0/3" "and nothing else is"
in_a tc qdisc del dev a2 ingress
wait_for 60 is_hooked "a0 egress,a2 egress"
counted a2 0 251 both "it is deleted: egress is counted again"
is "$(logged "$removed_text")/$(said | wc -l)" "0/4" "which is said"
stop_collectd
is "$?/$(hooked)/$(left_of a0)/$(left_of a2)" "0///" "it ends well, and only qdiscs are left"

# ---- what an older version left ----

# With odd handles, by which it said that the qdisc was its own.
mount_bpffs
in_mount mkdir /sys/fs/bpf/old
in_mount "$PB_TOOLS/oldpins" clsact /sys/fs/bpf/old a0 a2
ok $? "filters with odd handles, of an older version that was killed"
in_mount rm -r /sys/fs/bpf/old
is "$(hooked)" "a0 ingress egress,a2 ingress egress" "they are attached"
write_config 'MinBytes 0' 'Interface "a0"'
start_collectd
is "$(hooked)/$(filters_of a0 | grep -c handle)/$(left_of a2)" "a0 ingress egress/2/" \
    "the next start replaces them where it counts, and removes them elsewhere"
stop_collectd
is "$?/$(hooked)/$(left_of a0)" "0//" "and its own at its end; the qdisc stays"

# ---- somebody adds a filter at the last moment ----

# Whatever would delete the qdisc is held up until the filter is there.
in_a tc qdisc del dev a0 clsact
for round in 1 2; do # the qdisc is made by us, or there before
    rm -f "$work/go"
    start_collectd env LD_PRELOAD="$PB_TOOLS/libnotcx.so $PB_TOOLS/libfaults.so" \
        PB_FAULT_DESTROY="$work/go"
    ok $? "$round: collectd starts"
    kill -TERM "$collectd"
    wait_for 60 is_hooked ""
    start_witness late a0 ingress clsact:77:0x4d -1
    ok $? "$round: somebody adds a filter while collectd stops"
    touch "$work/go"
    wait "$collectd"
    is $? 0 "$round: it ends well"
    in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 101 100 >/dev/null
    delivered
    is "$(stop_witness late)" "packets 101 attached yes" "$round: which stays, and sees all"
    is "$(left_of a0)" "" "$round: and so does the qdisc"
done
finish
