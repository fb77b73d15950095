#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Which ports become series: selected, listening, busy ones; folded, ranked, ended ones; and
# that whatever they become, the total is exact.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

# Long enough to do something between two reads; in the guests the CPU is emulated.
i=0.5
idle=4
if [ -n "${PB_KERNEL:-}" ]; then
    i=2
    idle=8
fi
collectd_interval=$i

# ---- helpers ----

# lines INTERFACE INSTANCE: how many values are stored
lines() {
    cat /dev/null "$work/csv/host/tc_portbytes-$1/port_traffic-$2"-* 2>/dev/null | grep -vc '^epoch'
}

has_lines() { [ "$(lines "$1" "$2")" -ge "$3" ]; }

has_series() { series a0 | grep -qx -- "$1"; }

# at_once COMMAND...: within one interval, however long it takes: collectd can't read meanwhile
at_once() {
    kill -STOP "$collectd"
    "$@"
    delivered
    kill -CONT "$collectd"
}

# by_time INTERFACE INSTANCE: the values
by_time() {
    cat /dev/null "$work/csv/host/tc_portbytes-$1/port_traffic-$2"-* 2>/dev/null |
        grep -v '^epoch' | sort -s -t, -k1,1n
}

# first INTERFACE INSTANCE: the first values stored
first() { by_time "$1" "$2" | awk -F, 'NR == 1 { print $2, $3, $4, $5 }'; }

# times first|last INTERFACE INSTANCE: when that value was
times() { by_time "$2" "$3" | awk -F, -v which="$1" 'NR == 1 || which == "last" { t = $1 } END { print t }'; }

