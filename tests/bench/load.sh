# SPDX-License-Identifier: MIT
# The section "load" of run.sh, for sourcing: what a local user, or root in a container, can do to
# the daemon, each load against a collectd of its own that has been idle before. Two interfaces,
# and links that come beside them.
# shellcheck shell=bash disable=SC2154 # of run.sh and lib/*.sh

# Each load is a function of how long it is to last; what it leaves behind ends in end_load.
load_pids=()

# sockets TRANSPORT,ADDRESS FIRST LAST: at most 15,000 of a process, for the limit of open files
sockets() {
    local first=$2 last
    for (( ; first <= $3; first = last + 1)); do
        last=$((first + 14999 < $3 ? first + 14999 : $3))
        listen load "$A" "$1,$first-$last" || note load "no sockets $1,$first-$last"
        load_pids+=("$listen_load")
    done
}

load_idle() { sleep "$1"; }
load_sockets() {
    sockets udp,0.0.0.0 1024 61023
    sockets udp,:: 1024 41023
    sleep "$1"
}
load_listeners() {
    sockets tcp,0.0.0.0 1024 31023
    sleep "$1"
}
# 50 links come in each second; each lives a second, has a name that none had before, and carries
# something. A veth can't be made with its other end up.
load_links() {
    local end=$((SECONDS + $1)) n=0 to_a to_b
    ip netns exec "$B" "$PB_TOOLS/pump" d 40000 53 1 >/dev/null &
    load_pids+=("$!")
    started+=("$!")
    exec {to_a}> >(ip -n "$A" -force -batch - 2>/dev/null) {to_b}> >(ip -n "$B" -force -batch - 2>/dev/null)
    while [ $SECONDS -lt $end ]; do
        echo "link add c$n arp off up type veth peer name d$n netns $B" >&"$to_a"
        [ $n -lt 3 ] || echo "link set d$((n - 3)) arp off up" >&"$to_b"
        [ $n -lt 50 ] || echo "link del c$((n - 50))" >&"$to_a"
        n=$((n + 1))
        sleep 0.018
    done
    for ((end = n - 50; end < n; end++)); do echo "link del c$end"; done >&"$to_a"
    exec {to_a}>&- {to_b}>&-
    sample load "links that came, a second" "$2" "" "$((n / $1))"
}
load_fragments() {
    local end=$((SECONDS + $1))
    while [ $SECONDS -lt $end ]; do in_b "$PB_TOOLS/blast" b0 4 fragment 40000 1-65535 200000 100; done |
        awk -v s="$1" '{ n += $1 } END { print n / s / 1000 }' >"$work/fragments"
    sample load "thousand fragments a second" "$2" "" "$(cat "$work/fragments")"
}
load_scan() {
    local end=$((SECONDS + $1))
    while [ $SECONDS -lt $end ]; do in_b "$PB_TOOLS/scan" b0 1-65535 1 14x1429 300000 >/dev/null; done
}

end_load() {
    local pid
    for pid in ${load_pids[@]+"${load_pids[@]}"}; do kill "$pid" && wait "$pid"; done 2>/dev/null
    load_pids=()
}

# lines: how many the plugin has logged
lines() { grep -c 'tc_portbytes plugin: ' "$work/log"; }

turn_of_load() {
    local name=$1 load=$2 said before begin us cpu
    put() { sample load "$1" "$name" "" "$2"; }

    : >"$PB_BENCH_READS"
    write_bench_config "$work/timed"
    start_collectd || {
        note load "collectd does not start"
        return
    }
    sleep 3
    said=$(lines)
    before=$(cpu_of "$collectd") begin=$EPOCHREALTIME
    "$load" "$loading" "$name"
    put "the daemon's CPU, ms a second" "$(awk -v us=$(($(cpu_of "$collectd") - before)) \
        -v s="$(since "$begin")" 'BEGIN { print us / 1e3 / s }')"
    put "log lines a minute" "$((($(lines) - said) * 60 / loading))"
    # Of the reads, those that began before it was complete are left out.
    tail -n "$((loading - 2))" "$PB_BENCH_READS" >"$work/new-reads"
    while read -r us cpu; do
        put "a read, ms" "$(awk -v n="$us" 'BEGIN { print n / 1000 }')"
        put "a read, CPU ms" "$(awk -v n="$cpu" 'BEGIN { print n / 1000 }')"
    done <"$work/new-reads"
    put "RssAnon, KiB" "$(memory)"
    put "kernel memory, KiB" "$(kernel_memory)"
    end_load
    sleep 3
    put "RssAnon when it is over, KiB" "$(memory)"
    stop_collectd
}

section_load() {
    local loading=20
    $quick && loading=8
    mkdir -p "$work/timed"
    cp "$PB_BUILD/tests/bench/.libs/timed.so" "$work/timed/tc_portbytes.so"
    export PB_BENCH_READS=$work/reads
    fresh_namespaces
    make_veth 1
    turn_of_load "idle" load_idle
    turn_of_load "100,000 sockets of UDP" load_sockets
    turn_of_load "30,000 sockets that listen" load_listeners
    turn_of_load "50 links a second" load_links
    turn_of_load "a flood of fragments" load_fragments
    turn_of_load "20 kB to every port" load_scan
}
