# SPDX-License-Identifier: MIT
# Who runs a test's programs, and where: users, namespaces, interfaces. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154

# ---- without privileges ----

# A user of this test alone: what it owns no other process can change, as one of 65534, which
# daemons run as, could. Outside the ranges that are in use (systemd's docs/UIDS-GIDS).
stranger=$((1900000000 + $$))
# shellcheck disable=SC2034 # for setpriv, in those who source this
unprivileged=("--reuid=$stranger" "--regid=$stranger" --clear-groups)

# lend_work: a collectd of that user can write in $work, too
lend_work() { chown "$stranger:root" "$work" && chmod 770 "$work"; }

# ---- namespaces ----

in_a() { ip netns exec "$A" "$@"; }
in_b() { ip netns exec "$B" "$@"; }

# The kernel's own chatter (neighbour and multicast discovery) would be counted too.
quiet() {
    ip netns exec "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
        net.ipv6.conf.default.disable_ipv6=1 2>/dev/null ||
        ip netns exec "$1" sh -c 'for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done'
}

# Two namespaces; nothing is sent in them that the test does not send.
make_namespaces() {
    ip netns add "$A" && ip netns add "$B" && quiet "$A" && quiet "$B"
    ip -n "$A" link set lo up
}

# make_veth N: aN in A, bN in B, up; no address, no ARP.
make_veth() { make_veths "$1" "$1"; }

# make_veths FIRST LAST: the same for many, with few processes
make_veths() {
    local i ends=() pairs=()
    for ((i = $1; i <= $2; i++)); do
        ends+=("b$i")
        pairs+=("a$i" "b$i")
    done
    printf "link add %s arp off type veth peer name %s netns $B\n" "${pairs[@]}" |
        ip -n "$A" -batch - || return
    printf 'link set %s arp off up\n' "${ends[@]}" | ip -n "$B" -batch -
    printf 'link set %s up\n' "${ends[@]/b/a}" | ip -n "$A" -batch -
    # aN has its carrier before its queue is made. bN, which was up first, gets a queue now.
    ready "$B" "${ends[@]}"
}

# ready NAMESPACE INTERFACE...: waits until they have noticed their carrier and their queues are
# active: what is sent before is dropped. The kernel does both under the rtnl lock, which ip takes
# as well.
ready() {
    wait_for 60 are_up "$@"
    ip -n "$1" link set "$2" up
}
are_up() {
    local files=("${@:2}")
    files=("${files[@]/#//sys/class/net/}")
    [ -z "$(ip netns exec "$1" grep -Lx up "${files[@]/%//operstate}" 2>&1)" ]
}

# mount_bpffs: in a mount namespace that lives as long as the test. Sets inside, the words that
# start a command there, for start_collectd.
mount_bpffs() {
    local holder
    # shellcheck disable=SC2016
    ip netns exec "$A" sh -c 'mount -t bpf bpf /sys/fs/bpf && echo >"$1" && exec sleep 3600' sh "$work/mounted" &
    holder=$!
    started+=("$holder")
    wait_for 60 test -e "$work/mounted"
    ok $? "a bpffs of the test's own"
    inside=(nsenter -t "$holder" -m)
}
in_mount() { ip netns exec "$A" "${inside[@]}" "$@"; }

# interface_counter NAMESPACE INTERFACE rx|tx packets|bytes
interface_counter() {
    ip netns exec "$1" cat "/sys/class/net/$2/statistics/$3_$4"
}

# listen NAME NAMESPACE SOCKET...: see tests/tools/listen.c; sets listen_NAME, its pid
listen() {
    local name=$1 namespace=$2
    shift 2
    rm -f "$work/listen-$name"
    ip netns exec "$namespace" "$PB_TOOLS/listen" "$work/listen-$name" "$@" & # no function: $! is its pid
    eval "listen_$name=$!"
    started+=("$!")
    wait_for 60 grep -qs open "$work/listen-$name"
}
