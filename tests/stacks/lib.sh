# SPDX-License-Identifier: MIT
# What the tests with real servers share, on top of lib.sh. Servers come from Debian's packages,
# unpacked in a directory of their own: nothing of them is installed, enabled or started by the
# system. They run in the test's namespace A, where nothing but its loopback reaches them, with
# data in $work, and end with the test.
# PB_CACHE (/var/cache/tc_portbytes): where unpacked packages are kept for the next run.
# shellcheck shell=bash disable=SC2154,SC2034
# shellcheck source=tests/lib.sh
. "${BASH_SOURCE[0]%/*}/../lib.sh"
# shellcheck source=conf/directory.sh
. "${BASH_SOURCE[0]%/*}/../../conf/directory.sh"

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
# legends PANEL REF: of its series, sorted
legends() {
    awk -F'\t' -v panel="^$1" -v ref="$2" '$1 == "sum" && $2 ~ panel && $3 == ref { print $4 }' \
        "$work/dashboard" | sort | paste -sd' '
}
