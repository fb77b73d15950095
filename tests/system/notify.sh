#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# NotifyNewPorts: each port that becomes a series is told once; what was there before is not, at
# the start and after a restart; a scan tells nothing, and junk little at a time.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

collectd_interval=0.2
[ -z "${PB_KERNEL:-}" ] || collectd_interval=2 # an emulated CPU
first_reads=10                                 # NEW_PORTS_FIRST_READS

into() { in_b "$PB_TOOLS/blast" b0 4 "$1" 54321 "$2" "$3" "$4" >/dev/null; }

# told: the notifications about single ports, as logfile has them, without the time
told() { sed -n 's/.*Notification: \(.*: new, .*\)/\1/p' "$work/log"; }
# ports_told: which, in the order
ports_told() { told | sed 's/.* type_instance = \([^,]*\),.*/\1/' | paste -sd' '; }
# left_out: how many the others were in all
left_out() {
    sed -n 's/.*message = \([0-9]*\) more ports became series in this read$/\1/p' "$work/log" |
        awk '{ sum += $1 } END { print sum + 0 }'
}

options=('NotifyNewPorts true' 'Persist true' 'Port "tcp/443"' 'DynamicPorts true'
    'ListeningPorts true')

make_namespaces
make_veth 0
mount_bpffs
listen early "$A" tcp,0.0.0.0,22
ok $? "a service listens before collectd starts"
write_config "${options[@]}"
start_collectd "${inside[@]}"
ok $? "collectd starts with: ${options[*]}"

# ---- the first reads ----

into tcp 3000 100 1000
reads $((first_reads + 2))
is "$(series a0 | paste -sd' ')" "tcp-3000 tcp-443" "a port becomes a series in the first reads"
is "$(told)" "" "and is not told: it was there before"

# ---- each once ----

into tcp 4444 1000 1200
into tcp 443 1000 1200
settle
is "$(told | sed 's/in [0-9.]* s$/in TIME/')" \
    "severity = OKAY, host = host, plugin = tc_portbytes, plugin_instance = a0, type = port_traffic, type_instance = tcp-4444, message = tcp-4444 on a0: new, 1.2 MB in TIME" \
    "a port becomes a series later: one notification, and none about a selected one"
listen late "$A" tcp,0.0.0.0,8443
reads 2
into tcp 8443 1 60
into tcp 22 1 60
into tcp 4444 100 1200
into tcp 3000 100 1200
settle
is "$(ports_told)" "tcp-4444 tcp-8443" \
    "one that began to listen: with its first packet; none that is known, or listened before"

# ---- a restart ----

stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"
into tcp 4444 100 1200
into tcp 5555 100 1200
start_collectd "${inside[@]}"
into tcp 3000 100 1200
into tcp 8443 1 60
into tcp 4444 100 1200
settle
reads 1
is "$(told | sed 's/.*message = //')" "tcp-5555 on a0: new, 120.0 kB" \
    "after a restart with Persist: only what is new since then"

# ---- a scan, and junk ----

begun=$(series a0 | wc -l)
in_b "$PB_TOOLS/scan" b0 10001-20000 1 1x60 0 >"$work/scan"
is "$(cat "$work/scan")" 10000 "20,000 ports are scanned, half of them UDP's"
settle
is "$(ports_told) $(left_out)" "tcp-5555 0" "which tells nothing"
in_b "$PB_TOOLS/scan" b0 10001-10025 1 14x1500 0 >/dev/null # MinBytes, and more, to 50 ports
settle
new=$(($(series a0 | wc -l) - begun - 2)) # without tcp-other and udp-other
named=$(($(told | wc -l) - 1))
echo "# $new series, $named named, $(left_out) not"
ok $((new < 40)) "junk to 50 ports makes $new series"
is $((named + $(left_out))) $new "each is named or counted"
# A series' first value has the time of the read that made it one.
permitted=$(for file in "$work"/csv/host/tc_portbytes-a0/port_traffic-*-100??-*; do
    sed -n '2s/,.*//p' "$file"
done | sort | uniq -c | awk '{ sum += $1 < 16 ? $1 : 16 } END { print sum }')
is "$named" "$permitted" "16 in a read, and all if they are less"
stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"

# ---- by default ----

write_config 'Port "tcp/443"' 'DynamicPorts true'
start_collectd "${inside[@]}"
reads $((first_reads + 1))
into tcp 6666 100 1200
settle
is "$(series a0 | grep -c tcp-6666) $(logged Notification)" "1 0" "by default nothing is told"
stop_collectd
finish
