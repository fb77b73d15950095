#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The default configuration, one LoadPlugin line, on a host with services, clients of remote
# services, a busy port that nobody listens on and a scan: these series and no others.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

collectd_interval=1
ports=1-65535
rate=30000
if [ -n "${PB_KERNEL:-}" ]; then # an emulated CPU
    collectd_interval=2
    ports=1-9999
    rate=1500
fi

expected="
    ip-icmp        what the host answers to a scan of UDP
    ip-ipv6-icmp   neighbour discovery
    nonip          ARP
    tcp-22         listens, IPv4
    tcp-443        listens, IPv6
    tcp-8080       nobody listens, but it carries a lot
    tcp-ephemeral  the host as a client
    tcp-other      the scan, small ones
    udp-53         has a socket
    udp-ephemeral  the host as a client
    udp-other      the scan, small ones
"

# ---- a host and its surroundings ----

# talk NAMESPACE tcp|udp ADDRESS PORT: a client that sends 1,009 bytes, fewer than a segment has
talk() {
    ip netns exec "$1" timeout 60 bash -c "exec 3<>/dev/$2/$3/$4 && head -c 1009 /dev/zero >&3"
}

# counters: those of the interface, what it could not deliver included
counters() {
    local direction
    for direction in rx tx; do
        echo $(($(interface_counter "$A" a0 $direction packets) +
            $(in_a cat "/sys/class/net/a0/statistics/${direction}_dropped")))
    done | paste -sd' '
}

make_namespaces
make_veth 0
ip -n "$A" link set a0 address 02:00:00:00:00:02 # tests/tools/scan sends to it
for end in "$A a0 1" "$B b0 2"; do
    read -r namespace device host <<<"$end"
    ip netns exec "$namespace" sh -c "echo 0 >/proc/sys/net/ipv6/conf/$device/disable_ipv6
        echo 0 >/proc/sys/net/ipv6/conf/$device/accept_ra
        echo 0 >/proc/sys/net/ipv6/conf/$device/router_solicitations
        echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range"
    ip -n "$namespace" link set "$device" arp on
    ip -n "$namespace" address add "10.99.0.$host/24" dev "$device"
    ip -n "$namespace" address add "fd99::$host/64" dev "$device" nodad
done
listen services "$A" tcp,0.0.0.0,22 tcp,::,443 udp,10.99.0.1,53 tcp,127.0.0.1,631 udp,127.0.0.53,53 \
    udp,10.99.0.1,50123,10.99.0.2,123 tcpidle,0.0.0.0,8081
ok $? "services: sockets are open"
listen remote "$B" tcp,0.0.0.0,443 udp,0.0.0.0,53
ok $? "remote: sockets are open"

# IPv6 announces itself for a while, once a second at most.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    before=$(counters)
    sleep 1.5
    [ "$(counters)" != "$before" ] || break
done

# shellcheck disable=SC2119 # no block, under no other command
write_config && start_collectd
ok $? "collectd starts with LoadPlugin and nothing else"
is "$(counters)" "$before" "it was quiet before that"
listed() { series a0 | paste -sd' '; }
talk "$B" tcp 10.99.0.1 22
wait_for 60 says "nonip tcp-22" listed
reads 2
is "$(listed)" "nonip tcp-22" "a service is a series from its first packet, those without traffic are none"

# ---- traffic ----

in_b "$PB_TOOLS/scan" b0 $ports 2 1x60 $rate tcp 8080 29 1500 >"$work/scan" &
scan=$!
good=0
for _ in 1 2 3 4 5 6 7; do
    { talk "$B" tcp 10.99.0.1 22 && talk "$B" tcp fd99::1 443 && talk "$B" udp 10.99.0.1 53 &&
        talk "$A" tcp 10.99.0.2 443 && talk "$A" udp 10.99.0.2 53; } || good=1
    listen query "$A" udp,0.0.0.0,0 # asks once
    # shellcheck disable=SC2154
    kill -TERM "$listen_query"
    wait "$listen_query"
    in_a "$PB_TOOLS/blast" a0 4 tcp 45000-45999 443 1009 600 >/dev/null
    in_a "$PB_TOOLS/blast" a0 4 udp 45000-45999 443 1009 600 >/dev/null
    in_b "$PB_TOOLS/blast" b0 4 tcp 54321 3000-3099 100 700 >/dev/null
done
ok $good "clients of the host and the host as a client have talked"
wait "$scan"
read -r scanned busy <"$work/scan"
ok $((scanned != 2 * ${ports#1-})) "each port was scanned twice ($scanned SYNs and datagrams, $busy to the busy port)"
# The kernel still asks now and then whether its neighbour is there.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    after=$(counters)
    settle
    [ "$(counters)" != "$after" ] || break
done

# ---- and what comes of it ----

is "$(series a0)" "$(awk 'NF { print $1 }' <<<"$expected")" "there are these series and no others"
is "$(cd "$work/csv/host" && echo ./*)" "./tc_portbytes-a0" "and no other interface: not loopback"
is "$(value a0 udp-53 rx_packets)" 9 "udp-53 is exact: 7 clients' and 2 of the scan"
is "$(total a0 rx_packets) $(total a0 tx_packets)" \
    "$((${after% *} - ${before% *})) $((${after#* } - ${before#* }))" \
    "all series together are what the interface has seen"
is "$(falls)" 0 "no series falls"
is "$(sed -n 's/.*tc_portbytes plugin: //p' "$work/log")" "a0: counting.
not counted by default: lo (loopback). Interface \"/./\" counts every interface." \
    "the log has two lines: what is counted, and what is not"
stop_collectd
is "$?" 0 "collectd ends well"
finish
