#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Interfaces share the slots: a port that talks on several at once is exact on each of them; one
# interface's junk keeps no other's service from its series; while slots are recycled, interfaces
# go, come back and change their name, and nothing of it is lost, or counted on another interface
# or under another's port.
# PB_ROUNDS sets how often an interface goes.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

rounds=8 packets=300000 churn_interval=0.2
if [ -n "${PB_KERNEL:-}" ]; then # an emulated CPU
    rounds=2 packets=5000 churn_interval=1
fi
rounds=${PB_ROUNDS:-$rounds}

make_namespaces
make_veths 0 2

# ---- one port on two interfaces ----

collectd_interval=0.5
write_config 'MinBytes 0' 'Interface "a0"' 'Interface "a1"'
start_collectd
ok $? "collectd starts"
# In both directions at once, each with a number and a size of its own.
both=()
for n in 0 1; do
    in_b "$PB_TOOLS/blast" b$n 4 udp 40000 53 $((packets + 7 * n)) $((100 + n)) $n >/dev/null &
    both+=($!)
    in_a "$PB_TOOLS/blast" a$n 4 udp 53 40000 $((packets + 3 + 11 * n)) $((200 + n)) $((1 - n)) >/dev/null &
    both+=($!)
done
for pid in "${both[@]}"; do wait "$pid" || ok 1 "all is sent"; done
settle
for n in 0 1; do
    is "$(values a$n udp-53)" "$(((packets + 7 * n) * (100 + n))) $((packets + 7 * n)) \
$(((packets + 3 + 11 * n) * (200 + n))) $((packets + 3 + 11 * n))" \
        "a port that talks on two interfaces at once, in both directions: exact on a$n"
    is "$(series a$n)" udp-53 "... and nothing else is there"
done
is "$(falls)" 0 "no series falls"

# A port that was there on one interface comes on the other: the series begins with its first
# packet there.
in_b "$PB_TOOLS/blast" b0 6 tcp 50000 443 1009 300 >/dev/null
settle
in_b "$PB_TOOLS/blast" b1 6 tcp 50000 443 503 400 >/dev/null
settle
is "$(values a0 tcp-443) $(values a1 tcp-443)" "302700 1009 0 0 201200 503 0 0" \
    "a port that comes on the second interface later is exact, too"
is "$(series a1 | paste -sd' ')" "tcp-443 udp-53" "... from its first packet on"
stop_collectd

# ---- one interface's junk, another's service ----

# send_junk: a packet to each of as many ports as there are slots, for each read or so; what it
# sends is in junk
send_junk() {
    while ! [ -e "$work/enough" ]; do
        in_b "$PB_TOOLS/blast" b0 4 udp 40000 10000-10063 64 1400 >>"$work/junk"
        sleep "$collectd_interval"
    done
}
service() { in_b "$PB_TOOLS/blast" b1 4 tcp 50000 8080 "$1" 1400 >/dev/null; }
has_series() { series "$1" | grep -qx -- "$2"; }
serve_until_series() { # and until then
    service 400
    served=$((served + 400))
    has_series a1 tcp-8080
}

rm -rf "$work/csv"
write_config 'MinBytes 0' 'MaxPorts 64' 'Interface "a0"' 'Interface "a1"'
baseline
start_collectd
ok $? "collectd starts with MaxPorts 64"
rm -f "$work/enough"
send_junk &
sender=$!
many_series() { [ "$(series a0 | grep -c 'udp-1')" -ge "$1" ]; }
wait_for 120 many_series 40
ok $? "64 ports on a0 are kept alive, and have most of the slots"
reads 6
served=0
begun=$SECONDS
wait_for 60 serve_until_series
ok $? "a service that begins on a1 gets its series all the same (after $served packets, $((SECONDS - begun)) s)"
settle
before=$(value a1 tcp-8080 rx_packets)
for _ in 1 2 3 4 5; do
    service 1009
    reads 1
done
settle
is "$(value a1 tcp-8080 rx_packets)" $((before + 5 * 1009)) "... with every packet from then on"
is "$(total a1 rx_packets) $(total a1 rx_bytes)" "$((served + 5045)) $(((served + 5045) * 1400))" \
    "... and what came before is counted, too"
touch "$work/enough"
wait "$sender"
settle
is "$(series a1 | grep -c 'udp-1')" 0 "nothing of the junk is on a1"
is "$(total a0 rx_packets)" "$(awk '{ n += $1 } END { print n }' "$work/junk")" "all of the junk is on a0"
exact "junk"
stop_collectd
is $? 0 "collectd ends well"

# ---- recycled, while interfaces go, come and change their name ----

