#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# kill -9 at every instant of starting and stopping, and at random ones: by tcx the kernel
# removes everything; by clsact the next start does, where it counts and where it does not.
# Counting goes on, and nothing of anybody else's is touched; nor is a living daemon's.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
collectd_interval=0.3

random_kills=6
[ -n "${PB_KERNEL:-}" ] && random_kills=2

# hooked: what has our classifier now, "NAME DIRECTION..." in one line
hooked() { in_a "$PB_TOOLS/hooks" | paste -sd' '; }

# ours INTERFACE: how many filters of ours it has
ours() { clsact_of "$1" | grep -c 'handle.*tc_portbytes'; }

# others: everything of somebody else's. Lines without a handle are the kernel's, one for each
# priority.
others() {
    local interface
    for interface in a1 a2; do
        echo "$interface:"
        clsact_of $interface | grep -v tc_portbytes | grep handle
        in_a tc qdisc show dev $interface | grep -c clsact
    done
}

# launch [COMMAND...]: collectd in A, not waited for. Sets collectd.
launch() {
    local preload=
    [ $hook = clsact ] && preload="$PB_TOOLS/libnotcx.so"
    rm -f "$work/log"
    ip netns exec "$A" env "LD_PRELOAD=$preload${kill_at:+ $PB_TOOLS/libkillat.so}" \
        ${kill_at:+PB_KILL_AT=$kill_at} "$PB_COLLECTD" -f -C "$work/conf" >"$work/stdout" 2>&1 &
    collectd=$!
    started+=("$collectd")
}
kill_at=

is_over() { ! kill -0 "$collectd" 2>/dev/null || has_logged "entering read-loop"; }

# die STEP: start and stop, killed behind the STEP-th change of what is attached. Sets status:
# 137, or 0 if there is no such step.
die() {
    kill_at=$1 launch
    wait_for 180 is_over 2>/dev/null # bash has a line for each process killed
    kill -TERM "$collectd" 2>/dev/null
    wait "$collectd" 2>/dev/null
    status=$?
}

# unexpected: what the plugin said beside that it counts
unexpected() {
    plugin_said |
        grep -v -e ': counting\.$' -e ': stopped counting (.*)\.$'
}

is_counted() { says "$2" value "$1" udp-53 rx_packets; }

# check WHEN: a daemon that counts a0 only finds nothing left, counts at once and goes clean
check() {
    local wrong=
    rm -rf "$work/csv"
    write_config 'MinBytes 0' 'Interface "a0"'
    start_collectd || wrong+=" it does not start;"
    [ "$(hooked)" = "a0 ingress egress" ] || wrong+=" attached: $(hooked);"
    [ $hook = tcx ] || [ "$(ours a0)" = 2 ] || wrong+=" a0 has $(ours a0) filters;"
    [ "$(others)" = "$was" ] || wrong+=" others: $(others | paste -sd' ');"
    in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 101 100 >/dev/null
    settle
    is_counted a0 101 || wrong+=" of 101 it counts $(value a0 udp-53 rx_packets);"
    [ -z "$(unexpected)" ] || wrong+=" it says $(unexpected);"
    stop_collectd || wrong+=" it ends with an error;"
    [ -z "$(hooked)$(left_of a0)" ] || wrong+=" left: $(hooked) $(left_of a0);"
    [ "$(others)" = "$was" ] || wrong+=" others after the end: $(others | paste -sd' ');"
    is "$wrong" "" "killed $1: the next one finds nothing left, and counts"
    write_config 'MinBytes 0'
}

make_namespaces
for n in 0 1 2; do make_veth $n; done

# a1 has a filter of somebody else's, a2 only a qdisc.
start_witness other a1 ingress clsact 0
ok $? "somebody else's filter is on a1"
in_a tc qdisc add dev a2 clsact
was=$(others)

# ---- at each step ----

write_config 'MinBytes 0'
step=0
while [ $step -lt 40 ]; do # what is not cleaned up makes more steps, without end
    die $((step + 1))
    [ $status -eq 137 ] || break
    step=$((step + 1))
    left=$(hooked)
    [ $hook = clsact ] || is "$left" "" "tcx: killed at step $step, nothing is left"
    check "at step $step (left: ${left:-nothing})"
    [ $hook = tcx ] || in_a tc qdisc del dev a0 clsact # as it was
done
is $status 0 "after $step steps there are no more"
# tcx: three interfaces in two directions; clsact: a qdisc and a filter each, and that removed.
least=6
[ $hook = clsact ] && least=18
ok $((step < least)) "that is all of them"

# ---- at random ----

seed=${PB_SEED:-$RANDOM}
RANDOM=$seed
echo "# PB_SEED=$seed"
ip netns exec "$B" "$PB_TOOLS/pump" b 40000 1000 2 >/dev/null & # traffic all the time
pump=$!
started+=("$pump")
times=
for _ in $(seq $random_kills); do
    launch
    pause=0.$((RANDOM % 9))$((RANDOM % 10))
    times+=" $pause"
    sleep $pause # at whatever it is doing then
    kill -KILL "$collectd"
    wait "$collectd" 2>/dev/null
