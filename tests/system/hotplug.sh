#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Interfaces come, go, change their name, their master and their namespace, under traffic:
# attached in time, every packet in exactly one series, nothing is left behind, no error.
# Truth is the interface's own counter, or, where that goes with the interface, a second
# classifier behind ours (witness).
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

# In the guests the CPU is emulated: less of everything, and times mean nothing.
tries=21 burst=200 churn=50 rounds=4 renames=350 kept=260 rate=20
collectd_interval=0.4
if [ -n "${PB_KERNEL:-}" ]; then
    tries=3 burst=12 churn=6 rounds=3 renames=20 kept=5 rate=2
    collectd_interval=1
fi

# ---- interfaces ----

# make_down PREFIX PEER-PREFIX FIRST LAST: veths, down in A, up in B
make_down() {
    local i
    for i in $(seq "$3" "$4"); do
        echo "link add $1$i arp off type veth peer name $2$i netns $B"
    done | ip -n "$A" -batch - || return 1
    for i in $(seq "$3" "$4"); do echo "link set $2$i arp off up"; done | ip -n "$B" -batch -
}

# all_up PREFIX FIRST LAST; all_gone the same
all_up() { seq "$2" "$3" | sed "s/.*/link set $1& up/" | ip -n "$A" -batch -; }
all_gone() { seq "$2" "$3" | sed "s/.*/link del $1&/" | ip -n "$A" -batch -; }

# hooked [PATTERN]: what has the classifier now, in both directions
hooked() {
    in_a "$PB_TOOLS/hooks" | sed -n 's/ ingress egress$//p' | grep -E "${1:-.}" | paste -sd' '
}
hooked_number() { in_a "$PB_TOOLS/hooks" | grep -cE "^$1[0-9]+ ingress egress\$"; }
are_hooked() { [ "$(hooked_number "$1")" -eq "$2" ]; }

# rename OLD NEW: kernels before 6.2 want the interface down for that
rename() {
    ip -n "$A" link set "$1" name "$2" 2>/dev/null ||
        { ip -n "$A" link set "$1" down && ip -n "$A" link set "$1" name "$2" &&
            ip -n "$A" link set "$2" up; }
}

# noticed: all changes of links up to now: one that came after them is attached
noticed() {
    ip -n "$A" link add n0 arp off up type veth peer name n1 netns "$B"
    in_a "$PB_TOOLS/hooks" n0 attached true >/dev/null || ok 1 "an interface that comes is attached"
    ip -n "$A" link del n0
}

# has_more NAME INSTANCE NUMBER: received packets in that series
has_more() { [ "$(value "$1" "$2" rx_packets)" -gt "$3" ] 2>/dev/null; }

# logged_again TEXT NUMBER: it has been logged more often than that
logged_again() { [ "$(logged "$1")" -gt "$2" ]; }

# unexpected: what the plugin said beside that it counts and that it does not any more, and
# what anybody wrote to stderr
unexpected() {
    plugin_said |
        grep -v -e ': counting\.$' -e ': stopped counting (.*)\.$'
    grep -v '^\[.*\] \(plugin_load\|logfile\): ' "$work/stdout"
}

# start_pump PREFIX PORT [RATE]: from all interfaces of B called PREFIX..., to that port
start_pump() {
    ip netns exec "$B" "$PB_TOOLS/pump" "$1" 40000 "$2" "${3:-$rate}" >"$work/pumped" &
    pump=$!
    started+=("$pump")
}

# stop_pump: prints how many frames it sent
stop_pump() {
    kill -TERM "$pump"
    wait_for 60 test -s "$work/pumped"
    cat "$work/pumped"
}

# witnessed NAME: how many packets that witness saw; it ends
witnessed() { stop_witness "$1" | awk '{ print $2 }'; }

make_namespaces
make_veth 0 # stays as it is from beginning to end
write_config 'MinBytes 0'
start_collectd
ok $? "collectd starts"
nothing=$(held_at_rest)

# ---- attached when up, within 100 ms ----