# Ports of each interface alone, and common ones, more of them than there are slots. Frames are
# 100 bytes long on a0, 101 on a1, 102 on a2, so that what is counted on the wrong one shows in the
# bytes.
own=(10000 14000 18000)
declare -A pumps
# send_churn N: until the file is there; "FIRST LAST COUNT" of each turn is in sent-N
send_churn() {
    local n=$1 turn=0 first
    while ! [ -e "$work/enough" ]; do
        # The busy ones, which become series; then those that come and go.
        first=${own[n]}
        burst $n $first $((first + 19)) 2000
        first=$((own[n] + 100 + turn % 20 * 150))
        burst $n $first $((first + 149)) 300
        first=$((1000 + turn % 10 * 150))
        burst $n $first $((first + 149)) 300
        turn=$((turn + 1))
        [ -z "${PB_KERNEL:-}" ] || sleep 0.1
    done
}
# An interface that goes takes its other end with it: then blast fails.
burst() {
    in_b "$PB_TOOLS/blast" b$1 4 udp 40000 "$2-$3" "$4" $((100 + $1)) >/dev/null 2>&1 || sleep 0.02
    echo "$2 $3 $(($4 / ($3 - $2 + 1)))" >>"$work/sent-$1"
}

# sent_to N: "PORT PACKETS", at most so many were sent
sent_to() { awk '{ for (p = $1; p <= $2; p++) n[p] += $3 } END { for (p in n) print p, n[p] }' "$work/sent-$1"; }

# too_much N NAME...: ports with more packets in the series of these names together than were sent
# to them on that interface
too_much() {
    local n=$1 name instance
    shift
    {
        sent_to "$n"
        echo
        for name; do
            for instance in $(series "$name" | grep '^udp-[0-9]'); do
                echo "${instance#udp-} $(value "$name" "$instance" rx_packets)"
            done
        done
    } | awk '!NF { counting = 1; next } !counting { sent[$1] = $2; next } { got[$1] += $2 }
        END { for (p in got) if (got[p] > sent[p]) print p, got[p], "of", sent[p] + 0 }'
}

rename() { # kernels before 6.2 want the interface down for that
    ip -n "$A" link set "$1" name "$2" 2>/dev/null ||
        { ip -n "$A" link set "$1" down && ip -n "$A" link set "$1" name "$2" &&
            ip -n "$A" link set "$2" up; }
}
logged_again() { [ "$(logged "$1")" -gt "$2" ]; }

rm -rf "$work/csv"
collectd_interval=$churn_interval
write_config 'MinBytes 0' 'MaxPorts 64' 'FoldEphemeral false'
baseline
begun=$(interface_counter "$A" a1 rx packets)
start_collectd
ok $? "collectd starts with MaxPorts 64, for interfaces that come and go"
rm -f "$work/enough"
start_witness 0 a2 ingress $hook 0
ok $? "a second classifier behind ours counts what a2 sees"
for n in 0 1 2; do
    : >"$work/sent-$n"
    send_churn $n &
    pumps[$n]=$!
    started+=($!)
done
reads 5
saw=0 name=a1
for ((round = 0; round < rounds; round++)); do
    sleep "0.$((RANDOM % 700 + 100))"
    goes=$(logged "a2: stopped counting") comes=$(logged "a2: counting.")
    ip -n "$A" link del a2
    new=c$((round + 1))
    rename $name $new
    name=$new
    saw=$((saw + $(stop_witness $round | awk '{ print $2 }')))
    wait_for 60 logged_again "a2: stopped counting" "$goes" || ok 1 "a2 goes"
    [ $((round % 2)) -eq 0 ] || reads 1
    # Nothing may pass before the witness is there, too.
    ip -n "$A" link add a2 arp off type veth peer name x2 netns "$B"
    ip -n "$A" link set a2 up
    wait_for 60 logged_again "a2: counting." "$comes" || ok 1 "a2 comes back"
    start_witness $((round + 1)) a2 ingress $hook 0
    ip -n "$B" link set x2 arp off name b2 && ip -n "$B" link set b2 up
done
reads 3
touch "$work/enough"
for n in 0 1 2; do wait "${pumps[$n]}"; done
delivered
saw=$((saw + $(stop_witness $rounds | awk '{ print $2 }')))
settle
names=(a1)
for ((round = 1; round <= rounds; round++)); do names+=("c$round"); done
sum=0 bytes=0
for one in "${names[@]}"; do
    sum=$((sum + $(total "$one" rx_packets)))
    bytes=$((bytes + $(total "$one" rx_bytes)))
done
passed=$(($(interface_counter "$A" "$name" rx packets) - begun))
echo "# packets: a0 $(total a0 rx_packets), a1 by $((rounds + 1)) names $sum, a2, which went $rounds times, $saw"
echo "# series: $(series a0 | wc -l), $(series "$name" | wc -l), $(series a2 | wc -l)"
exact "a0, which stays"
is "$sum $bytes" "$passed $((passed * 101))" \
    "the one that changes its name: each packet and byte is under one of its names"
is "$(total a2 rx_packets) $(total a2 rx_bytes)" "$saw $((saw * 102))" \
    "the one that goes and comes: each packet and byte it saw is counted"
is "$(too_much 0 a0 | head -n 5)" "" "a0: no port has more than was sent to it there"
is "$(too_much 1 "${names[@]}" | head -n 5)" "" "a1: the same"
is "$(too_much 2 a2 | head -n 5)" "" "a2: the same"
is "$(falls)" 0 "no series falls"
is "$(plugin_said | grep -v -e ': counting\.$' \
    -e ': stopped counting (.*)\.$' -e 'have become series lately')" "" "nothing else is said"
stop_collectd
is $? 0 "collectd ends well"
finish
