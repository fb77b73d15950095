#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# With a LoadPlugin line and nothing else, these are the interfaces that are counted, and no
# others, on a web server, a hypervisor, a container host, a router, a VPN gateway and in a
# container; and what matters there is counted to the byte.
#
# A is the host, B what it is connected to. Ports from 2000 on are services', 30001 is B's. A
# service has its series from the second read on, others from so many bytes on; what came before
# is in udp-other.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/links.sh
. "${0%/*}/../lib/links.sh"
# shellcheck source=tests/lib/cards.sh
. "${0%/*}/../lib/cards.sh"

# host NAME: namespaces without anything, for this one
host() {
    name=$1
    expected=() order=()
    rm -rf "$work/csv"
    make_namespaces && with_ipv6 "$A" && with_ipv6 "$B"
    for ns in "$A" "$B"; do
        put "$ns" ipv4/ip_forward 0
        started+=("$(ip netns exec "$ns" "$PB_TOOLS/stream" sink 30001 2000 2001 2002 2003)")
    done
}

# run: collectd, with nothing configured
run() {
    # shellcheck disable=SC2119
    write_config && start_collectd
    ok $? "$name: collectd starts"
}

# counts INTERFACE...: each has had traffic, and so have others
counts() {
    local all
    all=$(printf '%s\n' "$@" | LC_ALL=C sort | paste -sd' ')
    is "$(attached)" "$all" "$name: these interfaces are counted and no others"
    settle
    is "$(cd "$work/csv/host" && printf '%s\n' tc_portbytes-* | sed 's/tc_portbytes-//' |
        LC_ALL=C sort | paste -sd' ')" "$all" "$name: and have series"
    check_expected
    stop_collectd
    is "$?" 0 "$name: collectd ends well"
    gone
}

# gone: what was started, which would keep the namespaces, and the namespaces
gone() {
    local pid
    for pid in "${started[@]}"; do kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
    started=()
    ip netns del "$A"
    ip netns del "$B"
}

# ---- a container, seen from inside ----

host "container"
make_veth 0
ip -n "$A" link set a0 name eth0
ok $? "container: a veth that leads out"
addresses 0 eth0 b0
ip -n "$A" route add default via 10.99.0.2
run
service eth0 0 14 2000
counts eth0

if ! have_cards; then
    skip "there are no cards to take here; the guests have them" "hosts that have cards"
    finish
fi

host "container with a card"
make_veth 0
make_veth 1
ip -n "$A" link set a0 name eth0
ip -n "$A" link set a1 name side0
card 0 "$A" net1 && card 1 "$B" far1 && addresses 0 eth0 b0 && addresses 1 side0 b1 &&
    addresses 2 net1 far1
ok $? "container with a card: a veth that leads out, one that does not, a card"
ip -n "$A" route add default via 10.99.0.2
run
service eth0 0 14 2000
flow 1 2001
service net1 2 14 2002
counts eth0 net1

# ---- a web server ----

host "web server"
card 0 "$A" eth0 && card 1 "$B" far0 && addresses 0 eth0 far0
ok $? "web server: a card"
listen services "$A" tcp,0.0.0.0,443 tcp,::,80 udp,10.99.0.1,53
run
put "$A" ipv6/conf/lo/disable_ipv6 0
datagrams "$A" 2000 127.0.0.1 2001 101
service eth0 0 14 2000
service eth0 0 14 2001 rx
counts eth0

# ---- a hypervisor ----

host "hypervisor"
card 0 "$A" eth0 && card 2 "$A" eth1 && card 1 "$B" far0 && card 3 "$B" far1 &&
    make "$A" bond0 type bond mode active-backup miimon 100 &&
    enslave "$A" bond0 eth0 eth1 && make "$A" br0 type bridge stp_state 0 mcast_snooping 0 &&
    enslave "$A" br0 bond0
ok $? "hypervisor: a bond of two cards in a bridge"
good=0
vms=()
for n in 0 1 2 3; do
    vms+=("$(in_a "$PB_TOOLS/tunnel" vnet$n tap $((2010 + n)) 30001 $((211 + 2 * n)) \
        $((payload + 28)))") && enslave "$A" br0 vnet$n || good=1
done
started+=("${vms[@]}")
ok $good "hypervisor: four machines in the bridge"
# Of the machines all have one address; tests/tools/tunnel.c.
addresses 1 br0 far0 && address "$B" far0 0 2 02:00:00:00:00:01
ok $? "hypervisor: addresses"
run
kill -USR1 "${vms[@]}"
bridged=udp-2001+udp-2009+udp-2010+udp-2011+udp-2012+udp-2013+udp-other
all=$((2 * (211 + 213 + 215 + 217)))
expect bond0 $bridged 0 0 $((all * (payload + 42))) $all
flow 0 2009 rx
also bond0 $bridged 14
service br0 1 14 2001
also bond0 $bridged 14
counts bond0 br0

