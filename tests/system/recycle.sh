#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Slots recycled under load: two CPUs, 5,000 ports, 64 slots. Nothing is lost or doubled.
# Ten million packets; fewer in a guest, where the CPUs are emulated. PB_PACKETS sets the
# number per sender and round.
# shellcheck source=tests/lib.sh
. "${0%/*}/../lib.sh"

packets=2500000
[ -z "${PB_KERNEL:-}" ] || packets=50000
packets=${PB_PACKETS:-$packets}
make_namespaces
make_veth 0
collectd_interval=0.2
write_config 'MaxPorts 64'
start_collectd
ok $? "collectd starts with MaxPorts 64"

# blast_all NAMESPACE INTERFACE: both CPUs, both transports, ports of their own and common ones
blast_all() {
    ip netns exec "$1" "$PB_TOOLS/blast" "$2" 4 tcp 1000-5999 1000-5999 "$packets" 60 0 &
    local one=$!
    ip netns exec "$1" "$PB_TOOLS/blast" "$2" 6 udp 3000-7999 3000-7999 "$packets" 99 1 &
    wait $one && wait $!
}

blast_all "$B" b0 >"$work/out"
ok $? "two CPUs send to 5,000 ports each, both transports, into a"
blast_all "$A" a0 >>"$work/out"
ok $? "and out of it"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 10007 200 >>"$work/out"
is "$(paste -sd' ' "$work/out")" "$packets $packets $packets $packets 10007" "all was sent"
settle

sent=$((2 * packets + 10007))
is "$(total a0 rx_packets)" $sent "no received packet is lost or counted twice"
is "$(total a0 rx_bytes)" $((packets * 159 + 10007 * 200)) "nor a byte"
is "$(total a0 tx_packets)" $((2 * packets)) "no sent packet is lost or counted twice"
is "$(total a0 tx_bytes)" $((packets * 159)) "nor a byte"
is "$(total a0 rx_packets)" "$(interface_counter "$A" a0 rx packets)" "the interface agrees"
is "$(falls)" 0 "no series ever falls"

busy_ports() { series a0 | grep -c -- '-[0-9]*$'; }
ports=$(busy_ports)
ok $((ports > 64)) "at most MaxPorts ports ($ports) became series"

# Many busy ports: as many series as MaxPorts, and no more.
send_to_many() {
    in_b "$PB_TOOLS/blast" b0 4 udp 40000 10000-10199 2000 1500 >/dev/null
    reads 1
}
for ((round = 0; round < 60 && $(busy_ports) < 64; round++)); do send_to_many; done
for _ in 1 2 3; do send_to_many; done
settle
is "$(busy_ports)" 64 "MaxPorts ports become series in a daemon's life"
is "$(logged "MaxPorts reached")" 1 "the limit is said once"
is "$(total a0 rx_packets)" "$(interface_counter "$A" a0 rx packets)" "and still all is counted"
is "$(falls)" 0 "and no series falls"
stop_collectd
is "$?" 0 "collectd ends well"
finish
