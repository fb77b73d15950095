#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What bad input gets: one clear line.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

make_namespaces
make_veth 0

# By collectd's own parser; each mistake and what is said of it: tests/unit/test_config.c.
refused 'MaxPorts 32769' MaxPorts 32769 16 32768
refused 'Colour "blue"' 'unknown option Colour' 'Interface, IgnoreSelected, Direction'

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

# A name that is not there yet, and that only the kernel takes for usual: one line of printable ASCII
# each, and nobody else's.
odd=$'o\e[2J\x9b"\\;,=$'
quoted=${odd//\\/\\\\}
write_config "Interface \"${quoted//\"/\\\"}\"" 'MinBytes 0'
start_collectd
ok $? "an absent interface is no error"
ip -n "$A" link add "$odd" arp off type veth peer name odd1
ip -n "$A" link set odd1 arp off up
ip -n "$A" link set "$odd" up
wait_for 60 has_logged 'o\x1b[2J\x9b"\\;,=$: counting.'
ok $? "it is counted when it comes"
is "$(logged 'o\x1b[2J\x9b"\\;,=$: interface not found') $(plugin_said | tr -d '\n -~' | wc -c)" "1 0" \
    "that it was absent was said once; its name is escaped in the log"
in_a "$PB_TOOLS/blast" odd1 4 udp 40000 53 101 100 >/dev/null
settle
is "$(values "$odd" udp-53)" "10100 101 0 0" "to the byte, by its name as it is"
is "$(in_a "$PB_TOOLS/hooks" | grep -c '^a0 ')" 0 "and only what was named"
stop_collectd
finish
