#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every packet is counted exactly once, in packets and in bytes, under its port; and
# nothing is left behind.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

make_namespaces
make_veth 0

# Primes, so that a figure is recognised.
write_config 'MinBytes 0'
start_collectd
ok $? "collectd starts with the plugin"

declare -A start
for direction in rx tx; do
    for unit in bytes packets; do
        start[$direction$unit]=$(interface_counter "$A" a0 $direction $unit)
    done
done

in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 1009 100 >"$work/out"    # a: rx, udp-53
in_b "$PB_TOOLS/blast" b0 6 udp 40000 53 503 131 >>"$work/out"    # a: rx, udp-53
in_b "$PB_TOOLS/blast" b0 4 tcp 40000 443 2003 60 >>"$work/out"   # a: rx, tcp-443
in_b "$PB_TOOLS/blast" b0 6 tcp 40000 8443 701 1501 >>"$work/out" # a: rx, tcp-8443
in_a "$PB_TOOLS/blast" a0 4 udp 53 40000 1511 300 >>"$work/out"   # a: tx, udp-53
in_a "$PB_TOOLS/blast" a0 6 tcp 443 40000 907 999 >>"$work/out"   # a: tx, tcp-443
in_a "$PB_TOOLS/blast" a0 4 tcp 45000 80 307 80 >>"$work/out"     # a: tx, from an ephemeral port
is "$(paste -sd' ' "$work/out")" "1009 503 2003 701 1511 907 307" "the traffic was sent"
settle

is "$(values a0 udp-53)" "$((1009 * 100 + 503 * 131)) 1512 $((1511 * 300)) 1511" \
    "udp-53: IPv4 and IPv6, in and out, to the packet and the byte"
is "$(values a0 tcp-443)" "$((2003 * 60)) 2003 $((907 * 999)) 907" "tcp-443: the same"
is "$(values a0 tcp-8443)" "$((701 * 1501)) 701 0 0" "tcp-8443: the same"
is "$(values a0 tcp-ephemeral)" "0 0 $((307 * 80)) 307" "an ephemeral local port is folded"
is "$(series a0 | paste -sd' ')" "tcp-443 tcp-8443 tcp-ephemeral udp-53" \
    "there are these series and no others"

for direction in rx tx; do
    for unit in bytes packets; do
        is "$(total a0 ${direction}_$unit)" \
            "$(($(interface_counter "$A" a0 $direction $unit) - start[$direction$unit]))" \
            "all series together equal the interface's own $direction $unit"
    done
done

first=$(awk -F, '!/^epoch/ { print $2, $3, $4, $5; exit }' \
    "$work"/csv/host/tc_portbytes-a0/port_traffic-udp-53-*)
is "$first" "0 0 0 0" "a new series first says 0"
is "$(falls)" 0 "no series ever falls"

ids=$(programs)
is "$(echo "$ids" | wc -l)" 2 "two programs are loaded: one a direction"
stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
ok $? "no program is left"
is "$(left_of a0)" "" "no filter is left"
is "$(logged "tc_portbytes plugin: a0: counting.")" 1 "one line says what is counted"

# ---- StandardTypes: the same by the types that every collectd knows ----

rm -rf "$work/csv"
write_config 'MinBytes 0' 'StandardTypes true'
start_collectd
ok $? "StandardTypes true: collectd starts"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 1009 100 >"$work/out"
in_a "$PB_TOOLS/blast" a0 4 udp 53 40000 1511 300 >>"$work/out"
settle
# standard TYPE INSTANCE: the last values, "RX,TX"
standard() { tail -qn 1 "$work/csv/host/tc_portbytes-a0/$1-$2"-????-??-?? | cut -d, -f2-; }
is "$(standard if_octets udp-53)" "$((1009 * 100)),$((1511 * 300))" "if_octets has the bytes"
is "$(standard if_packets udp-53)" "1009,1511" "if_packets has the packets"
is "$(series a0)" "" "and there is no port_traffic"
is "$(grep -h '^epoch' "$work"/csv/host/tc_portbytes-a0/if_octets-udp-53-*)" "epoch,rx,tx" \
    "the data sources are rx and tx"
stop_collectd
is "$?" 0 "StandardTypes true: SIGTERM ends collectd with status 0"
finish
