#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# conf/stacks/threshold.conf: a port and a group above their limits, much traffic of other ports, a
# port that falls silent, one whose interface goes. For each the notification comes, and the one
# that it is over; to the system's log, which is one of this test's own, and to a program.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"

conf=${0%/*}/../../conf

# ---- a system's log ----

# In the mount namespace that "ip netns exec" makes: a /dev with little more than /dev/log. What
# comes there is in $work/syslog, a message a line.
cat >"$work/listen-to-log" <<'END'
import os, socket, sys

log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
os.chmod("/dev/log", 0o666)
print("open", flush=True)
while True:
    print(log.recv(65536).decode(errors="replace").rstrip("\0\n"), flush=True)
END
cat >"$work/with-log" <<'END'
set -e
work=$1
shift
mkdir "$work/dev"
mount -t tmpfs dev "$work/dev"
for device in null urandom; do
    touch "$work/dev/$device"
    mount --bind "/dev/$device" "$work/dev/$device"
done
mount --rbind "$work/dev" /dev
setpriv --pdeathsig KILL python3 "$work/listen-to-log" >"$work/syslog" &
echo $! >"$work/listener"
until [ -s "$work/syslog" ]; do sleep 0.05; done
exec "$@"
END

# The program that gets a notification as user nobody: each line of it goes to the same log.
cat >"$work/mail" <<'END'
#!/bin/sh
exec logger -t "mail $*"
END
chmod 755 "$work/mail"
chmod 711 "$work"

# notified SEVERITY INSTANCE TEXT: how many such notifications the log has
notified() {
    grep -cE "collectd\[$collectd\]: Notification: severity = $1, host = host, plugin = tc_portbytes, plugin_instance = a0, type = port_traffic, type_instance = $2, message = .*${3:-}" "$work/syslog"
}
has_notified() { [ "$(notified "${@:2}")" -ge "$1" ]; }
# comes NUMBER SEVERITY INSTANCE TEXT NAME: the NUMBER-th of them comes, and no further one
comes() {
    wait_for 60 has_notified "${@:1:4}"
    is "$(notified "${@:2:3}")" "$1" "$5"
}

# ---- the host ----

make_namespaces
make_veth 0
extra_config=$(sed -e 's/"eth0"/"a0"/' -e "s|/usr/bin/mail|$work/mail|" \
    -e '/^#LoadPlugin exec/,/^#<\/Plugin>/s/^#//' "$conf/stacks/threshold.conf")
# What the file's head says about the plugin's block.
mapfile -t block < <(sed -n '/^#   Port "tcp/,/^#   <\/Group>/s/^#   //p' "$conf/stacks/threshold.conf")
write_config "${block[@]}"

# talk: the service is in use until the file is there
talk() {
    rm -f "$work/silence"
    until [ -e "$work/silence" ]; do
        in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 10 100 >/dev/null
        sleep 0.1
    done &
    started+=("$!")
}

talk
start_collectd sh "$work/with-log" "$work"
ok $? "collectd starts with threshold.conf"
started+=("$(cat "$work/listener")")
comes 1 OKAY tcp-443 "" "a series is within its limits from the start: OKAY"
comes 1 OKAY udp-53 "" "and so is one in use"

# ---- above a limit ----

above="is currently [0-9.]*\. That is above the warning threshold of"
over="All data sources are within range again"
in_a "$PB_TOOLS/blast" a0 4 tcp 443 40000 4000 1500 >/dev/null
in_b "$PB_TOOLS/blast" b0 4 udp 40000 10000-10999 40000 1500 >/dev/null
in_b "$PB_TOOLS/blast" b0 4 tcp 40000 9999 40000 1500 >/dev/null
comes 1 WARNING tcp-443 "\"tx_bytes\" $above 1250000" "a port above its limit: WARNING"
comes 1 WARNING group-rtp "\"rx_bytes\" $above 2500000" "a group above its limit: WARNING"
comes 1 WARNING tcp-other "\"rx_bytes\" $above 2500000" "much traffic of other ports: WARNING"
comes 2 OKAY tcp-443 "$over" "the port is below it again: OKAY"
comes 2 OKAY group-rtp "$over" "the group is: OKAY"
comes 2 OKAY tcp-other "$over" "the other ports are: OKAY"
in_a "$PB_TOOLS/blast" a0 4 tcp 443 40000 40000 1500 >/dev/null
comes 1 FAILURE tcp-443 "is above the failure threshold of 12500000" "a port far above its limit: FAILURE"

# ---- silence ----

touch "$work/silence"
comes 1 FAILURE udp-53 "\"rx_packets\" is currently 0\.0*\. That is below the failure threshold of 0\.05" \
    "a port falls silent: FAILURE"
is "$(notified WARNING udp-53)" 0 "and not before"
talk
comes 2 OKAY udp-53 "$over" "it is in use again: OKAY"

ip -n "$A" link del a0
comes 1 FAILURE udp-53 "host/tc_portbytes-a0/port_traffic-udp-53 has not been updated for" \
    "its interface goes: FAILURE"
is "$(grep -c 'Notification:.*has not been updated' "$work/syslog")" 1 \
    "and only there, where the absence is interesting"
make_veth 0
comes 3 OKAY udp-53 "$over" "the interface returns: OKAY"
touch "$work/silence"

# ---- to a program ----

stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"
text="Data source \"tx_bytes\" is currently [0-9.]*. That is above the warning threshold of 1250000"
wait_for 60 grep -q "mail -s collectd root: Host host, .*(instance tcp-443): $text" "$work/syslog"
ok $? "the program got the message"
missing=0
for line in "Severity: WARNING" "Host: host" "Plugin: tc_portbytes" "PluginInstance: a0" \
    "Type: port_traffic" "TypeInstance: tcp-443" "DataSource: tx_bytes"; do
    grep -q "mail -s collectd root: $line$" "$work/syslog" || missing=1
done
ok $missing "and the lines before it"
[ "$failures" -eq 0 ] || sed 's/^/# syslog: /' "$work/syslog"
finish
