#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# soak.sh MINUTES: a steady, known traffic, while ports, sockets, interfaces and other people's
# filters come and go, collectd is flushed, stopped, killed and started again. Per life of the
# daemon the sums are exact; what it holds and its memory don't grow. TAP.
#
# PB_SEED repeats a run's random choices; PB_LINKS (8) interfaces come and go together. Without
# the variables of lib/test.sh it builds first, by run.sh.
minutes=${1:-10}
[ -n "${PB_PLUGIN:-}" ] || PB_SOAK=$minutes exec "${0%/*}/run.sh" soak
# shellcheck source=tests/lib/test.sh
. "${0%/*}/lib/test.sh"

seconds=$(awk -v m="$minutes" 'BEGIN { printf "%d", 60 * m }')
seed=${PB_SEED:-$RANDOM}
RANDOM=$seed
echo "# PB_SEED=$seed, $seconds s"

# The lives of the daemon: percent of the time, how it ends, and by what it attaches where
# there are both. After a life by clsact that is killed comes another: it has to clean up.
shares=(50 10 10 15 15)
ends=(TERM KILL KILL TERM TERM)
hooks=(tcx tcx clsact clsact tcx)
interfaces=${PB_LINKS:-8} # that come and go together
slack=512    # kB of memory that are no growth

# ---- what comes and goes ----

hooked_number() { in_a "$PB_TOOLS/hooks" | grep -cE "^$1[0-9]+ ingress egress\$"; }
are_hooked() { [ "$(hooked_number "$1")" -eq "$2" ]; }

# Some ports that are busy enough to be series for a while, and a scan of others.
churn_ports() {
    local i port
    for i in 1 2 3; do
        port=$((2000 + RANDOM % 40))
        in_b "$PB_TOOLS/blast" b0 4 tcp 40000 $port $((17 + RANDOM % 50)) 1000
        in_a "$PB_TOOLS/blast" a0 4 udp $port 40000 $((17 + RANDOM % 50)) 1000
    done
    port=$((3000 + RANDOM % 20000))
    in_b "$PB_TOOLS/scan" b0 $port-$((port + 299)) 1 1x60 0
}

# Two sockets that listen, instead of the two before.
listener=
churn_listeners() {
    if [ -n "$listener" ]; then
        kill -TERM "$listener"
        wait "$listener"
    fi
    rm -f "$work/listen"
    ip netns exec "$A" "$PB_TOOLS/listen" "$work/listen" "tcp,0.0.0.0,$((2500 + RANDOM % 20))" \
        "udp,0.0.0.0,$((2500 + RANDOM % 20))" &
    listener=$!
    started+=("$listener")
    wait_for 60 test -s "$work/listen"
}

churn_interfaces() {
    local i
    for i in $(seq $interfaces); do
        ip -n "$A" link add "p$i" arp off type veth peer name "q$i" netns "$B" &&
            ip -n "$B" link set "q$i" arp off up && ip -n "$A" link set "p$i" up
    done
    wait_for 60 are_hooked p $interfaces || broken+=" the new interfaces are not counted;"
    in_b "$PB_TOOLS/blast" q1 4 udp 40000 53 101 100
    ip -n "$A" link set a2 down
    ip -n "$A" link set a2 name r2
    ip -n "$A" link set r2 up
    for i in $(seq $interfaces); do ip -n "$A" link del "p$i"; done
    ip -n "$A" link set r2 down
    ip -n "$A" link set r2 name a2
    ip -n "$A" link set a2 up
}

# Somebody else's classifiers on a1, and somebody who takes ours away there.
churn_filters() {
    local kind=clsact direction=ingress
    [ $hook = tcx ] && [ $((RANDOM % 2)) = 0 ] && kind=tcx
    [ $kind = tcx ] && [ $((RANDOM % 2)) = 0 ] && kind=tcx-first
    [ $((RANDOM % 2)) = 0 ] && direction=egress
    start_witness churn a1 $direction $kind -1 || broken+=" a $kind classifier can't attach;"
    in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 101 100
    if [ $hook = tcx ]; then
        in_a "$PB_TOOLS/hooks" a1 detach $direction
    else
        in_a tc filter del dev a1 $direction pref 1
    fi
    stop_witness churn | grep -q 'attached yes' || broken+=" a $kind classifier was removed;"
    wait_for 60 are_hooked a 3 || broken+=" a1 is not healed;"
}

# ---- a life of the daemon ----

# start_pump NAME NAMESPACE INTERFACE SOURCE DESTINATION: steady traffic
start_pump() {
    rm -f "$work/pump-$1"
    ip netns exec "$2" "$PB_TOOLS/pump" "$3" "$4" "$5" 1 >"$work/pump-$1" &
    eval "pump_$1=$!"
    started+=("$!")
}

