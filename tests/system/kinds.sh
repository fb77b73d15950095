#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Kinds of interfaces that only some kernels have: which of them are counted by default, and
# what on them. An interface that changes its type is read as what it is then.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/links.sh
. "${0%/*}/../lib/links.sh"

# above NAME LINK ARGUMENT...: a device on aLINK, with addresses in the link's net
above() {
    make "$A" "$1" link "a$2" type "${@:3}" && addresses "$2" "$1" "b$2"
    ok $? "$1 on a$2"
}

# counted DEVICE... -- DEVICE...: the first are, the others are not
counted() {
    local device missing='' others=''
    # shellcheck disable=SC2317 # called by wait_for
    all_of() { [ "$(tr ' ' '\n' <<<" $(attached) " | grep -cxF "$1")" = "$2" ]; }
    while [ "$1" != -- ]; do
        wait_for 60 all_of "$1" 1 || missing+=" $1"
        shift
    done
    shift
    for device; do all_of "$device" 0 || others+=" $device"; done
    is "$missing/$others" "/" "these are counted by default, these are not"
}

if [ -z "${PB_KERNEL:-}" ]; then
    echo "1..0 # SKIP the guests of tests/kernels have all kinds, other kernels only some"
    exit 0
fi
make_namespaces
with_ipv6 "$A" && with_ipv6 "$B"
for link in 0 1 2 3 4 5 6 7 8 9; do make_veth $link; done
for link in 0 7 8; do addresses $link a$link b$link; done

make "$A" ifb1 type ifb && ip -n "$A" link set ifb1 up && in_a tc qdisc add dev a0 clsact &&
    in_a tc filter add dev a0 ingress pref 49 protocol all matchall \
        action mirred egress redirect dev ifb1
ok $? "what a0 receives goes through an ifb"
make "$A" vrf1 type vrf table 10 && ip -n "$A" link set vrf1 up &&
    ip -n "$A" link set a1 master vrf1 && addresses 1 a1 b1 &&
    ip -n "$A" route add 10.99.1.0/24 dev a1 &&
    put "$A" ipv4/udp_l3mdev_accept 1
ok $? "a VRF with a1"
above ipv2 2 ipvlan mode l2
above ipv3 3 ipvlan mode l3
above ipv4 4 ipvlan mode l3s
above mvt5 5 macvtap mode bridge
make "$A" bond6 type bond mode active-backup && ip -n "$A" link set a6 down &&
    ip -n "$A" link set a6 master bond6 && ip -n "$A" link set a6 up && addresses 6 bond6 b6
ok $? "a bond of a6"
device tag1 7 20 link UNDER type vlan proto 802.1ad id 7
device tag2 7 21 link tag1 type vlan id 9
device tag3 7 22 link tag2 type vlan id 11
# These write their tags into the packet themselves, if the device below can't when they are made.
in_a "$PB_TOOLS/feature" a7 off tx-vlan-hw-insert &&
    make "$A" in1 link a7 type vlan id 13 reorder_hdr off &&
    make "$A" in2 link in1 type vlan id 14 reorder_hdr off &&
    make "$A" in3 link in2 type vlan id 15 reorder_hdr off && ip -n "$A" link set in1 up &&
    ip -n "$A" link set in2 up && address "$A" in3 23 1 "$(mac "$B" b7)"
ok $? "three VLANs that leave nothing to the device"
for device in nlmon vsockmon; do
    make "$A" ${device}1 type $device && ip -n "$A" link set ${device}1 up
    ok $? "a $device"
done
in_a "$PB_TOOLS/generic" openvswitch ovs1 a9 && ip -n "$A" link set ovs1 up
ok $? "Open vSwitch with a9"
netkit=
if [ $((major * 1000 + minor)) -ge 6007 ]; then
    # the kernel names its peer nk0
    make "$A" netkit1 type netkit && ip -n "$A" link set nk0 netns "$B" name netkit1 &&
        address "$A" netkit1 10 1 && address "$B" netkit1 10 2
    ok $? "a netkit"
    netkit=netkit1
