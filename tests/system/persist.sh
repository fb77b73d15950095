#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Persist true: collectd is killed again and again, while traffic goes on. Every packet is
# counted, every series goes on from where it was. The pins are on a bpffs of this test's own.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

kills=50 pause=0.01
collectd_interval=0.1
ports=64
if [ -n "${PB_KERNEL:-}" ]; then # an emulated CPU
    kills=3 pause=0.5
    collectd_interval=1
    ports=16 # a series is a file, and all are to be written within the interval
fi

make_namespaces
make_veths 0 3
mount_bpffs
pins=/sys/fs/bpf/tc_portbytes/$(in_mount stat -Lc %i /proc/self/ns/net)
pinned() { in_mount find /sys/fs/bpf -path '*tc_portbytes*' | sort | paste -sd' '; }
index_of() { in_a cat "/sys/class/net/$1/ifindex"; }
all="a0 ingress egress,a1 ingress egress,a2 ingress egress,a3 ingress egress"

# hooked: where the classifier is attached, of living daemons and dead ones
hooked() { in_a "$PB_TOOLS/hooks" | paste -sd, ; }

# send_on N: known traffic into aN until the file is there: many ports, more than there are slots,
# the same on all; of a size of its own
send_on() {
    local from=1000
    while ! [ -e "$work/enough" ]; do
        in_b "$PB_TOOLS/blast" b$1 4 udp 40000 $from-$((from + 299)) 1500 $((100 + $1)) >>"$work/sent-$1"
        in_b "$PB_TOOLS/blast" b$1 6 tcp 50000 443 200 $((300 + $1)) >>"$work/sent-443-$1"
        from=$((1000 + (from - 700) % 6000))
        sleep $pause # so that it lasts
    done
}
send_on_all() {
    rm -f "$work/enough"
    senders=()
    for n in 0 1 2 3; do
        send_on $n &
        senders+=($!)
        started+=($!)
    done
}
end_sending() {
    touch "$work/enough"
    wait "${senders[@]}"
}

add_up() { awk '{ sum += $1 } END { print sum + 0 }' "$1"; }
logged_again() { [ "$(logged "$1")" -gt "$2" ]; }

# ---- killed, again and again ----

# Four interfaces share the slots: a kill meets some before the others are saved.
write_config 'Persist true' "MaxPorts $ports" 'MinBytes 500' 'Port "tcp/443"' 'DynamicPorts true'
start_collectd "${inside[@]}"
ok $? "collectd starts with Persist true"
is "$(in_mount stat -c %a /sys/fs/bpf/tc_portbytes)" 700 "only root may look at the pins"
send_on_all
failed=0
for ((i = 0; i < kills; i++)); do
    sleep "0.$((RANDOM % 700 + 100))" # at whatever it is doing then
    kill -KILL "$collectd"
    wait "$collectd" 2>/dev/null
    plugin_said | grep -v -e ': counting\.$' -e 'have become series' >>"$work/said"
    sleep "0.$((RANDOM % 3))"
    start_collectd "${inside[@]}" || failed=$((failed + 1))
done
end_sending
settle
is $failed 0 "it started again $kills times"
declare -A udp tcp
for n in 0 1 2 3; do
    udp[$n]=$(add_up "$work/sent-$n")
    tcp[$n]=$(add_up "$work/sent-443-$n")
    echo "# a$n: $kills kills, ${udp[$n]} and ${tcp[$n]} packets"
    is "$(interface_counter "$A" a$n rx packets)" $((udp[$n] + tcp[$n])) "a$n: all was sent"
    is "$(total a$n rx_packets)" $((udp[$n] + tcp[$n])) "a$n: no packet is lost or counted twice"
    is "$(total a$n rx_bytes)" $((udp[$n] * (100 + n) + tcp[$n] * (300 + n))) "a$n: nor a byte"
    is "$(value a$n tcp-443 rx_packets)" "${tcp[$n]}" "a$n: a selected port has every packet of its own"
done
is "$(falls)" 0 "no series ever falls"
is "$(cat "$work/said")" "" "and nothing was said of it"
is "$(hooked)" "$all" "attached once"

# ---- an orderly stop, traffic meanwhile ----

