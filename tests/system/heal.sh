#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Somebody deletes or replaces our classifier: the next read notices, puts it back and says so
# once. Somebody comes in front of it: that is said once, and not fought. Nobody else's filter
# is touched by any of it.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
collectd_interval=0.5

healed_text="classifier was removed externally; reattached"
front_text="another program now runs before ours on"

# healed INTERFACE; fronted INTERFACE DIRECTION: how often it has been said
healed() { logged "$1: $healed_text"; }
fronted() { logged "$1: $front_text $2;"; }
is_said() { [ "$("${@:2}")" -ge "$1" ]; }

# hooked INTERFACE: in which directions it has our classifier now
hooked() { in_a "$PB_TOOLS/hooks" | sed -n "s/^$1 //p"; }

# send INTERFACE rx|tx COUNT: to or from port 53
send() {
    if [ "$2" = rx ]; then
        in_b "$PB_TOOLS/blast" "b${1#a}" 4 udp 40000 53 "$3" 100 >/dev/null
    else
        in_a "$PB_TOOLS/blast" "$1" 4 udp 53 40000 "$3" 100 >/dev/null
    fi
}

# remove INTERFACE DIRECTION...: our classifier, as an administrator can
remove() {
    local interface=$1 direction handle
    shift
    for direction; do
        if [ $hook = tcx ]; then
            in_a "$PB_TOOLS/hooks" "$interface" detach "$direction" || return 1
        else
            handle=$(in_a tc filter show dev "$interface" "$direction" |
                sed -n 's/.* handle \(0x[0-9a-f]*\) tc_portbytes.*/\1/p')
            in_a tc filter del dev "$interface" "$direction" pref 1 handle "$handle" bpf || return 1
        fi
    done
}

# heal INTERFACE WHAT COMMAND...: the command removes the classifier from it while collectd
# can't look; what passes then is not counted, everything before and after is.
declare -A rounds expected_rx expected_tx
are_counted() {
    [ "$(value "$1" udp-53 rx_packets) $(value "$1" udp-53 tx_packets)" = \
        "${expected_rx[$1]} ${expected_tx[$1]}" ]
}
heal() {
    local interface=$1 what=$2
    shift 2
    expected_rx[$interface]=$((${expected_rx[$interface]:-0} + 101))
    expected_tx[$interface]=$((${expected_tx[$interface]:-0} + 103))
    rounds[$interface]=$((${rounds[$interface]:-0} + 1))
    send "$interface" rx 101
    send "$interface" tx 103
    wait_for 60 are_counted "$interface"
    kill -STOP "$collectd"
    "$@"
    ok $? "$what"
    removed=$(hooked "$interface")
    [ "$removed" = ingress ] || send "$interface" rx 17
    [ "$removed" = egress ] || send "$interface" tx 19
    delivered
    kill -CONT "$collectd"
    wait_for 60 is_said "${rounds[$interface]}" healed "$interface"
    ok $? "... is noticed by the next read"
    is "$(hooked "$interface")" "ingress egress" "... and put back"
    send "$interface" rx 211
    send "$interface" tx 223
    settle
    is "$(healed "$interface")" "${rounds[$interface]}" "... and said once"
    expected_rx[$interface]=$((expected_rx[$interface] + 211))
    expected_tx[$interface]=$((expected_tx[$interface] + 223))
    is "$(value "$interface" udp-53 rx_packets) $(value "$interface" udp-53 tx_packets)" \
        "${expected_rx[$interface]} ${expected_tx[$interface]}" \
        "... its series goes on, without what passed in between"
}

make_namespaces
for n in 0 1 2 3; do make_veth $n; done
write_config 'MinBytes 0' 'Port "udp/9"' 'DynamicPorts true' # so that reads can be told
start_collectd
ok $? "collectd starts"
ids=$(programs)

# ---- removed ----

# Others on the same interface: behind us, in both directions; they let everything pass.
for direction in ingress egress; do
    start_witness "behind_$direction" a1 $direction $hook -1
    ok $? "a classifier is attached behind ours on $direction"
done
reads 2
heal a1 "our classifier is removed from ingress" remove a1 ingress
heal a1 "our classifier is removed from egress" remove a1 egress
heal a1 "our classifier is removed from both" remove a1 ingress egress
if [ $hook = clsact ]; then
    heal a2 "the qdisc is deleted" in_a tc qdisc del dev a2 clsact
    heal a2 "the qdisc is deleted, and made again by somebody else" \
        in_a sh -c 'tc qdisc del dev a2 clsact && tc qdisc add dev a2 clsact'
    handle=$(in_a tc filter show dev a2 ingress | sed -n 's/.* handle \(0x[0-9a-f]*\) tc_p.*/\1/p')
    heal a2 "somebody puts a filter in the place of ours" \
        start_witness instead a2 ingress "clsact:1:$handle" -1
    is "$(in_a tc filter show dev a2 ingress | grep -c 'handle.*witness')" 1 \
        "... and that filter is still there"
