#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Prometheus scrapes collectd's write_prometheus: counters are exact, increases and rates add up to
# what was sent, also of series that begin with their traffic; every query of the Grafana
# dashboard has data.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"

conf=${0%/*}/../../conf
# The libraries are those of collectd's write_prometheus.
unpack prometheus prometheus libmicrohttpd12 libprotobuf-c1 || {
    skip "there is no package prometheus" "Prometheus"
    finish
}

# promql QUERY: what is found, as "TYPE-INSTANCE RX_BYTES RX_PACKETS TX_BYTES TX_PACKETS" if it
# still has names, else the first value
promql() {
    in_a timeout 60 python3 - "$1" 2>/dev/null <<'END'
import json, sys, urllib.parse, urllib.request

url = "http://127.0.0.1:9090/api/v1/query?" + urllib.parse.urlencode({"query": sys.argv[1]})
found = json.load(urllib.request.urlopen(url, timeout=30))["data"]["result"]
rows = {}
for series in found:
    labels, value = series["metric"], series["value"][1]
    if "__name__" not in labels:
        print(value)
        break
    column = labels["__name__"].split("port_traffic_")[1].removesuffix("_total")
    rows.setdefault(labels["type"], {})[column] = value
for name, row in sorted(rows.items()):
    print(name, *(row.get(c) for c in ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")))
END
}

metric=collectd_tc_portbytes_port_traffic
counters='{__name__=~"'$metric'_.+_total",instance="host",tc_portbytes="a0"}'
all=$(sort <<<"$known"$'\n'"$fed"$'\n'"tcp-other 1100 11 0 0")
stored() { promql "$counters" | grep -v ' 0 0 0 0$'; }
complete() { [ "$(stored)" = "$all" ]; }
selected() { [ "$(promql "$counters" | grep -c '^\(tcp-443\|tcp-8443\|udp-53\) 0 0 0 0$')" = 3 ]; }
# sampled SERIES NUMBER: Prometheus has so many values of it
sampled() {
    local values
    values=$(promql "count_over_time(${metric}_tx_bytes_total{type=\"$1\"}[10m])")
    [ "${values:-0}" -ge "$2" ]
}

make_namespaces
make_veth 0
# write_prometheus asks getaddrinfo with AI_ADDRCONFIG: loopback's address alone is none.
ip -n "$A" address add 10.99.9.1/24 dev a0

{
    echo "global: { evaluation_interval: 1s }"
    sed -n 's/^#   rule_files/rule_files/p' "$conf/stacks/prometheus-rules.yml"
    sed 's/web1.example.org/127.0.0.1/; s/interval: 5s/interval: 1s/' \
        "$conf/stacks/prometheus.yml"
} >"$work/prometheus.yml"
cp "$conf/stacks/prometheus-rules.yml" "$work"
began=$(date +%s)
serve prometheus prometheus --config.file="$work/prometheus.yml" \
    --storage.tsdb.path="$work/prometheus" --web.listen-address=127.0.0.1:9090
collectd_interval=2 # of values closer to each other rates come out too uneven
extra_config="LoadPlugin interface
$feed_config
$(sed 's/0\.0\.0\.0/127.0.0.1/' "$conf/stacks/prometheus.conf")"
write_config 'Interface "a0"' 'Port "tcp/443"' 'Port "tcp/8443"' 'Port "udp/53"'
start_collectd env LD_LIBRARY_PATH="$libraries"
ok $? "collectd starts with write_prometheus"
wait_for 120 selected
ok $? "Prometheus has the selected ports, at 0"

send_and_feed
wait_for 120 complete
is "$(stored)" "$all" \
    "Prometheus has every counter, to the packet and the byte, the group's name as it is"

# Of fewer values an increase is extrapolated too far.
wait_for 120 sampled tcp-ephemeral 10 && wait_for 120 sampled group-rtp.media-other 10
ok $? "it keeps scraping"
is "$(grep -ciE 'duplicate|out.of.order|level=(warn|error)' "$work/prometheus.out")" 0 \
    "and complains of no value"

# ---- the rules ----

# Their names say bit/s; the traffic is in the last minute.
near "the recorded rate of tcp-443, in" \
    "$(promql '60 / 8 * tc_portbytes:rx_bits:rate1m{type="tcp-443"}')" 120180 0.999 1.15
near "the recorded rate of tcp-443, out" \
    "$(promql '60 / 8 * tc_portbytes:tx_bits:rate1m{type="tcp-443"}')" 906093 0.999 1.15
is "$(promql 'count(ALERTS) or vector(0)')" 0 "nothing is wrong, and nothing is new"

# ---- the dashboard, with a group and what IPsec decrypted ----

check_prometheus_dashboard http://127.0.0.1:9090
stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"
finish