# at_a_time INTERFACE PATTERN: the most series matching it that one read had. Two reads within a
# millisecond, as after a pause, can't be told apart; tcp-11 has two values then.
at_a_time() {
    local file
    by_time "$1" tcp-11 | cut -d, -f1 | uniq -d >"$work/ambiguous"
    for file in "$work/csv/host/tc_portbytes-$1"/port_traffic-*; do
        file=${file##*/port_traffic-}
        [[ ${file%-????-??-??} =~ $2 ]] || continue
        grep -v '^epoch' "$work/csv/host/tc_portbytes-$1/port_traffic-$file" | cut -d, -f1
    done | sort | grep -vxFf "$work/ambiguous" | uniq -c | sort -n | awk 'END { print $1 + 0 }'
}

# ends_idle FROM TO INSTANCE: a0's has carried something, or had its socket, for the last time
# between FROM and TO. Whether it ended at the first read IdleTimeout after the read that saw that:
# one in between, or the next. Reads may come late; tcp-11 has a value of each.
ends_idle() {
    wait_for 120 has_ended "$1" "$3"
    by_time a0 tcp-11 | awk -F, -v from="$1" -v to="$2" -v last="$(times last a0 "$3")" -v idle=$idle -v i=$i '
        $1 <= from { before = $1 }
        $1 > to && !behind { behind = $1 }
        $1 > last && !without { without = $1 }
        END { exit !(last - behind < idle + i / 2 && without - before > idle - i / 2) }'
}
# has_ended FROM INSTANCE: it has had values after FROM, and has none of the two latest reads
has_ended() {
    by_time a0 tcp-11 | awk -F, -v from="$1" -v last="$(times last a0 "$2")" '
        $1 > last { n++ }
        END { exit !(last > from && n >= 2) }'
}

listed() { series "$1" | paste -sd' '; }

# blast_in TRANSPORT PORT COUNT SIZE: into a0, from an ephemeral port
blast_in() { in_b "$PB_TOOLS/blast" b0 4 "$1" 54321 "$2" "$3" "$4" >/dev/null; }

# with OPTION...: collectd starts anew with these; in the background: who listens, by "open"
with() {
    rm -rf "$work/csv"
    write_config "$@"
    # shellcheck disable=SC2119 # under no other command
    start_collectd || {
        ok 1 "collectd starts with: $*"
        finish
    }
    # Where tcp-11 shows when collectd reads, as a listening port: from its first packet.
    if [[ $* != *CountBy* && $* != *tcp/11* ]] && in_a ss -Hltn 'sport = :11' | grep -q .; then
        blast_in tcp 11 1 60
        wait_for 60 has_series tcp-11
    fi
}

# open NAME SOCKET...: sockets in A, see tests/tools/listen.c
open() {
    local name=$1
    shift
    listen "$name" "$A" "$@" || {
        ok 1 "the sockets $* open"
        finish
    }
}

# close_some NAME: those of the sockets that SIGUSR1 closes
close_some() {
    local pid="listen_$1"
    kill -USR1 "${!pid}"
    wait_for 60 grep -qs closed "$work/listen-$1"
}

close_all() {
    local pid="listen_$1"
    kill -TERM "${!pid}"
    wait "${!pid}"
}

begin() {
    echo "# $1"
    baseline
}

make_namespaces
make_veth 0
ip -n "$A" address add 10.99.0.1/24 dev a0
in_a sh -c 'echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range'

# ---- Port ----

begin "Port"
open idle tcp,0.0.0.0,7777 udp,0.0.0.0,7777
http='"http"'
getent services http >/dev/null || {
    http=80
    skip "no /etc/services here" "Port: a service's name"
}
with 'Port 11' 'Port 443' 'Port "8000-8002"' 'Port "tcp/8443"' 'Port "UDP/53"' "Port $http" \
    'Port "sctp/36412"' 'Port 40000' 'Port 443' 'Port "tcp/442-444"' 'MaxPorts 16'
reads 1
selected="sctp-36412 tcp-11 tcp-40000 tcp-442 tcp-443 tcp-444 tcp-80 tcp-8000 tcp-8001 tcp-8002"
selected+=" tcp-8443 udp-11 udp-40000 udp-443 udp-53 udp-80 udp-8000 udp-8001 udp-8002"
is "$(listed a0)" "$selected" "Port: numbers, ranges, names, transports: series without any traffic"
is "$(for s in $selected; do first a0 "$s"; done | sort -u)" "0 0 0 0" "Port: all of them at 0"
is "$(for s in $selected; do times first a0 "$s"; done | sort -u | wc -l)" 1 \
    "Port: all of them from the first read"
blast_in tcp 443 1009 60
blast_in udp 443 503 100
blast_in udp 8000-8002 $((3 * 211)) 200
blast_in tcp 8443 2003 60
blast_in tcp 40000 307 80 # in the ephemeral range
blast_in udp 53 701 90
blast_in udp 8443 101 1500
blast_in tcp 53 103 1500
blast_in tcp 20001 107 1500
blast_in tcp 45000 109 1500
blast_in tcp 7777 113 1500
settle
is "$(values a0 tcp-443)" "60540 1009 0 0" "Port: tcp-443 is exact"
is "$(values a0 udp-443)" "50300 503 0 0" "Port: udp-443 is another series"
is "$(values a0 udp-8000) $(values a0 udp-8002)" "42200 211 0 0 42200 211 0 0" "Port: a range has a series each"
is "$(values a0 tcp-8443) $(values a0 udp-53)" "120180 2003 0 0 63090 701 0 0" "Port: one transport"
is "$(values a0 tcp-40000)" "24560 307 0 0" "Port: a port in the ephemeral range is not folded"
is "$(value a0 udp-other rx_packets) $(value a0 tcp-other rx_packets)" "101 323" \
    "Port: the other transport's and those not named are in other"
is "$(listed a0)" "$(echo "$selected tcp-ephemeral tcp-other udp-other" | tr ' ' '\n' | sort | paste -sd' ')" \
    "Port: no busy and no listening port is a series"
exact "Port"

# Traffic between the attachment and the first read.
reads 1
make_veth 1
wait_for 60 has_logged "a1: counting."
in_b "$PB_TOOLS/blast" b1 4 tcp 54321 443 1511 60 >/dev/null
settle
is "$(first a1 tcp-443)" "0 0 0 0" "Port: the first value is 0 also when there was traffic before it"
is "$(values a1 tcp-443)" "90660 1511 0 0" "Port: and nothing of that is lost"
ip -n "$A" link del a1
stop_collectd
close_all idle

# ---- ListeningPorts ----

begin "ListeningPorts"
wireguard=
if ip -n "$A" link add wg0 type wireguard 2>/dev/null; then
    # It has no port of its own yet and takes the kernel's choice: there is one only.
    in_a sh -c 'echo 51820 51820 >/proc/sys/net/ipv4/ip_local_port_range'
    ip -n "$A" link set wg0 up && wireguard=udp-51820
    in_a sh -c 'echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range'
fi
open some tcp,0.0.0.0,11 -tcp,0.0.0.0,8101 tcp,::,8102 tcp,10.99.0.1,8103 tcp,127.0.0.1,8104 \
    tcp,::1,8105 tcp,::ffff:127.0.0.1,8106 -udp,0.0.0.0,8107 udp,10.99.0.1,8108,10.99.0.2,53 \
    tcpidle,0.0.0.0,8109 tcp,127.0.0.1,8110 tcp,10.99.0.1,8110 tcp,0.0.0.0,40001 udp,::,8112 \
    udp,127.0.0.53,8113
blast_in udp 8107 53 60 # before anybody counts
baseline
with 'Interface "a0"' 'Interface "lo"' "IdleTimeout $idle"
reachable="tcp-11 tcp-40001 tcp-8101 tcp-8102 tcp-8103 tcp-8110 udp-8107 udp-8112"
local_only="tcp-8104 tcp-8105 tcp-8106 udp-8113"
reachable=$(tr ' ' '\n' <<<"$reachable $wireguard" | sort | xargs)
reads 2
is "$(listed a0)" tcp-11 "ListeningPorts: a socket that nobody talks to makes no series"
for port in tcp-{8101..8106} udp-8107 udp-8108 tcp-8109 tcp-8110 tcp-40001 udp-8112 udp-8113 $wireguard; do
    blast_in "${port%-*}" "${port#*-}" 1 60
    in_a "$PB_TOOLS/blast" lo 4 "${port%-*}" 54321 "${port#*-}" 1 60 >/dev/null
done
in_a "$PB_TOOLS/blast" lo 4 tcp 54321 11 1 60 >/dev/null
settle
is "$(listed a0)" "$(tr ' ' '\n' <<<"$reachable tcp-other udp-other" | sort | xargs)" \
    "ListeningPorts: bound to any address or this one's; not connected, not only bound, not on loopback"
is "$(listed lo)" "$(tr ' ' '\n' <<<"$reachable $local_only tcp-ephemeral tcp-other udp-ephemeral udp-other" | sort | xargs)" \
    "ListeningPorts: through loopback those bound to loopback addresses can be reached too"
if [ -n "$wireguard" ]; then
    is "$(series a0 | grep 51820)" udp-51820 "ListeningPorts: WireGuard's port is found"
else
    skip "no WireGuard in this kernel, the kernels of the guests have it" "ListeningPorts: WireGuard's port is found"
fi
blast_in tcp 8101 1009 60
blast_in udp 8107 503 60
blast_in tcp 40001 211 60
blast_in tcp 8104 101 60
in_a "$PB_TOOLS/blast" lo 4 tcp 54321 8104 307 60 >/dev/null
settle
is "$(values a0 tcp-8101) $(values a0 udp-8107)" "60600 1010 0 0 30240 504 0 0" \
    "ListeningPorts: exact, however little they carry"
is "$(values a0 tcp-40001)" "12720 212 0 0" "ListeningPorts: not folded"
is "$(values lo tcp-8104)" "18480 308 0 0" "ListeningPorts: exact on loopback"
is "$(value a0 tcp-other rx_packets)" 105 "ListeningPorts: what can't reach one is in other"

# A new one whose port has already carried something since the last read.
reads 1
blast_in tcp 8120 1511 60
open new tcp,0.0.0.0,8120
settle
is "$(first a0 tcp-8120)" "0 0 0 0" "ListeningPorts: the first value of a new one is 0"
is "$(values a0 tcp-8120)" "90660 1511 0 0" "ListeningPorts: what came before it in the interval follows"
close_all new

# UDP: a client's socket that lives for one query is no service. It is opened and closed while
# collectd is stopped; if there were two reads in between, once more.
reads_between() {
    by_time a0 tcp-11 | awk -F, -v from="$1" -v to="$2" '$1 > from && $1 < to { n++ } END { print n + 0 }'
}
for port in {8130..8138}; do
    reads 1
    kill -STOP "$collectd"
    open query "udp,0.0.0.0,$port" "udp,0.0.0.0,4$port"
    opened=$EPOCHREALTIME
    blast_in udp "$port" 1 60
    blast_in udp "4$port" 1 60
    kill -CONT "$collectd"
    reads 1
    kill -STOP "$collectd"
    closed=$EPOCHREALTIME
    close_all query
    kill -CONT "$collectd"
    reads 2
    [ "$(reads_between "$opened" "$closed")" -ne 1 ] || break
done
is "$(reads_between "$opened" "$closed") $(series a0 | grep -c -e "udp-$port" -e "udp-4$port")" "1 0" \
    "ListeningPorts: a UDP port seen at one read is none"
open query udp,0.0.0.0,8139 udp,0.0.0.0,48139
reads 2
blast_in udp 8139 1 60
blast_in udp 48139 1 60
settle
is "$(series a0 | grep 8139)" udp-8139 \
    "ListeningPorts: seen at two in a row it is one, but not in the range that clients have"
close_all query

# They end IdleTimeout after the socket.
began=$EPOCHREALTIME
close_some some
closed=$EPOCHREALTIME
blast_in tcp 8101 59 60
ends_idle "$began" "$closed" tcp-8101
ok $? "ListeningPorts: a series ends IdleTimeout after the socket closed"
ended=$(lines a0 udp-8107)
blast_in udp 8107 61 60
reads 2
is "$(lines a0 udp-8107)" "$ended" "ListeningPorts: after that it has no more values"
is "$(values a0 tcp-8101)" "$((1069 * 60)) 1069 0 0" "ListeningPorts: traffic after the socket closed was still its own"
open again tcp,0.0.0.0,8101 udp,0.0.0.0,8107
reads 3
is "$(lines a0 udp-8107)" "$ended" "ListeningPorts: a new socket alone does not bring it back"
blast_in tcp 8101 1013 60
blast_in udp 8107 1 60
settle
is "$(values a0 tcp-8101)" "$(((1069 + 1013) * 60)) $((1069 + 1013)) 0 0" "ListeningPorts: a series that returns resumes its total"
is "$(values a0 udp-8107)" "30300 505 0 0" "ListeningPorts: so does one of UDP"
exact "ListeningPorts"
stop_collectd
close_all again
close_all some
[ -z "$wireguard" ] || ip -n "$A" link del wg0

# ---- FoldEphemeral ----

begin "FoldEphemeral"
open ref tcp,0.0.0.0,11
with 'MinBytes 0'
reads 1
blast_in udp 20000 1009 60
blast_in udp 32768-32777 1010 60
blast_in udp 60999 211 60
blast_in udp 61000 503 60
settle
is "$(values a0 udp-ephemeral)" "$((1221 * 60)) 1221 0 0" "FoldEphemeral: the kernel's range is folded"
is "$(values a0 udp-20000) $(values a0 udp-61000)" "60540 1009 0 0 30180 503 0 0" "FoldEphemeral: others are not"
in_a sh -c 'echo 15000 25000 >/proc/sys/net/ipv4/ip_local_port_range'
reads 1
blast_in udp 20000 307 60
blast_in udp 15000 311 60
blast_in udp 60999 313 60
settle
is "$(values a0 udp-ephemeral)" "$(((1221 + 618) * 60)) 1839 0 0" "FoldEphemeral: it is followed when it changes"
is "$(values a0 udp-20000) $(values a0 udp-60999)" "60540 1009 0 0 18780 313 0 0" \
    "FoldEphemeral: what was counted before stays, what came free is a series"
is "$(listed a0)" "tcp-11 udp-20000 udp-60999 udp-61000 udp-ephemeral" "FoldEphemeral: no others"
exact "FoldEphemeral"
stop_collectd
close_all ref

# The kernel has no part in the rest, and a guest's emulated CPU takes minutes for it.
if [ -n "${PB_KERNEL:-}" ]; then
    skip "user space alone does this" "limits, other ways to fold, TopPorts, IdleTimeout, recycling"
    finish
fi

# ---- FoldEphemeral, otherwise ----

open ref tcp,0.0.0.0,11
begin "FoldEphemeral, CountBy lower"
with 'MinBytes 0' 'CountBy "lower"'
in_b "$PB_TOOLS/blast" b0 4 tcp 40000 18000 101 60 >/dev/null # in the kernel's range
in_b "$PB_TOOLS/blast" b0 4 tcp 40000 443 103 60 >/dev/null
in_b "$PB_TOOLS/blast" b0 4 tcp 40001 40000 107 60 >/dev/null # behind it
settle
is "$(listed a0) $(value a0 tcp-ephemeral rx_packets)" "tcp-40000 tcp-443 tcp-ephemeral 101" \
    "FoldEphemeral: with lower, the kernel's range"
exact "lower"
stop_collectd

begin "FoldEphemeral, CountBy remote"
with 'MinBytes 0' 'CountBy "remote"'
in_b "$PB_TOOLS/blast" b0 4 tcp 32767 443 101 60 >/dev/null
in_b "$PB_TOOLS/blast" b0 4 tcp 32768 443 103 60 >/dev/null
in_b "$PB_TOOLS/blast" b0 4 tcp 65535 443 107 60 >/dev/null
in_b "$PB_TOOLS/blast" b0 4 tcp 18000 443 109 60 >/dev/null
settle
is "$(listed a0) $(value a0 tcp-ephemeral rx_packets)" "tcp-18000 tcp-32767 tcp-ephemeral 210" \
    "FoldEphemeral: with the others 32768 and up; nobody listens"
exact "remote"
stop_collectd

begin "FoldEphemeral false"
with 'MinBytes 0' 'FoldEphemeral false'
reads 1
blast_in tcp 18000 101 60
blast_in tcp 40000 103 60
settle
is "$(listed a0)" "tcp-11 tcp-18000 tcp-40000" "FoldEphemeral false: nothing is folded"
exact "FoldEphemeral false"
stop_collectd
in_a sh -c 'echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range'

# ---- TopPorts ----

begin "TopPorts"
with 'MinBytes 0' 'TopPorts 2'
reads 1
# send_each [PORT PACKETS]...: within one interval
send_each() {
    while [ $# -gt 0 ]; do
        blast_in udp "$1" "$2" 1000
        shift 2
    done
}
for _ in 1 2 3 4 5 6 7 8 9 10 11; do # two of about the same rate want one place
    at_once send_each 1101 $((60 + RANDOM % 20)) 1102 $((24 + RANDOM % 4)) 1103 $((24 + RANDOM % 4))
    reads 1
done
reads 1
is "$(series a0 | grep -c 'udp-110[23]')" 1 "TopPorts: two ports of about the same rate don't take turns"
is "$(series a0 | grep -c 'udp-1101')" 1 "TopPorts: the busiest is a series"
weak=$(series a0 | grep 'udp-110[23]')
for _ in 1 2 3; do
    at_once send_each 1101 67 "${weak#udp-}" 23 1104 211
    reads 1
done
settle
ended=$(lines a0 "$weak")
reads 2
is "$(series a0 | grep -c 'udp-1104')" 1 "TopPorts: a port twice as busy takes the place of the weakest"
is "$(lines a0 "$weak")" "$ended" "TopPorts: whose series ends"
for _ in 1 2 3 4 5; do # the strong ones are silent
    blast_in udp "${weak#udp-}" 131 1000
    reads 1
done
reads 1
ok $(($(lines a0 "$weak") <= ended)) "TopPorts: and comes back when it is among the first again"
settle
is "$(at_a_time a0 '^udp-[0-9]+$')" 2 "TopPorts: there were never more than so many at a time"
exact "TopPorts"
stop_collectd

begin "TopPorts, one after the other"
with 'MinBytes 0' 'TopPorts 1'
reads 1
blast_in udp 1201 101 1000
reads 1
blast_in udp 1202 1009 1000
reads 1
blast_in udp 1203 10007 1000
settle
is "$(at_a_time a0 '^udp-[0-9]+$')" 1 "TopPorts: one series at a time"
exact "TopPorts: a series displaced as soon as it came"
stop_collectd
close_all ref

# A listening port that becomes an ordinary one needs a place too.
begin "TopPorts after listening"
open top tcp,0.0.0.0,11 -udp,0.0.0.0,1303
with 'MinBytes 0' 'TopPorts 1' 'IdleTimeout 1'
reads 2
blast_in udp 1303 1 60
wait_for 60 has_series udp-1303
close_some top
for _ in 1 2 3 4 5; do
    at_once send_each 1301 101 1303 97
    reads 1
done
settle
is "$(cat "$work"/csv/host/tc_portbytes-a0/port_traffic-udp-130[13]-* | grep -v '^epoch' | cut -d, -f1 | sort | uniq -d |
    awk -v last="$(times last a0 tcp-11)" -v i="$i" '$1 > last - 2 * i { n++ } END { print n + 0 }')" 0 \
    "TopPorts: one that listened once does not come on top"
exact "TopPorts after listening"
stop_collectd
close_all top

# ---- IdleTimeout ----

begin "IdleTimeout"
open ref tcp,0.0.0.0,11
with 'MinBytes 0' "IdleTimeout $idle"
reads 1
sent=$EPOCHREALTIME
blast_in udp 1401 1009 60
delivered
ends_idle "$sent" "$EPOCHREALTIME" udp-1401
ok $? "IdleTimeout: a series without traffic ends"
ended=$(lines a0 udp-1401)
reads 2
is "$(lines a0 udp-1401)" "$ended" "IdleTimeout: after that it has no more values"
is "$(series a0 | paste -sd' ')" "tcp-11 udp-1401" "IdleTimeout: nothing else comes of it"
blast_in udp 1401 503 60
settle
is "$(cat "$work"/csv/host/tc_portbytes-a0/port_traffic-udp-1401-* | grep -v '^epoch' | sort -s -t, -k1,1n |
    sed -n "$((ended + 1))p" | cut -d, -f2- | tr , ' ')" "60540 1009 0 0" \
    "IdleTimeout: it returns with its old total"