# attach_times FIRST: sets times, the sorted microseconds of so many tries, and middle
attach_times() {
    local i
    make_down a b "$1" $(($1 + tries - 1))
    times=$(for i in $(seq "$1" $(($1 + tries - 1))); do
        in_a "$PB_TOOLS/hooks" "a$i" attached ip link set "a$i" up || echo never
    done | sort -n | paste -sd' ')
    middle=$(echo "$times" | cut -d' ' -f$(((tries + 1) / 2)))
    echo "# microseconds from \"ip link set up\" to attached: $times; median $middle"
}

number=0
for first in 100 200 300; do
    before=$(ticks)
    attach_times $first
    number=$((number + tries))
    # A machine that does other things too gets another try.
    if [ -n "${PB_KERNEL:-}" ] || [ "$middle" -le 100000 ]; then break; fi
done
is "$(hooked_number a)" $((number + 1)) "each interface is attached when it is up"
in_time "$before" $((middle > 100000)) "within 100 ms of being up, in the median of $tries: $((middle / 1000)) ms"
for ((i = 100; i <= first; i += 100)); do all_gone a $i $((i + tries - 1)); done
wait_for 300 steady "$nothing"
is "$(held_at_rest)" "$nothing" "when they have gone, no fd, program, map or link of theirs is left"

# ---- down and up ----

in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 211 100 >/dev/null
delivered
ip -n "$A" link set a0 down
noticed
is "$(hooked)" a0 "an interface that is down stays attached"
ip -n "$A" link set a0 up
ready "$B" b0
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 307 100 >/dev/null
settle
is "$(value a0 udp-53 rx_packets)" 518 "down and up: the series goes on"
is "$(logged "a0: counting.")" 1 "and nothing is said of it"

# ---- many at once ----

make_down w x 1 $burst
begin=$EPOCHREALTIME
all_up w 1 $burst
wait_for 300 are_hooked w $burst
took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
is "$(hooked_number w)" $burst "a burst of $burst interfaces: each is attached"
# By tcx most of it is the kernel's: it waits for an RCU grace period at each attachment.
echo "# the burst took $took s"
wait_for 60 has_logged "w$burst: counting." # attached, and read from now on
in_b "$PB_TOOLS/blast" x$burst 4 udp 40000 53 101 100 >/dev/null
settle
is "$(values w$burst udp-53)" "10100 101 0 0" "the last of them counts"
all_gone w 1 $burst
wait_for 300 steady "$nothing"
is "$(held_at_rest)" "$nothing" "the burst has gone, and what was held for it"

# ---- another name ----

make_veth 1
make_veth 2
wait_for 60 are_hooked a 3
start_pump b1 1001
wait_for 60 has_more a1 udp-1001 0
begin=$(logged ": counting.")
rename a1 other1
wait_for 60 has_more other1 udp-1001 0
rename other1 third1
wait_for 60 has_more third1 udp-1001 0
is "$(($(stop_pump) > 0))" 1 "traffic was sent while the name changed, twice"
settle
sum=0
for name in a1 other1 third1; do
    part=$(value $name udp-1001 rx_packets)
    ok $((part == 0)) "$name has its part of it"
    sum=$((sum + part))
done
is $sum "$(interface_counter "$A" third1 rx packets)" \
    "each packet is in the series of exactly one name"
is "$(total a1 rx_bytes)" $(($(total a1 rx_packets) * 100)) "its bytes too"
is "$(logged ": counting.")" "$begin" "it was not attached anew"
in_b "$PB_TOOLS/blast" b1 4 udp 40000 1001 503 100 >/dev/null
settle
is "$(($(value a1 udp-1001 rx_packets) + $(value other1 udp-1001 rx_packets) + 503))" \
    "$((sum + 503 - $(value third1 udp-1001 rx_packets) + 503))" "only the last name's series goes on"
rename third1 a1
noticed
in_b "$PB_TOOLS/blast" b1 4 udp 40000 1001 211 100 >/dev/null
settle
is "$(($(value a1 udp-1001 rx_packets) + $(value other1 udp-1001 rx_packets) + \
    $(value third1 udp-1001 rx_packets)))" "$(interface_counter "$A" a1 rx packets)" \
    "the first name is back, and its series goes on"

