#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Whose counters a packet reaches is a matter of the interface's index: two that share its lower
# bits are told apart, as many as there is room for; and a device that is moved to another network
# namespace, where it may get the index of one that is counted, counts nowhere.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

rows=262144 spare=16 # see bpf/tc_portbytes.h
collectd_interval=0.5
C=pbC$$ # where devices are moved to
more_cleanup() {
    cleanup
    ip netns del "$C" 2>/dev/null
}
trap more_cleanup EXIT

make_namespaces
ip netns add "$C" && quiet "$C"

# make_at N INDEX: as make_veth, with that index in A
make_at() {
    ip -n "$A" link add "a$1" index "$2" arp off type veth peer name "b$1" netns "$B" || return
    ip -n "$B" link set "b$1" arp off up
    ip -n "$A" link set "a$1" up
    ready "$B" "b$1"
}
index_of() { ip netns exec "$1" cat "/sys/class/net/$2/ifindex"; }
logged_again() { [ "$(logged "$1")" -gt "$2" ]; }
hooked() { ip netns exec "$1" "$PB_TOOLS/hooks" | paste -sd, ; }

# send N: to port 53, another number and another size for each; expected N TIMES: after so many
send() {
    in_b "$PB_TOOLS/blast" "b$1" 4 udp 40000 53 $((101 + $1)) $((100 + $1)) >/dev/null
    in_a "$PB_TOOLS/blast" "a$1" 4 udp 53 40000 $((203 + $1)) $((200 + $1)) >/dev/null
}
expected() {
    echo "$(($2 * (101 + $1) * (100 + $1))) $(($2 * (101 + $1)))" \
        "$(($2 * (203 + $1) * (200 + $1))) $(($2 * (203 + $1)))"
}

# ---- the same lower bits ----

first=7007
make_at 0 $first
make_at 1 $((first + rows))
make_at 2 $((first + 1))
is "$(index_of "$A" a0) $(index_of "$A" a1)" "$first $((first + rows))" "two have the same lower bits of their index"
write_config 'MinBytes 0'
start_collectd
ok $? "collectd starts"
for n in 0 1 2; do wait_for 60 has_logged "a$n: counting."; done
for n in 0 1 2; do send $n; done
settle
for n in 0 1 2; do is "$(values a$n udp-53)" "$(expected $n 1)" "a$n: to the packet and the byte"; done

# As many more as there is room for; one more than that.
for ((n = 3; n < spare + 2; n++)); do make_at $n $((first + rows * (n - 1))); done
for ((n = 3; n < spare + 2; n++)); do wait_for 60 has_logged "a$n: counting."; done
last=$((spare + 1))
is "$(in_a "$PB_TOOLS/hooks" | grep -c ' ingress egress$') $(logged "not counted: ")" "$((spare + 2)) 0" \
    "$spare more, with these bits: all are counted"
over=$((spare + 2))
make_at $over $((first + rows * over))
wait_for 60 has_logged "a$over: "
reads 2
is "$(grep -F "a$over: " "$work/log" | grep -c "not counted")" 1 "one more: it is said that it is not counted"
is "$(hooked "$A" | grep -c "a$over ")" 0 "and nothing is attached"
for ((n = 0; n <= over; n++)); do send $n; done
settle
wrong=
for n in 0 1 2; do [ "$(values a$n udp-53)" = "$(expected $n 2)" ] || wrong+=" a$n: $(values a$n udp-53)"; done
for ((n = 3; n <= last; n++)); do
    [ "$(values a$n udp-53)" = "$(expected $n 1)" ] || wrong+=" a$n: $(values a$n udp-53)"
done
is "$wrong" "" "each of the others has its own packets and bytes"
is "$(series a$over)" "" "what passes the one is counted nowhere"
make_veth 90 # a change of the links
wait_for 60 has_logged "a90: counting."
is "$(grep -cF "a$over: " "$work/log")" 1 "it was said once, in one line"

# The first goes, one that is apart goes; others come with these bits.
ip -n "$A" link del a0
ip -n "$A" link del a4
wait_for 60 has_logged "a4: stopped counting" && wait_for 60 has_logged "a0: stopped counting"
ok $? "two of them go"
make_at 20 $((first + rows * 20))
make_at 21 $((first + rows * 21))
for n in 20 21; do
    wait_for 60 has_logged "a$n: counting."
    ok $? "a$n comes in the place of one, and is counted"
done
for n in 1 3 5 20 21; do send $n; done
settle
is "$(values a1 udp-53)/$(values a3 udp-53)/$(values a5 udp-53)/$(values a20 udp-53)/$(values a21 udp-53)" \
    "$(expected 1 3)/$(expected 3 2)/$(expected 5 2)/$(expected 20 1)/$(expected 21 1)" \
    "these and those that stayed: to the packet and the byte"
is "$(falls)" 0 "no series falls"
ids=$(programs)
stop_collectd
is $? 0 "collectd ends well"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
is "$?/$(hooked "$A")" "0/" "and nothing is left"
for ((n = 1; n <= 21; n++)); do ip -n "$A" link del a$n 2>/dev/null; done
ip -n "$A" link del a90

# ---- a device that is moved ----

mount_bpffs

# make_move: sets index, which a device gets that is moved to C from an index that is taken there
occupied=205
ip -n "$C" link add o0 index $occupied type veth peer name o1
make_move() {
    while :; do # each takes the next two
        ip -n "$C" link add v0 type veth peer name v1 && index=$(index_of "$C" v0)
        [ "$(index_of "$C" v1)" -lt "$index" ] || index=$(index_of "$C" v1)
        ip -n "$C" link del v0
        [ "$index" -lt 250 ] || break
    done
    index=$((index + 1))
}

