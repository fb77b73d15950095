#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# devices.sh: the devices, qdiscs and facilities that the matrix promises to the
# tests are there. Without this, a test that skips for want of one would go unseen.
# Guest only: it makes devices in the namespace it runs in.
set -uo pipefail
[[ ${PB_GUEST-} ]] || { echo "1..0 # SKIP for the guests of boot.sh only"; exit 0; }

n=0
# check NAME COMMAND...: one test; what the command said comes as comment if it failed
check() {
    local name=$1 said
    shift
    n=$((n + 1))
    if said=$("$@" 2>&1); then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name"
        [[ -z $said ]] || printf '%s\n' "$said" | sed 's/^/# /'
    fi
}

# device TYPE ARGUMENT...: can be made, is up, takes a clsact, and goes
device() {
    ip link add name pbt0 "$@" && ip link set pbt0 up && tc qdisc add dev pbt0 clsact &&
        tc qdisc del dev pbt0 clsact
    local status=$?
    ip link del pbt0 2>/dev/null
    return "$status"
}
slave() {
    ip link add name pbm0 type "$@" && ip link add name pbs0 type dummy &&
        ip link set pbs0 master pbm0 && ip link set pbm0 up && ip link set pbs0 up
    local status=$?
    ip link del pbm0 2>/dev/null
    ip link del pbs0 2>/dev/null
    return "$status"
}
tuntap() {
    ip tuntap add dev pbt0 mode "$1" && ip link set pbt0 up && tc qdisc add dev pbt0 clsact
    local status=$?
    ip tuntap del dev pbt0 mode "$1"
    return "$status"
}
qdisc() {
    tc qdisc add dev pbd0 root handle 1: "$@" && tc qdisc del dev pbd0 root
}
filter() {
    tc qdisc add dev pbd0 clsact &&
        tc filter add dev pbd0 ingress pref 7 protocol all "$@" &&
        tc qdisc del dev pbd0 clsact
}
namespace() {
    ip netns add pbn0 && ip -n pbn0 link add veth0 type veth peer name veth1 &&
        ip netns exec pbn0 ip link set veth0 up && ip netns del pbn0
}
esp() {
    ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 7 mode tunnel \
        aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128 &&
        ip xfrm state flush
}
cards() {
    modprobe -a virtio_pci virtio_net &&
        [ "$(ip -o link | grep -c 'link/ether 52:54:00:00:00:0[0-5] ')" = 7 ]
}
needs_kernel() {
    local have
    have=$(uname -r)
    [[ $(printf '%s\n%s\n' "$1" "${have%%-*}" | sort -V | head -n1) == "$1" ]]
}
# a kernel symbol; grep reads to the end, or kallsyms ends in a broken pipe
symbol() { grep -c " $1\$" /proc/kallsyms >/dev/null; }

check "dummy" device type dummy
check "veth" device type veth peer name pbt1
check "ifb" device type ifb
ip link add pbd0 type dummy && ip link set pbd0 up
check "vlan 802.1Q" device link pbd0 type vlan id 7
check "vlan 802.1ad" device link pbd0 type vlan proto 802.1ad id 7
check "macvlan" device link pbd0 type macvlan
check "bond, with a slave" slave bond mode active-backup
check "team, with a slave" slave team
check "bridge, with a port" slave bridge
check "wireguard" device type wireguard
check "ipip" device type ipip local 192.0.2.1 remote 192.0.2.2
check "sit" device type sit local 192.0.2.1 remote 192.0.2.2
check "gre" device type gre local 192.0.2.1 remote 192.0.2.2
check "gretap" device type gretap local 192.0.2.1 remote 192.0.2.2
check "ip6gre" device type ip6gre local 2001:db8::1 remote 2001:db8::2
check "ip6tnl" device type ip6tnl mode any local 2001:db8::1 remote 2001:db8::2
check "vxlan" device type vxlan id 7 local 192.0.2.1 remote 192.0.2.2 dstport 4789
check "vrf" device type vrf table 7
check "ipvlan" device link pbd0 type ipvlan mode l3s
check "macvtap" device link pbd0 type macvtap
check "xfrm interface" device type xfrm dev pbd0 if_id 7
check "vti" device type vti local 192.0.2.1 remote 192.0.2.2 key 7
check "vti6" device type vti6 local 2001:db8::1 remote 2001:db8::2 key 7
check "ESP by AES-GCM" esp
check "esp4_offload, not loaded" modprobe -n esp4_offload # or it would be used from now on
check "nlmon" device type nlmon
check "vsockmon" device type vsockmon
check "openvswitch" modprobe openvswitch
check "cards, and a failover pair" cards
if needs_kernel 6.7; then
    check "netkit" device type netkit
fi
case $PB_KERNEL in
*-rt)
    check "the kernel is PREEMPT_RT" grep -q PREEMPT_RT /proc/version
    check "vcan" modprobe vcan
    check "PPPoE" modprobe pppoe
    ;;
esac
check "tun" tuntap tun
check "tap" tuntap tap
for kind in fq "htb default 1" "netem delay 1ms"; do
    # shellcheck disable=SC2086  # words
    check "qdisc ${kind%% *}" qdisc $kind
done
check "classifier matchall with gact" filter matchall action pass
check "classifier bpf" modprobe cls_bpf
check "network namespaces" namespace
check "sctp" modprobe sctp
for kind in tcp udp sctp; do
    check "${kind}_diag" modprobe "${kind}_diag"
done
check "nf_tables" modprobe nf_tables
check "bpffs" test -w /sys/fs/bpf
check "BTF of the kernel" test -s /sys/kernel/btf/vmlinux
check "bpftool reads programs" bpftool prog show
check "JIT is on" grep -qx 1 /proc/sys/net/core/bpf_jit_enable
n=$((n + 1))
if ! needs_kernel 6.6; then
    echo "ok $n - tcx # SKIP it came with 6.6, this is $(uname -r)"
elif symbol tcx_prog_attach; then
    echo "ok $n - tcx"
else
    echo "not ok $n - tcx"
fi
ip link del pbd0
echo "1..$n"