is "$(values a0 udp-1401)" "$((1512 * 60)) 1512 0 0" "IdleTimeout: and goes on from there"
exact "IdleTimeout"
stop_collectd
close_all ref

# Shorter than an interval: what the first word does not say must still be said.
begin "IdleTimeout below the interval"
collectd_interval=2
with 'MinBytes 0' 'IdleTimeout 1' 'Port "tcp/11"' 'DynamicPorts true' # a series that stays
blast_in udp 1501 1009 60
settle
reads 1
is "$(values a0 udp-1501)" "60540 1009 0 0" "IdleTimeout below the interval: a series has time to say everything"
exact "IdleTimeout below the interval"
stop_collectd

# ---- slots that nobody needs any more ----

begin "idle slots"
collectd_interval=1
open ref tcp,0.0.0.0,11
with 'MaxPorts 16' 'MinBytes 1000'
reads 1
blast_in udp 1601-1615 150 60 # every slot but one: nothing is in need; too little for series
reads 3                       # booked; chosen; taken back
blast_in udp 1701-1716 3200 1500 # 300 kB each: the sixteenth series needs 128 kB
settle
is "$(series a0 | grep -c '^udp-17')" 16 "idle slots: all are there for others two intervals later"
is "$(values a0 udp-other)" "9000 150 0 0" "idle slots: not one packet of the others was left over"
exact "idle slots"
stop_collectd
close_all ref