done
echo "# killed after$times s; left: $(hooked)"
kill -TERM "$pump"
wait "$pump"
check "$random_kills times at random, under traffic"

# ---- the programs go ----

start_collectd
ids=$(programs)
is "$(echo "$ids" | wc -l)" 2 "a daemon holds two programs, for three interfaces"
kill -KILL "$collectd"
wait "$collectd" 2>/dev/null
if [ $hook = tcx ]; then
    # shellcheck disable=SC2086
    wait_for 60 none_alive $ids
    is "$?/$(hooked)" "0/" "tcx: killed, the kernel removes them"
else
    is "$(hooked)" "a0 ingress egress a1 ingress egress a2 ingress egress" \
        "clsact: killed, they stay"
fi
check "while it counts"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
ok $? "and none of its programs is left"

# Knowing our own filters needs no more capabilities than counting does.
three="-all,+bpf,+perfmon,+net_admin"
few=(setpriv "${unprivileged[@]}" "--inh-caps=$three" "--ambient-caps=$three")
if [ $hook = clsact ] && "${few[@]}" true 2>/dev/null; then
    lend_work
    rm -rf "$work/csv"
    for _ in 1 2; do
        start_collectd "${few[@]}"
        kill -KILL "$collectd"
        wait "$collectd" 2>/dev/null
    done
    is "$(ours a0)/$(unexpected)" "2/" "clsact: with three capabilities it removes what was left, too"
    rm -rf "$work/csv"
    check "with three capabilities"
fi

# ---- somebody pretends to be it ----

# squat NAME ID...: as a user without capabilities; see tests/tools/squat.c
squat() {
    local name=$1
    shift
    # The user can't write in $work.
    : >"$work/squat-$name" && chmod 666 "$work/squat-$name"
    ip netns exec "$A" setpriv "${unprivileged[@]}" "$PB_TOOLS/squat" "$work/squat-$name" "$@" &
    started+=("$!")
    squatters+=("$!")
    wait_for 60 grep -qx open "$work/squat-$name"
    is "$?/$(grep -c given "$work/squat-$name")" 0/0 "$name: a user can't give the sign of a daemon"
}

if [ $hook = clsact ]; then
    chmod 711 "$work"
    squatters=()
    start_collectd
    newest=$(programs | sort -n | tail -n 1)
    stop_collectd
    # shellcheck disable=SC2046
    squat beforehand $(seq $((newest + 1)) $((newest + 300)))
    rm -rf "$work/csv"
    start_collectd
    ids=$(programs)
    is "$(for id in $ids; do echo $((id > newest && id <= newest + 300)); done | paste -sd' ')" "1 1" \
        "a user knew the ids of the programs beforehand"
    kill -KILL "$collectd"
    wait "$collectd" 2>/dev/null
    # shellcheck disable=SC2086
    squat afterwards $ids
    check "while somebody pretends that it lives"
    # shellcheck disable=SC2086
    wait_for 60 none_alive $ids
    ok $? "and none of its programs is left"
    kill -TERM "${squatters[@]}"
    wait "${squatters[@]}" 2>/dev/null
fi

# ---- beside one that lives ----

second write_config 'MinBytes 0'
collectd=
second start_collectd
ok $? "a second daemon starts"
survivor=$collectd
start_collectd
ok $? "a third one starts beside it"
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 101 100 >/dev/null
settle
is_counted a1 101
ok $? "it counts"
kill -KILL "$collectd"
wait "$collectd" 2>/dev/null
rm -rf "$work/csv"
write_config 'MinBytes 0' 'Interface "a0"'
start_collectd
ok $? "the third one is killed, and a fourth one starts, for a0 only"
is "$(ours a0) $(ours a1)" "$([ $hook = tcx ] && echo "0 0" || echo "4 2")" \
    "a0 has the second and the fourth one's filters, a1 the second one's"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 211 100 >/dev/null
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 307 100 >/dev/null
settle
is_counted a0 211
ok $? "the fourth one counts"
second settle
second is_counted a0 211 && second is_counted a1 408
ok $? "and the second one has counted all the time"
is "$(unexpected)$(second unexpected)" "" "neither had anything to say about it"
stop_collectd
is "$?" 0 "the fourth one ends well"
is "$(hooked)" "a0 ingress egress a1 ingress egress a2 ingress egress" "the second one stays"
collectd=$survivor
stop_collectd
is "$?/$(hooked)/$(left_of a0)" "0//" "and takes its own away"
is "$(others)" "$was" "somebody else's filter and qdisc are as they were"
is "$(stop_witness other | awk '{ print $4 }')" yes "and attached"
finish
