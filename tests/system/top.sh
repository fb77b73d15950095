#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tc_portbytes-top shows the values of collectd: the same rates as the interface counters, sorted,
# with exact sums; on a terminal, through a pipe, and across a restart of collectd.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

top=$PB_BUILD/tc_portbytes-top
helper=${0%/*}/top.py
socket=$work/socket
unset LINES COLUMNS

# once [OPTION...]: writes one JSON document to $work/json
once() { timeout 120 "$top" --socket "$socket" --once --json "$@" >"$work/json"; }

# holds EXPRESSION NAME: the Python expression is true of the document in $work/json
holds() {
    python3 "$helper" holds "$1" <"$work/json"
    ok $? "$2"
}

# fails STATUS NAME WORD... -- OPTION...: exits with STATUS after one line that has all the words
fails() {
    local status=$1 name=$2 got words=() word missing=0
    shift 2
    while [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    shift
    timeout 120 "$top" "$@" >"$work/out" 2>"$work/err"
    got=$?
    for word in "${words[@]}"; do grep -qF -- "$word" "$work/err" || missing=1; done
    is "$got $(wc -l <"$work/err") $missing $(wc -c <"$work/out")" "$status 1 0 0" "$name"
    [ $missing -eq 0 ] || sed 's/^/# /' "$work/err"
}

# play PART: of the helper, which prints results; in the background, where $! is the helper's.
# played PART: those
play() {
    exec python3 "$helper" "$1" "$work/played-$1" "$top" >"$work/out-$1" 2>"$work/err-$1"
}
played() {
    local status name
    while read -r status name; do
        ok $((${#status} > 2)) "$name"
    done < <(sed -n 's/^ok - /ok /p; s/^not ok - /not-ok /p' "$work/out-$1")
    is "$(cat "$work/err-$1")" "" "the $1 tests ran to the end"
}

# Without collectd, and as long as tc_portbytes-top has patience: all else is done meanwhile.
play hostile &
hostile=$!
play terminal &
terminal=$!
started+=("$hostile" "$terminal")

# ---- without collectd ----

fails 1 "no collectd: one line with the remedy" "$socket" "LoadPlugin unixsock" -- \
    --socket "$socket" --once
fails 2 "an unknown option" --frob -- --frob
fails 2 "an unknown short option" "'x'" -- -x3
fails 2 "an invalid interval" --interval 0s "from 1 to 86400" -- --interval 0s
fails 2 "an invalid number of ports" -n -3 "from 0 to" -- -n -3
fails 2 "a missing value" --socket "requires an argument" -- --socket
fails 2 "an argument" eth0 "unexpected argument" -- eth0
fails 2 "a long socket path" --socket "1 to 107 bytes" -- --socket "$(printf '/%0120d' 1)"
fails 2 "no socket path" --socket '""' "1 to 107 bytes" -- --socket ""
fails 2 "no name of an interface" --interface '""' "1 to 127 bytes" -- --interface ""
fails 2 "a long name of a host" --host "1 to 127 bytes" -- --host "$(printf '%0128d' 1)"
fails 2 "an unknown order" --sort '"port"' "total, in, out, packets or name" -- --sort port
fails 2 "no order" --sort '""' "total, in, out, packets or name" -- --sort ""
fails 2 "no minutes" --watch-new '"0"' "from 1 to 1440" -- --watch-new=0
fails 2 "minutes in another argument" '"5"' "unexpected argument" -- --watch-new 5
fails 2 "what is new in the only table" --watch-new --once -- --watch-new --once
is "$(timeout 120 "$top" --help |
    grep -c -- '--once \|\[10\]\|\[/var/run/collectd-unixsock\]\|\[total\]\|\[5\]')" 5 "--help"

# ---- the rates of the interface counters ----

make_namespaces
make_veth 0
make_veth 1
extra_config="LoadPlugin unixsock
<Plugin unixsock>
  SocketFile \"$socket\"
</Plugin>"
write_config 'MinBytes 0'
start_collectd
ok $? "collectd starts with the plugin"
pump() {
    ip netns exec "$1" "$PB_TOOLS/pump" "${@:2}" >/dev/null &
    started+=("$!")
}
pump "$B" b0 40000 443 6
pump "$B" b0 40000 53 1
pump "$A" a0 8080 40000 3
pump "$B" b1 40000 123 2

wait_for 120 in_a python3 "$helper" agrees timeout 60 "$top" --socket "$socket" --once --json \
    >"$work/agrees" 2>&1
ok $? "the rates agree with the interface counters within 25 %" || cat "$work/agrees"
in_order() { once && python3 "$helper" holds \
    '[p["instance"] for p in i("a0")["ports"]] == ["udp-443", "udp-8080", "udp-53"]
     and [x["interface"] for x in d["interfaces"]] == ["a0", "a1"]' <"$work/json"; }
wait_for 60 in_order
ok $? "interfaces and ports are sorted by rate"

# ---- exact figures: values put into collectd ----

# give IDENTIFIER VALUES: zeros, then the values one second later, which makes them the rates
began=$(($(date +%s) - 100))
give() {
    printf 'PUTVAL "%s" interval=3600 %d:%s\n' "$1" $began "${2//[0-9]*([0-9])/0}" \
        "$1" $((began + 1)) "$2"
}
shopt -s extglob
eth=/tc_portbytes-eth0
group="group-rtp.media_1-0123456789-012345678" # as long as it can be
{
    give web1$eth/port_traffic-tcp-443 1000:10:20000:20
    give web1$eth/port_traffic-tcp-80 3000:30:1000:700
    give web1$eth/port_traffic-tcp-22 5:4:3:2
    give web1$eth/port_traffic-nonip 7:3:0:0
    give web1$eth/port_traffic-decrypted 900000:900:0:0
    give web2$eth/if_octets-tcp-443 123:456
    give web2$eth/if_packets-tcp-443 12:45
    give web2/tc_portbytes-br-lan/port_traffic-tcp-ephemeral 1:1:1:1
    give "web2/tc_portbytes-br-lan/port_traffic-$group" 0:1:0:0
    give web2/interface-eth0/if_octets 5:5
    give web2$eth/if_errors-tcp-443 5:5
    printf 'PUTVAL "web2%s/port_traffic-udp-1" interval=3600 %d:1:1:1:1\n' $eth $began
} >"$work/values"
# Escape, delete, quote, backslash, UTF-8.
printf 'PUTVAL "web3/tc_portbytes-\033[2J\177/port_traffic-\\"\\\\\303\244." %s %d:1:1:1:1\n' \
    interval=3600 $began >>"$work/values"
timeout 120 python3 "$helper" put "$socket" <"$work/values"
ok $? "collectd accepts values of other hosts"
has_web3() { once && grep -q web3 "$work/json"; }
wait_for 60 has_web3

once --host web1
holds 'len(d["interfaces"]) == 1 and [p["instance"] for p in i("eth0", "web1")["ports"]] ==
    ["tcp-443", "tcp-80", "tcp-22", "nonip"]' "--host: only this host, sorted by bytes"
holds '[i("eth0", "web1")[r] for r in RATES] == [4012, 47, 21003, 722]' "the sums are exact"
holds 'i("eth0", "web1")["decrypted"] == dict(rx_bytes=900000, rx_packets=900, tx_bytes=0,
    tx_packets=0)' "decrypted is in none of them, but apart"
for order in "out tcp-443 tcp-80 tcp-22 nonip" "in tcp-80 tcp-443 nonip tcp-22" \
    "packets tcp-80 tcp-443 tcp-22 nonip" "name nonip tcp-22 tcp-80 tcp-443"; do
    once --host web1 --sort="${order%% *}"
    holds '" ".join(p["instance"] for p in i("eth0", "web1")["ports"]) == "'"${order#* }"'"' \
        "--sort=${order%% *}"
done
once --host web1 -n 1
holds 'len(i("eth0", "web1")["ports"]) == 1 and i("eth0", "web1")["rest"] ==
    dict(number=3, rx_bytes=3012, rx_packets=37, tx_bytes=1003, tx_packets=702)' \
    "-n: the other ports are one sum"
once --host web2
holds '[(x["interface"], [p["instance"] for p in x["ports"]]) for x in d["interfaces"]] ==
    [("eth0", ["tcp-443", "udp-1"]), ("br-lan", ["tcp-ephemeral", "'"$group"'"])]' \
    "other values are ignored; the whole name of a group is there"
holds '[i("eth0", "web2")["ports"][0][r] for r in RATES] == [123, 12, 456, 45]' \
    "StandardTypes: if_octets and if_packets of a port are merged"
holds '[i("eth0", "web2")["ports"][1][r] for r in RATES] == [None] * 4' "an unknown rate is null"
once --host web3
holds 'd["interfaces"][0]["interface"] == "\033[2J\177" and
    d["interfaces"][0]["ports"][0]["instance"] == "\"\\\303\244."' "JSON keeps control characters"
once --interface a1 --interface br-lan
holds '[x["interface"] for x in d["interfaces"]] == ["a1", "br-lan"]' "--interface, twice"
once --interface nosuch
holds 'd["interfaces"] == []' "no such interface: an empty list"
timeout 120 "$top" --socket "$socket" --once >"$work/out"
is "$? $(grep -c '^[^ ]* on web[123] ' "$work/out") $(tr -d '\n -~' <"$work/out" | wc -c)" \
    "0 4 0" "with several hosts each interface has its host; the text is printable ASCII"
[ "$(wc -L <"$work/out")" -le 80 ]
ok $? "it fits 80 columns"
is "$(grep -c "^\[${group#group-}\] \|^decrypted, not in the sum  *7.20 M " "$work/out")" 2 \
    "with the whole name of a group, and decrypted below the sum"
COLUMNS=70 LINES=12 timeout 120 "$top" --socket "$socket" --once >"$work/out"
[ "$(wc -L <"$work/out")" -le 70 ] && [ "$(wc -l <"$work/out")" -le 12 ]
ok $? "or COLUMNS and LINES"

for port in {1..3000}; do
    give "web4$eth/port_traffic-tcp-$port" "$port:1:0:0"
done | timeout 300 python3 "$helper" put "$socket"
has_web4() { once --host web4 && grep -q '"rx_bytes":4501500,' "$work/json"; }
wait_for 120 has_web4
holds 'len(i("eth0", "web4")["ports"]) == 3000 and i("eth0", "web4")["rx_bytes"] == 4501500 and
    [p["rx_bytes"] for p in i("eth0", "web4")["ports"]] == list(range(3000, 0, -1))' \
    "3,000 series are shown, sorted and summed up"

# ---- pipes ----

for closed in '>/dev/full' '>&-'; do
    timeout 120 bash -c "\"\$@\" $closed" bash "$top" --socket "$socket" --json 2>"$work/err"
    is "$? $(grep -c 'cannot write: ' "$work/err")" "1 1" "$closed: it exits with a message"
done
timeout 120 "$top" --socket "$socket" --interval 3600 2>"$work/err" | head -n 2 >"$work/out"
is "${PIPESTATUS[*]} $(wc -c <"$work/err")" "0 0 0" "a pipe without a reader ends it silently"

# ---- a restart ----

: >"$work/live"
# Without timeout(1): cleanup's SIGKILL would end that and not the program.
"$top" --socket "$socket" --interval 1 --json --host host >"$work/live" 2>"$work/err" &
live=$!
started+=("$live")
more_than() { [ "$(wc -l <"$work/live")" -gt "$1" ]; }
wait_for 60 more_than 1
stop_collectd
wait_for 60 grep -q "LoadPlugin unixsock" "$work/err"
ok $? "collectd ends: reported on standard error"
documents=$(wc -l <"$work/live")
start_collectd
wait_for 60 grep -q "responding again" "$work/err"
ok $? "collectd is back: reported"
has_new_data() { more_than "$documents" && tail -n 1 "$work/live" | grep -q udp-443; }
wait_for 60 has_new_data
ok $? "and new tables follow"
is "$(wc -l <"$work/err")" 2 "each is reported once"
tail -n 1 "$work/live" >"$work/json"
holds 'd["interfaces"]' "each line is a complete document"

# ---- terminals, hostile servers ----

wait "$terminal"
played terminal
wait "$hostile"
played hostile
finish