collectd_interval=$i

# ---- DynamicPorts ----

# Without a socket a port is as any other.
begin "DynamicPorts false"
open one tcp,0.0.0.0,11 -tcp,0.0.0.0,8101
with 'DynamicPorts false' 'IdleTimeout 1'
blast_in tcp 8101 1 60
wait_for 60 has_series tcp-8101
close_some one
for _ in 1 2 3 4 5; do
    blast_in tcp 8101 101 1500
    reads 1
done
ended=$(lines a0 tcp-8101)
blast_in tcp 8101 103 1500
settle
is "$(lines a0 tcp-8101)" "$ended" "DynamicPorts false: no port is a series because it is busy, also not after listening"
exact "DynamicPorts false"
stop_collectd
close_all one

# ---- limits ----

begin "limits"
open many tcp,0.0.0.0,11 tcp,0.0.0.0,9001-9020
with 'MaxPorts 16' 'Port 443' 'Port "tcp/11"' 'DynamicPorts true' 'ListeningPorts true' 'MinBytes 0'
reads 1
at_once blast_in tcp 9001-9020 20 60 # a packet to each: enough for eight, then 16 bytes, 32, 64
reads 2
is "$(series a0 | grep -c '^tcp-9')" 12 "limits: as many listening ports are series as the bar permits"
for _ in 1 2 3 4 5 6; do
    blast_in udp 10001-10040 400 1500
    blast_in tcp 443 101 60
    reads 1
