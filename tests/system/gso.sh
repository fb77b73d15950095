#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# GSO and GRO: one packet at the hook stands for many on the wire, and those are counted.
#
# Every case is one sender with a port of its own, over one of two links:
#   0  offloads on: large packets pass whole, out of A and into it
#   1  the devices can't segment and the receivers do GRO: large packets at both hooks,
#      small ones on the wire in between
# What is expected is computed: payload + segments * headers, the segments being the
# sender's OutSegs and RetransSegs, or the datagrams asked for. On link 1 the sending
# devices' own counters know it too, and must agree.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/links.sh
. "${0%/*}/../lib/links.sh"

# Less in the guests, whose CPU is emulated.
bytes=20000003
messages=211
if [ -n "${PB_KERNEL:-}" ]; then
    bytes=1000003
    messages=31
fi

# ---- cases ----

# state: of both ends of $link, B's first: bytes, packets and TCP segments that were sent
state() {
    local end
    for end in "$B b$link" "$A a$link"; do
        # shellcheck disable=SC2016
        ip netns exec "${end% *}" sh -c '
            cat "/sys/class/net/$0/statistics/tx_bytes" "/sys/class/net/$0/statistics/tx_packets"
            awk "\$1 == \"Tcp:\" { print \$12 + \$13 }" /proc/net/snmp | tail -n 1' "${end#* }"
    done | paste -sd' '
}

# ordered DATA-BYTES DATA-SEGMENTS ACK-BYTES ACK-SEGMENTS: as expect takes it
ordered() {
    if [ "$direction" = rx ]; then echo "$@"; else echo "$3 $4 $1 $2"; fi
}

# transmit COMMAND...: runs what sends in this case, on $link in $direction. Sets said (what
# it printed), skbs (data packets at the hook), segments and answers (of TCP, sent by the
# sender and by the receiver) and wire (all that the devices have sent, as expect takes it).
transmit() {
    local before after sender=$B
    [ "$direction" = tx ] && sender=$A
    read -ra before <<<"$(state)"
    said=$(ip netns exec "$sender" "$PB_TOOLS/stream" "$@")
    ok $? "$name: it was sent"
    read -ra after <<<"$(state)"
    for i in 0 1 2 3 4 5; do after[i]=$((after[i] - before[i])); done

    skbs=${after[1]} segments=${after[2]} answers=${after[5]}
    if [ "$direction" = tx ]; then
        skbs=${after[4]} segments=${after[5]} answers=${after[2]}
    fi
    # Where veth does GRO it counts no Ethernet headers.
    wire="$((after[0] + link * 14 * after[1])) ${after[1]} $((after[3] + link * 14 * after[4])) ${after[4]}"
}

# check_wire SEGMENTS FIGURES: that the case was one; sums up in on_wire
on_wire="0 0 0 0"
check_wire() {
    if [ "$link" = 0 ]; then # veth counts packets as they are at the hook
        ok $((skbs * 3 > $1 * 2)) "$name: $skbs packets at the hook stand for $1"
    else
        is "$wire" "$2" "$name: the devices have sent as many"
        on_wire=$(plus "$on_wire" "$wire")
    fi
}

timestamps=12 # bytes of TCP options

