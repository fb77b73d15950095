#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Two hundred interfaces under the usual limit of 1,024 descriptors: init returns at once, all are
# counted soon, every packet on its own interface. Little is taken of what other plugins need:
# kernel memory, descriptors, time to stop. Where the hard limit forbids to count them all, half
# of the descriptors stay free, and that is said once.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

many=200 too_many=300 limit=1024
if [ -n "${PB_KERNEL:-}" ]; then # an emulated CPU
    many=16 too_many=48 limit=128
fi

# ---- helpers ----

# within SINCE TICKS SECONDS NAME: it took no more since then; see in_time. What takes thrice as
# long is not others' fault.
within() {
    local took status
    took=$(awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    status=$(awk -v took="$took" -v most="$3" 'BEGIN { print (took > most) + (took > 3 * most) }')
    if [ "$status" -lt 2 ] || [ -n "${PB_KERNEL:-}" ]; then
        in_time "$2" "$status" "$4 within $3 s ($took s)"
    else
        ok 1 "$4 within $3 s ($took s)"
    fi
}

# soft_limit: of the descriptors of collectd
soft_limit() { awk '/^Max open files/ { print $4 }' "/proc/$collectd/limits"; }

# descriptors [BELOW]: how many collectd has, of those below that number
descriptors() {
    find "/proc/$collectd/fd" -mindepth 1 -printf '%f\n' |
        awk -v below="${1:-1000000000}" '$1 < below { n++ } END { print n + 0 }'
}

# links_held: how many of them are an attachment each
links_held() { grep -ls '^link_id:' "/proc/$collectd/fdinfo/"* | wc -l; }

# others_held: how many are of the other kinds that the plugin may have: maps, programs, sockets
others_held() {
    find "/proc/$collectd/fd" -mindepth 1 -printf '%l\n' 2>/dev/null |
        grep -c -e '^anon_inode:bpf-' -e '^anon_inode:\[\?btf' -e '^anon_inode:\[event' -e '^socket:'
}

# least COMMAND...: the least that it says of ten times: a read opens files and sockets
least() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        "$@"
        sleep 0.07
    done | sort -n | head -n 1
}

# maps: the ids of all there are
maps() { bpftool map show -j | tr '{' '\n' | sed -n 's/^"id":\([0-9]*\),.*/\1/p' | sort; }
no_map() { [ -z "$(comm -12 <(echo "$1") <(maps))" ]; }

# send_to FIRST LAST: to each of them another number of frames of another size
number_of() { echo $((100 + $1)); }
size_of() { echo $((60 + $1)); }
send_to() {
    # shellcheck disable=SC2016
    in_b bash -c 'for ((i = $1; i <= $2; i++)); do
            "$0" "b$i" 4 udp 40000 53 $((100 + i)) $((60 + i)) >/dev/null
        done' "$PB_TOOLS/blast" "$1" "$2"
}