# Two change their names with each other, faster than anybody can look.
before1=$(value a1 udp-1001 rx_packets)
before2=0
if printf 'link set %s\n' "a1 name swap" "a2 name a1" "swap name a2" |
    ip -n "$A" -batch - 2>/dev/null; then
    noticed
    in_b "$PB_TOOLS/blast" b1 4 udp 40000 1001 307 100 >/dev/null
    in_b "$PB_TOOLS/blast" b2 4 udp 40000 1001 401 100 >/dev/null
    settle
    is "$(value a1 udp-1001 rx_packets) $(value a2 udp-1001 rx_packets)" \
        "$((before1 + 401)) $((before2 + 307))" "two swap their names: what comes then is under the new ones"
    printf 'link set %s\n' "a1 name swap" "a2 name a1" "swap name a2" | ip -n "$A" -batch -
else
    skip "this kernel renames no interface that is up" "two swap their names"
fi

# ---- deleted under traffic, made again ----

make_veth 3
in_a "$PB_TOOLS/hooks" a3 attached true >/dev/null
start_witness first a3 ingress $hook 0
start_pump b3 1003
wait_for 60 has_more a3 udp-1003 0
ip -n "$A" link del a3
wait_for 60 has_logged "a3: stopped counting"
ok $? "an interface deleted under traffic is not counted any more"
sent=$(stop_pump)
saw=$(witnessed first)
settle
is "$(values a3 udp-1003)" "$((saw * 100)) $saw 0 0" \
    "what passed until then is in its series to the last packet ($saw of $sent sent)"
lines=$(cat "$work"/csv/host/tc_portbytes-a3/port_traffic-udp-1003-* | wc -l)
settle
is "$(cat "$work"/csv/host/tc_portbytes-a3/port_traffic-udp-1003-* | wc -l)" "$lines" \
    "then the series ends"

begin=$(logged "a3: counting.")
make_veth 3
wait_for 60 logged_again "a3: counting." "$begin"
start_witness second a3 ingress $hook 0
start_pump b3 1003
wait_for 60 has_more a3 udp-1003 "$saw"
# Gone and back before anybody can look.
printf '%s\n' "link del a3" "link add a3 arp off up type veth peer name b3 netns $B" |
    ip -n "$A" -batch -
stop_pump >/dev/null
saw=$((saw + $(witnessed second)))
ip -n "$B" link set b3 up
wait_for 60 logged_again "a3: counting." $((begin + 1))
ok $? "deleted and made again at once: counted again"
in_b "$PB_TOOLS/blast" b3 4 udp 40000 1003 101 100 >/dev/null
settle
# The pump may have found the new interface before it ended.
is "$(value a3 udp-1003 rx_packets)" "$((saw + $(interface_counter "$A" a3 rx packets)))" \
    "under the same name the series goes on from where it was"

# ---- another namespace, and back ----

before=$(value a3 udp-1003 rx_packets)
begin=$(logged "a3: stopped counting")
ip -n "$A" link set a3 netns "$B"
wait_for 60 logged_again "a3: stopped counting" "$begin"
ok $? "moved to another namespace: not counted any more"
ip -n "$B" link set a3 up
in_b "$PB_TOOLS/blast" b3 4 udp 40000 1003 503 100 >/dev/null
is "$(in_b "$PB_TOOLS/hooks")" "" "nothing of ours went with it"
begin=$(logged "a3: counting.")
ip -n "$B" link set a3 netns "$A"
ip -n "$A" link set a3 up
wait_for 60 logged_again "a3: counting." "$begin"
ok $? "moved back: counted again"
ready "$B" b3
in_b "$PB_TOOLS/blast" b3 4 udp 40000 1003 307 100 >/dev/null
settle
is "$(value a3 udp-1003 rx_packets)" $((before + 307)) \
    "its series goes on, without what passed elsewhere"
# Away and back before anybody can look: attached all the same.
printf 'link set a3 netns %s\n' "$B" | ip -n "$A" -batch - &&
    printf 'link set a3 netns %s\n' "$A" | ip -n "$B" -batch - && ip -n "$A" link set a3 up
in_a "$PB_TOOLS/hooks" a3 attached true >/dev/null
ok $? "away and back at once: attached"
sed -i '/a3: classifier was removed externally/d' "$work/log" # clsact does go with the move

# ---- a master, by the default rule ----

