# SPDX-License-Identifier: MIT
# For tests/system/{series,groups}.sh: which series there are, and no others. collectd counts on a0;
# another interface, a200, shows when it reads. Sourced after test.sh.
# shellcheck shell=bash disable=SC2034,SC2154
# shellcheck source=tests/lib/links.sh
. "${BASH_SOURCE[0]%/*}/links.sh"

collectd_interval=0.5
[ -z "${PB_KERNEL:-}" ] || collectd_interval=2 # an emulated CPU
reference=200

listed() { series "${1:-a0}" | paste -sd' '; }
has_any() { [ -n "$(series "$1")" ]; }

# these_and_no_others NAME SERIES...: all that a0 has
these_and_no_others() {
    local name=$1 wanted
    wanted=$(printf '%s\n' "${@:2}" | sort | paste -sd' ')
    wait_for 60 says "$wanted" listed a0
    reads 1
    is "$(listed a0)" "$wanted" "$name: these series and no others"
}

# into TRANSPORT PORTS COUNT SIZE, out TRANSPORT PORTS COUNT SIZE: frames to and from these ports
# of this host
into() { in_b "$PB_TOOLS/blast" b0 4 "$1" 54321 "$2" "$3" "$4" >/dev/null; }
out() { in_a "$PB_TOOLS/blast" a0 4 "$1" "$2" 54321 "$3" "$4" >/dev/null; }

# open NAME SOCKET...: sockets in A, see tests/tools/listen.c
open() {
    listen "$1" "$A" "${@:2}"
    ok $? "$1: the sockets ${*:2} open"
}
close_all() {
    local pid="listen_$1"
    kill -TERM "${!pid}"
    wait "${!pid}"
}

# range FIRST LAST [RESERVED]: which ports the kernel gives to clients
range() {
    put "$A" ipv4/ip_local_reserved_ports "\"${3:-}\""
    put "$A" ipv4/ip_local_port_range "\"$1 $2\""
}

# with [OPTION...]: collectd starts anew
with() {
    rm -rf "$work/csv"
    baseline
    write_config "$@"
    # shellcheck disable=SC2119 # under no other command
    start_collectd || {
        ok 1 "collectd starts with: $*"
        finish
    }
    # Without any series nobody sees when collectd reads: one on an interface of its own.
    in_b "$PB_TOOLS/blast" b$reference 4 udp 40000 40001 1 60 >/dev/null
    wait_for 60 has_any a$reference
}

make_hosts() {
    make_namespaces
    make_veth 0
    make_veth $reference
    ip -n "$A" address add 10.99.0.1/24 dev a0
}
