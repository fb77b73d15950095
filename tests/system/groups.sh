#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# <Group> blocks, and a host that needs one. With an SCTP server where the kernel has SCTP.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/series.sh
. "${0%/*}/../lib/series.sh"

make_hosts

# ---- a telco host ----

echo "# a telco host: SCTP 36412, and 600 RTP sockets in a group"
sctp_port=
# Asking for its sockets would load the module, so the plugin only asks where it is loaded.
modprobe -q sctp 2>/dev/null
if [ -e /proc/net/sctp ]; then
    # The interface would count a GSO packet once.
    ip -n "$A" link set a0 gso_max_size 1400
    ip -n "$B" link set b0 gso_max_size 1400
    ip -n "$B" address add 10.99.0.2/24 dev b0
    ip -n "$A" neighbour replace 10.99.0.2 lladdr "$(mac "$B" b0)" dev a0 nud permanent
    ip -n "$B" neighbour replace 10.99.0.1 lladdr "$(mac "$A" a0)" dev b0 nud permanent
    server=$(in_a "$PB_TOOLS/stream" serve sctp 36412) && sctp_port=sctp-36412
    ok $? "s1ap: an SCTP server"
    started+=("$server")
else
    skip "no SCTP in this kernel; the kernels of the guests have it" "a telco host: an SCTP server's port"
fi
open rtp udp,0.0.0.0,10000-10599 tcp,0.0.0.0,5060 udp,0.0.0.0,5060
with '<Group "rtp">' 'Port "udp/10000-20000"' '</Group>'
reads 2
is "$(listed a0)" "group-rtp" "a telco host: the group is a series from the first read"
is "$(values a0 group-rtp)" "0 0 0 0" "at 0"
into udp 10000-10599 $((600 * 17)) 214
out udp 10000-10599 $((600 * 13)) 214
into tcp 10000 3 60 # another transport is not in it
into udp 5060 101 500
if [ -n "$sctp_port" ]; then
    in_b "$PB_TOOLS/stream" sctp 30003 10.99.0.1 36412 200000 1000 >/dev/null
    ok $? "s1ap: a client sends it 200 kB"
fi
settle
# shellcheck disable=SC2086
these_and_no_others "a telco host" group-rtp tcp-other udp-5060 $sctp_port
is "$(values a0 group-rtp)" "$((600 * 17 * 214)) $((600 * 17)) $((600 * 13 * 214)) $((600 * 13))" \
    "a telco host: 600 ports in one series, exact"
[ -z "$sctp_port" ] || ok $(($(value a0 sctp-36412 rx_bytes) < 200000)) "a telco host: SCTP has all of it"
exact "a telco host"
stop_collectd
close_all rtp

# ---- groups ----

echo "# groups"
with '<Group "web">' 'Port "tcp/80"' 'Port 443' 'Port "8000-8009"' '</Group>' \
    '<Group "Voice_1.a-b">' 'Port "udp/40000-50000"' '</Group>' 'DynamicPorts true'
reads 1
into tcp 80 101 60
into tcp 443 103 60
into udp 443 107 60
into tcp 8000-8009 1090 60
into udp 45000 1009 1500
into udp 39999 1013 1500
into tcp 22 1019 1500
settle
these_and_no_others "groups" group-web group-Voice_1.a-b udp-ephemeral tcp-22
is "$(values a0 group-web)" "$((1401 * 60)) 1401 0 0" "groups: several lines, ranges, transports"
is "$(values a0 group-Voice_1.a-b)" "1513500 1009 0 0" "groups: not folded"
exact "groups"
stop_collectd
is "$?" 0 "collectd ends well"
refused '<Group "a/b">; Port 80; </Group>' Group a/b '1 to 32'
refused '<Group "a">; </Group>' Group '"a"' 'at least one Port'
refused '<Group "a">; Port "70-90"; </Group>; Port "udp/80"' Port 'udp/80' 'Group "a"'
refused '<Group "a">; MinBytes 80; </Group>' MinBytes 'Group "a"' Port
refused '<Group "a">; Port 80; </Group>; <Group "a">; Port 81; </Group>' Group '"a"' 'no other group'
finish