for type in bridge bond team; do
    if ! ip -n "$A" link add m0 type $type 2>/dev/null; then
        skip "this kernel has no $type" "a member of a $type"
        continue
    fi
    ip -n "$A" link set m0 arp off up
    wait_for 60 are_hooked m 1
    ok $? "$type: it is counted itself"
    begin=$(value a2 udp-1002 rx_packets)
    begin=${begin/none/0}
    counted=$(logged "a2: counting.")
    # Bond and team want it down.
    took=$(ip -n "$A" link set a2 down
        in_a "$PB_TOOLS/hooks" a2 detached ip link set a2 master m0)
    ok $? "$type: its new member is not counted any more"
    ip -n "$A" link set a2 up
    noticed
    in_b "$PB_TOOLS/blast" b2 4 udp 40000 1002 101 100 >/dev/null
    is "$(hooked '^[am][02]$')" "a0 m0" "$type: even when it is up"
    took+="/$(in_a "$PB_TOOLS/hooks" a2 attached \
        sh -c "ip link set a2 nomaster && ip link set a2 up")"
    ok $? "$type: released and up, it is counted again"
    echo "# $type: microseconds to not attached/attached: $took"
    wait_for 60 logged_again "a2: counting." "$counted"
    ready "$B" b2
    in_b "$PB_TOOLS/blast" b2 4 udp 40000 1002 211 100 >/dev/null
    settle
    is "$(value a2 udp-1002 rx_packets)" $((begin + 211)) "$type: with what passed when it was free"
    ip -n "$A" link del m0
done

# ---- they come and go, under traffic: nothing adds up ----

wait_for 60 are_hooked a 4
before=$(held_at_rest)
start_pump q 1004 1
used=
for round in $(seq $rounds); do
    make_down p q 1 $churn
    all_up p 1 $churn
    wait_for 300 are_hooked p $churn || break
    reads 1
    all_gone p 1 $churn
    wait_for 300 steady "$before" || break
    reads 3
    # The first round is what it takes.
    [ "$round" -eq 1 ] && used=$(memory)
done
is "$(($(stop_pump) > 0))" 1 "$((rounds * churn)) interfaces came and went under traffic"
is "$(held_at_rest)" "$before" "fds, programs, maps, links: what was held before"
used="$used $(memory)"
ok "$(echo "$used" | awk '{ print($2 > $1 + 2048) }')" \
    "memory: not more than after the first $churn (kB: $used)"

# New names for ever: those that never counted anything are not remembered.
many_names() {
    local i
    for i in $(seq "$1" $(($1 + renames - 1))); do
        rename "$name" "name$i"
        name=name$i
    done
    noticed
    reads 3
    memory
}
name=a2
used=
for round in 1 2 3; do
    many_names $((round * 1000)) >"$work/memory"
    used+=" $(cat "$work/memory")"
done
rename "$name" a2
ok "$(echo "$used" | awk '{ most = $1 > $2 ? $1 : $2; print($3 > most + 4096) }')" \
    "memory after $renames new names, thrice: it ends to grow (kB:$used)"

# Those that did are, however many come after them.
noticed # that it is a2 again: what comes before that is the name's before
ready "$B" b2
first=$(value a2 udp-1002 rx_packets)
first=${first/none/0}
in_b "$PB_TOOLS/blast" b2 4 udp 40000 1002 101 100 >/dev/null
name=a2
for ((i = 0; i < kept; i++)); do
    delivered
    rename "$name" "kept$i"
    name=kept$i
    noticed
    in_b "$PB_TOOLS/blast" b2 4 udp 40000 1002 7 100 >/dev/null
done
delivered
rename "$name" a2
noticed
in_b "$PB_TOOLS/blast" b2 4 udp 40000 1002 211 100 >/dev/null
settle
is "$(value a2 udp-1002 rx_packets)" $((first + 101 + 211)) \
    "after $kept other names that counted something the first goes on with its total"

is "$(falls)" 0 "no series ever fell"
is "$(unexpected)" "" "nothing of all this made an error line"
ids=$(programs)
stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
is "$?/$(in_a "$PB_TOOLS/hooks")" "0/" "no program is left"

# ---- stopped in the middle of a burst ----

