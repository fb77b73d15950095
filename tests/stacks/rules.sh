#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Prometheus' rules: each recording rule has the right value, each alert fires, ends, and keeps
# quiet where it must. By promtool, on made-up series: hours of them take no time.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"

rules=$(cd "${0%/*}/../../conf/stacks" && pwd)/prometheus-rules.yml
unpack prometheus prometheus libmicrohttpd12 libprotobuf-c1 || {
    skip "there is no package prometheus" "promtool"
    finish
}
promtool() { env PATH="$root/usr/bin:$PATH" LD_LIBRARY_PATH="$libraries" promtool "$@"; }

# check NAME PROMTOOL_ARGUMENT...
check() {
    local status
    promtool "${@:2}" >"$work/out" 2>&1
    status=$?
    ok $status "$1"
    [ $status -eq 0 ] || sed 's/^/# /' "$work/out"
}

# ---- a case is a file for promtool, written by these ----

inputs='' alerts='' records=''

# counter KBIT MINUTES [KBIT MINUTES]...: the values of a counter of bytes, each 10 s, at so many
# kbit/s, one stretch of time after the other; KBIT "-": without a value
counter() {
    local total=0 step number
    while [ $# -gt 0 ]; do
        number=$(($2 * 6))
        if [ "$1" = - ]; then
            printf '_x%d ' $number
        else
            step=$(($1 * 1250))
            printf '%d+%dx%d ' $((total + step)) $step $((number - 1))
            total=$((total + number * step))
        fi
        shift 2
    done
}

# input SERIES VALUES
input() { inputs+="      - { series: '$1', values: '$2' }"$'\n'; }

# traffic HOST INTERFACE PORT KBIT MINUTES...: as counter, received; what is sent is 0
traffic() {
    local labels="job=\"collectd\",instance=\"$1\",tc_portbytes=\"$2\",type=\"$3\""
    shift 3
    input "collectd_tc_portbytes_port_traffic_rx_bytes_total{$labels}" "$(counter "$@")"
    input "collectd_tc_portbytes_port_traffic_tx_bytes_total{$labels}" \
        "$(counter "$@" | sed 's/[0-9]*+[0-9]*/0+0/g')"
}

# quiet ALERT MINUTE...: does not fire then
quiet() {
    local minute
    for minute in "${@:2}"; do
        alerts+="      - { eval_time: ${minute}m, alertname: $1 }"$'\n'
    done
}

# fires ALERT SEVERITY LABELS SUMMARY MINUTE...: then, with these labels, and no other one of it
fires() {
    local minute
    for minute in "${@:5}"; do
        alerts+="      - { eval_time: ${minute}m, alertname: $1, exp_alerts: [{ "
        alerts+="exp_labels: { severity: $2, $3 }, exp_annotations: { summary: '$4' } }] }"$'\n'
    done
}

# of HOST INTERFACE PORT: labels for fires
of() { echo "job: collectd, instance: $1, tc_portbytes: $2, type: $3"; }

# records EXPRESSION VALUE LABELS: after 10 minutes
records() {
    # promtool compares all bits.
    records+="      - { expr: 'round($1, 0.001)', eval_time: 10m, "
    records+="exp_samples: [{ labels: '{$3}', value: $2 }] }"$'\n'
}

# verify NAME: promtool is content with the case; the next one begins
verify() {
    cat >"$work/case.yml" <<-END
		rule_files: ['$rules']
		evaluation_interval: 30s
		tests:
		  - interval: 10s
		    input_series:
		$inputs
		    alert_rule_test:
		$alerts
		    promql_expr_test:
		$records
	END
    check "$1" test rules "$work/case.yml"
    inputs='' alerts='' records=''
}

check "prometheus-rules.yml: promtool finds no fault" check rules --lint=all --lint-fatal "$rules"

# ---- recording rules ----

traffic web1 eth0 tcp-443 1 10
traffic web1 eth0 udp-53 12 10
traffic web1 eth0 tcp-other 2 10
traffic web1 eth0 sctp-other 1 10
traffic web1 eth0 group-rtp-other 4 10 # a group, whatever its name
traffic web1 eth0 decrypted 90 10
traffic web1 eth1 tcp-443 5 10
eth0='instance="web1",job="collectd",tc_portbytes="eth0"'
eth1=${eth0/eth0/eth1}
https="$eth0,type=\"tcp-443\""
records "tc_portbytes:rx_bits:rate1m{$https}" 1000 "$https"
records "tc_portbytes:tx_bits:rate1m{$https}" 0 "$https"
records "tc_portbytes:bits:rate5m{$https}" 1000 "$https"
records "tc_portbytes:interface_rx_bits:rate1m{$eth0}" 20000 "$eth0"
records "tc_portbytes:interface_tx_bits:rate1m{$eth0}" 0 "$eth0"
records "tc_portbytes:interface_bits:rate5m{$eth0}" 20000 "$eth0"
records "tc_portbytes:other_share:rate5m{$eth0}" 0.15 "$eth0"
records "tc_portbytes:interface_bits:rate5m{$eth1}" 5000 "$eth1"
verify "rates of ports and interfaces, the share of the rest; what is decrypted counts once"

labels='tc_portbytes="eth0",type="tcp-1"'
input "collectd_tc_portbytes_port_traffic_rx_bytes_total{$labels}" "$(counter 0 10)"
input "collectd_tc_portbytes_port_traffic_tx_bytes_total{$labels}" "$(counter 7 10)"
records "tc_portbytes:tx_bits:rate1m{$labels}" 7000 "$labels"
records "tc_portbytes:bits:rate5m{$labels}" 7000 "$labels"
records 'tc_portbytes:interface_tx_bits:rate1m{tc_portbytes="eth0"}' 7000 'tc_portbytes="eth0"'
verify "what is sent is in the sums"

for port in {1..12}; do
    traffic web1 eth0 "tcp-$port" "$port" 10
    traffic web1 eth1 "tcp-$port" "$((13 - port))" 10
done
traffic web1 eth1 decrypted 90 10
records "sum without (type) (tc_portbytes:top10_bits:rate5m{$eth0})" 75000 "$eth0"
records "sum without (type) (tc_portbytes:top10_bits:rate5m{$eth1})" 75000 "$eth1"
records 'count(tc_portbytes:top10_bits:rate5m)' 20 ''
verify "the ten busiest of each interface"

# ---- alerts ----

# 5 minutes until the rate is above, 5 until it is said.
traffic web1 eth0 udp-53 1000 10 24000 20 1000 20
traffic web1 eth0 tcp-443 499000 50 # its limit is another
traffic web1 eth0 tcp-80 900000 50  # has none
quiet PortAboveLimit 9 18 36
fires PortAboveLimit warning "$(of web1 eth0 udp-53)" \
    "udp-53 on eth0 of web1: 24Mbit/s, above its limit" 25 29
verify "PortAboveLimit: of a port with a limit, while it is above"

traffic web1 eth0 udp-53 1000 10 24000 4 1000 30
quiet PortAboveLimit 12 14 16 18 20 25
verify "PortAboveLimit: not for four minutes"

traffic web1 eth0 tcp-443 100 70 0 30 100 30
traffic web1 eth0 tcp-8443 100 70 0 60 # not named
traffic web1 eth0 tcp-other 1 130
quiet PortSilent 30 69 75 105 125
fires PortSilent critical "$(of web1 eth0 tcp-443)" \
    "tcp-443 on eth0 of web1: no traffic, 100kbit/s an hour ago" 85 99
verify "PortSilent: at 0, until there is traffic again"

traffic web1 eth0 udp-53 100 70 - 90
traffic web1 eth0 tcp-other 1 160
quiet PortSilent 69 75 140
fires PortSilent critical "$(of web1 eth0 udp-53)" \
    "udp-53 on eth0 of web1: no traffic, 100kbit/s an hour ago" 85 125
verify "PortSilent: without a series, for an hour"

traffic web1 eth0 tcp-443 100 70 - 60 # with all of its interface
traffic web1 eth1 tcp-443 0 130
traffic web2 eth0 tcp-443 0 130
quiet PortSilent 75 85 100 125
verify "PortSilent: not of an interface that is gone, nor of a port that had none"

traffic web1 eth0 tcp-443 9000 60
traffic web1 eth0 tcp-other 1000 10 3000 20 1000 30
traffic web1 eth1 tcp-other 900 60 # too little to speak of
quiet OtherPortsShare 9 18 40
fires OtherPortsShare warning "job: collectd, instance: web1, tc_portbytes: eth0" \
    "eth0 of web1: 25% of the bytes belong to ports without a series of their own" 26 29
verify "OtherPortsShare: while it is above a fifth"

traffic web1 eth0 tcp-443 100 150
traffic web1 eth0 tcp-4444 - 70 8 80
traffic web1 eth0 tcp-ephemeral - 70 8 80
traffic web1 eth0 tcp-22 - 70 0 80  # has a series, for it listens
traffic web1 eth1 tcp-443 - 70 8 20 # a new interface
quiet PortNew 5 30 69 134 149
fires PortNew info "$(of web1 eth0 tcp-4444)" "tcp-4444 on eth0 of web1: new, 8kbit/s" 76 100 128
verify "PortNew: for an hour, not of a new interface, nor of one that is counted for the first time"

input 'up{job="collectd",instance="web1:9103"}' "1x60 0x60 1x60"
input 'up{job="node",instance="web1:9100"}' "0x180"
quiet CollectdDown 9 11 21
fires CollectdDown critical "job: collectd, instance: 'web1:9103'" \
    "web1:9103: collectd does not respond to Prometheus" 13 20
verify "CollectdDown: of its own job"

traffic web1 eth0 tcp-443 100 70 - 90
traffic web1 eth0 tcp-other 100 70 - 90
traffic web2 eth0 tcp-443 100 80 - 5 100 75 # a restart
traffic web2 eth0 tcp-other 100 70 - 90
quiet TrafficNotRead 60 74 137 150
fires TrafficNotRead critical "instance: web1" \
    "web1: no values of tc_portbytes, 2 series an hour ago; see the log of collectd" 78 100 130
verify "TrafficNotRead: of a host without any series, for an hour"

# ---- the annotations of Grafana's dashboard ----

# annotates NAME MINUTE LABELS...: what the annotation has then, by these labels
annotates() {
    local expression labels
    expression=$(python3 -c 'import json, sys
for annotation in json.load(open(sys.argv[1]))["annotations"]["list"]:
    if annotation["name"] == sys.argv[2]:
        print(annotation["expr"].replace("$host", "web1").replace("$interface", "eth0|eth1"))' \
        "${rules%stacks/*}grafana/prometheus.json" "$1")
    records+="      - { expr: 'count by (alertname, tc_portbytes, type) ($expression)', "
    records+="eval_time: ${2}m, exp_samples: ["
    for labels in "${@:3}"; do
        records+="{ labels: '{$labels}', value: 1 }, "
    done
    records+="] }"$'\n'
}

traffic web1 eth0 tcp-443 1 20 600000 20 1 20
traffic web1 eth0 tcp-other 900 20 900000 20 900 20
traffic web1 eth0 tcp-80 1 10 - 15 1 35     # for less than an hour
traffic web1 eth0 tcp-4444 - 30 8 30
traffic web1 eth0 tcp-ephemeral - 30 8 30   # no port
traffic web1 eth1 tcp-443 - 30 8 30         # a new interface
traffic web2 eth0 tcp-443 600000 60         # another host
traffic web2 eth0 tcp-4444 - 30 8 30
limit='alertname="PortAboveLimit",tc_portbytes="eth0",type="tcp-443"'
annotates Alerts 19
annotates Alerts 35 "$limit" 'alertname="OtherPortsShare",tc_portbytes="eth0"'
annotates Alerts 58
for minute in 5 26 29 36 45; do
    annotates "New ports" $minute
done
for minute in 31 34; do
    annotates "New ports" $minute 'tc_portbytes="eth0",type="tcp-4444"'
done
verify "annotations: alerts of this host, and ports that are new on an interface that is not"

traffic web1 eth0 tcp-443 100 70 - 90
annotates Alerts 60
annotates Alerts 78 'alertname="TrafficNotRead"'
verify "annotations: alerts without an interface"

traffic web1 eth0 tcp-443 100 110
traffic web1 eth0 tcp-4444 - 70 8 40
fires PortNew info "$(of web1 eth0 tcp-4444)" "tcp-4444 on eth0 of web1: new, 8kbit/s" 78
annotates Alerts 78
annotates "New ports" 74 'tc_portbytes="eth0",type="tcp-4444"'
verify "annotations: PortNew is no second one of a new port"
finish
