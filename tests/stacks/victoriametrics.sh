#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# VictoriaMetrics has the exact numbers: by scraping collectd's write_prometheus, by Graphite's
# protocol and by InfluxDB's; increases are exact, also of series that begin with their traffic;
# vmalert understands the rules for Prometheus, and every query of its dashboard has data.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"

conf=${0%/*}/../../conf
unpack_victoriametrics || {
    skip "there is no package victoria-metrics" "VictoriaMetrics"
    finish
}

# metricsql NAME QUERY: what is found, as "PORT RX_BYTES RX_PACKETS TX_BYTES TX_PACKETS" with the
# port from the label of that name; or, without a port, the value
metricsql() {
    in_a timeout 60 python3 - "$@" 2>/dev/null <<'END'
import json, re, sys, urllib.parse, urllib.request

url = "http://127.0.0.1:8428/api/v1/query?" + urllib.parse.urlencode({"query": sys.argv[2]})
rows = {}
for series in json.load(urllib.request.urlopen(url, timeout=30))["data"]["result"]:
    labels, value = series["metric"], series["value"][1]
    column = re.search("[rt]x_(bytes|packets)", labels.get("__name__", ""))
    if sys.argv[1] not in labels or not column:
        print(value)
        continue
    rows.setdefault(labels[sys.argv[1]], {})[column[0]] = value
for name, row in sorted(rows.items()):
    print(name, *(row.get(c) for c in ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")))
END
}

# The label that names the port, and the series.
declare -A port=([scrape]=type [graphite]=type_instance [influxdb]=type_instance)
declare -A counters=(
    [scrape]='{__name__=~"collectd_tc_portbytes_port_traffic_.+_total",instance="host",tc_portbytes="a0"}'
    [graphite]='{__name__=~"tc_portbytes[.]port_traffic[.].+",host="host",plugin_instance="a0"}'
    [influxdb]='{__name__=~"tc_portbytes_.x_.+",host="host",instance="a0",type="port_traffic"}'
)
all=$(sort <<<"$known"$'\n'"$fed"$'\n'"tcp-other 1100 11 0 0")
stored() { metricsql "${port[$1]}" "${counters[$1]}" | grep -v ' 0 0 0 0$'; }
increases() {
    metricsql "${port[$1]}" "increase(${counters[$1]}[10m]) keep_metric_names" |
        grep -v ' 0 0 0 0$'
}
complete() { [ "$(stored "$1")" = "$all" ]; }

make_namespaces
make_veth 0
# write_prometheus asks getaddrinfo with AI_ADDRCONFIG: loopback's address alone is none.
ip -n "$A" address add 10.99.9.1/24 dev a0

sed 's/web1.example.org/127.0.0.1/; s/interval: 5s/interval: 1s/' "$conf/stacks/prometheus.yml" \
    >"$work/prometheus.yml"
arguments=$(. "$conf/stacks/victoriametrics.default" && echo "${ARGS#*/var/lib/victoria-metrics}" |
    sed "s|/etc/victoria-metrics|$work|; s/Addr=:/Addr=127.0.0.1:/g")
# shellcheck disable=SC2086
serve_victoriametrics $arguments
ok $? "VictoriaMetrics starts"
collectd_interval=2
began=$(date +%s)
extra_config="LoadPlugin interface
$feed_config
$(sed 's/0\.0\.0\.0/127.0.0.1/' "$conf/stacks/prometheus.conf")
$(sed 's/victoriametrics.example.org/127.0.0.1/' "$conf/stacks/victoriametrics-graphite.conf")
$(sed 's/influxdb.example.org/127.0.0.1/' "$conf/stacks/influxdb-udp.conf")"
write_config 'Interface "a0"' 'Port "tcp/443"' 'Port "tcp/8443"' 'Port "udp/53"'
start_collectd env LD_LIBRARY_PATH="$libraries"
ok $? "collectd starts with write_prometheus, write_graphite and write_influxdb_udp"
serve vmalert vmalert -rule="$conf/stacks/prometheus-rules.yml" -evaluationInterval=1s \
    -datasource.url=http://127.0.0.1:8428 -remoteWrite.url=http://127.0.0.1:8428 \
    -remoteWrite.flushInterval=200ms -notifier.url=http://127.0.0.1:9093 \
    -httpListenAddr=127.0.0.1:8880