write_config
start_collectd
ok $? "collectd starts"
make_down w x 1 $((burst / 4))
all_up w 1 $((burst / 4))
wait_for 60 logged_again ": counting." $((burst / 16))
begin=$EPOCHREALTIME
stop_collectd
is "$?" 0 "SIGTERM during a burst ends collectd with status 0"
echo "# it took $(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s"
is "$(in_a "$PB_TOOLS/hooks")" "" "and nothing is left attached"
is "$(for i in 0 1 $((burst / 4)); do filters_of a$i; filters_of w$i; done 2>/dev/null)" "" \
    "no filter"
is "$(unexpected)" "" "it made no error line"
all_gone w 1 $((burst / 4))

# ---- killed ----

# killed KIND: what of it is left after kill -9 and after the next start
killed() {
    local hook=$1 ids left
    write_config 'MinBytes 0'
    start_collectd || return 1
    ids=$(programs)
    kill -KILL "$collectd"
    wait "$collectd" 2>/dev/null
    if [ "$hook" = tcx ]; then
        # shellcheck disable=SC2086
        wait_for 60 none_alive $ids
        is "$?/$(in_a "$PB_TOOLS/hooks")" "0/" "tcx, kill -9: the kernel removes everything"
        return
    fi
    left=$(hooked)
    is "$left" "a0 a1 a2 a3" "clsact, kill -9: the filters are left, on all four"
    # a1: selected, taken over. a2: somebody else has a filter there meanwhile.
    start_witness other a2 ingress clsact 0
    rm -rf "$work/csv"
    write_config 'MinBytes 0' 'Interface "a1"'
    start_collectd || return 1
    is "$(hooked)" a1 "the next start has removed them where it does not count"
    is "$(left_of a0)$(left_of a3)" "" "but not their qdisc"
    is "$(clsact_of a2 | grep -c witness)" 1 "and nothing of somebody else's"
    is "$(clsact_of a1 | grep -c tc_portbytes)" 2 "where it does, there is one filter a direction"
    in_b "$PB_TOOLS/blast" b1 4 udp 40000 1001 101 100 >/dev/null
    in_b "$PB_TOOLS/blast" b2 4 udp 40000 1001 211 100 >/dev/null
    settle
    is "$(values a1 udp-1001)" "10100 101 0 0" "which counts each packet once"
    # shellcheck disable=SC2086
    is "$(alive $ids)" "" "no program of the killed one is left"
    is "$(unexpected)" "" "there was no error line"
    is "$(stop_witness other)" "packets 211 attached yes" "somebody else's filter saw its packets"
    stop_collectd
    is "$?/$(left_of a1)" "0/" "it ends well and takes all of it away"
    for n in 0 1 2 3; do ip netns exec "$A" tc qdisc del dev a$n clsact; done
}
[ $hook = clsact ] || killed tcx
killed clsact

# ---- removed by somebody else ----

rm -rf "$work/csv"
write_config 'MinBytes 0'
start_collectd
ok $? "collectd starts"
# remove: our classifier from a1 on ingress, as somebody else would
remove() {
    if [ $hook = clsact ]; then
        ip netns exec "$A" tc qdisc del dev a1 clsact
    else
        in_a "$PB_TOOLS/hooks" a1 detach
    fi
}
text="a1: classifier was removed externally"
for round in 1 2; do
    in_b "$PB_TOOLS/blast" b1 4 udp 40000 1001 101 100 >/dev/null
    delivered
    remove
    ok $? "$hook: somebody removes the classifier from a1"
    wait_for 60 logged_again "$text" $((round - 1))
    ok $? "the next read notices"
    is "$(hooked)" "a0 a1 a2 a3" "it is back"
    in_b "$PB_TOOLS/blast" b1 4 udp 40000 1001 211 100 >/dev/null
    settle
    is "$(logged "$text") $(value a1 udp-1001 rx_packets)" "$round $((312 * round))" \
        "it was said once, and the series goes on"
done
is "$(falls)" 0 "no series ever fell"
is "$(unexpected | grep -vF "$text")" "" "nothing else was said"
stop_collectd
is "$?/$(in_a "$PB_TOOLS/hooks")$(left_of a1)" "0/" "it ends well and takes all of it away"
finish
