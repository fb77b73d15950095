#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Nothing else on the host notices: other classifiers see every packet and stay, qdiscs stay.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

make_namespaces
for n in 0 1 2 3 4 5 6; do make_veth $n; done
kinds=clsact
[ $hook = tcx ] && kinds="tcx clsact"

# a1 has a clsact with a filter in it that lets pass
start_witness there a1 egress clsact 0
ok $? "a filter of somebody else's is there before us"
was=$(clsact_of a1)

# a2 has one that ends the chain: attached before us, it must still be behind us
start_witness early a2 ingress $hook 2
ok $? "a classifier that drops everything is there before us"

# a3 has an XDP program, and a classifier of our own priority by clsact, that drops
start_witness xdp a3 ingress xdp 2
ok $? "an XDP program is there, that lets pass"
start_witness same a3 ingress clsact:1:0x4d 2
ok $? "so is a clsact filter of the first priority, that drops"

# a4 has a root qdisc, of each kind in turn
make_fq() { ip netns exec "$A" tc qdisc add dev a4 root fq; }
make_htb() {
    ip netns exec "$A" tc qdisc add dev a4 root handle 1: htb default 10 &&
        ip netns exec "$A" tc class add dev a4 parent 1: classid 1:10 htb rate 1gbit
}

# a5 has nftables: rules that count on ingress and egress, and one that drops behind ingress
rules() { in_a nft list ruleset; }
nft_packets() { rules | sed -n "s/.*counter packets \([0-9]*\) .* comment \"$1\"/\1/p"; }
out_has() { [ "$(nft_packets out)" -ge "$1" ]; }
make_rules() {
    in_a nft -f - <<-'END'
		table netdev other {
		    chain in {
		        type filter hook ingress device "a5" priority 0;
		        counter comment "in"
		        drop
		    }
		    chain out {
		        type filter hook egress device "a5" priority 0;
		        counter comment "out"
		    }
		}
	END
}
has_rules=no
command -v nft >/dev/null && make_rules 2>/dev/null && has_rules=yes

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

in_b "$PB_TOOLS/blast" b3 4 udp 40000 53 223 100 >/dev/null
settle
is "$(values a3 udp-53)" "22300 223 0 0" "we count behind XDP, and before a filter of our priority"

sent=0
for kind in htb fq; do
    if ! make_$kind 2>/dev/null; then
        skip "this kernel has no $kind" "a root qdisc $kind"
        continue
    fi
    in_a "$PB_TOOLS/blast" a4 4 udp 53 40000 227 100 >/dev/null
    sent=$((sent + 227))
    settle
    is "$(value a4 udp-53 tx_packets)" $sent "we count before a root qdisc $kind"
    is "$(in_a tc -s qdisc show dev a4 | awk -v kind=$kind '
        $2 == kind { found = 1 } found && /Sent/ { print $4; exit }')" 227 "which has sent all of it"
    in_a tc qdisc del dev a4 root
done
make_htb 2>/dev/null
root=$(in_a tc qdisc show dev a4 | grep root)

if [ $has_rules = yes ]; then
    in_b "$PB_TOOLS/blast" b5 4 udp 40000 53 229 100 >/dev/null
    in_a "$PB_TOOLS/blast" a5 4 udp 53 40000 233 100 >/dev/null
    settle
    is "$(values a5 udp-53)" "22900 229 23300 233" "we count beside nftables"
    is "$(nft_packets in) $(nft_packets out)" "229 233" "which sees everything, in and out"
    in_a nft add rule netdev other out drop
    ip netns exec "$A" "$PB_TOOLS/pump" a5 53 40000 1 >/dev/null &
    pump=$!
    started+=("$pump")
    wait_for 60 out_has 333
    kill -TERM "$pump"
    wait "$pump"
    settle
    is "$(values a5 udp-53)" "22900 229 23300 233" "what its egress drops is not counted"
else
    skip "there is no nft here, or no netdev hook in this kernel" "nftables"
fi

# ---- a second daemon ----