# totals: "INTERFACE PACKETS BYTES", received, over all series of each
totals() {
    tail -vn 1 "$work"/csv/host/tc_portbytes-*/* | awk -F, '
        /^==>/ {
            split($0, part, "/host/tc_portbytes-")
            series = substr(part[2], 1, index(part[2], " ") - 12) # without the date
        }
        /^[0-9]/ { bytes[series] = $2; packets[series] = $3 }
        END {
            for (series in bytes) {
                name = substr(series, 1, index(series, "/") - 1)
                all_packets[name] += packets[series]
                all_bytes[name] += bytes[series]
            }
            for (name in all_bytes) print name, all_packets[name], all_bytes[name]
        }' | sort
}

# gaps: how many values are missing: each series that was there at a read has one at each later
# read, but for the last two, which may be incomplete
gaps() {
    cat "$work"/csv/host/tc_portbytes-*/* | grep -h '^[0-9]' | cut -d, -f1 | sort -u | head -n -2 >"$work/times"
    tail -vn +2 "$work"/csv/host/tc_portbytes-*/* | awk -F, '
        NR == FNR { time[NR] = $1; number = NR; next }
        /^==>/ { file++ }
        /^[0-9]/ { has[file, $1] }
        END {
            for (n = 1; n <= file; n++)
                for (t = begun = 0; ++t <= number;)
                    if ((n, time[t]) in has) begun = 1
                    else missing += begun
            print missing + 0
        }' "$work/times" -
}

counted() { logged ": counting."; }
are_counted() { [ "$(counted)" -ge "$1" ]; }

# Another plugin that opens files.
extra_config=$'LoadPlugin memory'
memory_values() { cat "$work"/csv/host/memory/memory-free-* 2>/dev/null | grep -c '^[0-9]'; }
memory_has() { [ "$(memory_values)" -ge "$1" ]; }

# start SOFT HARD [COMMAND...]: collectd with these limits of descriptors, HARD - for what it is
start() {
    # shellcheck disable=SC2016
    start_collectd sh -c 'ulimit -Sn "$1"; [ "$2" = - ] || ulimit -Hn "$2"; shift 2; exec "$@"' sh "$@"
}

# ---- two hundred ----

make_namespaces
make_veths 0 $((many - 1))
write_config
before=$(maps)
load=$(ticks)
begin=$EPOCHREALTIME
start 1024 -
ok $? "collectd starts, with a soft limit of 1,024 descriptors"
within "$begin" "$load" 3 "it is initialised"
wait_for 180 are_counted $many
within "$begin" "$load" 20 "$many interfaces are counted"
at_init=$(sed '/entering read-loop/q' "$work/log" | grep -c ': counting\.')
echo "# $at_init of them before init returned"
if [ "$at_init" -lt $many ]; then
    wait_for 60 has_logged "all $many interfaces are attached."
    ok $? "that the rest is attached is said, too"
fi
is "$(plugin_said | sort | uniq -c |
    grep -v '^ *1 a[0-9]*: counting\.$')" "" \
    "nothing is said twice, and nothing else"

send_to 0 $((many - 1))
in_a "$PB_TOOLS/blast" a$((many - 1)) 4 udp 53 40000 211 100 >/dev/null
settle
for ((i = 0; i < many; i++)); do
    echo "a$i $(number_of $i) $(($(number_of $i) * $(size_of $i)))"
done | sort >"$work/expected"
totals >"$work/totals"
is "$(diff "$work/expected" "$work/totals" | head -n 20)" "" "each has every packet and every byte of its own"
is "$(total a$((many - 1)) tx_packets)" 211 "what is sent, too"
reads 3
is "$(gaps)" 0 "csv has every value of every read"
wait_for 60 memory_has 3
ok $? "another plugin's, too"
is "$(falls)" 0 "no series falls"

is "$(soft_limit)" 1024 "the soft limit is what it was"
below=$(least descriptors 1024)
ok $((below > 100)) "at most 100 descriptors are below it in the whole process ($below)"
each=2
[ $hook = clsact ] && each=0
is "$(links_held)" $((each * many)) "$each descriptors for each interface"
rest=$(least others_held)
ok $((rest > 16)) "at most 16 descriptors besides ($rest)"
# A third of this for each CPU and for those that come later.
cpus=$(tr ',-' '\n\n' </sys/devices/system/cpu/online | tail -n 1)
memory=$(kernel_memory)
ok $((memory / many > 200 * (cpus + 2) / 3)) \
    "at most $((200 * (cpus + 2) / 3)) kB of kernel memory for each ($memory kB for all)"
is "$(logged "Too many open files")" 0 "there was always a descriptor"

ids=$(programs)
ours=$(comm -13 <(echo "$before") <(maps))
load=$(ticks)
begin=$EPOCHREALTIME
stop_collectd
is $? 0 "collectd ends well"
within "$begin" "$load" 10 "it ends"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
ok $? "no program is left"
wait_for 60 no_map "$ours"
ok $? "nor a map, of $(wc -l <<<"$ours")"
is "$(in_a "$PB_TOOLS/hooks")" "" "nothing is attached"
is "$(left_of a0)$(left_of a$((many - 1)))" "" "no filter; by clsact the qdisc stays"

# ---- a hard limit that is too low for all ----

# By clsact an interface takes none.
if [ $hook = clsact ]; then finish; fi

make_veths $many $((too_many - 1))
rm -rf "$work/csv"
truncate -s 4096 "$work/calls"
# calls COMMAND: how often collectd has called bpf() with that
calls() { od -An -t u8 -j $((8 * $1)) -N 8 "$work/calls" | tr -d ' '; }
write_config
start $limit $limit env LD_PRELOAD="$PB_TOOLS/libfaults.so" PB_FAULT_CALLS="$work/calls"
ok $? "collectd starts, with a hard limit of $limit descriptors"
wait_for 180 has_logged "are not counted"
ok $? "it says that it can't count all of $too_many interfaces"
others_write() { # meanwhile the rest would be tried again, too
    local values
    values=$(memory_values)
    wait_for 60 memory_has $((values + 2))
}
others_write
ok $? "another plugin writes its values"
number=$(counted)
echo "# $number are counted: $(sed -n 's/.*tc_portbytes plugin: \(.*are not counted\)/\1/p' "$work/log")"
free=$((limit - $(least descriptors)))
ok $((free < limit / 2)) "half of the descriptors stay free ($free of $limit)"
ok $((number < limit / 5 || number >= too_many)) "most of the other half is used"
is "$(logged "are not counted") $(grep -F "are not counted" "$work/log" | grep -c LimitNOFILE)" "1 1" \
    "one line says what is not counted, with the remedy"
is "$(plugin_said | grep -vc -e ': counting\.$' -e 'are not counted')" 0 \
    "nothing else is said"

# Links come; each is an event.
made=$(calls 0) attached=$(calls 28) # BPF_MAP_CREATE, BPF_LINK_CREATE
ok $((made < number || attached < 2 * number)) "the calls are counted ($made maps, $attached links)"
for i in 1 2 3 4 5; do
    make_veth $((too_many + i))
    others_write
done
echo "# $(($(calls 0) - made)) maps and $(($(calls 28) - attached)) links were tried"
ok $(($(calls 0) - made > 10 || $(calls 28) - attached > 10)) \
    "five more links: those that could not be counted are not tried again with each"
is "$(logged "are not counted") $(counted)" "1 $number" "and nothing more is said"

send_to 0 $((too_many - 1))
settle
sed -n 's/.* \(a[0-9]*\): counting\.$/\1/p' "$work/log" | sort -u | while read -r name; do
    echo "$name $(number_of "${name#a}") $(($(number_of "${name#a}") * $(size_of "${name#a}")))"
done | sort >"$work/expected"
totals >"$work/totals"
is "$(wc -l <"$work/totals")" "$number" "the others are in csv"
is "$(diff "$work/expected" "$work/totals" | head -n 20)" "" "each has every packet and every byte of its own"
is "$(gaps)" 0 "csv has every value of every read"
others_write
ok $? "another plugin's, too"
is "$(logged "Too many open files")" 0 "there was always a descriptor for others"
ids=$(programs)
stop_collectd
is $? 0 "collectd ends well"
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
is "$?/$(in_a "$PB_TOOLS/hooks")" "0/" "and nothing is left"
finish
