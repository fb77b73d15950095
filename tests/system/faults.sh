#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# When memory, file descriptors or the kernel fail, when netlink events are lost, when the
# clock jumps, with very short and very long intervals: no crash, no leak, no wrong value.
# PB_STRIDE (101): each how manieth allocation of a library fails; 1 takes minutes.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

preload=
[ $hook = clsact ] && preload="$PB_TOOLS/libnotcx.so"
faults="$preload $PB_TOOLS/libfaults.so"
stride=${PB_STRIDE:-101}

namespaces=()
cleanup_all() {
    local namespace
    cleanup
    for namespace in "${namespaces[@]}"; do ip netns del "$namespace" 2>/dev/null; done
}
trap cleanup_all EXIT

make_namespaces
make_veth 0
make_veth 1

# ---- each call fails in turn; in the background, in namespaces of their own ----

# start_exhaust N STRIDE WHAT
declare -A exhausting
start_exhaust() {
    local namespace=pbF$$$1
    ip netns add "$namespace" && namespaces+=("$namespace") && quiet "$namespace"
    for i in 0 1; do
        ip -n "$namespace" link add "e$i" arp off type veth peer name "f$i"
        ip -n "$namespace" link set "f$i" arp off up
        ip -n "$namespace" link set "e$i" up
    done
    ip netns exec "$namespace" env LD_PRELOAD="$preload" timeout 900 \
        "$PB_TOOLS/exhaust" -s "$2" "$3" e0 f0 e1 f1 >"$work/exhaust-$3" 2>&1 &
    exhausting[$3]=$!
    started+=("$!")
}

few=5
[ "$stride" -gt 1 ] || few=1
[ -z "${PB_KERNEL:-}" ] || stride=1009 few=37
start_exhaust 1 "$stride" memory
start_exhaust 2 $few files
start_exhaust 3 $few 12 # ENOMEM

# ---- the kernel refuses a map ----

# refused ERRNO TEXT: one sentence with that, and collectd goes on
refused() {
    local line
    write_config
    start_collectd env LD_PRELOAD="$faults" PB_FAULT_BPF="0 $1"
    line=$(sed -n 's/.*tc_portbytes plugin: //p' "$work/log" | grep -v '^classifier: libbpf:')
    [[ $line == *"$2"* ]] && [ "$(wc -l <<<"$line")" -eq 1 ] && kill -0 "$collectd"
    ok $? "maps are refused ($1): one sentence, and collectd goes on"
    echo "#   $line"
    stop_collectd
}

refused 12 "no memory for the classifier (Cannot allocate memory); lower MaxPorts."
refused 28 "no memory for the classifier (No space left on device); lower MaxPorts."
refused 7 "no memory for the classifier (Argument list too long); lower MaxPorts."
refused 24 "no file descriptors for the classifier (Too many open files); raise the limit: LimitNOFILE"

# ---- too few file descriptors ----

