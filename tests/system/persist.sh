#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Persist true: collectd is killed again and again, while traffic goes on. Every packet is
# counted, every series goes on from where it was. The pins are on a bpffs of this test's own.
# shellcheck source=tests/lib.sh
. "${0%/*}/../lib.sh"

kills=50
collectd_interval=0.1
if [ -n "${PB_KERNEL:-}" ]; then # an emulated CPU
    kills=3
    collectd_interval=0.5
fi

make_namespaces
make_veth 0
make_veth 1
mount_bpffs
pinned() { in_mount find /sys/fs/bpf -path '*tc_portbytes*' | sort | paste -sd' '; }
index_of() { in_a cat "/sys/class/net/$1/ifindex"; }

# hooked: where the classifier is attached, of living daemons and dead ones
hooked() { in_a "$PB_TOOLS/hooks" | paste -sd, ; }

# send_on: known traffic into a0 until the file is there: many ports, more than there are slots
send_on() {
    local from=1000
    while ! [ -e "$work/enough" ]; do
        in_b "$PB_TOOLS/blast" b0 4 udp 40000 $from-$((from + 299)) 1500 100 >>"$work/sent"
        in_b "$PB_TOOLS/blast" b0 6 tcp 50000 443 200 300 >>"$work/sent-443"
        from=$((1000 + (from - 700) % 6000))
        sleep 0.01 # so that it lasts
    done
}

add_up() { awk '{ sum += $1 } END { print sum + 0 }' "$1"; }

# ---- killed, again and again ----

write_config 'Persist true' 'MaxPorts 64' 'MinBytes 500' 'Port "tcp/443"' 'DynamicPorts true' \
    'Interface "a0"' 'Interface "a1"'
rm -f "$work/enough"
start_collectd "${inside[@]}"
ok $? "collectd starts with Persist true"
is "$(in_mount stat -c %a /sys/fs/bpf/tc_portbytes)" 700 "only root may look at the pins"
send_on &
sender=$!
failed=0
for ((i = 0; i < kills; i++)); do
    sleep "0.$((RANDOM % 700 + 100))" # at whatever it is doing then
    kill -KILL "$collectd"
    wait "$collectd" 2>/dev/null
    grep -v -e ': counting\.$' "$work/log" | grep -F 'tc_portbytes plugin: ' |
        grep -vF 'MaxPorts reached' >>"$work/said"
    sleep "0.$((RANDOM % 3))"
    start_collectd "${inside[@]}" || failed=$((failed + 1))
done
touch "$work/enough"
wait "$sender"
settle
udp=$(add_up "$work/sent")
tcp=$(add_up "$work/sent-443")
echo "# $kills kills, $udp and $tcp packets"
is $failed 0 "it started again $kills times"
is "$(interface_counter "$A" a0 rx packets)" $((udp + tcp)) "all was sent"
is "$(total a0 rx_packets)" $((udp + tcp)) "no packet is lost or counted twice"
is "$(total a0 rx_bytes)" $((udp * 100 + tcp * 300)) "nor a byte"
is "$(value a0 tcp-443 rx_packets)" "$tcp" "a selected port has every packet of its own"
is "$(falls)" 0 "no series ever falls"
is "$(cat "$work/said")" "" "and nothing was said of it"
is "$(hooked)" "a0 ingress egress,a1 ingress egress" "attached once"

# ---- an orderly stop, traffic meanwhile ----

before=$(total a0 rx_packets)
stop_collectd
is "$?" 0 "a stop"
is "$(hooked)" "a0 ingress egress,a1 ingress egress" "after a stop the classifier stays attached"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 999 4321 100 >/dev/null
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 1234 100 >/dev/null
gone=$(index_of a1)
start_collectd "${inside[@]}"
settle
is "$(total a0 rx_packets)" $((before + 4321)) "what came meanwhile is counted"
is "$(values a1 udp-53)" "123400 1234 0 0" "on every interface, to its port"
is "$(falls)" 0 "and no series falls"

# ---- an interface goes while nobody looks ----

stop_collectd
ip -n "$A" link del a1
start_collectd "${inside[@]}"
is "$(pinned | grep -c "/$gone\>")" 0 "the pins of an interface that has gone are removed"
is "$(hooked)" "a0 ingress egress" "and the others stay"

# ---- two at once ----

cp "$work/conf" "$work/first"
mkdir "$work/other"
sed "s,\"$work/\(log\|csv\|pid\)\",\"$work/other/\1\",;s,BaseDir.*,BaseDir \"$work/other\"," \
    "$work/first" >"$work/conf-2"
in_mount timeout 180 env LD_PRELOAD="$([ $hook = clsact ] && echo "$PB_TOOLS/libnotcx.so")" \
    "$PB_COLLECTD" -T -C "$work/conf-2" >/dev/null 2>&1
is "$(grep -c 'another collectd uses /sys/fs/bpf/tc_portbytes/[0-9]*: only one' "$work/other/log")" 1 \
    "a second collectd with Persist true is told so"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 999 100 100 >/dev/null
settle
is "$(total a0 rx_packets)" $((before + 4421)) "and the first one counts on"

# ---- other settings ----

stop_collectd
rm -rf "$work/csv"
write_config 'Persist true' 'MaxPorts 128' 'MinBytes 0' 'Interface "a0"'
start_collectd "${inside[@]}"
is "$(logged "a0: pinned maps were made with other settings or by another version; counters restart from zero.")" 1 \
    "other settings: it is said once"
is "$(hooked)" "a0 ingress egress" "and the classifier is attached once"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 999 77 100 >/dev/null
settle
is "$(values a0 udp-999)" "7700 77 0 0" "and it counts from 0"
stop_collectd
write_config 'Persist true' 'MaxPorts 128' 'MinBytes 0' 'Interface "a0"' 'Direction "ingress"'
start_collectd "${inside[@]}"
is "$(hooked)" "a0 ingress" "a direction that is not wanted any more is detached"

# ---- Persist false ----

stop_collectd
write_config 'MinBytes 0' 'Interface "a0"'
start_collectd "${inside[@]}"
is "$(pinned)" "" "Persist false removes the pins of before"
is "$(hooked)" "a0 ingress egress" "and counts as ever"
ours=$(programs)
stop_collectd
is "$(hooked)" "" "and a stop detaches"
# shellcheck disable=SC2086
wait_for 60 none_alive $ours
ok $? "no program is left"
is "$(clsact_of a0)" "" "nor a qdisc of ours"

# ---- no bpffs ----

write_config 'Persist true'
start_collectd
is "$(logged "Persist needs a bpf file system at /sys/fs/bpf: mount -t bpf -o mode=0700 bpf /sys/fs/bpf.")" 1 \
    "without bpffs: one sentence"
stop_collectd
is "$(hooked)" "" "and nothing is attached"
finish