in_both() { [ "$(values "$1" udp-53)" = "$2" ] && [ "$(second values "$1" udp-53)" = "$2" ]; }
are_counting() { has_logged "$1: counting." && second has_logged "$1: counting."; }
first=$collectd
ids=$(programs)
second write_config 'MinBytes 0'
second start_collectd
ok $? "a second collectd with the plugin starts on the same interfaces"
other=$collectd
ids+=" $(programs)"
make_veth 7
wait_for 60 are_counting a7
ok $? "both find an interface that comes"
for n in 6 7; do
    in_b "$PB_TOOLS/blast" b$n 4 udp 40000 53 307 100 >/dev/null
    in_a "$PB_TOOLS/blast" a$n 4 udp 53 40000 311 100 >/dev/null
    wait_for 60 in_both a$n "30700 307 31100 311"
    ok $? "a$n: both count every packet once"
done
settle
is "$(logged "was removed externally")$(second logged "was removed externally")" 00 \
    "neither took the other's away"
is "$(logged "now runs before ours")$(second logged "now runs before ours")" 00 \
    "neither minds the other's being first"

collectd=$first
stop_collectd
is "$?" 0 "the first collectd ends well"
in_b "$PB_TOOLS/blast" b6 4 udp 40000 53 100 100 >/dev/null
second settle
is "$(second values a6 udp-53)" "40700 407 31100 311" "the second one goes on"
collectd=$other
stop_collectd
is "$?" 0 "it ends well too"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
is "$?/$(left_of a6)/$(left_of a7)" "0//" "and nothing of either is left"

# ---- two daemons that are not root ----

# Whose a program is the kernel tells only who has CAP_SYS_ADMIN.
front_text="another program now runs before ours on"
three="-all,+bpf,+perfmon,+net_admin"
few=(setpriv "${unprivileged[@]}" "--inh-caps=$three" "--ambient-caps=$three")
lend_work
chown "$stranger:root" "$work/second"
if "${few[@]}" true 2>/dev/null; then
    rm -rf "$work"/{,second/}csv
    write_config 'MinBytes 0'
    start_collectd "${few[@]}"
    ok $? "with three capabilities: a collectd starts"
    first=$collectd
    second write_config 'MinBytes 0'
    second start_collectd "${few[@]}"
    ok $? "and a second one"
    other=$collectd
    in_b "$PB_TOOLS/blast" b6 4 udp 40000 53 313 100 >/dev/null
    wait_for 60 in_both a6 "31300 313 0 0"
    ok $? "both count every packet once"
    reads 2
    is "$(logged "$front_text")$(second logged "$front_text")" 00 "neither takes the other for a stranger"
    if [ $hook = tcx ]; then kind=tcx-first; else kind=clsact:1:0x4d; fi
    start_witness front a6 ingress $kind -1
    wait_for 60 has_logged "a6: $front_text ingress;"
    ok $? "somebody else comes in front of them: the first one says so"
    wait_for 60 second has_logged "a6: $front_text ingress;"
    ok $? "the second one, too"
    is "$(logged "$front_text")$(second logged "$front_text")" 11 "once, of that one only"
    is "$(stop_witness front)" "packets 0 attached yes" "it is still attached"
    for collectd in $first $other; do
        stop_collectd
        is $? 0 "it ends well"
    done
    is "$(in_a "$PB_TOOLS/hooks")$(left_of a6)" "" "nothing is left"
else
    skip "no setpriv here that knows these capabilities" "two daemons with three capabilities"
fi

# ---- what others had is as it was ----

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
is "$(stop_witness xdp)" "packets 223 attached yes" "the XDP program too"
is "$(stop_witness same)" "packets 223 attached yes" "the one of our priority too"
is "$(in_a tc qdisc show dev a4 | grep root)" "$root" "the root qdisc is still there"
[ $has_rules = no ] || is "$(rules | grep -c comment)" 2 "and so are the rules of nftables"
is "$(clsact_of a1)" "$was" \
    "somebody else's filter and qdisc are as they were"
finish