# rate() divides by the time that a series has values: of one that begins it is too high.
aged() {
    local values
    values=$(metricsql - 'count_over_time(
        collectd_tc_portbytes_port_traffic_rx_bytes_total{type="tcp-443"}[10m])')
    [ "${values:-0}" -gt 4 ]
}
wait_for 120 aged
ok $? "VictoriaMetrics has the selected ports, for as long as the dashboard's rates are taken over"
send_and_feed
fed_at=$(date +%s)

for way in scrape graphite influxdb; do
    wait_for 120 complete "$way"
    is "$(stored "$way")" "$all" "$way: every counter, to the packet and the byte"
    is "$(increases "$way")" "$all" "$way: increase() is exact"
done
# Without -dedup.minScrapeInterval it would be there twice, with the same time.
near "scrape: a value that was scraped twice is there once" \
    "$(metricsql - 'count_over_time(
        collectd_tc_portbytes_port_traffic_rx_bytes_total{type="tcp-443"}[10m])')" \
    "$(metricsql - 'count_over_time(tc_portbytes_rx_bytes{type_instance="tcp-443"}[10m])')" 0.7 1.3
# complaints NAME: of a server; not that collectd was scraped before it listened
complaints() {
    grep -E '[[:space:]](warn|error|fatal|panic)[[:space:]]' "$work/$1.out" |
        grep -v 'scraping.*connection refused'
}
is "$(complaints victoriametrics)" "" "VictoriaMetrics complains of nothing"

# ---- the rules for Prometheus, by vmalert ----

# The series are younger than a minute, which a rate is taken over: compared are two of one age.
# Only of rules that use no recorded series: VictoriaMetrics finds a new series up to 10 s late.
recorded() {
    ratio=$(metricsql - 'tc_portbytes:rx_bits:rate1m{type="tcp-443"} / tc_portbytes:tx_bits:rate1m')
    [ -n "$ratio" ]
}
wait_for 120 recorded
near "vmalert records the rates of tcp-443: in by out" "$ratio" \
    "$(awk 'BEGIN { printf "%.9f", 120180 / 906093 }')" 0.999999 1.000001
is "$(complaints vmalert)" "" "and vmalert complains of nothing"

# ---- the dashboard for Prometheus ----

seen() { [ $(($(date +%s) - fed_at)) -gt $((4 * collectd_interval)) ]; } # by all rates
wait_for 120 seen
check_prometheus_dashboard http://127.0.0.1:8428

# Its annotations, two hours ago on another host: tcp-443 begins 20 minutes before tcp-4444.
began=$(($(date +%s) - 7200))
python3 - $began >"$work/past" <<'END'
import sys

began = int(sys.argv[1])
labels = 'instance="past",tc_portbytes="eth9",type="%s"'
for port, begin in (("tcp-443", -1200), ("tcp-4444", 60)):
    for second in range(begin, 600, 10):
        for field in ("rx", "tx"):
            print("collectd_tc_portbytes_port_traffic_%s_bytes_total{%s} %d %d000" % (
                field, labels % port, 5000 + second, began + second))
for second in range(0, 60, 10):
    print('ALERTS{alertname="PortAboveLimit",alertstate="firing",severity="warning",%s} 1 %d000' % (
        labels % "tcp-443", began + second))
END
in_a timeout 60 python3 -c 'import sys, urllib.request as r
r.urlopen("http://127.0.0.1:8428/api/v1/import/prometheus", sys.stdin.buffer.read())' <"$work/past"
ok $? "VictoriaMetrics takes values of the past"
events() {
    in_a timeout 60 python3 "${0%/*}/grafana.py" http://127.0.0.1:8428 \
        "$conf/grafana/prometheus.json" $began $((began + 600)) 10 top=2 host=past |
        awk -F'\t' '$1 == "event"' | cut -f2- | tr '\t' ' '
}
expected="Alerts PortAboveLimit tcp-443 eth9 warning
New ports new: tcp-4444 tcp-4444 eth9"
annotated() { [ "$(events)" = "$expected" ]; }
wait_for 60 annotated
is "$(events)" "$expected" "annotations: an alert, and a port that is new"

stop_collectd
is "$?" 0 "SIGTERM ends collectd with status 0"
finish
