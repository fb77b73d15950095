#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Interfaces of every kind: what passes a device is counted on it, from its own link layer
# on, and once more, with all headers, on the device below.
#
# Everything is UDP with a port for each device, which A receives on (rx) and sends from
# (tx). PAYLOAD bytes are an odd number, so that padding would show.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/links.sh
. "${0%/*}/../lib/links.sh"

# ---- the devices ----

make_namespaces
with_ipv6 "$A" && with_ipv6 "$B"
for link in 0 1 2 3 4; do make_veth $link; done
addresses 0 a0 b0

device vlan 0 1 link UNDER type vlan id 5
device outer 0 2 link UNDER type vlan proto 802.1ad id 7
device qinq 0 3 link outer type vlan id 9
device ipip 0 4 type ipip local HERE remote THERE
device sit 0 5 type sit local HERE remote THERE
device gre 0 6 type gre local HERE remote THERE
device grekey 0 7 type gre local HERE remote THERE key 7 csum seq
device gretap 0 8 type gretap local HERE remote THERE
device ip6gre 0 9 type ip6gre local fd00::HERE remote fd00::THERE encaplimit none
device ip6gretap 0 10 type ip6gretap local fd00::HERE remote fd00::THERE key 9 encaplimit none
device ip6tnl 0 11 type ip6tnl mode any local fd00::HERE remote fd00::THERE # with encaplimit
device vxlan 0 12 type vxlan id 7 local HERE remote THERE dev UNDER dstport 4789 srcport 4789 4790
device vxlan6 0 13 type vxlan id 8 local fd00::HERE remote fd00::THERE dev UNDER dstport 4791 \
    srcport 4791 4792
device macvlan 0 14 link UNDER type macvlan mode private
if device wg 0 15 type wireguard; then
    in_a "$PB_TOOLS/generic" wireguard wg 1 51820 10.99.0.2 &&
        in_b "$PB_TOOLS/generic" wireguard wg 2 51820 10.99.0.1
    ok $? "WireGuard has its keys"
fi
# Without a remote end, each packet says where it goes.
if device grehub 0 16 type gre local HERE key 11; then
    ip -n "$A" neighbour replace 10.99.16.2 lladdr 10.99.0.2 dev grehub nud permanent
    ip -n "$B" neighbour replace 10.99.16.1 lladdr 10.99.0.1 dev grehub nud permanent
fi
if device ip6grehub 0 17 type ip6gre local fd00::HERE key 13 encaplimit none; then
    # fd00::10.99.0.2 and fd00::10.99.0.1
    far=fd:00:00:00:00:00:00:00:00:00:00:00:0a:63:00:02
    ip -n "$A" neighbour replace fd00::10.99.17.2 lladdr $far dev ip6grehub nud permanent
    ip -n "$B" neighbour replace fd00::10.99.17.1 lladdr ${far%2}1 dev ip6grehub nud permanent
fi

if make "$A" bridge1 type bridge stp_state 0 mcast_snooping 0; then
    enslave "$A" bridge1 a4 && addresses 21 bridge1 b4 && devices+=" bridge1 "
    ok $? "a bridge with a port"
fi
if make "$A" bond1 type bond mode balance-rr && make "$B" bond1 type bond mode balance-rr; then
    enslave "$A" bond1 a1 a2 && enslave "$B" bond1 b1 b2 && addresses 22 bond1 bond1 &&
        devices+=" bond1 "
    ok $? "a bond of two"
fi
if make "$A" team1 type team; then
    in_a "$PB_TOOLS/generic" team team1 roundrobin && enslave "$A" team1 a3 &&
        addresses 23 team1 b3 && devices+=" team1 "
    ok $? "a team of one"
fi
if make "$A" dummy1 type dummy; then
    address "$A" dummy1 24 1 02:00:00:00:00:02 && devices+=" dummy1 "
    ok $? "a dummy"
fi
tun=$(in_a "$PB_TOOLS/tunnel" tun1 tun 30001 2025 709 $((payload + 28))) &&
    tap=$(in_a "$PB_TOOLS/tunnel" tap1 tap 30001 2026 719 $((payload + 28))) &&
    address "$A" tun1 25 1 &&
    address "$A" tap1 26 1 02:00:00:00:00:02
ok $? "tun and tap, with a program behind each"
started+=("$tun" "$tap")

# ---- counting ----

start_sinks
# WireGuard's port would be folded, and each port of the sinks be a series on each device.
write_config 'MinBytes 0' 'FoldEphemeral false' 'ListeningPorts false'
# shellcheck disable=SC2119
start_collectd
ok $? "collectd starts with the plugin"

# over DEVICE NET HEADER BELOW INSTANCE OVERHEAD [OVERHEAD6 [FAMILIES]]: traffic on DEVICE,
# which BELOW sees as INSTANCE, with so much before the IP header
over() {
    there "$1" || return
    traffic "$1" "$2" "$3" $((2000 + $2)) both "${8:-46}"
    also "$4" "$5" "$6" "${7:-$6}"
}

traffic a0 0 14 2000
over vlan 1 14 a0 udp-2001 18
over outer 2 14 a0 udp-2002 18
over qinq 3 14 a0 udp-2003 22
there qinq && also outer udp-2003 18
over ipip 4 0 a0 ip-ipv4 34 34 4
over sit 5 0 a0 ip-ipv6 34 34 6
over gre 6 0 a0 ip-gre 38
over grekey 7 0 a0 ip-gre 50
over gretap 8 14 a0 ip-gre 52
over ip6gre 9 0 a0 ip-gre 58
over ip6gretap 10 14 a0 ip-gre 76
over ip6tnl 11 0 a0 ip-ipv4 62 62 4
over ip6tnl 11 0 a0 ip-ipv6 62 62 6
over vxlan 12 14 a0 udp-4789+udp-4790 64
over vxlan6 13 14 a0 udp-4791+udp-4792 84
over macvlan 14 14 a0 udp-2014 14
# the outer header is the link header of these two
over grehub 16 28 a0 ip-gre 42 42 4
there ip6grehub && traffic ip6grehub 17 48 2017 tx 6 # the kernel itself lets them fall behind the hook