before=("$(total a0 rx_packets)" "$(total a1 rx_packets)")
stop_collectd
is "$?" 0 "a stop"
is "$(hooked)" "$all" "after a stop the classifier stays attached"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 999 4321 100 >/dev/null
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 1234 100 >/dev/null
start_collectd "${inside[@]}"
settle
is "$(total a0 rx_packets)" $((before[0] + 4321)) "what came meanwhile is counted"
is "$(total a1 rx_packets)" $((before[1] + 1234)) "on every interface"
is "$(falls)" 0 "and no series falls"

# ---- one is down when it starts ----

# What it counted waits in its slots, whose ports may have others when it is up again.
stop_collectd
before=()
for n in 0 1 2 3; do before+=("$(total a$n rx_packets)"); done
in_b "$PB_TOOLS/blast" b1 4 udp 40000 7000-7299 3000 101 >/dev/null
delivered
ip -n "$A" link set a1 down
start_collectd "${inside[@]}"
reads 2
is "$(hooked)" "$all" "one is down at the start: it stays attached"
rm -f "$work"/sent-*
send_on_all
reads 10
end_sending
settle
for n in 0 2 3; do
    is "$(total a$n rx_packets)" \
        $((before[n] + $(add_up "$work/sent-$n") + $(add_up "$work/sent-443-$n"))) \
        "one is down at the start: a$n, which is up, is counted exactly"
done
ip -n "$A" link set a1 up
ready "$B" b1
in_b "$PB_TOOLS/blast" b1 4 udp 40000 7000-7299 3000 101 >/dev/null
wait_for 60 has_logged "a1: counting."
settle
is "$(total a1 rx_packets)" $((before[1] + 6000)) \
    "it comes up: its totals go on, with what it had counted before, once"
is "$(falls)" 0 "and no series falls"

# The same with a kill between.
in_b "$PB_TOOLS/blast" b1 4 udp 40000 7000-7299 3000 101 >/dev/null
delivered
kill -KILL "$collectd"
wait "$collectd" 2>/dev/null
ip -n "$A" link set a1 down
for _ in 1 2; do
    start_collectd "${inside[@]}"
    in_b "$PB_TOOLS/blast" b2 4 udp 40000 1000-1999 20000 102 >/dev/null
    reads 2
    kill -KILL "$collectd"
    wait "$collectd" 2>/dev/null
done
start_collectd "${inside[@]}"
ip -n "$A" link set a1 up
ready "$B" b1
wait_for 60 has_logged "a1: counting."
settle
is "$(total a1 rx_packets)" $((before[1] + 9000)) "the same after kills: nothing is lost or counted twice"
is "$(falls)" 0 "and no series falls"

# ---- one is not selected any more ----

stop_collectd
gone=$(index_of a3)
for n in 0 1 2 3; do before[$n]=$(total a$n rx_packets); done
write_config 'Persist true' "MaxPorts $ports" 'MinBytes 500' 'Port "tcp/443"' 'DynamicPorts true' \
    'Interface "a0"' 'Interface "a1"' 'Interface "a2"'
start_collectd "${inside[@]}"
is "$(hooked)" "a0 ingress egress,a1 ingress egress,a2 ingress egress" \
    "one that is not selected any more is detached"
is "$(pinned | grep -c "/$gone\>")" 0 "and its pins are removed"
for n in 0 1 2 3; do
    in_b "$PB_TOOLS/blast" b$n 4 udp 40000 2000-2199 2000 100 >/dev/null
done
settle
is "$(total a0 rx_packets) $(total a1 rx_packets) $(total a2 rx_packets) $(total a3 rx_packets)" \
    "$((before[0] + 2000)) $((before[1] + 2000)) $((before[2] + 2000)) ${before[3]}" \
    "what passes it then is counted nowhere, and the others are exact"
is "$(falls)" 0 "and no series falls"

# ---- an interface goes while nobody looks ----

gone=$(index_of a1)
stop_collectd
ip -n "$A" link del a1
start_collectd "${inside[@]}"
is "$(pinned | grep -c "/$gone\>")" 0 "the pins of an interface that has gone are removed"
is "$(hooked)" "a0 ingress egress,a2 ingress egress" "and the others stay"

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
is "$(total a0 rx_packets)" $((before[0] + 2100)) "and the first one counts on"

# ---- TopPorts lowered: the pins stay ----

