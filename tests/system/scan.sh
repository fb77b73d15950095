#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A scan makes no series and hides none, on the scanned interface or another: selected, listening
# and busy ports are counted exactly all the while, and so is the scan itself.
# PB_SLOW=SECONDS: 20 kB to every port of both transports, in so many seconds (300, say).
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

collectd_interval=0.5
rate=100000 # frames a second of a scan that lasts
slow_ports=1-4095
slow_rate=12000
if [ -n "${PB_KERNEL:-}" ]; then # an emulated CPU
    collectd_interval=2
    rate=5000
    slow_ports=1-400
    slow_rate=2000
fi
if [ -n "${PB_SLOW:-}" ]; then
    slow_ports=1-65535
    slow_rate=$((65535 * 2 * 14 / PB_SLOW))
fi

# ---- helpers ----

listed() { series "$1" | paste -sd' '; }

# shellcheck disable=SC2317 # called by wait_for
has_series() { series "${2:-a0}" | grep -qx -- "$1"; }

# epochs INSTANCE: when it had values
epochs() { cat "$work/csv/host/tc_portbytes-a0/port_traffic-$1"-* | grep -v '^epoch' | cut -d, -f1 | sort -n; }

# reads_until TIME INSTANCE: which read after the time was the first that had the series
reads_until() {
    epochs tcp-other | awk -v since="$1" -v first="$(epochs "$2" 2>/dev/null | head -n 1)" '
        first == "" { exit }
        $1 > since && $1 <= first { n++ }
        END { print n + 0 }'
}

# scan_in ARGUMENT...: of tests/tools/scan.c, into a0
scan_in() { ip netns exec "$B" "$PB_TOOLS/scan" b0 "$@"; }

# open NAME SOCKET...: sockets in A, see tests/tools/listen.c
open() {
    local name=$1
    shift
    listen "$name" "$A" "$@"
    ok $? "the sockets $* open"
}

with() {
    rm -rf "$work/csv"
    baseline
    write_config "$@"
    # shellcheck disable=SC2119 # under no other command
    start_collectd
    ok $? "collectd starts with: $*"
}

make_namespaces
make_veths 0 1
in_a sh -c 'echo 32768 60999 >/proc/sys/net/ipv4/ip_local_port_range'
open services tcp,0.0.0.0,22 udp,0.0.0.0,53
listening="tcp-22 udp-53"
selected="tcp-443 udp-443"
buckets="tcp-ephemeral tcp-other udp-ephemeral udp-other"
expected=$(tr ' ' '\n' <<<"$listening $selected $buckets" | sort | xargs)

# ---- every port, twice over, as fast as it goes ----

with 'Port 443' 'DynamicPorts true' 'ListeningPorts true'
reads 2 # a UDP socket must be seen at two
is "$(listed a0)" "$selected" "without traffic only the selected ports are series"
read -r scanned https ssh dns <<<"$(scan_in 1-65535 2 1x60 0 tcp 443 97 60 tcp 22 101 100 udp 53 103 200)"
is "$scanned" 131070 "131,070 SYNs and as many datagrams were sent, two for each port"
settle
is "$(listed a0)" "$expected" "every port twice: the scan makes no series"
is "$(values a0 tcp-443)" "$(((https + 2) * 60)) $((https + 2)) 0 0" "every port twice: a selected port that talks meanwhile is exact"
is "$(values a0 udp-443)" "120 2 0 0" "every port twice: one that is silent too"
is "$(values a0 tcp-22)" "$((ssh * 100 + 120)) $((ssh + 2)) 0 0" "every port twice: a listening port that talks meanwhile is exact"
is "$(values a0 udp-53)" "$((dns * 200 + 120)) $((dns + 2)) 0 0" "every port twice: one of UDP too"
is "$(values a0 tcp-ephemeral)" "$((2 * 28232 * 60)) $((2 * 28232)) 0 0" "every port twice: the ephemeral ones are folded"
exact "every port twice"

# ---- a scan that lasts, and a service that nobody listed ----

