#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# With a LoadPlugin line and nothing else, these are the interfaces that are counted on a router
# with cards, VLANs, PPPoE and things that are no networks. As hosts.sh, on kernels with PPP.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/links.sh
. "${0%/*}/../lib/links.sh"
# shellcheck source=tests/lib/cards.sh
. "${0%/*}/../lib/cards.sh"

if ! have_cards || ! modprobe -aq pppoe vcan; then
    echo "1..0 # SKIP there are no cards to take here or no PPP; the guest with PREEMPT_RT has both"
    exit 0
fi
make_namespaces && with_ipv6 "$A" && with_ipv6 "$B"
card 0 "$A" eth0 && card 1 "$B" far0 && card 2 "$A" eth1 && card 3 "$B" far1 &&
    addresses 0 eth0 far0 && addresses 1 eth1 far1
ok $? "two cards"
for vlan in 10 20; do
    make "$A" eth1.$vlan link eth1 type vlan id $vlan &&
        make "$B" far1.$vlan link far1 type vlan id $vlan && addresses $vlan eth1.$vlan far1.$vlan
    ok $? "VLAN $vlan"
done
started+=("$(in_a "$PB_TOOLS/pppoe" eth0 7 "$(mac "$B" far0)" 0)"
    "$(in_b "$PB_TOOLS/pppoe" far0 7 "$(mac "$A" eth0)" 0)")
address "$A" ppp0 30 1 && address "$B" ppp0 30 2
ok $? "PPPoE"
make "$A" vcan0 type vcan && ip -n "$A" link set vcan0 up
ok $? "a CAN bus"
for ns in "$A" "$B"; do
    started+=("$(ip netns exec "$ns" "$PB_TOOLS/stream" sink 30001 2000 2001 2002)")
done
# shellcheck disable=SC2119
write_config && start_collectd
ok $? "collectd starts with LoadPlugin and nothing else"
is "$(attached)" "eth0 eth1 eth1.10 eth1.20 ppp0" "these interfaces are counted and no others"

service eth1.10 10 14 2000
also eth1 udp-2000+udp-2001+udp-other 18
service eth1.20 20 14 2001
also eth1 udp-2000+udp-2001+udp-other 18
service ppp0 30 0 2002
# 6 bytes of PPPoE and 2 of PPP, RFC 2516
also eth0 nonip 22
settle
check_expected
is "$(cd "$work/csv/host" && echo tc_portbytes-*)" \
    "$(echo tc_portbytes-{eth0,eth1,eth1.10,eth1.20,ppp0})" "and have series"
stop_collectd
is "$?" 0 "collectd ends well"
finish
