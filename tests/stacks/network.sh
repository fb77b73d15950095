#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A collectd server has what collectd clients count, over the network plugin: unprotected, signed
# and encrypted. Without the type it drops the values and says so; with a wrong password too. With
# StandardTypes it needs no type.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"

conf=${0%/*}/../../conf
expected=$(sort <<<"$known")

# serve_collectd NAME PORT SED...: a collectd from conf/stacks/network-server.conf, changed by
# SED, that stores in $work/NAME/csv
serve_collectd() {
    local name=$1 to=$work/$1 port=$2
    shift 2
    mkdir "$to"
    echo "web1: change-this" >"$to/passwd"
    {
        cat <<-END
			BaseDir "$to"
			PIDFile "$to/pid"
			Hostname "server"
			FQDNLookup false
			PluginDir "$PB_COLLECTD_PLUGINS"
			LoadPlugin logfile
			<Plugin logfile>
			  LogLevel info
			  File "$to/log"
			</Plugin>
			LoadPlugin csv
			<Plugin csv>
			  DataDir "$to/csv"
			</Plugin>
		END
        sed -e "s|/usr/share/collectd/types.db|$PB_TYPESDB|; s|/etc/collectd/passwd|$to/passwd|" \
            -e "s|/etc/collectd/tc_portbytes.db|$conf/tc_portbytes.db|" \
            -e "s/0\.0\.0\.0/127.0.0.1/; s/25826/$port/" "$@" "$conf/stacks/network-server.conf"
    } >"$to/conf"
    # No function: $! is its pid.
    ip netns exec "$A" "$PB_COLLECTD" -f -C "$to/conf" >"$to/stdout" 2>&1 &
    started+=("$!")
    at "$name" wait_for 180 has_logged "entering read-loop"
    ok $? "the server \"$name\" starts"
}

# client PORT SED...: conf/stacks/network-client.conf, changed by SED
client() {
    local port=$1
    shift
    sed -e "s/collectd.example.org/127.0.0.1/; s/25826/$port/" "$@" \
        "$conf/stacks/network-client.conf"
}

# at SERVER FUNCTION...: on what this server has
at() {
    local to=$work/$1
    shift
    work=$to "$@"
}

# stored SERVER: the last values of all series with any, as in $known
stored() {
    local instance
    for instance in $(at "$1" series a0); do
        echo "$instance $(at "$1" values a0 "$instance")"
    done | grep -v ' 0 0 0 0$'
}
# The same of if_octets and if_packets.
stored_standard() {
    local instance octets packets
    for instance in $(cut -d' ' -f1 <<<"$expected"); do
        octets=$(last "$1" if_octets "$instance")
        packets=$(last "$1" if_packets "$instance")
        echo "$instance ${octets%,*} ${packets%,*} ${octets#*,} ${packets#*,}"
    done
}
# last SERVER TYPE INSTANCE: "RX,TX"
last() {
    cat "$work/$1/csv/host/tc_portbytes-a0/$2-$3"-????-??-?? 2>/dev/null | tail -n 1 | cut -d, -f2-
}
complete() { [ "$(stored "$1")" = "$expected" ]; }
complete_standard() { [ "$(stored_standard "$1")" = "$expected" ]; }

make_namespaces
make_veth 0

signed='s/"Encrypt"/"Sign"/'
unprotected='s/"Encrypt"/"None"/; /AuthFile\|Username\|Password/d'
forgotten='s/change-this/forgotten/'
serve_collectd none 25001 -e "$unprotected"
serve_collectd sign 25002 -e "$signed"
serve_collectd encrypt 25003
serve_collectd forged 25004 -e "$signed"
serve_collectd locked 25005
serve_collectd stock 25006 -e "$unprotected" -e "s|^TypesDB.*|TypesDB \"$PB_TYPESDB\"|"

extra_config="$(client 25001 -e "$unprotected")
$(client 25002 -e "$signed; /LoadPlugin/d")
$(client 25003 -e '/LoadPlugin/d')
$(client 25004 -e "$signed; $forgotten; /LoadPlugin/d")
$(client 25005 -e "$forgotten; /LoadPlugin/d")
$(client 25006 -e "$unprotected; /LoadPlugin/d")"
write_config 'MinBytes 0'
start_collectd
ok $? "a client starts that sends to all of them"
first=$collectd
extra_config=$(client 25006 -e "$unprotected")
second write_config 'MinBytes 0' 'StandardTypes true'
second start_collectd
ok $? "and one with StandardTypes"
send_known

for server in none sign encrypt; do
    wait_for 120 complete $server
    is "$(stored $server)" "$expected" \
        "$server: the server has every counter, to the packet and the byte"
done
wait_for 120 complete_standard stock
is "$(stored_standard stock)" "$expected" \
    "StandardTypes: a server with collectd's types only has them too"

# What the README tells an operator to search for.
dropped="plugin_dispatch_values: Dataset not found: port_traffic"
wait_for 60 at stock has_logged "$dropped"
ok $? "the server without the type says: $dropped"
is "$(at stock series a0)" "" "and stores nothing of it"
declare -A says=(
    [forged]="Verifying HMAC-SHA-256 signature failed: Hash mismatch. Username: web1"
    [locked]="network plugin: Checksum mismatch. Username: web1"
)
for server in forged locked; do
    wait_for 60 at $server has_logged "${says[$server]}"
    ok $? "$server, a wrong password: the server says: ${says[$server]}"
    is "$(find "$work/$server/csv" -name 'port_traffic*' 2>/dev/null)" "" "and stores nothing"
done

stop_collectd
is "$?" 0 "SIGTERM ends a client with status 0"
collectd=$first
stop_collectd
is "$?" 0 "and the other"
finish
