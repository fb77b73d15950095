#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A hostile user of the host, without privileges: he listens on 30,000 ports, binds 600 of UDP, and
# has 20 kB sent to every port, over and over, on two interfaces. A service that starts while this
# lasts has its series within two reads, and every byte is counted.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

frames=14 size=1429 # 20,006 bytes to a port
rate=300000         # frames a second into each interface
chunks=50 chunk=667 # frames of 1,500 bytes: 1 MB
senders=()

# ---- helpers ----

has_series() { series a0 | grep -qx -- "$1"; }

# ports INTERFACE: how many ports are series
ports() { series "$1" | grep -cE '^(tcp|udp)-[0-9]+$'; }

# epochs SERIES: when it had values on a0
epochs() {
    cat "$work/csv/host/tc_portbytes-a0/port_traffic-$1"-????-??-?? 2>/dev/null |
        grep -v '^epoch' | cut -d, -f1 | sort -n
}

# reads_until TIME SERIES: which read after the time was the first that had it
reads_until() {
    epochs tcp-other | awk -v since="$1" -v first="$(epochs "$2" | head -n 1)" '
        $1 > since && $1 <= first { n++ }
        END { print first == "" ? "no" : n + 0 }'
}

# junk N: 20 kB into aN to every port of TCP and UDP, again and again, until the file is there
junk() {
    local range number
    until [ -e "$work/enough" ]; do
        # The first to come have their series for little: let these be ports that anybody may have.
        for range in 1024-65535 1-1023; do
            number=$(in_b "$PB_TOOLS/scan" "b$1" $range 1 ${frames}x$size $rate | head -n 1)
            echo $((2 * number)) >>"$work/junk-$1"
        done
    done
}

# passes N: how often that was done
passes() { [ "$(wc -l <"$work/junk-$1")" -gt $((2 * $2)) ]; }

# stranger_listens NAME SOCKET...: as listen of lib/netns.sh, without privileges
stranger_listens() {
    ip netns exec "$A" setpriv "${unprivileged[@]}" \
        "$PB_TOOLS/listen" "$work/listen-$1" "${@:2}" &
    started+=("$!")
    wait_for 60 grep -qs open "$work/listen-$1"
}

# carry TRANSPORT PORT: 50 MB to a service, in five seconds
carry() {
    local n
    for ((n = 0; n < chunks; n++)); do
        "$PB_TOOLS/blast" b0 4 "$1" 54321 "$2" $chunk 1500
        sleep 0.09
    done >"$work/carried-$1"
}

sent() { awk '{ sum += $1 } END { print sum + 0 }' "$work/$1"; }

# ---- the user is there first ----

make_namespaces
make_veths 0 1
lend_work
# Three processes: each may have so many open files.
for n in 0 1 2; do
    stranger_listens $n "tcp,0.0.0.0,$((1024 + 10000 * n))-$((11023 + 10000 * n))"
    ok $? "a user without privileges listens on 10,000 ports of TCP"
done
stranger_listens udp udp,0.0.0.0,20000-20599
ok $? "and has bound 600 of UDP"
write_config
# shellcheck disable=SC2119 # under no other command
start_collectd
ok $? "collectd starts"
in_b "$PB_TOOLS/blast" b0 4 udp 54321 60000 1 60 >"$work/junk-0" # shows when collectd reads
reads 3
before=$(memory)
is "$(series a0)" udp-ephemeral "idle sockets are no series"

touch "$work/junk-1"
for n in 0 1; do
    junk $n &
    started+=("$!")
    senders[n]=$!
done
wait_for 120 passes 0 1 && wait_for 120 passes 1 1
ok $? "somebody has sent 20 kB to every port, into two interfaces"
has_series tcp-443 || has_series udp-853
is $? 1 "there is no service yet"
# Half of MaxPorts (512) that listen, for a packet each; then they need 160 kB. Of the others 64 for
# 10 kB and 64 for 20. And one or two more, as the first ones count a little less by then.
for n in 0 1; do
    number=$(ports a$n)
    ok $((number < 384 || number > 390)) "a$n: as many ports are series as the bar permits ($number)"
done

# ---- then services start ----

export -f carry
export work chunks chunk
# UDP has no state LISTEN: a socket is taken for a server's when it was there at two reads.
listen names "$A" udp,0.0.0.0,853
ok $? "a name server starts"
reads 2
listen web "$A" tcp,0.0.0.0,443
ok $? "a web server starts"
since=$EPOCHREALTIME
in_b bash -c 'carry tcp 443 & carry udp 853 & wait'
touch "$work/enough"
wait "${senders[@]}"
settle
is "$(sent carried-tcp) $(sent carried-udp)" "$((chunks * chunk)) $((chunks * chunk))" \
    "each of them has had 50 MB"
for service in tcp-443 udp-853; do
    reads=$(reads_until "$since" $service)
    ok $((${reads/no/99} > 2)) "$service is a series within two reads of its first packet ($reads)"
    bytes=$(value a0 $service rx_bytes)
    ok $((${bytes/none/0} < 25000000)) "$service has most of what it carried ($bytes)"
done

# ---- every byte ----

for n in 0 1; do
    packets=$(sent junk-$n) bytes=$(($(sent junk-$n) * size))
    if [ $n = 0 ]; then
        packets=$((packets + 2 * chunks * chunk))
        bytes=$((bytes - size + 60 + 2 * chunks * chunk * 1500))
    fi
    is "$(total a$n rx_packets) $(total a$n rx_bytes)" "$packets $bytes" \
        "a$n: all series together are what was sent"
    is "$packets $bytes" \
        "$(interface_counter "$A" a$n rx packets) $(interface_counter "$A" a$n rx bytes)" \
        "a$n: and what came"
done
is "$(falls)" 0 "no series falls"
is "$(plugin_said | sed 's/^a[01]: [0-9]* \([a-z]*\) ports have become series .*/\1/' | sort | uniq -c | xargs)" \
    "1 a0: counting. 1 a1: counting. 2 busy 2 listening" "of all that six lines are logged"
used=$(memory)
ok $((used > before + 4096)) "and collectd has not more than 4 MB more (kB: $before $used)"
stop_collectd
is "$?" 0 "collectd ends well"
finish