done
settle
# Three quarters of the slots are kept. The bar doubles with every other series, and no port carries
# more than 90 kB, which is less than 2^17.
busy=$(series a0 | grep -c '^udp-10')
ok $((busy < 12 || busy > 34)) "limits: and of busy ones, which have another ($busy)"
is "$(values a0 tcp-443) $(values a0 udp-443)" "36360 606 0 0 0 0 0 0" "limits: selected ports come on top, exact"
is "$(series a0 | grep -v -e '^udp-10' -e '^tcp-9' | paste -sd' ')" "tcp-11 tcp-443 tcp-other udp-443 udp-other" \
    "limits: nothing else is a series"
is "$(logged "busy ports have become series lately")" 1 "limits: that of busy ports is logged once"
is "$(logged "8 listening ports have become series lately; the next one needs 16 bytes")" 1 \
    "limits: that of listening ports too"
is "$(grep -F "have become series" "$work/log" | grep -F "select them with Port" | grep -cF "or raise MaxPorts")" 2 \
    "limits: both name the remedy"
exact "limits"
stop_collectd
close_all many

# ---- Port, refused ----

refused 'Port "1-2049"' Port 1-2049 4096
refused 'Port "tcp/1-4096"; Port "udp/1"' Port udp/1 4096
refused 'Port 0' Port 1 65535
refused 'Port 65536' Port 65536
refused 'Port 80.5' Port 80.5
refused 'Port "8999-8000"' Port 8999-8000
refused 'Port "80-"' Port '"80-"'
refused 'Port "dccp/5"' Port dccp/5 sctp/
refused 'Port "no-such-service"' Port no-such-service 'a service name'
refused 'Port 80 443' Port '80 443'
refused 'Port 8999-8000' Port '8999 -8000' '"8000-8999"' # without quotes it is two numbers
refused 'ListeningPorts true; CountBy "remote"' ListeningPorts CountBy local
refused 'CountBy "lower"; ListeningPorts true' ListeningPorts CountBy local
refused 'TopPorts -1' TopPorts -1
refused 'IdleTimeout 0' IdleTimeout 0

begin "4,096 selected keys"
collectd_interval=1 # as many files to make
with 'Port "tcp/11"' 'Port "tcp/1-4095"' 'Port "udp/65535"' 'MaxPorts 16'
# shellcheck disable=SC2317 # called by wait_for
all_there() { [ "$(series a0 | wc -l)" -ge 4096 ]; }
# shellcheck disable=SC2317
all_exact() {
    [ "$(tail -qn 1 "$work"/csv/host/tc_portbytes-a0/* | cut -d, -f2,3 | sort | uniq -c | xargs)" = \
        "4095 180,3 1 60540,1009" ]
}
wait_for 60 all_there
is "$(series a0 | wc -l)" 4096 "4,096 selected keys are series, however small MaxPorts"
blast_in tcp 1-4095 $((3 * 4095)) 60
blast_in udp 65535 1009 60
wait_for 60 all_exact
ok $? "4,096 selected keys: each is exact"
stop_collectd
finish