fi
is "$(programs)" "$ids" "no program was loaded anew for that"

# ---- in front ----

# By clsact: our priority and another handle; the newest is first.
if [ $hook = tcx ]; then first=tcx-first; else first=clsact:1:0x4d; fi
start_witness front a3 ingress $first 2
ok $? "somebody comes in front of us on ingress, and drops everything"
wait_for 60 is_said 1 fronted a3 ingress
ok $? "... which the next read notices"
send a3 rx 101
send a3 tx 103
settle
is "$(fronted a3 ingress) $(fronted a3 egress)" "1 0" "... and says once, with the direction"
is "$(healed a3)" 0 "... and does not call it removed"
is "$(value a3 udp-53 tx_packets)" 103 "what it has no part in is counted"
is "$(value a3 udp-53 rx_packets)" 0 "what it drops is not"
is "$(stop_witness front)" "packets 101 attached yes" "it saw every packet: we did not fight"
send a3 rx 211
settle
is "$(value a3 udp-53 rx_packets)" 211 "it goes, and we count again"
is "$(fronted a3 ingress)" 1 "which nobody needs to be told"

start_witness again a3 ingress $first -1
start_witness other a3 egress $first -1
wait_for 60 is_said 2 fronted a3 ingress
ok $? "it comes again, and lets pass: said again"
wait_for 60 is_said 1 fronted a3 egress
ok $? "and another one on egress: said too"
send a3 rx 307
send a3 tx 311
settle
is "$(value a3 udp-53 rx_packets) $(value a3 udp-53 tx_packets)" "518 414" \
    "what they let pass is counted"
is "$(fronted a3 ingress) $(fronted a3 egress)" "2 1" "each is said once"
if [ $hook = tcx ]; then
    is "$(in_a "$PB_TOOLS/hooks" a3 order ingress | paste -sd' ')" "witness tc_portbytes_in" \
        "the order is as they made it"
fi
is "$(stop_witness again)" "packets 307 attached yes" "the one on ingress saw every packet"
is "$(stop_witness other)" "packets 311 attached yes" "the one on egress too"

# Somebody in front, and then we are removed: back means first again.
reads 1 # which sees that nobody is in front
start_witness third a3 ingress $first -1
wait_for 60 is_said 3 fronted a3 ingress
expected_rx[a3]=518 expected_tx[a3]=414
heal a3 "our classifier is removed behind another" remove a3 ingress
is "$(fronted a3 ingress)" 3 "nothing is said of who was in front before"
# 101 and 17 and 211
is "$(stop_witness third)" "packets 329 attached yes" "who saw all the same every packet"

# ---- behind another kind of filter, which can't be passed ----

if [ $hook = clsact ]; then
    make_veth 4
    kill -STOP "$collectd"
    in_a tc qdisc del dev a4 clsact 2>/dev/null # if we have been there already
    in_a tc qdisc add dev a4 clsact
    if in_a tc filter add dev a4 ingress pref 1 protocol all u32 match u32 0 0 2>/dev/null; then
        kill -CONT "$collectd"
        wait_for 60 has_logged "a4: a filter of another kind has the first priority on ingress"
        ok $? "a filter of another kind has the first place: said"
        settle
        is "$(logged "a4: a filter of another kind") $(fronted a4 ingress)" "1 0" "once"
    else
        kill -CONT "$collectd"
        skip "this kernel has no u32 filter" "a filter of another kind has the first place"
    fi
fi

# ---- nobody else was touched ----

# Of a1: three rounds of 101 + 211 and 103 + 223; 17 and 19 passed in between, by direction.
is "$(stop_witness behind_ingress)" "packets $((3 * 312 + 34)) attached yes" \
    "the classifier behind ours on ingress saw every packet and is still there"
is "$(stop_witness behind_egress)" "packets $((3 * 326 + 38)) attached yes" \
    "the one on egress too"
if [ $hook = clsact ]; then
    is "$(stop_witness instead)" "packets $((17 + 211)) attached yes" "the one in our place too"
fi
is "$(falls)" 0 "no series ever fell"
is "$(plugin_said |
    grep -v -e ': counting\.$' -e "$healed_text" -e "$front_text" -e 'a filter of another kind')" "" \
    "nothing else was said"
stop_collectd
is "$?" 0 "it ends well"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
is "$?/$(in_a "$PB_TOOLS/hooks")$(left_of a1)$(left_of a3)" "0/" "and takes all of it away"
finish
