#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What was sent is in Graphite in the end: in carbon's files, and in every query of the Grafana
# dashboard, asked of Graphite's render API.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"
here=$(cd "${0%/*}" && pwd)
conf=$(cd "$here/../../conf" && pwd)

unpack graphite graphite-carbon graphite-web ||
    { echo "1..0 # SKIP graphite-carbon and graphite-web can't be had"; exit; }
# graphite-web asks for libxcb by the name that only a system which has it installed can resolve.
mkdir "$work/lib"
find "$root" -name 'libxcb.so.1' -exec ln -s {} "$work/lib/libxcb.so" \;
libraries+=:$work/lib
python() {
    ask timeout 120 python3 "$@"
}

make_namespaces
make_veth 0
make_veth 1
ip -n "$A" link set a1 down
ip -n "$A" link set a1 name a1.100 up

# ---- carbon ----

# The test reads each second, so its finest step is one second.
mkdir -p "$work/carbon/whisper" "$work/carbon/log"
sed 's/10s:/1s:/' "$conf/stacks/storage-schemas.conf" >"$work/carbon/storage-schemas.conf"
cp "$conf/stacks/storage-aggregation.conf" "$work/carbon"
# It creates 50 files a minute at most, and writes 500 values a second, if not told otherwise.
cat >"$work/carbon/carbon.conf" <<END
[cache]
STORAGE_DIR = $work/carbon
CONF_DIR = $work/carbon
LOG_DIR = $work/carbon/log
LOCAL_DATA_DIR = $work/carbon/whisper
PID_DIR = $work/carbon
USER =
LINE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
CACHE_QUERY_INTERFACE = 127.0.0.1
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = 10000
MAX_UPDATES_PER_SECOND_ON_SHUTDOWN = 100000
END
serve carbon python3 "$root/usr/bin/carbon-cache" \
    --config="$work/carbon/carbon.conf" --pidfile="$work/carbon/pid" --nodaemon start
carbon=$served
listens() { in_a ss -Hlnt 'sport = :2003' | grep -q 127.0.0.1; }
wait_for 120 listens
ok $? "carbon listens"

extra_config="LoadPlugin interface
<Plugin interface>
  Interface \"a0\"
</Plugin>
$feed_config
$(cat "$conf/stacks/graphite.conf")"
write_config 'Port "tcp/443"' 'Port "tcp/8443"' 'Port "udp/53"'
started_at=$(date +%s)
start_collectd
ok $? "collectd starts with conf/stacks/graphite.conf"