for name in bridge1/21 bond1/22 team1/23; do
    there "${name%/*}" && traffic "${name%/*}" "${name#*/}" 14 "20${name#*/}"
done
there dummy1 && traffic dummy1 24 14 2024 tx
traffic tun1 25 0 2025 tx
expect tun1 udp-2025 $((709 * 2 * (payload + 28))) $((709 * 2)) 0 0
traffic tap1 26 14 2026 tx
expect tap1 udp-2026 $((719 * 2 * (payload + 42))) $((719 * 2)) 0 0
kill -USR1 "$tun" "$tap"

# WireGuard: the first packet waits for the handshake, 148 bytes there and 92 back; then each
# packet is padded to 16 bytes and has 32 more. What nobody answers is followed by more after
# ten seconds, unless the device is down.
if there wg; then
    # shellcheck disable=SC2317
    has_received() { [ "$(interface_counter "$1" wg rx packets)" -ge "$2" ]; }
    padded() { echo $((($1 + 15) / 16 * 16 + 32 + 28 + 14)); }
    datagrams "$B" 30001 10.99.15.1 2015 1
    wait_for 60 has_received "$A" 1
    ok $? "WireGuard has shaken hands"
    expect wg udp-2015 $((payload + 28)) 1 0 0
    expect a0 udp-51820 $(($(padded $((payload + 28))) + 148 + 42)) 2 $((92 + 42)) 1
    traffic wg 15 0 2015
    read -ra count <<<"$sent"
    wait_for 60 has_received "$A" $((1 + count[0] + count[1])) &&
        wait_for 60 has_received "$B" $((count[2] + count[3]))
    ok $? "WireGuard has handed over what was sent"
    for ns in "$A" "$B"; do ip -n "$ns" link set wg down; done
    v4=$(padded $((payload + 28))) v6=$(padded $((payload + 48)))
    expect a0 udp-51820 $((count[0] * v4 + count[1] * v6)) $((count[0] + count[1])) \
        $((count[2] * v4 + count[3] * v6)) $((count[2] + count[3]))
fi

# SCTP packs messages as it likes; a device that can't do its GSO counts what becomes of them.
# sctp NAMESPACE SOURCE ADDRESS PORT RECEIVER
sctp() {
    ip netns exec "$5" "$PB_TOOLS/stream" serve sctp "$4" >/dev/null 2>"$work/error" || return
    ip netns exec "$1" "$PB_TOOLS/stream" sctp "$2" "$3" "$4" 50021 1009 >/dev/null
}
in_a "$PB_TOOLS/feature" a0 off tx-sctp-segmentation && in_b "$PB_TOOLS/feature" b0 off tx-sctp-segmentation
ok $? "a0 and b0 can't segment SCTP"
before="$(device_sent "$B" b0) $(device_sent "$A" a0)"
sctp "$B" 30003 10.99.0.1 2027 "$A"
result=$?
if [ $result -ne 0 ] && [ -z "${PB_KERNEL:-}" ] && grep -q 'not supported' "$work/error"; then
    skip "no SCTP here; the guests have it" "SCTP"
else
    ok $result "SCTP into A"
    sctp "$A" 2027 fd00::10.99.0.2 30003 "$B"
    ok $? "SCTP out of A"
    # shellcheck disable=SC2046
    expect a0 sctp-2027 $(minus "$(device_sent "$B" b0) $(device_sent "$A" a0)" "$before")
fi
settle

check_expected
slaves=()
for name in bond1/a1 bond1/a2 team1/a3 bridge1/a4; do
    there "${name%/*}" || continue
    slaves+=("${name#*/}")
    is "$(series "${name#*/}")" "" "${name#*/} isn't counted, its master is"
done
is "$(series lo)" "" "loopback isn't counted"
stop_collectd
is "$?" 0 "collectd ends well"
is "$(falls)" 0 "no series ever falls"

# ---- what is counted by name only ----

rm -rf "$work/csv"
expected=() order=()
lines=('Interface "lo"')
for name in ${slaves[@]+"${slaves[@]}"}; do lines+=("Interface \"$name\""); done
write_config 'MinBytes 0' 'ListeningPorts false' "${lines[@]}"
# shellcheck disable=SC2119
start_collectd
ok $? "collectd starts with loopback and slaves by name"
put "$A" ipv6/conf/lo/disable_ipv6 0
datagrams "$A" 2028 127.0.0.1 2029 1009
datagrams "$A" 2029 ::1 2030 503
expect lo udp-2028 0 0 $((1009 * (payload + 42))) 1009
expect lo udp-2029 $((1009 * (payload + 42))) 1009 $((503 * (payload + 62))) 503
expect lo udp-2030 $((503 * (payload + 62))) 503 0 0
there bridge1 && traffic a4 21 14 2021
there bond1 && traffic both 22 14 2022
settle
if there bond1; then
    is "$(plus "$(stored a1 udp-2022)" "$(stored a2 udp-2022)")" "${expected[both udp-2022]}" \
        "a1 and a2: each packet of the bond and each byte"
    unset 'order[-1]'
fi
check_expected
finish
