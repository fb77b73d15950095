#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# IPsec: on xfrm and vti interfaces, what they hand over; where policies decide, ESP on the wire
# once, and what was decrypted from it apart from it, so that all series but `decrypted` are
# what the interface has seen.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/links.sh
. "${0%/*}/../lib/links.sh"

# tunnelled LINK NET: addresses of NET on the link, and tunnels between them
tunnelled() {
    addresses "$2" "a$1" "b$1" &&
        secure "$1" tunnel "10.99.$1.1" "10.99.$1.2" "" "" "10.99.$2.1/32=10.99.$2.2/32" \
            "fd00::10.99.$2.1/128=fd00::10.99.$2.2/128"
}

# of_interface DEVICE: its counters since it was made
of_interface() {
    echo "$(interface_counter "$A" "$1" rx bytes) $(interface_counter "$A" "$1" rx packets)" \
        "$(device_sent "$A" "$1")"
}

# on_the_wire DEVICE: the sum of all series but `decrypted`
on_the_wire() {
    local instance sum="0 0 0 0"
    for instance in $(series "$1" | grep -vx decrypted); do
        sum=$(plus "$sum" "$(stored "$1" "$instance")")
    done
    echo "$sum"
}

# has DEVICE SERIES...: these and no others
has() { is "$(series "$1" | paste -sd' ')" "${*:2}" "$1: these series and no others"; }

if [ -z "${PB_KERNEL:-}" ]; then
    echo "1..0 # SKIP the guests of tests/kernels have IPsec, other kernels only some of it"
    exit 0
fi
make_namespaces
with_ipv6 "$A" && with_ipv6 "$B"
for link in 0 1 2 3 4 5 6 7; do
    make_veth $link
    addresses $link a$link b$link
done
make "$A" ipsec0 type xfrm dev a0 if_id 1 && make "$B" ipsec0 type xfrm dev b0 if_id 1 &&
    addresses 10 ipsec0 ipsec0
ok $? "an xfrm interface in each namespace"
device vti 1 11 type vti local HERE remote THERE key 5
device vti6 2 12 type vti6 local fd00::HERE remote fd00::THERE key 6
for ns in "$A" "$B"; do
    # shellcheck disable=SC2046
    started+=("$(ip netns exec "$ns" "$PB_TOOLS/stream" sink 30001 $(seq 2000 2030))")
done
# A veth does GRO for what comes from a device that leaves segmenting to it.
in_a "$PB_TOOLS/feature" a7 off 'tx-tcp*-segmentation' &&
    in_b "$PB_TOOLS/feature" b7 off 'tx-tcp*-segmentation' &&
    in_a "$PB_TOOLS/feature" a7 on rx-gro && in_b "$PB_TOOLS/feature" b7 on rx-gro
ok $? "a7 and b7 do GRO"
write_config 'MinBytes 0' 'FoldEphemeral false' 'ListeningPorts false'
# shellcheck disable=SC2119
start_collectd
ok $? "collectd starts where there is no IPsec yet"
traffic a3 3 14 2003
settle

# ---- what an interface of its own decrypts ----

all="0.0.0.0/0=0.0.0.0/0 ::/0=::/0"
# shellcheck disable=SC2086
secure 0 tunnel 10.99.0.1 10.99.0.2 "if_id 1" "if_id 1" $all &&
    secure 1 tunnel 10.99.1.1 10.99.1.2 "" "mark 5" $all &&
    secure 2 tunnel fd00::10.99.2.1 fd00::10.99.2.2 "" "mark 6" $all
ok $? "states and policies for the interfaces"
# A policy for all that has no state yet would hold back what vti sends.
for ns in "$A" "$B"; do put "$ns" ipv4/conf/vti/disable_policy 1; done
reads 2
traffic ipsec0 10 0 2010
also a0 ip-esp $((14 + 20 + esp))
traffic vti 11 0 2011
also a1 ip-esp $((14 + 20 + esp))
traffic vti6 12 0 2012
also a2 ip-esp $((14 + 40 + esp))

# ---- policies ----

tunnelled 3 13 && secure 4 transport 10.99.4.1 10.99.4.2 "" "" 10.99.4.1/32=10.99.4.2/32 &&
    secure 5 tunnel fd00::10.99.5.1 fd00::10.99.5.2 "" "" 10.99.15.1/32=10.99.15.2/32 \
        fd00::10.99.15.1/128=fd00::10.99.15.2/128 &&
    addresses 15 a5 b5
ok $? "states and policies in tunnel and in transport mode"
reads 2
flow 13 2013
also a3 ip-esp $((14 + 20 + esp))
also a3 decrypted 14 14 rx
flow 4 2014 both 4
also a4 ip-esp $((14 + esp)) # what was decrypted goes up from there, not past the hook again
flow 15 2015
also a5 ip-esp $((14 + 40 + esp))
also a5 decrypted 14 14 rx
traffic a3 3 14 2003 # which no policy is about

# ---- encryption behind the hook, decryption in front of it ----

# States that are made from now on are encrypted as if a card would do it.
# It stays loaded.
modprobe esp4_offload && tunnelled 6 16 && tunnelled 7 17
ok $? "states and policies, with offload"
flow 16 2016
also a6 ip-esp $((14 + 20 + esp)) "" rx
also a6 ip-esp $((14 + 20 + 8 + 8)) "" tx # its padding, trailer and ICV come later
also a6 decrypted 14 14 rx
flow 17 2017
also a7 decrypted 14 14 rx
also a7 ip-esp $((14 + 20 + 8 + 8)) "" tx

# ---- what was counted ----

settle
check_expected
has ipsec0 udp-2010
has a0 ip-esp
has vti udp-2011
has a1 ip-esp
has vti6 udp-2012
has a2 ip-esp
has a3 decrypted ip-esp udp-2003
has a4 ip-esp
has a5 decrypted ip-esp
for device in a3 a4 a5; do
    is "$(on_the_wire $device)" "$(of_interface $device)" \
        "$device: all series but decrypted are what it has seen"
done
has a6 decrypted ip-esp
has a7 decrypted ip-esp
stop_collectd
is "$?" 0 "collectd ends well"
is "$(falls)" 0 "no series ever falls"
finish