# stop_pump NAME: prints how many frames it sent
stop_pump() {
    local pid="pump_$1"
    kill -TERM "${!pid}"
    wait_for 60 test -s "$work/pump-$1"
    cat "$work/pump-$1"
}

counters() {
    local unit
    for unit in packets bytes; do
        echo "$(interface_counter "$A" a0 rx $unit) $(interface_counter "$A" a0 tx $unit)"
    done | paste -sd' '
}
passed() { # since the counters given: rx packets, tx packets, rx bytes, tx bytes
    echo "$* $(counters)" | awk '{ print $5 - $1, $6 - $2, $7 - $3, $8 - $4 }'
}
counted() {
    echo "$(total a0 rx_packets) $(total a0 tx_packets) $(total a0 rx_bytes) $(total a0 tx_bytes)"
}
# shellcheck disable=SC2086
are_counted() { [ "$(counted)" = "$(passed $before)" ]; }

# lost: frames that the kernel dropped between a0 and b0, either way
lost() {
    echo "$(in_a cat /sys/class/net/a0/statistics/tx_dropped)" \
        "$(in_b cat /sys/class/net/b0/statistics/tx_dropped)"
}

# said: what the log has beside what is to be expected
said() {
    plugin_said |
        grep -v -e ': counting\.$' -e ': stopped counting (.*)\.$' \
            -e 'a1: classifier was removed externally' \
            -e 'a1: another program now runs before ours' -e 'ports have become series'
}

# flat: whether the last third of the numbers is no higher than the middle third
flat() {
    echo "$@" | awk -v slack=$slack '{
        third = int(NF / 3)
        for (i = third + 1; i <= NF; i++)
            if (i <= NF - third) middle = $i > middle ? $i : middle
            else last = $i > last ? $i : last
        exit(NF >= 6 && last > middle + slack)
    }'
}

# live SECONDS SIGNAL: from start to end
live() {
    local end rounds=0 nothing='' memories='' sent_rx sent_tx ids lost name="life $((number + 1)) ($hook)"
    rm -rf "$work/csv"
    start_collectd || { ok 1 "$name: collectd starts"; return; }
    wait_for 60 are_hooked a 3
    ok $? "$name: collectd starts"
    ids=$(programs)
    before=$(counters)
    lost=$(lost)
    broken=
    start_pump in "$B" b0 40000 1000
    start_pump out "$A" a0 1001 40000
    end=$((SECONDS + $1))
    while [ $SECONDS -lt $end ] || [ $rounds -lt 2 ]; do
        churn_ports >/dev/null
        churn_listeners
        churn_filters >/dev/null
        churn_interfaces >/dev/null
        kill -USR1 "$collectd"
        # The first round is what it takes.
        [ -n "$nothing" ] || { reads 3; nothing=$(held_at_rest); }
        wait_for 60 steady "$nothing" || broken+=" round $rounds holds $(held_at_rest), not $nothing;"
        memories+=" $(memory)"
        rounds=$((rounds + 1))
    done
    sent_rx=$(stop_pump in)
    sent_tx=$(stop_pump out)
    wait_for 60 are_counted
    # shellcheck disable=SC2086
    is "$(counted)" "$(passed $before)" "$name: every packet is counted once, and every byte"
    # Which ports the dropped ones were of, nobody knows.
    if [ "$(lost)" = "$lost" ]; then
        is "$(value a0 udp-1000 rx_packets) $(value a0 udp-1001 tx_packets)" "$sent_rx $sent_tx" \
            "$name: the steady traffic's ports have what was sent"
    else
        skip "the kernel dropped packets" "$name: the steady traffic's ports have what was sent"
    fi
    is "$broken" "" \
        "$name: fds, programs, maps, links are the same after each of $rounds rounds ($nothing)"
    # shellcheck disable=SC2086
    flat $memories
    ok $? "$name: its memory does not grow"
    echo "# kB:$memories"
    is "$(programs)" "$ids" "$name: the programs that stay are those it began with"
    is "$(falls)" 0 "$name: no series ever fell"
    is "$(said)" "" "$name: the log has nothing unexpected"
    kill -"$2" "$collectd"
    wait "$collectd" 2>/dev/null
    [ "$2" = KILL ] && return
    # shellcheck disable=SC2086
    wait_for 60 none_alive $ids
    is "$?/$(in_a "$PB_TOOLS/hooks")$(filters_of a0)" "0/" "$name: its end leaves nothing"
}

make_namespaces
for n in 0 1 2; do make_veth $n; done
write_config 'Port "udp/1000-1001"' 'DynamicPorts true' 'ListeningPorts true' 'MaxPorts 64' \
    'MinBytes 10000' 'TopPorts 20' 'IdleTimeout 10'
kernel=$hook
for number in "${!shares[@]}"; do
    [ $kernel = clsact ] || hook=${hooks[number]}
    live $((seconds * shares[number] / 100)) "${ends[number]}"
done
finish
