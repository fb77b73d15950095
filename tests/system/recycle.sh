#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Slots recycled under load: two CPUs, two interfaces that share the slots, 5,000 ports, 64 slots.
# Nothing is lost or doubled.
# Ten million packets; fewer in a guest, where the CPUs are emulated. PB_PACKETS sets the
# number per sender and round.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

packets=1250000
[ -z "${PB_KERNEL:-}" ] || packets=25000
packets=${PB_PACKETS:-$packets}
make_namespaces
make_veths 0 1
collectd_interval=0.2
write_config 'MaxPorts 64'
start_collectd
ok $? "collectd starts with MaxPorts 64"

# blast_all NAMESPACE PREFIX: both CPUs, both interfaces, both transports, ports of their own and
# common ones
blast_all() {
    local senders=() sender status=0
    for n in 0 1; do
        ip netns exec "$1" "$PB_TOOLS/blast" "$2$n" 4 tcp 1000-5999 1000-5999 "$packets" $((60 + n)) $n &
        senders+=($!)
        ip netns exec "$1" "$PB_TOOLS/blast" "$2$n" 6 udp 3000-7999 3000-7999 "$packets" $((99 + n)) $((1 - n)) &
        senders+=($!)
    done
    for sender in "${senders[@]}"; do wait "$sender" || status=1; done
    return $status
}

blast_all "$B" b >"$work/out"
ok $? "two CPUs send to 5,000 ports each, both transports, into two interfaces"
blast_all "$A" a >>"$work/out"
ok $? "and out of them"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 10007 200 >>"$work/out"
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 10009 200 >>"$work/out"
is "$(sort -u "$work/out" | paste -sd' ') $(wc -l <"$work/out")" "10007 10009 $packets 10" "all was sent"
settle

for n in 0 1; do
    own=$((10007 + 2 * n))
    is "$(total a$n rx_packets)" $((2 * packets + own)) "a$n: no received packet is lost or counted twice"
    is "$(total a$n rx_bytes)" $((packets * (159 + 2 * n) + own * 200)) "a$n: nor a byte"
    is "$(total a$n tx_packets)" $((2 * packets)) "a$n: no sent packet is lost or counted twice"
    is "$(total a$n tx_bytes)" $((packets * (159 + 2 * n))) "a$n: nor a byte"
    is "$(total a$n rx_packets)" "$(interface_counter "$A" a$n rx packets)" "a$n: the interface agrees"
done
is "$(falls)" 0 "no series ever falls"
stop_collectd
is "$?" 0 "collectd ends well"
finish