# tcp DEVICE LINK FAMILY NET rx|tx PORT HEADER [BELOW INSTANCE]: a connection over
# NET's DEVICE, where HEADER bytes stand before IP. On the link, if that is another device,
# it is BELOW bytes, and INSTANCE counts it. mss is obeyed.
tcp() {
    local link=$2 direction=$5 port=$6 from=30001 to=$6 receiver=$A there=10.99.$4.1
    local inner=$((20 + 20 + timestamps)) skbs segments answers said wire figures
    local name="$1${mss:+ with an MSS of $mss}, TCP over IPv$3, $5"
    [ "$3" = 6 ] && inner=$((inner + 20)) && there=fd00::$there
    if [ "$direction" = tx ]; then
        receiver=$B there=${there%1}2 from=$port to=30001
    fi
    ip netns exec "$receiver" "$PB_TOOLS/stream" serve tcp "$to" >/dev/null
    # shellcheck disable=SC2086
    transmit tcp "$from" "$there" "$to" "$bytes" ${mss:-}

    # A SYN has 8 bytes more than the rest: MSS and window scale.
    figures=$(ordered $((said + 8 + segments * (inner + $7))) "$segments" \
        $((8 + answers * (inner + $7))) "$answers")
    # shellcheck disable=SC2086
    expect "$1" "tcp-$port" $figures
    if [ $# -gt 7 ]; then
        figures=$(ordered $((said + 8 + segments * (inner + $8))) "$segments" \
            $((8 + answers * (inner + $8))) "$answers")
        # shellcheck disable=SC2086
        expect "a$link" "$9" $figures
    fi
    check_wire "$segments" "$figures"
}

# udp LINK FAMILY rx|tx PORT SIZE SEGMENT [DEVICE NET BELOW INSTANCE]: $messages of SIZE bytes,
# cut by the kernel; what they look like is $forged. Over NET's DEVICE, if it is not the link, as with tcp.
udp() {
    local link=$1 direction=$3 from=30002 to=$4 there=10.99.${8:-$1}.1 inner=28
    local device=${7:-a$1} skbs segments answers said wire figures name="${7:-a$1}, UDP over IPv$2, $3"
    [ "$2" = 6 ] && inner=48 && there=fd00::$there
    [ "$direction" = tx ] && there=${there%1}2 from=$4 to=30002
    # shellcheck disable=SC2086
    transmit udp "$from" "$there" "$to" "$messages" "$5" "$6" ${forged:-}
    figures=$(ordered $((messages * $5 + said * (inner + 14))) "$said" 0 0)
    # shellcheck disable=SC2086
    expect "$device" "udp-$4" $figures
    if [ $# -gt 6 ]; then
        figures=$(ordered $((messages * $5 + said * (inner + $9))) "$said" 0 0)
        # shellcheck disable=SC2086
        expect "a$link" "${10}" $figures
    fi
    check_wire "$said" "$figures"
}

# iperf ARGUMENT...: what others send by: a client in B, on $link. Sums up in by_iperf what
# TCP has sent, as segments of B and of A, and in iperf_wire what the devices have.
iperf() {
    local before after i
    read -ra before <<<"$(state)"
    rm -f "$work/iperf"
    in_a timeout 120 iperf3 -s -1 -p 5201 --forceflush >"$work/iperf" 2>&1 &
    wait_for 60 grep -qs listening "$work/iperf"
    in_b timeout 120 iperf3 -c "10.99.$link.1" -p 5201 -t 1 "$@" >"$work/iperf-client" 2>&1
    ok $? "iperf3 $* over link $link"
    wait "$!"
    read -ra after <<<"$(state)"
    for i in 0 1 2 3 4 5; do after[i]=$((after[i] - before[i])); done
    by_iperf=$(plus "$by_iperf" "${after[2]} ${after[5]} 0 0")
    iperf_wire=$(plus "$iperf_wire" "$((after[0] + link * 14 * after[1])) ${after[1]} \
        $((after[3] + link * 14 * after[4])) ${after[4]}")
}

has_iperf() {
    [ -z "${PB_KERNEL:-}" ] || return 1 # too slow there
    command -v iperf3 >/dev/null || { command -v apt-get >/dev/null && DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends iperf3 >/dev/null 2>&1 </dev/null; }
}

# ---- what there is ----

make_namespaces
rmem="4096 131072 131072"
sinks="30002 2001 2003 2005 2007 2009 8472"
for ns in "$A" "$B"; do
    with_ipv6 "$ns"
    put "$ns" ipv4/tcp_sack 0 # the one option whose length changes
    # No more under way than veth's queue of 256 takes, however small the segments.
    put "$ns" ipv4/tcp_rmem "$rmem"
    # shellcheck disable=SC2086
    started+=("$(ip netns exec "$ns" "$PB_TOOLS/stream" sink $sinks)")
done
for link in 0 1; do
    make_veth $link
    addresses $link a$link b$link
done
result=0
for end in "$A a1" "$B b1"; do
    # shellcheck disable=SC2086
    set -- $end
    ip netns exec "$1" "$PB_TOOLS/feature" "$2" off 'tx-*-segmentation' 'tx-vlan-*' &&
        ip netns exec "$1" "$PB_TOOLS/feature" "$2" on rx-gro || result=1
done
ok $result "segmentation off and GRO on, on link 1"

for link in 0 1; do
    device vlan$link $link 1$link link UNDER type vlan id 5
    device outer$link $link 2$link link UNDER type vlan proto 802.1ad id 7
    device qinq$link $link 3$link link outer$link mtu 1496 type vlan id 9
    device ipip$link $link 4$link type ipip local HERE remote THERE
    device gre_$link $link 5$link type gre local HERE remote THERE
    device ip6tnl_$link $link 6$link type ip6tnl mode any local fd00::HERE remote fd00::THERE \
        encaplimit none
    device vxlan$link $link 7$link type vxlan id 1$link local HERE remote THERE dev UNDER \
        dstport 4789 srcport 4789 4790 noudpcsum
    device sit_$link $link 8$link type sit local HERE remote THERE
    device gretap_$link $link 9$link type gretap local HERE remote THERE
    device ip6gre_$link $link 10$link type ip6gre local fd00::HERE remote fd00::THERE key 9 \
        encaplimit none
    device geneve$link $link 11$link type geneve id 1$link remote THERE dstport 6081
    # Without a remote end each packet says where it goes: its link header is the tunnel's.
    if device grehub$link $link 12$link type gre local HERE key 11; then
        ip -n "$A" neighbour replace "10.99.12$link.2" lladdr "10.99.$link.2" dev grehub$link nud permanent
        ip -n "$B" neighbour replace "10.99.12$link.1" lladdr "10.99.$link.1" dev grehub$link nud permanent
    fi
done

write_config 'MinBytes 0' 'ListeningPorts false'
# shellcheck disable=SC2119
start_collectd
ok $? "collectd starts with the plugin"

for link in 0 1; do
    port=1001
    if [ $link = 1 ]; then
        start_witness ingress a1 ingress "$hook" 0 && start_witness egress a1 egress "$hook" 0
        ok $? "classifiers of the test's own count what comes to the hooks of a1"
    fi
    for direction in rx tx; do
        for family in 4 6; do
            tcp a$link $link $family $link $direction $port 14
            port=$((port + 2))
        done
    done
    udp $link 4 rx 2001 40009 1472
    udp $link 6 rx 2003 50021 1452
    udp $link 4 tx 2005 60013 1009
    udp $link 6 tx 2007 10007 997
    # A tunnel's port, but no tunnel.
    udp $link 4 rx 8472 40009 1472
    forged=forged udp $link 4 rx 8472 40009 1472

    timestamps=0
    for ns in "$A" "$B"; do put "$ns" ipv4/tcp_timestamps 0; done
    mss=536 tcp a$link $link 4 $link rx 1009 14
    mss=1229 tcp a$link $link 6 $link tx 1011 14
    for ns in "$A" "$B"; do put "$ns" ipv4/tcp_timestamps 1; done
    timestamps=12

    if [ $link = 1 ]; then
        read -r _ rx _ tx <<<"$on_wire"
        skbs=$(stop_witness ingress | awk '{ print $2 }')
        ok $((skbs * 3 > rx * 2)) "$skbs packets at the ingress hook of a1 stood for $rx"
        skbs=$(stop_witness egress | awk '{ print $2 }')
        ok $((skbs * 3 > tx * 2)) "$skbs packets at its egress hook stood for $tx"
    fi

    for direction in rx tx; do
        # A tag is in metadata, a second one in the packet.
        there vlan$link && tcp vlan$link $link 4 1$link $direction 3001 14 18 tcp-3001
        there qinq$link && tcp qinq$link $link 6 3$link $direction 3003 14 22 tcp-3003
        there ipip$link && tcp ipip$link $link 4 4$link $direction 3005 0 34 ip-ipv4
        there gre_$link && tcp gre_$link $link 4 5$link $direction 3007 0 38 ip-gre
        there ip6tnl_$link && tcp ip6tnl_$link $link 6 6$link $direction 3009 0 54 ip-ipv6
        # The kernel chooses one of two source ports.
        there vxlan$link && tcp vxlan$link $link 4 7$link $direction 3011 14 64 udp-4789+udp-4790 &&
            udp $link 4 $direction 2009 40009 1400 vxlan$link 7$link 64 udp-4789+udp-4790
        there sit_$link && tcp sit_$link $link 6 8$link $direction 3013 0 34 ip-ipv6
        there gretap_$link && tcp gretap_$link $link 4 9$link $direction 3015 14 52 ip-gre
        there ip6gre_$link && tcp ip6gre_$link $link 6 10$link $direction 3017 0 62 ip-gre
        there geneve$link && tcp geneve$link $link 4 11$link $direction 3019 14 64 udp-6081+others
        there grehub$link && tcp grehub$link $link 4 12$link $direction 3021 28 42 ip-gre
    done
done

# More than 64 KB in one packet ("BIG TCP"): with IPv6, older kernels mark it by a header that
# the segments don't have.
if ip -n "$A" link set a0 gso_max_size 185000 gro_max_size 185000 2>/dev/null &&
    ip -n "$B" link set b0 gso_max_size 185000 gro_max_size 185000; then
    for ns in "$A" "$B"; do put "$ns" ipv4/tcp_rmem "4096 4000000 8000000"; done
    bytes=$((bytes * 3)) port=1013
    for direction in rx tx; do
        tcp a0 0 6 0 $direction $port 14
        port=1015
    done
    for ns in "$A" "$B"; do put "$ns" ipv4/tcp_rmem "$rmem"; done
fi

iperf_segments=()
if has_iperf; then
    for link in 0 1; do
        by_iperf="0 0 0 0" iperf_wire="0 0 0 0"
        iperf -P 2
        iperf -R
        [ $link = 0 ] || iperf -u -b 100M -l 1400
        iperf_segments+=("$by_iperf")
    done
    # shellcheck disable=SC2086
    expect a1 tcp-5201+udp-5201 $iperf_wire
else
    skip "no iperf3 here" "iperf3"
fi
settle

# Geneve sends from any port.
for i in "${!order[@]}"; do
    key=${order[i]}
    [[ $key == *+others ]] || continue
    others=$(series "${key% *}" | grep '^udp-' | grep -vxE 'udp-(200[13579]|4789|4790|5201|6081|8472)')
    order[i]=${key%others}$(paste -sd+ <<<"$others")
    expected[${order[i]}]=${expected[$key]}
done
check_expected
if [ ${#iperf_segments[@]} -gt 0 ]; then
    for link in 0 1; do
        read -r _ rx _ tx <<<"$(stored a$link tcp-5201)"
        is "$rx $tx 0 0" "${iperf_segments[link]}" "a$link tcp-5201: each segment that iperf3's TCP sent"
    done
fi
stop_collectd
is "$?" 0 "collectd ends well"
is "$(falls)" 0 "no series ever falls"
finish