# ---- a hypervisor with Open vSwitch ----

host "Open vSwitch"
make_veth 0
card 0 "$A" eth0 && card 1 "$B" far0 && in_a "$PB_TOOLS/generic" openvswitch ovs0 eth0 a0
ok $? "Open vSwitch: a card and a veth in a datapath"
addresses 1 ovs0 far0 && addresses 2 eth0 far0 && addresses 0 a0 b0
ok $? "Open vSwitch: addresses"
run
# Without a flow all that comes is dropped, but behind the hook.
flow 2 2002 rx
also eth0 udp-2002+udp-other 14
flow 0 2000
flow 1 2001 tx
also ovs0 udp-2001+udp-other 14
counts eth0 ovs0

# ---- a container host ----

host "container host"
card 0 "$A" eth0 && card 1 "$B" far0 &&
    make "$A" docker0 type bridge stp_state 0 mcast_snooping 0 && make_veths 0 50
ok $? "container host: a card, docker0, 51 veths"
printf 'link set a%s master docker0\n' {0..49} | ip -n "$A" -batch - &&
    ip -n "$A" link set docker0 up && addresses 0 eth0 far0 && addresses 1 docker0 b0 &&
    addresses 2 a50 b50
ok $? "container host: 50 veths are in docker0, one is routed"
run
service eth0 0 14 2000
service docker0 1 14 2001
flow 2 2002
counts docker0 eth0

# ---- a VPN gateway ----

host "VPN gateway"
card 0 "$A" eth0 && card 1 "$B" far0 && addresses 0 eth0 far0
ok $? "VPN gateway: a card"
# ipsec.sh loads esp4_offload: GRO is not to decrypt, and what is sent has not its length.
in_a "$PB_TOOLS/feature" eth0 off rx-gro
make "$A" wg0 type wireguard && make "$B" wg0 type wireguard && addresses 1 wg0 wg0 &&
    in_a "$PB_TOOLS/generic" wireguard wg0 1 51820 10.99.0.2 &&
    in_b "$PB_TOOLS/generic" wireguard wg0 2 51820 10.99.0.1
ok $? "VPN gateway: WireGuard"
make "$A" ipsec0 type xfrm dev eth0 if_id 1 && make "$B" ipsec0 type xfrm dev far0 if_id 1 &&
    addresses 2 ipsec0 ipsec0 &&
    secure 1 tunnel 10.99.0.1 10.99.0.2 "if_id 1" "if_id 1" 0.0.0.0/0=0.0.0.0/0 ::/0=::/0
ok $? "VPN gateway: an xfrm interface"
addresses 3 eth0 far0 &&
    secure 2 tunnel fd00::10.99.0.1 fd00::10.99.0.2 "" "" 10.99.3.1/32=10.99.3.2/32 \
        fd00::10.99.3.1/128=fd00::10.99.3.2/128
ok $? "VPN gateway: a policy"
run
# shellcheck disable=SC2317
has_received() { [ "$(interface_counter "$1" wg0 rx packets)" -ge "$2" ]; }
datagrams "$B" 30001 10.99.1.1 2001 1 # shakes hands
wait_for 60 has_received "$A" 1
ok $? "VPN gateway: WireGuard has shaken hands"
expect wg0 udp-2001+udp-other $((payload + 28)) 1 0 0
service wg0 1 0 2001
service ipsec0 2 0 2002 rx
also eth0 ip-esp $((14 + 20 + esp))
flow 3 2003 rx
also eth0 decrypted 14 14
also eth0 ip-esp $((14 + 40 + esp))
counts eth0 ipsec0 wg0

# ---- a virtual machine with virtio failover ----

# The pair can't leave the namespace that it was made in: that is A now, by name.
name="virtio failover"
A=pbR$$
expected=() order=()
rm -rf "$work/csv"
ip netns attach "$A" 1 && ip netns add "$B" && quiet "$B" && with_ipv6 "$B" && card 4 "$B" far0
ok $? "virtio failover: a standby"
standby=$(ip -o link |
    sed -n 's/^[0-9]*: \([^:]*\): .* master \([^ ]*\) .*52:54:00:00:00:05 .*/\1 \2/p')
pair=${standby#* } standby=${standby% *}
for device in $standby $pair; do
    put "$A" "ipv6/conf/$device/addr_gen_mode" 1
    ip link set "$device" up
done
addresses 0 "$pair" far0
ok $? "virtio failover: $standby belongs to $pair"
started+=("$(ip netns exec "$B" "$PB_TOOLS/stream" sink 30001)" "$("$PB_TOOLS/stream" sink 2000)")
run
service "$pair" 0 14 2000
counts "$pair"
ip link set "$pair" down
ip link set "$standby" down
finish
