# SPDX-License-Identifier: MIT
# What the tests of real traffic over real devices share, on top of test.sh: addresses,
# devices in both namespaces, and what is to be counted where.
# test.sh sets work; sums take their operator as a parameter.
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

# enslave NAMESPACE MASTER DEVICE...: and up; a device that is up can't become a bond's
enslave() {
    local ns=$1 master=$2 slave
    shift 2
    for slave; do
        ip -n "$ns" link set "$slave" down && ip -n "$ns" link set "$slave" master "$master" &&
            ip -n "$ns" link set "$slave" up || return
    done
    ip -n "$ns" link set "$master" up && wait_for 60 are_up "$ns" "$master" || return
    # The bridge learns a little later that its port has a carrier: 3 is forwarding.
    [ "$(ip -n "$ns" -o -d link show "$master" | grep -c ' bridge ')" = 0 ] ||
        wait_for 60 in_a grep -qx 3 "/sys/class/net/$1/brport/state"
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

# ---- IPsec ----

# What ESP by AES-GCM adds to a packet (RFC 4303, 4106): 8 bytes of header, 8 of IV, 16 of ICV,
# and behind the packet 2 of trailer after a padding to 4 bytes, which is 3 for all packets here.
esp=$((8 + 8 + 16 + 2 + 3))

# secure LINK MODE OUTER-A OUTER-B STATE POLICY A-SIDE B-SIDE...: states of both directions, and
# policies for what is between the sides, in both namespaces. STATE and POLICY: further words.
secure() {
    local link=$1 mode=$2 left=$3 right=$4 state=$5 policy=$6 ns side here there
    local key="aead rfc4106(gcm(aes)) 0x0102030405060708090a0b0c0d0e0f1011121314 128"
    shift 6
    # without it a tunnel is for one family only
    [ "$mode" = transport ] || state+=" flag af-unspec"
    for ns in "$A" "$B"; do
        {
            echo "xfrm state add src $left dst $right proto esp spi 0x10$link reqid 1$link" \
                "mode $mode $key $state"
            echo "xfrm state add src $right dst $left proto esp spi 0x20$link reqid 2$link" \
                "mode $mode $key $state"
            for side in "$@"; do
                here=${side%=*} there=${side#*=}
                if [ "$ns" = "$A" ]; then set -- out in; else set -- in out; fi
                echo "xfrm policy add src $here dst $there dir $1 $policy" \
                    "tmpl src $left dst $right proto esp reqid 1$link mode $mode"
                echo "xfrm policy add src $there dst $here dir $2 $policy" \
                    "tmpl src $right dst $left proto esp reqid 2$link mode $mode"
            done
        } | ip -n "$ns" -batch - || return
    done
}

# ---- what is to be counted ----

# attached: the interfaces that are
attached() {
    in_a "$PB_TOOLS/hooks" | sed -n 's/ ingress egress$//p' | LC_ALL=C sort | paste -sd' '
}

declare -A expected # by "DEVICE INSTANCE": as values says it
order=()

# expect DEVICE INSTANCE RX_BYTES RX_PACKETS TX_BYTES TX_PACKETS: that much more
expect() {
    local key="$1 $2"
    shift 2
    [ -n "${expected[$key]:-}" ] || order+=("$key")
    expected[$key]=$(plus "${expected[$key]:-0 0 0 0}" "$*")
}

# stored INTERFACE INSTANCE: as values of values.sh, but with fewer processes
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

# ---- traffic ----

# start_sinks: in each namespace, for what traffic and service send to and from the ports 2000 to
# 2030
start_sinks() {
    local ns
    for ns in "$A" "$B"; do
        put "$ns" ipv4/ip_forward 0
        started+=("$(ip netns exec "$ns" "$PB_TOOLS/stream" sink 30001 $(seq 2000 2030))")
    done
}

# UDP with a port for each device, which A receives on (rx) and sends from (tx). An odd number,
# so that padding would show.
payload=107
primes=(101 103 107 109 113 127 131 137 139 149 151 157 163 167 173 179 181 191 193 197 199 211
    223 227 229 233 239 241 251 257 263 269 271 277 281 283 293 307 311 313 317 331 337 347 349 353
    359 367 373 379 383 389 397 401 409 419 421 431 433 439 443 449 457 461 463 467 479 487 491 499
    503 509 521 523 541 547 557 563 569 571 577 587 593 599 601 607 613 617 619 631 641 643 647 653)
next=0

# datagrams NAMESPACE FROM ADDRESS TO COUNT
datagrams() {
    ip netns exec "$1" "$PB_TOOLS/stream" udp "$2" "$3" "$4" "$5" $payload >"$work/sent" ||
        ok 1 "$5 datagrams are sent to $3"
}

# flow NET PORT [rx|tx|both [FAMILIES]]: sends. Sets sent: "RX4 RX6 TX4 TX6" packets.
flow() {
    local count=(0 0 0 0) i=0 direction family there
    for direction in rx tx; do
        for family in 4 6; do
            if [[ ${3:-both} =~ both|$direction && ${4:-46} == *$family* ]]; then
                count[i]=${primes[next++]}
                there=10.99.$1.1
                [ $direction = tx ] && there=10.99.$1.2
                [ $family = 6 ] && there=fd00::$there
                if [ $direction = rx ]; then
                    datagrams "$B" 30001 "$there" "$2" "${count[i]}"
                else
                    datagrams "$A" "$2" "$there" 30001 "${count[i]}"
                fi
            fi
            i=$((i + 1))
        done
    done
    sent="${count[*]}"
}

# traffic DEVICE NET HEADER PORT [rx|tx|both [FAMILIES]]: sends, and expects it on the device
traffic() {
    flow "$2" "$4" "${@:5}"
    also "$1" "udp-$4" "$3"
}

# also DEVICE INSTANCE HEADER [HEADER6 [rx|tx]]: what flow sent is to be counted there, with so
# many bytes before its IP header
also() {
    local count v4=$((28 + payload + $3)) v6=$((48 + payload + ${4:-$3}))
    read -ra count <<<"$sent"
    [ "${5:-rx}" = rx ] || count=(0 0 "${count[@]:2}")
    [ "${5:-tx}" = tx ] || count=("${count[@]:0:2}" 0 0)
    expect "$1" "$2" $((count[0] * v4 + count[1] * v6)) $((count[0] + count[1])) \
        $((count[2] * v4 + count[3] * v6)) $((count[2] + count[3]))
}

# service DEVICE NET HEADER PORT [rx|tx|both [FAMILIES]]: traffic, where a port gets its series
# later than its first packet
service() {
    flow "$2" "$4" "${@:5}"
    also "$1" "udp-$4+udp-other" "$3"
}
