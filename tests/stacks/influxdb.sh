#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# InfluxDB has the exact numbers: by collectd's network protocol, by write_influxdb_udp, and, where
# it knows nothing but collectd's own types, with StandardTypes; every query of the Grafana
# dashboard has data.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"

conf=${0%/*}/../../conf
unpack influxdb influxdb || {
    skip "there is no package influxdb" "InfluxDB"
    finish
}

# influxql DATABASE QUERY: rows without their times, after the series' tags; sorted
influxql() {
    in_a timeout 60 python3 - "$@" 2>/dev/null <<'END'
import json, sys, urllib.parse, urllib.request

asked = urllib.parse.urlencode({"db": sys.argv[1], "q": sys.argv[2]})
answer = urllib.request.urlopen("http://127.0.0.1:8086/query?" + asked, timeout=30)
found = json.load(answer)["results"][0].get("series", [])
for series in sorted(found, key=lambda s: str(s["tags"])):
    for row in series["values"]:
        print(*series["tags"].values(), *row[1:])
END
}

expected=$(sort <<<"$known"$'\n'"tcp-other 1100 11 0 0")
# stored DATABASE: the last values of all series, as in $known
stored() {
    influxql "$1" "SELECT last(rx_bytes), last(rx_packets), last(tx_bytes), last(tx_packets)
        FROM tc_portbytes WHERE host = 'host' AND instance = 'a0' AND type = 'port_traffic'
        GROUP BY type_instance" | grep -v ' 0 0 0 0$'
}
# The same of if_octets and if_packets, whose fields are rx and tx.
stored_standard() {
    local type
    for type in if_octets if_packets; do
        influxql stock "SELECT last(rx), last(tx) FROM tc_portbytes WHERE host = 'host' AND
            instance = 'a0' AND type = '$type' GROUP BY type_instance" >"$work/$type"
    done
    join "$work/if_octets" "$work/if_packets" | awk '{ print $1, $2, $4, $3, $5 }' |
        grep -v ' 0 0 0 0$'
}
complete() { [ "$(stored "$1")" = "$expected" ]; }
complete_standard() { [ "$(stored_standard)" = "$expected" ]; }
answers() {
    in_a timeout 60 python3 -c \
        'import urllib.request as r; r.urlopen("http://127.0.0.1:8086/ping")' 2>/dev/null
}

make_namespaces
make_veth 0

# ---- the server: a listener for each way, and one that knows collectd's types only ----

mkdir "$work/types" "$work/stock"
cp "$PB_TYPESDB" "$work/types"
cp "$PB_TYPESDB" "$work/stock"
cp "$conf/tc_portbytes.db" "$work/types"
sed "s|/etc/influxdb/types|$work/types|; s|\":|\"127.0.0.1:|" "$conf/stacks/influxdb.toml" \
    >"$work/listeners"
{
    cat <<-END
		reporting-disabled = true
		bind-address = "127.0.0.1:8088"
		[meta]
		  dir = "$work/influxdb/meta"
		[data]
		  dir = "$work/influxdb/data"
		  wal-dir = "$work/influxdb/wal"
		[http]
		  bind-address = "127.0.0.1:8086"
	END
    cat "$work/listeners"
    sed -n '/^\[\[collectd/,/^$/p' "$work/listeners" |
        sed "s|$work/types|$work/stock|; s/25826/25827/; s/\"collectd\"/\"stock\"/"
} | sed '/^\[\[/a\  batch-timeout = "1s"' >"$work/influxdb.conf"
serve influxdb influxd -config "$work/influxdb.conf"
wait_for 120 answers
ok $? "InfluxDB starts"

# ---- two clients: with port_traffic, and with the standard types ----

network() { sed "s/influxdb.example.org/127.0.0.1/; $1" "$conf/stacks/influxdb-network.conf"; }
began=$(date +%s)
extra_config="LoadPlugin interface
$feed_config
$(network '')
$(network 's/25826/25827/; /LoadPlugin/d')
$(sed 's/influxdb.example.org/127.0.0.1/' "$conf/stacks/influxdb-udp.conf")"
ports=('Interface "a0"' 'Port "tcp/443"' 'Port "tcp/8443"' 'Port "udp/53"')
write_config "${ports[@]}"
start_collectd
ok $? "collectd starts with network and write_influxdb_udp"
first=$collectd
extra_config=$(network 's/25826/25827/')
second write_config "${ports[@]}" 'StandardTypes true'
second start_collectd
ok $? "and a second one with StandardTypes"

# A dashboard's rates are of the last value of each second: one of 0 must be another second's.
aged() {
    influxql "$1" "SELECT count(rx_bytes) FROM tc_portbytes WHERE host = 'host' AND
        type = 'port_traffic' AND type_instance = 'tcp-443' GROUP BY type_instance" |
        grep -q ' \([3-9]\|..\)$'
}
wait_for 60 aged collectd && wait_for 60 aged collectd_udp
ok $? "InfluxDB has some values of the selected ports"
send_known
is "$(in_b "$PB_TOOLS/blast" b0 4 tcp 40000 9000 11 100)" 11 "and 11 packets for tcp-other"
wait_for 120 complete collectd
is "$(stored collectd)" "$expected" \
    "network: InfluxDB has every counter, to the packet and the byte"
wait_for 120 complete collectd_udp
is "$(stored collectd_udp)" "$expected" "write_influxdb_udp: the same"
wait_for 120 complete_standard
is "$(stored_standard)" "$expected" "StandardTypes, collectd's types only: the same"
is "$(stored stock)" "" "without tc_portbytes.db there is no port_traffic"

# ---- the dashboard, with either way's data, a group, and what IPsec decrypted ----

feed
ok $? "collectd takes values of a group and of decrypted"
all=$(sort <<<"$expected"$'\n'"$fed")
has_all() { [ "$(stored "$1")" = "$all" ]; }

for database in collectd collectd_udp; do
    wait_for 60 has_all "$database"
    is "$(stored "$database")" "$all" "$database has them, the group's name as it is"
    ask_dashboard "dashboard, $database" "http://127.0.0.1:8086/$database" influxdb
    is "$(grep -c ^query "$work/dashboard")" 19 "dashboard, $database: all queries were tried"
    is "$(grep '^variable.busiest' "$work/dashboard" | cut -f3- | tr '\t' '\n' | sort |
        paste -sd' ')" \
        "tcp-443 tcp-8443" "dashboard, $database: the two busiest ports are chosen, not decrypted"
    # Two values in one second make a step of two: half of that is missing.
    check_detail 0.4 1.1
    near "dashboard, $database: the rest in" "$(sum Busiest C "the rest in")" $((8 * 172896)) 0.4 1.1
    near "dashboard, $database: all ports in" "$(sum All A "a0 in: ports")" $((8 * 1345277)) 0.4 1.1
    near "dashboard, $database: all but the shares" "$(sum Shares B "all other series")" \
        2706571 0.4 1.1
    # Rows of the table: PORT, bytes in, bytes out, packets in, packets out.
    is "$(awk -F'\t' '$1 == "cell" { row[$3] = row[$3] " " $5 }
            END { for (r in row) print r row[r] }' "$work/dashboard" |
        awk '{ print $1, $2, $4, $3, $5 }' | grep -v ' 0 0 0 0$' | sort)" "$all" \
        "dashboard, $database: what passed in the time shown is exact"
done

stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"
collectd=$first
stop_collectd
is "$?" 0 "and the first one"
finish