# at_last INTERFACE: how many dynamic series had a value at the last read
at_last() {
    awk -F, -v i="$collectd_interval" 'FNR == 1 { file++ } { last[file] = $1 }
        $1 > latest && !/^epoch/ { latest = $1 }
        END { for (f in last) n += last[f] > latest - i / 2; print n + 0 }' \
        "$work/csv/host/tc_portbytes-$1"/port_traffic-udp-[0-9]*
}

in_b "$PB_TOOLS/blast" b0 4 udp 40000 2000-2009 1000 1000 >/dev/null
settle
stop_collectd
before[0]=$(total a0 rx_packets)
series=$(at_last a0)
ok $((series < 3)) "TopPorts lowered: before, $series dynamic series"
sed 's/<Plugin tc_portbytes>/&\n TopPorts 2/' "$work/first" >"$work/conf"
start_collectd "${inside[@]}"
is "$(logged "counters restart from zero")" 0 "TopPorts lowered: the counters go on"
reads 4
stop_collectd
is "$(at_last a0)" 2 "TopPorts lowered: then as many as it says"
is "$(total a0 rx_packets) $(falls)" "${before[0]} 0" "TopPorts lowered: nothing is lost, no series falls"
cp "$work/first" "$work/conf"
start_collectd "${inside[@]}"

# ---- groups ----

anew="pinned maps were made with other settings or by another version, or are damaged; \
counters restart from zero."

# with_groups LINE...: collectd starts with these groups on a0 and a2
with_groups() {
    write_config 'Persist true' "MaxPorts $ports" 'MinBytes 500' 'Port "tcp/443"' \
        'Interface "a0"' 'Interface "a2"' "$@"
    start_collectd "${inside[@]}" || ok 1 "collectd starts with $*"
}
rtp=('<Group "rtp">' 'Port "udp/20000-20099"' '</Group>')
web=('<Group "web">' 'Port "tcp/80"' 'Port "tcp/8000-8009"' '</Group>')

# to_groups: to each port of a group as many, another number and size on each interface
to_groups() {
    local n
    for n in 0 2; do
        in_b "$PB_TOOLS/blast" b$n 4 udp 40000 20000-20099 $((100 * (7 + n))) $((200 + n)) >/dev/null
        in_b "$PB_TOOLS/blast" b$n 4 tcp 40000 8000-8009 $((10 * (11 + n))) $((300 + n)) >/dev/null
    done
}
# groups_had ROUNDS NAME [RTP WEB]: each of them has all of so many rounds
groups_had() {
    local n
    for n in 0 2; do
        is "$(values a$n "group-${3:-rtp}") $(values a$n "group-${4:-web}")" \
            "$(($1 * 100 * (7 + n) * (200 + n))) $(($1 * 100 * (7 + n))) 0 0$(
            ) $(($1 * 10 * (11 + n) * (300 + n))) $(($1 * 10 * (11 + n))) 0 0" "$2: a$n"
    done
}

stop_collectd
rm -rf "$work/csv"
with_groups "${rtp[@]}" "${web[@]}"
is "$(logged "$anew")" 1 "groups that were not there before: from zero"
to_groups
settle
groups_had 1 "groups with Persist"
for signal in TERM KILL TERM KILL; do
    kill -$signal "$collectd"
    wait "$collectd" 2>/dev/null
    to_groups
    with_groups "${rtp[@]}" "${web[@]}"
    to_groups
    is "$(logged "$anew")" 0 "groups, SIG$signal: the counters go on"
done
settle
groups_had 9 "groups, stopped and killed twice, traffic in between and after"
is "$(falls)" 0 "groups: no series falls"

# As many groups, of the same names, but each has the other's ports: nothing of one gets into the
# other. What came in between belongs to neither.
stop_collectd
to_groups
rm -rf "$work/csv"
with_groups '<Group "rtp">' "${web[@]:1}" '<Group "web">' "${rtp[@]:1}"
is "$(logged "$anew")" 1 "groups that exchange their ports: from zero, which is said"
to_groups
settle
groups_had 1 "groups that exchange their ports" web rtp

# One port is moved from a group to none.
stop_collectd
rm -rf "$work/csv"
with_groups '<Group "rtp">' "${web[@]:1}" '<Group "web">' 'Port "udp/20001-20099"' '</Group>'
is "$(logged "$anew")" 1 "a group that has lost a port: from zero, which is said"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 20000-20001 2000 1000 >/dev/null
settle
is "$(values a0 group-web) $(values a0 udp-other)" "1000000 1000 0 0 1000000 1000 0 0" \
    "a group that has lost a port: it is counted with the others"