# The series come up; then, between two quiet times, what the queries are asked for.
send_known
settle
began=$(date +%s)
settle
send_known
in_b "$PB_TOOLS/blast" b0 4 udp 40000 9999 211 113 >/dev/null
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 307 101 >/dev/null
settle
fed_began=$(date +%s)
feed
ok $? "collectd takes values of a group and of decrypted"
ended=$(($(date +%s) + 1)) # steps up to there, without the one that begins then
stop_collectd
# last PATH: its value in carbon's files
last() { awk -v path="$1" '$1 == path { print $2 }' "$work/last"; }
read_files() { python "$here/carbon.py" last "$work/carbon/whisper" >"$work/last"; }
stored() {
    local source
    for source in rx_bytes rx_packets tx_bytes tx_packets; do
        last "collectd.host.tc_portbytes-a0.port_traffic-$1.$source"
    done | paste -sd' '
}
twice() { awk '{ print 2 * $1, 2 * $2, 2 * $3, 2 * $4 }' <<<"$*"; }
# Between two passes carbon sleeps, and stopped then it loses what it has read since.
has_stored_all() {
    local instance expected
    read_files
    while read -r instance expected; do
        [ "$(stored "$instance")" = "$(twice "$expected")" ] || return 1
    done <<<"$known"
    while read -r instance expected; do
        [ "$(stored "${instance//./_}")" = "$expected" ] || return 1
    done <<<"$fed"
    [ "$(last collectd.host.tc_portbytes-a1_100.port_traffic-udp-53.rx_bytes)" = $((307 * 101)) ]
}
wait_for 120 has_stored_all
ok $? "carbon stores what collectd sent"
kill -TERM "$carbon"
wait "$carbon"

# ---- its files ----

read_files
while read -r instance expected; do
    is "$(stored "$instance")" "$(twice "$expected")" \
        "$instance: the counters are what was sent, exactly"
done <<<"$known"
is "$(last collectd.host.tc_portbytes-a1_100.port_traffic-udp-53.rx_bytes)" $((307 * 101)) \
    "the dot in an interface's name is an underscore"
is "$(stored group-rtp_media-other)" "5003 97 3001 59" "so is that in a group's"
sizes=$(find "$work/carbon/whisper" -path '*/tc_portbytes-a*' -name '*.wsp' -printf '%s\n' |
    sort -u)
is "$sizes" "$((16 + 4 * 12 + 12 * (6 * 3600 + 3 * 1440 + 90 * 96 + 2 * 365 * 12)))" \
    "carbon keeps them as storage-schemas.conf says"
is "$(python -c 'import sys, whisper
print(*{(i["aggregationMethod"], i["xFilesFactor"]) for i in map(whisper.info, sys.argv[1:])})' \
    "$work"/carbon/whisper/collectd/host/tc_portbytes-a0/*/*.wsp)" "('last', 0.0)" \
    "and as storage-aggregation.conf says"

# ---- the dashboard ----

mkdir -p "$work/carbon/index"
cat >"$work/carbon/graphite_test_settings.py" <<END
SECRET_KEY = 'test'
ALLOWED_HOSTS = ['*']
LOG_DIR = '$work/carbon/log'
STORAGE_DIR = '$work/carbon'
WHISPER_DIR = '$work/carbon/whisper'
STANDARD_DIRS = [WHISPER_DIR]
CARBONLINK_HOSTS = []
INDEX_FILE = '$work/carbon/index/index'
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}
END
dashboard=$conf/grafana/graphite.json
# render FROM: every query from then on
render() {
    python "$here/carbon.py" render "$work/carbon/whisper" "$dashboard" "$1" "$ended" \
        host=host interface=a0 port=tcp-443 top=2 >"$work/rendered" 2>"$work/rendered.err"
    ok $? "the render API answers"
    sed 's/^/# /' "$work/rendered.err"
}
render "$began"

# Every query. Where no port is new, its annotation has nothing but 0.
while read -r query; do
    grep -qF "$query|" <(grep '|[^|]*|[0-9][^|]*|[0-9]' "$work/rendered")
    ok $? "query $query of the dashboard gives data"
done < <(sed -n 's/|||$//p' "$work/rendered")
is "$(grep -c '|||$' "$work/rendered")" 19 "all queries were tried"
# volume QUERY: NAME=SUM of its series, sorted
volume() {
    awk -F'|' -v query="$1" '$1 ~ "^" query "$" && $2 { printf "%s=%.0f\n", $2, $3 }' \
        "$work/rendered" | sort
}
other=$((211 * 113))
# A series of a port is named as $port is, which the link to the detail relies on.
is "$(volume "Busiest.* A")" "tcp-8443=$((8 * 1052201))
udp-53=$((8 * 166793))" "the busiest ports in: bits"
is "$(volume "Busiest.* B")" "tcp-443=$((8 * 906093))
udp-53=$((8 * 453300))" "the busiest ports out: bits"
is "$(volume "Busiest.* C")" "the rest in=$((8 * (120180 + 5003 + other)))" "the rest in"
is "$(volume "Busiest.* D")" "the rest out=$((8 * (24560 + 3001)))" "the rest out"
is "$(volume "tcp-443: bits A") $(volume "tcp-443: bits B")" \
    "tcp-443=$((8 * 120180)) tcp-443=$((8 * 906093))" "the detail of a port: bits"
is "$(volume "tcp-443: packets A") $(volume "tcp-443: packets B")" "tcp-443=2003 tcp-443=907" \
    "the detail of a port: packets"
group="group-rtp_media-other"
is "$(volume "Groups: bits A") $(volume "Groups: bits B")" \
    "$group=$((8 * 5003)) $group=$((8 * 3001))" "groups: bits"
is "$(volume "Groups: packets A") $(volume "Groups: packets B")" "$group=97 $group=59" \
    "groups: packets"
is "$(volume "All ports.* A") $(volume "All ports.* B")" \
    "a0 in: ports=$((8 * (1339174 + 5003 + other))) a0 out: ports=$((8 * (1383953 + 3001)))" \
    "all ports, decrypted left out"
is "$(volume "All ports.* C" | cut -d= -f2) $(volume "All ports.* D" | cut -d= -f2)" \
    "$((8 * (1339174 + other))) $((8 * 1383953))" \
    "and they are what the interface counted, without the group, which it didn't see"
is "$(volume "Shares.* A")" "tcp-ephemeral=24560
udp-other=$other" "ephemeral and other ports, and no group, whatever its name ends in"
is "$(volume "Shares.* B")" \
    "all other series=$((1339174 + 1383953 - 24560 + 5003 + 3001))" "all but these"
is "$(volume "New ports Anno" | grep -v '=0$')" "" "no port is new"
render "$fed_began"
is "$(volume "Busiest.* A" | grep -v '=0$') $(volume "All ports.* A")" \
    "$group=$((8 * 5003)) a0 in: ports=$((8 * 5003))" \
    "where nothing but a group and decrypted grew, the group is all"
render "$((started_at - 10))"
is "$(volume "New ports Anno" | grep -v '=0$')" "tcp-443=1
tcp-8443=1
udp-53=1" "at the start all are new, once"
finish
