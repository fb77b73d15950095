# SPDX-License-Identifier: MIT
# What the tests of real traffic over real devices share, on top of lib.sh: addresses,
# devices in both namespaces, and what is to be counted where.
# lib.sh sets work; sums take their operator as a parameter.
# shellcheck shell=bash disable=SC1102,SC2034,SC2046,SC2154,SC2211

# ---- devices ----

# put NAMESPACE FILE VALUE: a sysctl
put() { ip netns exec "$1" sh -c "echo $3 >/proc/sys/net/$2"; }

# with_ipv6 NAMESPACE: devices made from now on have it, and say nothing of their own
with_ipv6() {
    put "$1" ipv6/conf/default/addr_gen_mode 1 && put "$1" ipv6/conf/default/disable_ipv6 0
}

# address NAMESPACE DEVICE NET HOST [MAC]: up, with addresses; MAC: the other end's
address() {
    local here=10.99.$3.$4 there=10.99.$3.$((3 - $4))
    {
        [ -z "${5:-}" ] || echo "link set $2 arp off"
        echo "link set $2 up"
        echo "address add $here/24 dev $2"
        echo "address add fd00::$here/120 dev $2 nodad"
        [ -z "${5:-}" ] || echo "neighbour replace $there lladdr $5 dev $2 nud permanent"
        [ -z "${5:-}" ] || echo "neighbour replace fd00::$there lladdr $5 dev $2 nud permanent"
    } | ip -n "$1" -batch -
}

# mac NAMESPACE DEVICE: nothing if it has no Ethernet header
mac() {
    ip -n "$1" -o link show dev "$2" | sed -n 's,.*link/ether \([^ ]*\).*,\1,p'
}

# addresses NET DEVICE-IN-A DEVICE-IN-B
addresses() {
    local mac_a mac_b
    mac_a=$(mac "$A" "$2")
    mac_b=$(mac "$B" "$3")
    address "$A" "$2" "$1" 1 "$mac_b" && address "$B" "$3" "$1" 2 "$mac_a"
}

# make NAMESPACE NAME ARGUMENT...: a device. False after a skip where the kernel has none of
# this type; but those of the guests have them all.
make() {
    local ns=$1 name=$2
    shift 2
    ip -n "$ns" link add name "$name" "$@" 2>"$work/error" && return
    if [ -z "${PB_KERNEL:-}" ] &&
        grep -qi 'unknown device type\|cannot find device' "$work/error"; then
        skip "no such device here; the guests have it" "$name"
    else
        ok 1 "$name is made"
        sed 's/^/# /' "$work/error"
    fi
    return 1
}

# device NAME LINK NET ARGUMENT...: one in A and one in B, up, with addresses in NET. In the
# arguments UNDER is the link's device, HERE and THERE are its addresses.
devices=
device() {
    local name=$1 link=$2 net=$3
    shift 3
    local a=("${@//THERE/10.99.$link.2}") b=("${@//THERE/10.99.$link.1}")
    a=("${a[@]//HERE/10.99.$link.1}") b=("${b[@]//HERE/10.99.$link.2}")
    make "$A" "$name" "${a[@]//UNDER/a$link}" && make "$B" "$name" "${b[@]//UNDER/b$link}" || return
    addresses "$net" "$name" "$name"
    ok $? "$name: one in each namespace"
    devices+=" $name "
}

# there DEVICE: whether device made it
there() { [[ $devices == *" $1 "* ]]; }

# device_sent NAMESPACE DEVICE: its bytes and packets
device_sent() {
    echo "$(interface_counter "$1" "$2" tx bytes) $(interface_counter "$1" "$2" tx packets)"
}

# plus FIGURES FIGURES, minus FIGURES FIGURES: four each
plus() { pairwise + "$1" "$2"; }
minus() { pairwise - "$1" "$2"; }
pairwise() {
    local one other
    read -ra one <<<"$2"
    read -ra other <<<"$3"
    echo $((one[0] $1 other[0])) $((one[1] $1 other[1])) $((one[2] $1 other[2])) $((one[3] $1 other[3]))
}

# ---- what is to be counted ----

declare -A expected # by "DEVICE INSTANCE": as values says it
order=()

# expect DEVICE INSTANCE RX_BYTES RX_PACKETS TX_BYTES TX_PACKETS: that much more
expect() {
    local key="$1 $2"
    shift 2
    [ -n "${expected[$key]:-}" ] || order+=("$key")
    expected[$key]=$(plus "${expected[$key]:-0 0 0 0}" "$*")
}

# stored INTERFACE INSTANCE: as values of lib.sh, but with fewer processes
stored() {
    local line
    line=$(cat "$work/csv/host/tc_portbytes-$1/port_traffic-$2"-????-??-?? 2>/dev/null | tail -n 1)
    line=${line#*,}
    [[ $line == [0-9]* ]] && echo "${line//,/ }" || echo "0 0 0 0"
}

# sum_of "DEVICE INSTANCE": sets sum, what is stored; INSTANCE may be several, joined by "+"
sum_of() {
    local instance
    sum="0 0 0 0"
    for instance in $(tr + ' ' <<<"${1#* }"); do
        sum=$(plus "$sum" "$(stored "${1% *}" "$instance")")
    done
}

as_expected() {
    local key sum
    for key in "${order[@]}"; do
        sum_of "$key"
        [ "$sum" = "${expected[$key]}" ] || return 1
    done
}

# One test for each series that was expected. What a device hands on to a thread of its own may
# come late, but no more of it than that.
check_expected() {
    local key sum
    as_expected || { wait_for 60 as_expected && settle; }
    for key in "${order[@]}"; do
        sum_of "$key"
        is "$sum" "${expected[$key]}" "$key: each packet and each byte"
        [ "$sum" = "${expected[$key]}" ] ||
            echo "# series of ${key% *}: $(series "${key% *}" | paste -sd' ')," \
                "it has received $(interface_counter "$A" "${key% *}" rx packets) packets"
    done
}