else
    skip "netkit came with Linux 6.7" "a netkit"
fi
tun=$(in_a "$PB_TOOLS/tunnel" tun1 tun 30001 2011 211 $((payload + 28)) 1) && address "$A" tun1 11 1
ok $? "a tun, with a program behind it"
started+=("$tun")

start_sinks
write_config 'MinBytes 0' 'FoldEphemeral false' 'ListeningPorts false'
# shellcheck disable=SC2119
start_collectd
ok $? "collectd starts with the plugin"

# shellcheck disable=SC2086
counted a0 a1 a2 a3 a4 a5 a7 a8 ipv2 ipv3 ipv4 mvt5 bond6 tag1 tag2 tag3 in1 in2 in3 ovs1 tun1 \
    $netkit -- lo ifb1 vrf1 nlmon1 vsockmon1 a6 a9

traffic a0 0 14 2000
traffic a1 1 14 2001 both 4
traffic ipv2 2 14 2002
also a2 udp-2002 14
# With the addresses of both in one namespace IPv6 would go round and round.
for direction in "rx 46" "tx 4"; do
    # shellcheck disable=SC2086
    traffic ipv3 3 14 2003 $direction
    also a3 udp-2003 14
    # Mode l3s takes packets over in netfilter, behind the hook below and past its own.
    # shellcheck disable=SC2086
    flow 4 2004 $direction
    also ipv4 udp-2004 14 14 tx
    also a4 udp-2004 14
done
traffic mvt5 5 14 2005
also a5 udp-2005 14
traffic bond6 6 14 2006
traffic tag3 22 14 2022
also tag2 udp-2022 18
also tag1 udp-2022 22
also a7 udp-2022 26
flow 23 2023 tx
also a7 udp-2023 26
[ -z "$netkit" ] || traffic netkit1 10 14 2010
kill -USR1 "$tun"
expect tun1 udp-2011 $((211 * 2 * (payload + 28))) $((211 * 2)) 0 0
delivered

# ---- another type ----

# type_is DEVICE ARPHRD
type_is() { in_a grep -qx "$2" "/sys/class/net/$1/type"; }

# Frames that begin at L3, on what was a bond of Ethernet: ARPHRD_TUNNEL is 768.
make "$A" ipip8 type ipip local 10.99.8.1 remote 10.99.8.2 &&
    make "$B" ipip8 type ipip local 10.99.8.2 remote 10.99.8.1 &&
    ip -n "$A" link set a6 nomaster && ip -n "$A" link set bond6 down &&
    ip -n "$A" link set ipip8 master bond6 && ip -n "$A" link set bond6 up &&
    ip -n "$A" link set ipip8 up && address "$A" bond6 12 1 && address "$B" ipip8 12 2 &&
    type_is bond6 768
ok $? "the bond gets a tunnel"
# ARPHRD_ETHER is 1; what is written to it still begins at L3.
ip -n "$A" link set tun1 down && kill -USR2 "$tun" && wait_for 60 type_is tun1 1 &&
    ip -n "$A" link set tun1 up
ok $? "the tun says that it is Ethernet"
reads 2
counted bond6 tun1 -- ipip8
traffic bond6 12 0 2012 both 4
also a8 ip-ipv4 34
kill -USR1 "$tun"
expect tun1 udp-2011 $((211 * 2 * (payload + 28))) $((211 * 2)) 0 0
delivered

ip -n "$A" link set ipip8 nomaster && ip -n "$A" link set bond6 down &&
    ip -n "$A" address flush dev bond6 && ip -n "$A" link set a6 down &&
    ip -n "$A" link set a6 master bond6 && ip -n "$A" link set bond6 up &&
    ip -n "$A" link set a6 up && wait_for 60 type_is bond6 1 &&
    address "$A" bond6 6 1 "$(mac "$B" b6)"
ok $? "the bond gets an Ethernet device again"
reads 2
counted bond6 -- a6
traffic bond6 6 14 2006
settle
check_expected
stop_collectd
is "$?" 0 "collectd ends well"
is "$(falls)" 0 "no series ever falls"
finish
