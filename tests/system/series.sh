#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The right series, and no others: hosts whose series are stated beforehand (for another see
# groups.sh), then the rules one by one: listening ports, which ports are folded.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/series.sh
. "${0%/*}/../lib/series.sh"

ports=1-65535
rate=60000
links=40
if [ -n "${PB_KERNEL:-}" ]; then # an emulated CPU
    ports=1-4999
    rate=1500
    links=4
fi

make_hosts

# ---- a web server, while somebody scans it ----

echo "# a web server, while somebody scans it"
range 32768 60999
open web tcp,0.0.0.0,22 tcp,0.0.0.0,443 tcp,0.0.0.0,80 tcp,127.0.0.1,5432 tcp,0.0.0.0,9100 udp,0.0.0.0,68
with
reads 2
is "$(listed a0)" "" "a web server: before there is traffic, no series"
in_b "$PB_TOOLS/scan" b0 "$ports" 1 1x60 $rate tcp 443 "50+1000" 1500 tcp 22 "500+1000" 200 >"$work/scan"
read -r scanned https ssh <"$work/scan"
ok $((scanned != ${ports#1-})) "each port was scanned, TCP and UDP"
out tcp 45000-45999 5000 1500 # as a client
settle
# What the scan sent to ports that listen is theirs from the first packet: 60 bytes each.
listening="tcp-22 tcp-443 tcp-80 udp-68"
buckets="tcp-other udp-other tcp-ephemeral"
if [ "${ports#1-}" -gt 32768 ]; then
    buckets+=" udp-ephemeral"
    listening+=" tcp-9100"
fi
# shellcheck disable=SC2086
these_and_no_others "a web server" $listening $buckets
is "$(values a0 tcp-443)" "$((https * 1500 + 60)) $((https + 1)) 0 0" "a web server: tcp-443 is exact"
is "$(values a0 tcp-22)" "$((ssh * 200 + 60)) $((ssh + 1)) 0 0" "a web server: tcp-22 is exact"
is "$(values a0 tcp-80)" "60 1 0 0" "a web server: one packet is enough for a listening port"
exact "a web server"
stop_collectd
close_all web

# ---- a container host ----

echo "# a container host: published ports, some reserved"
range 1024 65535 30000-32767
put "$A" ipv4/ip_forward 1
open host tcp,0.0.0.0,22 tcp,0.0.0.0,8080
with
reads 2
into tcp 22 101 60
into tcp 8080 1009 1500  # published by a proxy, which listens
into udp 30080 500 200   # reserved, and published by a NAT rule: no socket
into tcp 31000 1013 1500 # the same
into tcp 5000 1019 1500  # a client's connection
into udp 61234 1021 1500
into udp 1000 53 60
settle
these_and_no_others "a container host" tcp-22 tcp-8080 udp-30080 tcp-31000 tcp-ephemeral \
    udp-ephemeral udp-other
is "$(values a0 udp-30080) $(values a0 tcp-31000)" "100000 500 0 0 1519500 1013 0 0" \
    "a container host: reserved ports are not folded"
is "$(values a0 tcp-8080)" "1513500 1009 0 0" "a container host: nor is one that listens"
is "$(value a0 tcp-ephemeral rx_packets) $(value a0 udp-ephemeral rx_packets)" "1019 1021" \
    "a container host: clients' are"
exact "a container host"

# The same host changes its mind.
range 1024 65535 30000-30079
reads 1
into udp 30080 503 200
settle
is "$(values a0 udp-30080) $(value a0 udp-ephemeral rx_packets)" "100000 500 0 0 1524" \
    "reserved ports are read again: one that isn't any more is folded"
range 1024 65535 30000-32767
reads 1
into udp 30080 509 200
settle
is "$(values a0 udp-30080)" "$((1009 * 200)) 1009 0 0" "and one that is again is not"
exact "reserved ports"
stop_collectd
close_all host

# ---- a router ----

echo "# a router: masquerading, and clients above 61000"
range 32768 60999
with 'CountBy "lower"'
reads 2
in_b "$PB_TOOLS/blast" b0 4 udp 61000-65535 62000-65535 20000 1000 >/dev/null # clients' with each other
in_b "$PB_TOOLS/blast" b0 4 tcp 61000-65535 443 10007 1500 >/dev/null         # clients of a service
in_b "$PB_TOOLS/blast" b0 4 udp 61000-65535 53 10009 100 >/dev/null
out udp 40000-50000 10001 100
settle
these_and_no_others "a router" tcp-443 udp-53 udp-ephemeral
is "$(values a0 tcp-443)" "15010500 10007 0 0" "a router: services by the lower port"
is "$(value a0 udp-ephemeral rx_packets)" 20000 "a router: clients' ports from 32768 up are folded"
exact "a router"
put "$A" ipv4/ip_forward 0
reads 1
in_b "$PB_TOOLS/blast" b0 4 udp 62001 62000 1009 1500 >/dev/null
settle
these_and_no_others "it forwards no more" tcp-443 udp-53 udp-ephemeral udp-62000
exact "it forwards no more"
put "$A" ipv6/conf/all/forwarding 1
reads 1
in_b "$PB_TOOLS/blast" b0 4 udp 63001 63000 1009 1500 >/dev/null
settle
these_and_no_others "it forwards IPv6" tcp-443 udp-53 udp-ephemeral udp-62000
put "$A" ipv6/conf/all/forwarding 0
exact "it forwards IPv6"
stop_collectd

# ---- idle sockets ----

echo "# idle sockets"
make_veths 1 $((links - 1))
open idle tcp,0.0.0.0,7001-7050
with
wait_for 180 has_logged "a$((links - 1)): counting."
reads 3
all_series() { find "$work/csv" -name 'port_traffic-*' | grep -vc "a$reference/"; }
is "$(all_series)" 0 "50 idle listeners, $links interfaces: no series"
into tcp 7007 1 60
settle
these_and_no_others "one packet to one of them" tcp-7007
is "$(values a0 tcp-7007)" "60 1 0 0" "and it is in it"
is "$(all_series)" 1 "no other interface has one"
stop_collectd
close_all idle
for ((n = 1; n < links; n++)); do echo "link del a$n"; done | ip -n "$A" -batch -

echo "# 600 UDP sockets of a user, then services"
with
open clients udp,0.0.0.0,20000-20599
reads 6
close_all clients
open services tcp,0.0.0.0,443 tcp,0.0.0.0,5432 tcp,0.0.0.0,6379
reads 1
into tcp 443 101 60
into tcp 5432 103 60
into tcp 6379 107 60
settle
these_and_no_others "600 UDP sockets, then three services" tcp-443 tcp-5432 tcp-6379
is "$(values a0 tcp-443) $(values a0 tcp-5432) $(values a0 tcp-6379)" \
    "6060 101 0 0 6180 103 0 0 6420 107 0 0" "each from its first packet"
exact "600 UDP sockets, then three services"

# More idle sockets than slots, of UDP outside and inside the kernel's range.
open hostile tcp,0.0.0.0,10001-12000 udp,0.0.0.0,10001-11000 udp,0.0.0.0,40001-41000
reads 4
close_all services
open late tcp,0.0.0.0,8443 tcp,0.0.0.0,50001
reads 2
into tcp 8443 1009 60
into tcp 50001 1013 60
settle
these_and_no_others "among 4,000 idle sockets" tcp-443 tcp-5432 tcp-6379 tcp-8443 tcp-50001
is "$(values a0 tcp-8443) $(values a0 tcp-50001)" "60540 1009 0 0 60780 1013 0 0" \
    "among 4,000 idle sockets: from the first packet, and none is folded"
exact "among 4,000 idle sockets"
stop_collectd
is "$?" 0 "collectd ends well"
finish
