#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What bad input and missing rights get: one clear line.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

make_namespaces
make_veth 0

refused 'Direction "sideways"' Direction sideways both ingress egress
refused 'CountBy "port"' CountBy '"port"' local remote destination source lower
refused 'MaxPorts 0' MaxPorts 0 16 32768
refused 'MaxPorts 32769' MaxPorts 32769 16 32768
refused 'MaxPorts "many"' MaxPorts many 16 32768
refused 'MinBytes -1' MinBytes -1 'an integer from 0'
refused 'Interface "/eth(/"' Interface '/eth(/' 'regular expression'
refused 'Interface ""' Interface '""'
refused 'FoldEphemeral "maybe"' FoldEphemeral maybe 'true or false'
refused 'Colour "blue"' 'unknown option Colour' 'Interface, IgnoreSelected, Direction'
refused 'MaxPorts 64; MaxPorts 65' MaxPorts 65 once

# Without privileges the daemon goes on, and the read is not called.
if command -v setpriv >/dev/null; then
    lend_work
    write_config
    start_collectd setpriv "${unprivileged[@]}" --inh-caps=-all --bounding-set=-all
    ok $? "without privileges the daemon goes on"
    sleep 2 # two intervals: nothing more is said or done
    is "$(logged "tc_portbytes plugin: ")" 1 "without privileges: one sentence"
    is "$(logged "lacks CAP_BPF CAP_PERFMON CAP_NET_ADMIN; run it as root")" 1 "with the remedy"
    is "$(logged "read-function of plugin")" 0 "the read is not called"
    kill -0 "$collectd"
    ok $? "collectd still runs"
    stop_collectd
    in_a setpriv "${unprivileged[@]}" --inh-caps=-all --bounding-set=-all \
        "$PB_COLLECTD" -T -C "$work/conf" >"$work/stdout" 2>&1
    is $? 1 "collectd -T, which reads all the same, fails and does not crash"
else
    skip "no setpriv here" "without privileges"
fi

# Types that others define: the last definition is collectd's.
cat >"$work/types.db" <<END
port_traffic bytes:GAUGE:0:U, packets:GAUGE:0:U
END
defines="a file that TypesDB names has another port_traffic; remove that"
write_config
echo "TypesDB \"$work/types.db\"" >>"$work/conf"
start_collectd
is "$(logged "$defines") $(logged "tc_portbytes plugin: ") $(in_a "$PB_TOOLS/hooks")" "1 1 " \
    "another port_traffic below LoadPlugin: it is said in one line, and nothing is attached"
stop_collectd
extra_config="TypesDB \"$work/types.db\""
write_config 'MinBytes 0'
start_collectd
ok $? "above it, the plugin's own one takes its place"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 101 100 >/dev/null
settle
is "$(logged "$defines") $(values a0 udp-53)" "0 10100 101 0 0" "and it counts"
stop_collectd
rm -rf "$work/csv"
extra_config=
write_config 'StandardTypes true'
grep -v TypesDB "$work/conf" >"$work/conf-2"
grep -v '^if_octets' "$PB_TYPESDB" >"$work/types.db"
{ echo "TypesDB \"$work/types.db\"" && cat "$work/conf-2"; } >"$work/conf"
rm "$work/log"
in_a timeout 180 "$PB_COLLECTD" -T -C "$work/conf" >"$work/stdout" 2>&1
is "$(logged "StandardTypes needs if_octets and if_packets as in collectd's types.db")" 1 \
    "StandardTypes true without if_octets: it is said"

# A name that is not there yet.
write_config 'Interface "later0"' 'MinBytes 0'
start_collectd
ok $? "an absent interface is no error"
is "$(logged "later0: interface not found")" 1 "it is said once"
ip -n "$A" link add later0 arp off type veth peer name later1
ip -n "$A" link set later1 arp off up
ip -n "$A" link set later0 up
wait_for 60 has_logged "later0: counting."
ok $? "it is counted when it comes"
in_a "$PB_TOOLS/blast" later1 4 udp 40000 53 101 100 >/dev/null
settle
is "$(values later0 udp-53)" "10100 101 0 0" "to the byte"
is "$(series a0)" "" "and only what was named"
stop_collectd

# A name that only the kernel takes for usual: one line of printable ASCII each, and nobody else's.
odd=$'o\e[2J\x9b"\\;,=$'
quoted=${odd//\\/\\\\}
write_config "Interface \"${quoted//\"/\\\"}\"" 'MinBytes 0'
start_collectd
ip -n "$A" link add "$odd" arp off type veth peer name odd1
ip -n "$A" link set odd1 arp off up
ip -n "$A" link set "$odd" up
wait_for 60 has_logged 'o\x1b[2J\x9b"\\;,=$: counting.'
ok $? "an interface with an odd name is counted, its name escaped in the log"
is "$(logged 'o\x1b[2J\x9b"\\;,=$: interface not found') $(plugin_said | tr -d '\n -~' | wc -c)" "1 0" \
    "so it is where the setting is quoted"
in_a "$PB_TOOLS/blast" odd1 4 udp 40000 53 101 100 >/dev/null
settle
is "$(values "$odd" udp-53)" "10100 101 0 0" "its series has the name as it is"
stop_collectd
finish