# pass_through N COUNT: aN, which is in C now, comes up there and receives so many packets
pass_through() {
    ip -n "$C" link set "a$1" up
    ready "$B" "b$1"
    in_b "$PB_TOOLS/blast" "b$1" 4 udp 40000 53 "$2" 100 >/dev/null
}

# moved WHAT: a0 is moved while it is counted, and gets the index of a1, which is counted, too
moved() {
    local what=$1 counting
    make_move
    make_at 0 $occupied && make_at 1 $index && make_at 2 $((index + 7))
    rm -rf "$work/csv"
    start_collectd "${inside[@]}"
    for n in 0 1 2; do wait_for 60 has_logged "a$n: counting."; done
    for n in 0 1 2; do send $n; done
    settle
    ip -n "$A" link set a0 netns "$C"
    wait_for 60 has_logged "a0: stopped counting"
    ok $? "$what: a0 is moved, and not counted any more"
    is "$(index_of "$C" a0)" "$index" "$what: it has the index of a1 now"
    is "$(hooked "$C")" "" "$what: nothing of ours went with it"
    pass_through 0 503
    ip netns exec "$C" "$PB_TOOLS/blast" a0 4 udp 53 40000 507 100 >/dev/null
    for n in 1 2; do send $n; done
    settle
    for n in 1 2; do
        is "$(values a$n udp-53)" "$(expected $n 2)" "$what: a$n has its own packets only"
    done
    is "$(values a0 udp-53)" "$(expected 0 1)" "$what: a0 has those from before only"

    # One that keeps its index, and one that comes with the same index in its place.
    ip -n "$A" link set a2 netns "$C"
    make_at 3 $((index + 7))
    wait_for 60 has_logged "a2: stopped counting"
    is "$(index_of "$C" a2) $(index_of "$A" a3)" "$((index + 7)) $((index + 7))" \
        "$what: a2 is moved, and a3 comes with its index"
    wait_for 90 has_logged "a3: counting." # a failure is tried again after a minute
    ok $? "$what: a3 is counted"
    pass_through 2 509
    send 3
    settle
    is "$(values a3 udp-53) $(values a2 udp-53)" "$(expected 3 1) $(expected 2 2)" \
        "$what: a3 has its own packets only"
    is "$(hooked "$C")" "" "$what: nothing of ours is there"

    # And back.
    counting=$(logged "a0: counting.")
    ip -n "$C" link set a0 netns "$A"
    ip -n "$A" link set a0 up
    wait_for 60 logged_again "a0: counting." "$counting"
    ok $? "$what: a0 is moved back, and counted again"
    ready "$B" b0
    for n in 0 1; do send $n; done
    settle
    is "$(values a0 udp-53) $(values a1 udp-53)" "$(expected 0 2) $(expected 1 3)" \
        "$what: to the packet and the byte"
    is "$(falls)" 0 "$what: no series falls"
    stop_collectd
    is $? 0 "$what: collectd ends well"
}

clean() {
    for n in 0 1 2 3; do ip -n "$B" link del b$n 2>/dev/null; done
}

write_config 'MinBytes 0'
moved "Persist false"
is "$(hooked "$A")" "" "Persist false: nothing is left"
clean

write_config 'MinBytes 0' 'Persist true'
moved "Persist true"

# ---- moved while nobody looks ----

clean
ip -n "$C" link show >/dev/null
make_move
make_at 0 $occupied && make_at 1 $index
rm -rf "$work/csv"
start_collectd "${inside[@]}"
for n in 0 1; do wait_for 60 has_logged "a$n: counting."; done
for n in 0 1; do send $n; done
settle
stop_collectd
is "$(hooked "$A")" "a0 ingress egress,a1 ingress egress" "Persist true: a stop leaves both attached"
ip -n "$A" link set a0 netns "$C"
is "$(index_of "$C" a0)" "$index" "a0 is moved meanwhile, and has the index of a1"
start_collectd "${inside[@]}"
is "$(hooked "$C")" "" "the next start takes the classifier from it"
pass_through 0 503
send 1
settle
is "$(values a1 udp-53) $(values a0 udp-53)" "$(expected 1 2) $(expected 0 1)" \
    "what passes through it then is counted nowhere"
is "$(falls)" 0 "no series falls"

# One that keeps its index, which another has by the next start.
make_at 2 $((index + 7))
wait_for 60 has_logged "a2: counting."
send 2
settle
stop_collectd
ip -n "$A" link set a2 netns "$C"
make_at 3 $((index + 7))
is "$(index_of "$C" a2)" "$(index_of "$A" a3)" "a2 is moved meanwhile, and a3 comes with its index"
start_collectd "${inside[@]}"
wait_for 90 has_logged "a3: counting." # a failure is tried again after a minute
is "$(hooked "$C")" "" "the next start takes the classifier from it"
pass_through 2 509
before=$(total a3 rx_packets)
send 3
settle
is "$(($(total a3 rx_packets) - before)) $(values a2 udp-53)" "$((101 + 3)) $(expected 2 1)" \
    "what passes through it then is counted nowhere"
is "$(falls)" 0 "no series falls"
write_config 'Interface "none"'
stop_collectd
start_collectd "${inside[@]}" # which takes away what is pinned
is "$(hooked "$A")$(in_mount find /sys/fs/bpf -path "*tc_portbytes*")" "" "nothing is left"
stop_collectd
finish
