#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Which interface has the default route, by one look-up, whatever the kernel's tables look like.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

make_namespaces
ip netns exec "$A" sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0
make_veth 0
make_veth 1
for n in 0 1; do
    ip -n "$A" address add "10.99.$n.1/24" dev a$n
    ip -n "$A" address add "fd99:$n::1/64" dev a$n nodad
done

route() { in_a "$PB_TOOLS/route" "$1"; }

for family in 4 6; do
    far=192.0.2.0/24 half=128.0.0.0/1 gateway=10.99 last=.2
    [ $family = 4 ] || far=2001:db8::/32 half=2000::/4 gateway=fd99: last=::2
    via() { echo "via $gateway${dot}$1$last dev a$1"; }
    dot=.
    [ $family = 4 ] || dot=
    # change ARGUMENT...: of the routes; several words in one
    change() {
        # shellcheck disable=SC2048,SC2086
        ip -n "$A" -$family route $* || ok 1 "IPv$family: ip route $*"
    }
    is "$(route $family)" "" "IPv$family: none"
    change add default "$(via 0)" metric 100
    is "$(route $family)" a0 "IPv$family: one"
    change add default "$(via 1)" metric 10
    is "$(route $family)" a1 "IPv$family: of two the one with the lower metric"
    change del default "$(via 1)" metric 10
    change add $far "$(via 1)"
    is "$(route $family)" "" "IPv$family: a more specific one takes the packet"
    change del $far "$(via 1)"
    change add $half "$(via 1)"
    is "$(route $family)" "" "IPv$family: a half of all, as some VPNs have it, too"
    change del $half "$(via 1)"
    is "$(route $family)" a0 "IPv$family: it has gone"
    change add blackhole default metric 1
    is "$(route $family)" "" "IPv$family: a blackhole leads nowhere"
    change del blackhole default metric 1
    change del default "$(via 0)" metric 100
    change add default nexthop "$(via 0)" nexthop "$(via 1)"
    is "$(route $family | tr ' ' '\n' | sort | paste -sd' ')" "a0 a1" "IPv$family: several paths"
    change del default nexthop "$(via 0)" nexthop "$(via 1)"
    change add default "$(via 1)" table 77
    is "$(route $family)" "" "IPv$family: in another table"
    ip -n "$A" -$family rule add pref 100 table 77
    is "$(route $family)" a1 "IPv$family: to which a rule leads"
    ip -n "$A" -$family rule del pref 100 table 77
    # shellcheck disable=SC2046
    if ip -n "$A" nexthop add id $family $(via 0) 2>/dev/null; then
        change add default nhid $family
        is "$(route $family)" a0 "IPv$family: by a nexthop object"
        change del default nhid $family
    else
        skip "this kernel has no nexthop objects" "IPv$family: by a nexthop object"
    fi
    is "$(route $family)" "" "IPv$family: none again"
done
finish
