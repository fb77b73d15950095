#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Nothing else on the host notices: other classifiers see every packet and stay, qdiscs stay.
# shellcheck source=tests/lib.sh
. "${0%/*}/../lib.sh"

make_namespaces
make_veth 0
make_veth 1
make_veth 2
kinds=clsact
[ $hook = tcx ] && kinds="tcx clsact"

# a1 has a clsact with a filter in it that lets pass
start_witness there a1 egress clsact 0
ok $? "a filter of somebody else's is there before us"
was=$(clsact_of a1)

# a2 has one that ends the chain: attached before us, it must still be behind us
start_witness early a2 ingress $hook 2
ok $? "a classifier that drops everything is there before us"

write_config 'MinBytes 0'
start_collectd
ok $? "collectd starts"

for kind in $kinds; do
    for direction in ingress egress; do
        start_witness "${kind}_$direction" a0 $direction "$kind" 0
        ok $? "a $kind classifier attaches after us to $direction"
    done
done
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 1009 100 >/dev/null
in_a "$PB_TOOLS/blast" a0 4 udp 53 40000 503 100 >/dev/null
in_b "$PB_TOOLS/blast" b2 4 udp 40000 53 211 100 >/dev/null
settle
is "$(values a0 udp-53)" "100900 1009 50300 503" "we count"
is "$(values a2 udp-53)" "21100 211 0 0" "we count before one that drops"

stop_collectd
is "$?" 0 "collectd ends well"
# The second of two that answer OK at one hook does not see what the first one ended.
for kind in $kinds; do
    expected=1009
    [ "$kind" = "$hook" ] || expected=0
    is "$(stop_witness "${kind}_ingress")" "packets $expected attached yes" \
        "$kind on ingress: it saw what it should and is still attached after our end"
    expected=503
    [ "$kind" = "$hook" ] || expected=0
    is "$(stop_witness "${kind}_egress")" "packets $expected attached yes" \
        "$kind on egress: the same"
done
is "$(stop_witness early)" "packets 211 attached yes" "the one that drops saw all, and is still attached"
is "$(clsact_of a1)" "$was" \
    "somebody else's filter and qdisc are as they were"
finish
