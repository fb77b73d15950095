# SPDX-License-Identifier: MIT
# What the tests with real servers share, on top of lib/test.sh. Servers come from Debian's packages,
# unpacked in a directory of their own: nothing of them is installed, enabled or started by the
# system. They run in the test's namespace A, where nothing but its loopback reaches them, with
# data in $work, and end with the test.
# PB_CACHE (/var/cache/tc_portbytes): where unpacked packages are kept for the next run.
# shellcheck shell=bash disable=SC2154,SC2034
# shellcheck source=tests/lib/test.sh
. "${BASH_SOURCE[0]%/*}/../lib/test.sh"
# shellcheck source=tests/lib/directory.sh
. "${BASH_SOURCE[0]%/*}/../lib/directory.sh"

# use_cache SUBDIRECTORY: sets cache, the part of PB_CACHE of that name. That others could change
# it is the end of the test.
use_cache() {
    { provide_directory "${PB_CACHE:-/var/cache/tc_portbytes}" &&
        provide_directory "$directory/$1"; } || {
        [ $? -eq 2 ] && return 1
        echo "Bail out! PB_CACHE: $refusal"
        exit 1
    }
    cache=$directory
}

collectd_writers=5 # collectd's default: stores get values as an operator's do

# unpack NAME PACKAGE...: these packages and what they depend on, if it isn't installed, in one
# directory: root; libraries is where its shared ones are, for LD_LIBRARY_PATH. The directory's
# name tells the packages, so other ones are another directory.
unpack() {
    local stamp to
    stamp=$(. /etc/os-release && echo "${VERSION_CODENAME:-$ID}-$(cksum <<<"$*" | cut -d' ' -f1)")
    use_cache servers || return
    to=$cache/$1-$stamp
    root=$to/root
    shift
    [ -e "$to/complete" ] || fill "$to" "$@" || return
    libraries=$(printf '%s:' "$root"/usr/lib/*-linux-gnu* "$root"/lib/*-linux-gnu*)
    libraries=${libraries%:}
}

# fill DIRECTORY PACKAGE...
fill() {
    local to=$1
    shift
    rm -rf "$to"
    mkdir -p "$to/packages" "$to/root"
    {
        unpack_now "$to" "$@" || { apt-get update && unpack_now "$to" "$@"; }
    } >"$to/log" 2>&1 </dev/null || {
        tail -n 5 "$to/log" | sed 's/^/# /'
        return 1
    }
    rm -rf "$to/packages"
    touch "$to/complete"
}

# As root: user _apt may not write there.
unpack_now() {
    local to=$1 packages package
    shift
    packages=$(apt-get -s install --no-install-recommends "$@" | awk '$1 == "Inst" { print $2 }')
    [ -n "$packages" ] || packages="$*" # installed: a copy all the same
    # shellcheck disable=SC2086
    env -C "$to/packages" apt-get -o APT::Sandbox::User=root download $packages || return 1
    for package in "$to"/packages/*.deb; do
        dpkg -x "$package" "$to/root" || return 1
    done
}

# from_root COMMAND...: in namespace A, with what was unpacked there found first. Replaces
# the shell: to be called in a subshell or in the background, whose pid is then the command's.
from_root() {
    exec ip netns exec "$A" env PATH="$root/usr/bin:$root/usr/sbin:$PATH" \
        LD_LIBRARY_PATH="$libraries" PYTHONPATH="$root/usr/lib/python3/dist-packages" \
        PYTHONDONTWRITEBYTECODE=1 "$@"
}

# serve NAME COMMAND...: a server from root, in the background until the test ends; what it
# prints is in $work/NAME.out. Sets served, its pid.
serve() {
    local name=$1
    shift
    from_root "$@" >"$work/$name.out" 2>&1 </dev/null &
    served=$!
    started+=("$served")
}

# ask COMMAND...: one of the unpacked programs, e.g. a client
ask() { (from_root "$@"); }

# ---- VictoriaMetrics ----

# As unpack does; with the libraries of collectd's write_prometheus.
unpack_victoriametrics() {
    unpack victoriametrics victoria-metrics libmicrohttpd12 libprotobuf-c1
}

# serve_victoriametrics ARGUMENT...: from root, with data in $work/victoriametrics; waits until it
# answers at http://127.0.0.1:8428, which has Prometheus's API below /api/v1. Sets served. By
# default a query has a value after 30 s only, and may be answered from a cache.
serve_victoriametrics() {
    serve victoriametrics victoria-metrics -storageDataPath="$work/victoriametrics" \
        -httpListenAddr=127.0.0.1:8428 -memory.allowedBytes=64MB -search.latencyOffset=0s \
        -search.disableCache "$@"
    wait_for 120 victoriametrics_answers
}
victoriametrics_answers() {
    in_a timeout 60 python3 -c \
        'import urllib.request as r; r.urlopen("http://127.0.0.1:8428/health")' 2>/dev/null
}

# ---- known traffic ----

# What send_known sends through a0, each time: INSTANCE RX_BYTES RX_PACKETS TX_BYTES TX_PACKETS.
# Primes, so that a figure is recognised.
known="tcp-443 120180 2003 906093 907
tcp-8443 1052201 701 0 0
tcp-ephemeral 0 0 24560 307
udp-53 166793 1512 453300 1511"

send_known() {
    {
        in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 1009 100
        in_b "$PB_TOOLS/blast" b0 6 udp 40000 53 503 131
        in_b "$PB_TOOLS/blast" b0 4 tcp 40000 443 2003 60
        in_b "$PB_TOOLS/blast" b0 6 tcp 40000 8443 701 1501
        in_a "$PB_TOOLS/blast" a0 4 udp 53 40000 1511 300
        in_a "$PB_TOOLS/blast" a0 6 tcp 443 40000 907 999
        in_a "$PB_TOOLS/blast" a0 4 tcp 45000 80 307 80
    } >"$work/sent"
    is "$(paste -sd' ' "$work/sent")" "1009 503 2003 701 1511 907 307" "the traffic was sent"
}

# ---- series that take more than packets ----

# What feed gives collectd as if the plugin had counted it in a0: the packets of an IPsec policy
# once more, and a group.
fed="decrypted 9000007 7001 0 0
group-rtp.media-other 5003 97 3001 59"

feed_config="LoadPlugin unixsock
<Plugin unixsock>
  SocketFile \"$work/socket\"
</Plugin>"

# feed: 0, then what is fed, three times each, a second apart. reads and settle would take each for
# a read: not to be followed by these.
feed() {
    local i instance rx rx_packets tx tx_packets
    for i in 0 0 0 1 1 1; do
        while read -r instance rx rx_packets tx tx_packets; do
            printf 'PUTVAL "host/tc_portbytes-a0/port_traffic-%s" interval=3600 N:%d:%d:%d:%d\n' \
                "$instance" $((i * rx)) $((i * rx_packets)) $((i * tx)) $((i * tx_packets))
        done <<<"$fed" | timeout 60 python3 "${0%/*}/../system/top.py" put "$work/socket" || return
        sleep 1
    done
}

# send_and_feed: the known traffic, 11 packets more for tcp-other, and meanwhile what is fed
send_and_feed() {
    local feeds
    feed >"$work/fed" &
    feeds=$!
    send_known
    is "$(in_b "$PB_TOOLS/blast" b0 4 tcp 40000 9000 11 100)" 11 "and 11 packets for tcp-other"
    wait "$feeds"
    ok $? "collectd takes values of a group and of decrypted"
}

# near NAME GOT EXPECTED LOW HIGH: between so many times what is expected
near() {
    awk -v got="${2:--1}" -v want="$3" -v low="$4" -v high="$5" \
        'BEGIN { exit !(got >= want * low && got <= want * high) }'
    ok $? "$1: ${2:-nothing} for $3"
}

# sum PANEL REF LEGEND: of what grafana.py wrote to $work/dashboard, all values of a graph's
# series, times the step
sum() {
    awk -F'\t' -v panel="^$1" -v ref="$2" -v legend="$3" \
        '$1 == "sum" && $2 ~ panel && $3 == ref && $4 == legend { print $5 }' "$work/dashboard"
}
# links PANEL REF: the ports that a click on its series leads to, sorted
links() {
    awk -F'\t' -v panel="^$1" -v ref="$2" '$1 == "link" && $2 ~ panel && $3 == ref { print $5 }' \
        "$work/dashboard" | sort | paste -sd' '
}
# cell PORT COLUMN: of the table
cell() {
    awk -F'\t' -v row="$1" -v column="$2" \
        '$1 == "cell" && $3 == row && $4 == column { print $5 }' "$work/dashboard"
}
# legends PANEL REF: of its series, sorted
legends() {
    awk -F'\t' -v panel="^$1" -v ref="$2" '$1 == "sum" && $2 ~ panel && $3 == ref { print $4 }' \
        "$work/dashboard" | sort | paste -sd' '
}

# ask_dashboard NAME URL STORE: every query of the store's dashboard has data; $work/dashboard is
# what grafana.py wrote. $began: seconds since 1970.
ask_dashboard() {
    in_a timeout 120 python3 "${0%/*}/grafana.py" "$2" "$conf/grafana/$3.json" "$began" \
        "$(date +%s)" "$collectd_interval" top=2 port=tcp-443 >"$work/dashboard"
    is "$(grep ^error "$work/dashboard")" "" "$1: every query is understood"
    is "$(awk -F'\t' '$1 == "query" && !$4' "$work/dashboard")" "" "$1: every query has data"
    is "$(grep '^variable.interface' "$work/dashboard" | cut -f3-)" a0 \
        "$1: the interface is offered"
    is "$(legends Shares A)" "tcp-ephemeral tcp-other" \
        "$1: a group is not a share of other, whatever its name ends in"
    is "$(links Busiest A) $(links Busiest B) $(links Groups:.bits A) $(links Shares A)" \
        "tcp-443 tcp-8443 tcp-443 tcp-8443 group-rtp.media-other tcp-ephemeral tcp-other" \
        "$1: series lead to the detail of their ports"
    is "$(links Totals A | wc -w)" "$(wc -l <<<"$all")" "$1: so do the rows of the table"
}

# check_prometheus_dashboard URL: with $all in the store, some ten values of each series
check_prometheus_dashboard() {
    local name=dashboard port rx rx_packets tx tx_packets
    ask_dashboard $name "$1" prometheus
    is "$(grep -c ^query "$work/dashboard")" 22 "$name: all queries were tried"
    is "$(legends Busiest A)" "tcp-443 in tcp-8443 in" \
        "$name: the two busiest ports are chosen, not decrypted"
    # increase() extrapolates to the end of its range, by at most 1.1 of the distance of two
    # values; not to its begin, as the first value is 0. VictoriaMetrics' doesn't at all.
    while read -r port rx rx_packets tx tx_packets; do
        near "increase of $port, bytes in" "$(cell "$port" "bytes in")" "$rx" 0.999 1.15
        near "increase of $port, bytes out" "$(cell "$port" "bytes out")" "$tx" 0.999 1.15
        near "increase of $port, packets in" "$(cell "$port" "packets in")" "$rx_packets" 0.999 1.15
        near "increase of $port, packets out" "$(cell "$port" "packets out")" "$tx_packets" \
            0.999 1.15
    done <<<"$all"
    # rate() extrapolates, too: 7 to 13 % too much were seen, by when values come.
    near "the rates of tcp-443 add up" "$(sum Busiest A "tcp-443 in")" $((8 * 120180)) 0.8 1.3
    near "so do those of the rest" "$(sum Busiest C "the rest in")" $((8 * 172896)) 0.8 1.3
    check_detail 0.6 1.8
    near "and all but the shares" "$(sum Shares B "all other series")" 2706571 0.75 1.35
    # Both are, and not by the same: values of other plugins come at other moments.
    near "all ports in are what the interface says" "$(sum All A "a0 in: ports")" \
        "$(sum All C "a0 in: interface")" 0.75 1.35
    near "all ports out are what the interface says" "$(sum All B "a0 out: ports")" \
        "$(sum All D "a0 out: interface")" 0.75 1.35
}

# check_detail LOW HIGH: the panels of one port, and of groups. A rate may be too high or too low
# (LOW, HIGH), but those of the same values' times by the same factor: bits and packets, and both
# ways of a group, which feed gives at once.
check_detail() {
    local panel ref legend expected got key
    local -A factor=()
    while read -r panel ref expected legend; do
        got=$(sum "$panel" "$ref" "$legend")
        key=${legend/#group-*/group}
        if [ -z "${factor[$key]:-}" ]; then
            near "$panel $legend" "$got" "$expected" "$@"
            factor[$key]=$(awk -v n="$expected" -v got="${got:-0}" 'BEGIN { print got / n }')
        else
            near "$panel $legend, by the same factor" "$got" \
                "$(awk -v n="$expected" -v by="${factor[$key]}" 'BEGIN { print n * by }')" 0.99 1.01
        fi
    done <<-END
		tcp-443:.bits A $((8 * 120180)) tcp-443 in
		tcp-443:.bits B $((8 * 906093)) tcp-443 out
		tcp-443:.packets A 2003 tcp-443 in
		tcp-443:.packets B 907 tcp-443 out
		Groups:.bits A $((8 * 5003)) group-rtp.media-other in
		Groups:.bits B $((8 * 3001)) group-rtp.media-other out
		Groups:.packets A 97 group-rtp.media-other in
		Groups:.packets B 59 group-rtp.media-other out
	END
    is "$(awk -F'\t' '$1 == "sum" && $2 ~ /^(tcp-443|Groups): / { print $4 }' "$work/dashboard" |
        sort -u | paste -sd' ')" \
        "group-rtp.media-other in group-rtp.media-other out tcp-443 in tcp-443 out" \
        "and no other series there"
}