# service_in_scan NAME PORTS PORT: sweeps over PORTS for ten intervals; after three of them a
# service begins to send two hundredths of the scan's rate to PORT, TCP and UDP each
service_in_scan() {
    local name=$1 ports=$2 port=$3 intervals rounds transport reads sent_tcp sent_udp since
    intervals=$(awk -v i="$collectd_interval" -v r=$rate 'BEGIN { print int(i * r) }') # in frames
    rounds=$((10 * intervals / (2 * ${ports#1-}) + 1))
    rm -f "$work/scanned"
    serve_elsewhere "$((port + 1))" >"$work/elsewhere" &
    scan_in "$ports" $rounds 1x60 $rate tcp "$port" "50+$((3 * intervals))" 1500 \
        udp "$port" "50+$((3 * intervals))" 1500 >"$work/scan"
    touch "$work/scanned"
    wait $!
    { read -r _ sent_tcp sent_udp && read -r since _; } <"$work/scan"
    ok $((sent_tcp < 2 * intervals / 50 || sent_tcp != sent_udp)) "$name: the scan and the service have sent"
    settle
    for transport in tcp udp; do
        reads=$(reads_until "$since" "$transport-$port")
        ok $((${reads:-99} > 4)) "$name: $transport-$port is a series within four reads (${reads:-never})"
    done
    expected=$(tr ' ' '\n' <<<"$expected tcp-$port udp-$port" | sort | xargs)
    is "$(listed a0)" "$expected" "$name: nothing else is a series"
    exact "$name"
    has_series "tcp-$((port + 1))" a1
    ok $? "$name: a service on another interface is a series, too"
    elsewhere=$((elsewhere + $(awk '{ n += $1 } END { print n }' "$work/elsewhere")))
    is "$(total a1 rx_packets) $(total a1 rx_bytes)" "$elsewhere $((elsewhere * 1500))" \
        "$name: and nothing is missing there"
    is "$(series a1 | grep -c '^tcp-[0-9]')" "$(series a1 | grep -c "^tcp-\(443\|22\|9443\|8081\|9091\)$")" \
        "$name: nothing of the scan is there"
}

# serve_elsewhere PORT: a service on a1, which nobody scans, from soon after the scan began
elsewhere=0
serve_elsewhere() {
    sleep "$collectd_interval"
    until [ -e "$work/scanned" ]; do
        in_b "$PB_TOOLS/blast" b1 4 tcp 54321 "$1" 40 1500
        sleep 0.02
    done
}

service_in_scan "sweeps of all ports" 1-65535 8080
# So fast that no slot is ever idle for an interval: those of little traffic must go too.
service_in_scan "sweeps of 8,191 ports" 1-8191 9090

# A service that starts to listen meanwhile, when a scan holds every slot.
scan_in 1-8191 $((rate * 4 / 16382 + 1)) 1x60 $rate >/dev/null &
scan=$!
reads 1
open late tcp,0.0.0.0,9443
reads 2
in_b "$PB_TOOLS/blast" b0 4 tcp 54321 9443 1009 60 >/dev/null
wait "$scan"
settle
is "$(values a0 tcp-9443)" "60540 1009 0 0" "a port that begins to listen meanwhile is exact from its first packet"
expected=$(tr ' ' '\n' <<<"$expected tcp-9443" | sort | xargs)
is "$(listed a0)" "$expected" "nothing else is a series"
exact "a port that begins to listen"
stop_collectd
is "$?" 0 "collectd ends well"

# ---- slowly: 21,000 bytes to each port, so that each would deserve a series ----

[ -n "${PB_KERNEL:-}" ] || collectd_interval=0.2
with 'Port 443' 'DynamicPorts true' 'ListeningPorts true' 'MaxPorts 64' 'IdleTimeout 1'
reads 2
read -r scanned https <<<"$(scan_in $slow_ports 1 14x1500 $slow_rate tcp 443 1009 60)"
is "$scanned" $((14 * ${slow_ports#1-})) "slowly: 21 kB were sent to each port of $slow_ports, both transports"
settle
# The bar is 10, 20, then 40 kB, for eight ports each; one more, as the first ones count a little less
# in the next read.
junk=$(series a0 | grep '^[a-z]*-[0-9]*$' | grep -cvxF "$(tr ' ' '\n' <<<"$listening $selected tcp-9443")")
ok $((junk < 16 || junk > 17)) "slowly: as many ports become series as the bar permits ($junk)"
is "$(logged "busy ports have become series lately; the next one needs 20000 bytes")" 1 \
    "slowly: that it rises is logged once"
is "$(logged "have become series")" 1 "slowly: and nothing else of that kind"
in_b "$PB_TOOLS/blast" b0 4 udp 54321 8888 4000 1500 >/dev/null # 6 MB
wait_for 60 has_series udp-8888
ok $? "slowly: a service that begins then becomes a series"
settle
own=$((443 <= ${slow_ports#1-} ? 14 : 0))
is "$(values a0 tcp-443)" "$((https * 60 + own * 1500)) $((https + own)) 0 0" "slowly: a selected port that talks meanwhile is exact"
is "$(values a0 udp-53)" "21000 14 0 0" "slowly: a listening one too"
exact "slowly"
stop_collectd
finish