# ---- other settings, another version ----

# from_zero NAME: with pins that are not to be used, on a0 and a2
from_zero() {
    rm -rf "$work/csv"
    start_collectd "${inside[@]}"
    is "$(logged "$anew")" 1 "$1: it is said once for all"
    is "$(hooked)" "a0 ingress egress,a2 ingress egress" "$1: the classifier is attached once"
    in_b "$PB_TOOLS/blast" b0 4 udp 40000 999 77 100 >/dev/null
    in_b "$PB_TOOLS/blast" b2 4 udp 40000 999 79 100 >/dev/null
    settle
    is "$(values a0 udp-999) $(values a2 udp-999)" "7700 77 0 0 7900 79 0 0" "$1: it counts from 0"
    is "$(plugin_said | grep -v -e ': counting\.$' -e "$anew")" "" \
        "$1: nothing else is said"
}

stop_collectd
write_config 'Persist true' 'MaxPorts 128' 'MinBytes 0' 'Interface "a0"' 'Interface "a2"'
from_zero "other settings"
stop_collectd
write_config 'MinBytes 0' 'Interface "none"'
start_collectd "${inside[@]}" # which takes all of it away
stop_collectd
is "$(hooked)$(pinned)" "" "Persist false removes the pins of before"

in_mount mkdir -m 700 /sys/fs/bpf/tc_portbytes "$pins"
in_mount "$PB_TOOLS/oldpins" $hook "$pins" a0 a2
ok $? "pins of the version before this one"
is "$(hooked)" "a0 ingress egress,a2 ingress egress" "they are attached"
was="$(in_a "$PB_TOOLS/hooks" a0 links) $(in_a "$PB_TOOLS/hooks" a2 links)"
write_config 'Persist true' 'MaxPorts 128' 'MinBytes 0' 'Interface "a0"' 'Interface "a2"'
from_zero "another version"
if [ $hook = tcx ]; then
    is "$(in_a "$PB_TOOLS/hooks" a0 links) $(in_a "$PB_TOOLS/hooks" a2 links)" "$was" \
        "another version: its links are kept, without a gap"
fi
is "$(pinned | tr ' ' '\n' | grep -c "/$(index_of a0)/\(shared\|ring_lock\|fragments\)$")" 0 \
    "another version: its maps are not pinned any more"
stop_collectd

# damage PATH: of the saved state that is pinned there, the number that both its copies begin with;
# in front of each is the fingerprint
damage() {
    in_mount "$PB_BPFTOOL" -j map dump pinned "$1/state" | python3 -c 'if True:
        import json, sys
        pages = [bytes(int(b, 16) for b in page["value"]) for page in json.load(sys.stdin)]
        state = bytearray(b"".join(pages))
        for copy in 8, state.index(state[8:16], 16):
            state[copy + 8:copy + 16] = b"\xff" * 8
        for n in range(len(pages)):
            page = state[4096 * n:4096 * (n + 1)]
            if page != pages[n]:
                print("key", *n.to_bytes(4, sys.byteorder), "value", *page)' |
        while read -ra words; do
            in_mount "$PB_BPFTOOL" map update pinned "$1/state" "${words[@]}"
        done
}
if [ -z "${PB_KERNEL:-}" ]; then # a guest has no python3
    damage "$pins/$(index_of a0)"
    start_collectd "${inside[@]}"
    is "$(logged "a0: what is pinned belongs to another name or link layer, or is damaged; \
counters restart from zero.") $(plugin_said | grep -vc ': counting')" "1 1" \
        "what is saved of an interface is damaged: one sentence"
    is "$(hooked)" "a0 ingress egress,a2 ingress egress" "and it is attached once"
    stop_collectd
    damage "$pins/shared"
    from_zero "what is saved of the slots is damaged"
    stop_collectd
fi
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
is "$(left_of a0)" "" "nor a filter"

# ---- no bpffs ----

write_config 'Persist true'
start_collectd
is "$(logged "Persist needs a bpf file system at /sys/fs/bpf: mount -t bpf -o mode=0700 bpf /sys/fs/bpf.")" 1 \
    "without bpffs: one sentence"
stop_collectd
is "$(hooked)" "" "and nothing is attached"
finish