# Half of what others leave may be taken. By clsact an interface takes none.
if [ $hook = tcx ]; then
    make_veths 2 11
    counted() { sed -n 's/.* \(a[0-9]*\): counting\.$/\1/p' "$work/log" | sort -uV; }
    are_counted() { [ "$(counted | wc -l)" -ge "$1" ]; }
    write_config 'MinBytes 0'
    start_collectd prlimit --nofile=72:72
    wait_for 60 has_logged "are not counted"
    some=$(counted)
    number=$(wc -l <<<"$some")
    ok $((number < 2 || number > 10)) "with file descriptors for some of 12 interfaces, some are counted ($number)"
    is "$(logged "$((12 - number)) interfaces are not counted, ") $(logged "raise LimitNOFILE")" "1 1" \
        "that the others are not is said once, with the remedy"
    for name in $some; do
        in_b "$PB_TOOLS/blast" "b${name#a}" 4 udp 40000 53 $((1009 + ${name#a})) 100 >/dev/null
    done
    settle
    wrong=
    for name in $some; do
        sent=$((1009 + ${name#a}))
        [ "$(values "$name" udp-53)" = "$((sent * 100)) $sent 0 0" ] || wrong+=" $name: $(values "$name" udp-53)"
    done
    is "$wrong" "" "those that are counted are exact"
    ip -n "$A" link del "$(head -n 1 <<<"$some")"
    wait_for 60 are_counted $((number + 1))
    ok $? "one of them goes: another is counted in its place"
    other=$(counted | grep -vxF "$some")
    in_b "$PB_TOOLS/blast" "b${other#a}" 4 udp 40000 53 503 100 >/dev/null
    settle
    is "$(values "$other" udp-53)" "50300 503 0 0" "to the byte"
    is "$(logged "are not counted")" 1 "nothing more is said"
    stop_collectd
    is $? 0 "collectd ends well"
    for i in {2..11}; do ip -n "$A" link del a$i 2>/dev/null; done
    ip -n "$A" link show a0 >/dev/null 2>&1 || make_veth 0
    ip -n "$A" link show a1 >/dev/null 2>&1 || make_veth 1
fi

# ---- netlink events are lost ----

burst=60
[ -z "${PB_KERNEL:-}" ] || burst=8
drops() { in_a awk '$2 == 0 && $4 == "00000001" { n += $9 } END { print n + 0 }' /proc/net/netlink; }
hooked() { in_a "$PB_TOOLS/hooks" | grep -cE '^v[0-9]+ ingress egress$'; }
are_hooked() { [ "$(hooked)" -eq "$1" ]; }

write_config 'MinBytes 0'
start_collectd env LD_PRELOAD="$faults" PB_FAULT_EVENTS=1
is "$(logged ": counting.")" 2 "with a tiny buffer for events: collectd starts"
kill -STOP "$collectd"
for ((i = 0; i < burst; i++)); do
    echo "link add v$i arp off type veth peer name w$i netns $B"
    echo "link set v$i up"
done | ip -n "$A" -batch -
for ((i = 0; i < burst; i++)); do echo "link set w$i arp off up"; done | ip -n "$B" -batch -
lost=$(drops)
kill -CONT "$collectd"
[ "$lost" -gt 0 ]
ok $? "of a burst of changes, $lost events are lost"
wait_for 300 are_hooked $burst
is "$(hooked)" $burst "afterwards all that is up is attached"
kill -STOP "$collectd"
for ((i = 0; i < burst; i++)); do echo "link del v$i"; done | ip -n "$A" -batch -
kill -CONT "$collectd"
gone() { [ "$(logged ": stopped counting")" -eq $burst ]; }
wait_for 300 gone
ok $? "and what has gone is not counted any more"
is "$(plugin_said | grep -vc -e ': counting\.$' -e ': stopped counting (.*)\.$')" 0 \
    "there is nothing to complain of"
stop_collectd
is $? 0 "collectd ends well"

# ---- the clock jumps ----

# clock SECONDS: what collectd's clock is off by, in the 32 bytes of a file that it has mapped
clock() {
    clock_ahead=$1
    printf '%-31s\n' "$1" 1<>"$work/clock"
}
clock 0
# last_time: of the values stored
last_time() {
    cat "$work"/csv/host/tc_portbytes-a0/port_traffic-udp-53-* 2>/dev/null |
        awk -F, '/^[0-9]/ { if ($1 > last) last = $1 } END { printf "%d\n", last }'
}
later_than() { [ "$(last_time)" -gt "$1" ]; }

rm -rf "$work/csv"
write_config 'Interface "a0"' 'MinBytes 0' 'IdleTimeout 60'
start_collectd env LD_PRELOAD="$faults" PB_FAULT_CLOCK="$work/clock"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 101 100 >/dev/null
settle
is "$(values a0 udp-53)" "10100 101 0 0" "before the clock jumps"
before=$(last_time)
clock 3600
wait_for 60 later_than $((before + 3600))
ok $? "it jumps ahead by an hour: the series goes on, it was not idle so long"
settle
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 103 100 >/dev/null
settle
is "$(values a0 udp-53)" "20400 204 0 0" "to the byte"
before=$(last_time)
clock 3597
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 107 100 >/dev/null
wait_for 60 later_than $((before + 3))
ok $? "it jumps back by three seconds: the series goes on"
settle
is "$(values a0 udp-53)" "31100 311 0 0" "to the byte"
# In the order of the lines: what was read after the jump may bear an earlier time.
is "$(grep -h '^[0-9]' "$work"/csv/host/tc_portbytes-a0/port_traffic-udp-53-* | cut -d, -f2 | sort -nc 2>&1)" "" \
    "no series falls"
clock 0 # from here on collectd waits for an hour with its reads
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 109 100 >/dev/null
sleep 1.5 # more than an interval
stop_collectd
is $? 0 "it jumps back by an hour: collectd ends well"
is "$(left_of a0)" "" "nothing is left"

# ---- intervals ----

rm -rf "$work/csv"
collectd_interval=0.1
write_config 'Interface "a0"' 'MinBytes 0'
start_collectd
for _ in 1 2 3 4 5 6 7 8; do
    in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 997 100 >/dev/null
    reads 1
done
settle
is "$(values a0 udp-53)" "$((8 * 99700)) $((8 * 997)) 0 0" "an interval of 0.1 s: to the byte"
is "$(falls)" 0 "no series ever falls"
stop_collectd
is $? 0 "collectd ends well"

rm -rf "$work/csv"
collectd_interval=300
write_config 'Interface "a0"' 'Port "udp/53"'
begin=$SECONDS
start_collectd
said() { [ "$(value a0 udp-53 rx_bytes)" = 0 ]; }
wait_for 60 said
ok $? "an interval of 300 s: the first read says the selected port"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 997 100 >/dev/null
ids=$(programs)
stop_collectd
is "$?" 0 "collectd ends well"
[ $((SECONDS - begin)) -lt 200 ]
ok $? "without waiting for the interval"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
ok $? "no program is left"

# ---- what came of the calls that failed ----

for what in "${!exhausting[@]}"; do
    wait "${exhausting[$what]}"
    is $? 0 "each call fails in turn ($what)"
    grep '^#' "$work/exhaust-$what"
    checks=0
    while read -r status name; do
        ok "$status" "each call fails in turn ($what): $name"
        checks=$((checks + 1))
    done < <(grep '^[01] ' "$work/exhaust-$what")
    is $checks 7 "each call fails in turn ($what): all checks were made"
done
finish
