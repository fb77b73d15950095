#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [--quick] [--dir DIR] [SECTION...]: what the plugin costs, against the alternatives.
#
#   packet    one packet, by test_run: the stores a classifier could count in
#   live      one packet on a live interface, measured by the kernel
#   feel      packets per second through a host: nothing, an empty program at the plugin's
#             hooks, the classifier alone, the plugin, nftables, pmacctd
#   read      one read of the counters: time and system calls
#   guests    the same with 64 and 255 possible CPUs, in qemu
#   memory    of the maps, by the kernel's own figures
#   dispatch  the plugin in collectd, by number of series: read callback, CPU, memory
#   interfaces  1 to 1,000 veth ends: start, stop, read, memory, descriptors, links that come and
#             go; against the revision that had a classifier for each
#   load      what a local user can do to a read: 100,000 sockets, 30,000 that listen, 50 links a
#             second, a flood of fragments, a scan
#
# Writes DIR/report.txt, which it shows, DIR/report.json, and DIR/samples.tsv, each single
# measurement. --quick: fewer rounds, no guests. --dir: where to build and to keep the results;
# a second run there builds only what has changed. Exits with 0 whatever the timings are.
#
# How it is measured stands at the head of each program here: packet.c (test_run, warm-up,
# interleaving), sequence.bpf.c (many ports), live.c (what the kernel's statistics cost),
# read.c, send.c. Every comparison is made in one run, its variants taking turns, so that other
# load meets all of them; medians and quartiles are shown, and a ratio means more than
# the figures it was made of.
#
# The old revision is built from git, below DIR; PB_OLD names another one.
# Of packages that are not installed nftables and pmacct are unpacked below DIR, not installed:
# no service is started. --dir (/var/tmp/tc_portbytes-bench), PB_CACHE: see tests/run.sh.
set -uo pipefail

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$bench/../.." && pwd)
# shellcheck source=tests/lib/directory.sh
. "$top/tests/lib/directory.sh"
all="packet live read memory dispatch interfaces load feel guests"
quick=false
sections=()
dir=
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=true ;;
    --dir)
        dir=${2:?--dir wants a directory}
        shift
        ;;
    *)
        if [[ " $all " != *" $1 "* ]]; then
            echo "usage: run.sh [--quick] [--dir DIR] [SECTION...]; sections: $all" >&2
            exit 2
        fi
        sections+=("$1")
        ;;
    esac
    shift
done
if [ ${#sections[@]} -eq 0 ]; then
    read -ra sections <<<"$all"
    $quick && read -ra sections <<<"${all% guests}"
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "run.sh: only root can load a classifier and make namespaces: sudo make bench" >&2
    exit 1
fi
need_directory PB_CACHE "${PB_CACHE:-/var/cache/tc_portbytes}"
export PB_CACHE=$directory LC_ALL=C
need_directory --dir "${dir:-/var/tmp/tc_portbytes-bench}"
dir=$directory
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

"$top/tests/prepare.sh" "$dir/work" iproute2 procps util-linux python3 strace || exit 1
# shellcheck source=/dev/null
. "$dir/work/env"
export PB_SOURCE PB_BUILD PB_PLUGIN PB_COLLECTD PB_COLLECTD_PLUGINS PB_TYPESDB
make -s -C "$PB_BUILD" -j"$(nproc)" bench-programs >"$dir/build.log" 2>&1 || {
    tail -n 30 "$dir/build.log"
    exit 1
}
programs=$PB_BUILD/tests/bench
PATH=${PB_BPFTOOL%/*}:$PATH
export PB_TOOLS=$PB_BUILD/tests/tools

# Namespaces A and B, wait_for, started, work and the clean-up.
# shellcheck source=tests/lib/test.sh
. "$bench/../lib/test.sh"

samples=$dir/samples.tsv
: >"$samples"
began=$SECONDS

say() { echo "bench: $*" >&2; }
note() { printf 'note\t%s\t%s\n' "$1" "$2" >>"$samples"; }
about() { printf 'about\t%s\t%s\n' "$1" "$2" >>"$samples"; }
sample() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$samples"; }

# measure SECONDS COMMAND...: its samples are kept; a failure is noted, the rest continues
measure() {
    local limit=$1 output status
    shift
    output=$(timeout -k 5 "$limit" "$@" 2>"$work/errors")
    status=$?
    if [ $status -ne 0 ]; then
        note "$section" "${1##*/} ended with status $status: $(tail -n 1 "$work/errors")"
        say "$section: ${1##*/} ended with status $status: $(tail -n 1 "$work/errors")"
    fi
    [ -z "$output" ] || echo "$output" >>"$samples"
    return $status
}

# cpus_in FILE: how many are in a list such as 0-3,8
cpus_in() {
    awk -F, '{ for (i = 1; i <= NF; i++) { n = split($i, range, "-"); sum += range[n] - range[1] + 1 } }
        END { print sum }' "$1"
}

# The first CPU's; L1d and L2 by core. report.py looks for "L2 N KiB".
caches() {
    local cpu=/sys/devices/system/cpu/cpu0 index level type size text=
    for index in "$cpu"/cache/index*; do
        level=$(cat "$index/level" 2>/dev/null) type=$(cat "$index/type" 2>/dev/null)
        size=$(cat "$index/size" 2>/dev/null) # 32K
        size=${size%K}
        case $level$type in
        1Data) text+="L1d $size KiB, " ;;
        2Unified)
            # Its part of one that several cores share; the threads of a core share it anyway.
            size=$((size * $(cpus_in "$cpu/topology/thread_siblings_list") / $(cpus_in "$index/shared_cpu_list")))
            text+="L2 $size KiB a core, "
            ;;
        3Unified) text+="L3 $size KiB for CPUs $(cat "$index/shared_cpu_list")" ;;
        esac
    done
    echo "${text:-unknown}"
}

tell_about() {
    about date "$(date -u '+%Y-%m-%d %H:%M UTC')"
    about version "$(sed -n 's/^AC_INIT(\[tc_portbytes\], \[\([^]]*\).*/\1/p' "$PB_SOURCE/configure.ac") $(
        git -C "$top" describe --always --dirty 2>/dev/null)"
    about kernel "$(uname -srm)"
    about processor "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    about cpus "$(nproc) in use, $(cat /sys/devices/system/cpu/possible) possible"
    about caches "$(caches)"
    about virtual "$(systemd-detect-virt 2>/dev/null || lscpu | sed -n 's/^Hypervisor vendor: *//p')"
    about memory "$(awk '/^MemTotal/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)"
    about clang "$("$(sed -n 's/^CLANG = //p' "$PB_BUILD/Makefile")" --version | head -n 1)"
    about libbpf "$(pkg-config --modversion libbpf)"
    about collectd "$("$PB_COLLECTD" -h | sed -n 's/^collectd \([^,]*\),.*/\1/p')"
    about "BPF JIT" "$(cat /proc/sys/net/core/bpf_jit_enable)"
    about "load before" "$(cut -d' ' -f1-3 /proc/loadavg)"
}

# ---- 1: one packet by test_run ----

# The programs compare with the old revision's classifier, too.
use_old() {
    build_old && export PB_BENCH_OLD=$old_build/bpf/tc_portbytes.bpf.o
}

# Several loads of everything: where the kernel puts a program's code, and its counters, is
# good for a nanosecond or two and stays for as long as it is loaded.
section_packet() {
    local loads=16 rounds=10 load
    $quick && loads=3 rounds=5
    use_old
    if ! timeout 60 "$programs/packet" check >"$work/check" 2>&1; then
        note packet "the counts are not right: $(grep '^not ok' "$work/check" | paste -sd';')"
    fi
    for ((load = 0; load < loads; load++)); do measure 120 "$programs/packet" $rounds; done
}

# ---- 2: one packet, live ----

fresh_namespaces() {
    ip netns del "$A" 2>/dev/null
    ip netns del "$B" 2>/dev/null
    make_namespaces
    make_veth 0
    mac=$(in_a cat /sys/class/net/a0/address)
}

# As above, the more loads the better.
section_live() {
    local loads=10 rounds=2 packets=150000 load
    $quick && loads=2 rounds=2 packets=120000
    use_old
    fresh_namespaces
    while read -r name first ports; do
        for ((load = 0; load < loads; load++)); do
            measure 300 ip netns exec "$A" "$programs/live" a0 $rounds "${name//_/ }" \
                ip netns exec "$B" "$programs/send" b0 $packets "$first" "$ports" "$mac" 10.99.9.2 1
        done
    done <<-END
		1_port 53 1
		500_random_ports 20000 500
		60,000_random_ports 1000 60000
	END
}

# ---- 4: one read ----

# The sum of a port over all CPUs, as one would write it.
reader='import json, sys
for e in json.load(sys.stdin):
    e = e["formatted"]
    print(e["key"], *(sum(v["value"][f] for v in e["values"]) for f in ("bytes", "packets")))'

section_read() {
    local loads=4 rounds=12 active max_ports load
    $quick && loads=2 rounds=8
    fresh_namespaces
    printf '%s' "$reader" >"$work/reader.py"
    printf '#!/bin/sh\nbpftool -j map dump id "$1" | python3 "%s"\n' "$work/reader.py" >"$work/dump"
    chmod +x "$work/dump"
    while read -r active max_ports; do
        for ((load = 0; load < loads; load++)); do
            measure 200 ip netns exec "$A" "$programs/read" time a0 "$active" "$max_ports" \
                $((active > 9999 ? rounds / 3 : rounds)) "$work/dump"
        done
        count_calls "$active" "$max_ports"
    done <<-END
		20 512
		1000 1536
		24000 32768
	END
}

# System calls between the marks (see read.c); their sum, and which there are.
count_calls() {
    local trace=$work/trace names=$work/names
    timeout 120 ip netns exec "$A" strace -qq -o "$trace" "$programs/read" calls a0 "$1" "$2" \
        >"$names" 2>"$work/errors" || {
        note read "system calls were not counted: $(tail -n 1 "$work/errors")"
        return
    }
    awk -F'\t' -v OFS='\t' '
        NR == FNR { name[NR] = $2; scene = $1; ways = NR; next }
        { call = $0; sub(/\(.*/, "", call) }
        call == "getppid" { way++; next }
        way >= 1 && way <= ways { total[way]++ }
        END { for (i = 1; i <= ways; i++) print "calls", scene, name[i], "calls", total[i] + 0 }
    ' "$names" "$trace" >>"$samples"
}

# guest POSSIBLE MEMORY COMMAND...: on kernel 6.1 with POSSIBLE possible CPUs, two of them in use
guest() {
    local possible=$1 memory=$2
    shift 2
    PB_SMP=$possible PB_MEM=$memory PB_CMDLINE=maxcpus=2 PB_BOOT_TIMEOUT=240 \
        timeout -k 15 280 "$bench/../kernels/boot.sh" 6.1 "$work/guest" sh -c "$*" \
        >"$work/guest.out" 2>"$work/errors"
    local status=$?
    # A guest knows the sections under names of their own: its times are not the host's.
    sed -n 's/^\(read\|read-cpu\|memory\)\t/guest-\1\t/p' "$work/guest.out" |
        sed 's/^guest-memory/memory/' >>"$samples"
    [ $status -eq 0 ] ||
        note guests "the guest with $possible CPUs ended with status $status: $(tail -n 1 "$work/errors")"
}

section_guests() {
    local link='ip link add a0 type veth peer name b0; ip link set a0 up; ip link set b0 up;'
    # shellcheck source=tests/kernels/lib.sh
    . "$bench/../kernels/lib.sh"
    mkdir -p "$work/guest/pb"
    libs_to "$work/guest" "$programs/read" || return
    cp "$programs/read" "$work/guest/pb/"
    guest 2 1024 "$link /pb/read time a0 20 512 5; /pb/read time a0 1000 1536 5"
    guest 64 3072 "$link /pb/read memory; /pb/read time a0 20 512 5; /pb/read time a0 1000 1536 5;
        /pb/read time a0 24000 32768 3"
    guest 255 4096 "$link /pb/read time a0 20 512 3"
}

# ---- 5: memory ----

section_memory() {
    measure 60 "$programs/read" memory
}

# ---- 6: dispatch ----

# start_bench_collectd PLUGIN_DIRECTORY|- [LINE...]: for a0
start_bench_collectd() {
    write_bench_config "$1" 'Interface "a0"' "${@:2}"
    start_collectd
}

# write_bench_config PLUGIN_DIRECTORY|- [LINE...]: no writer but the network's, at interval 1
write_bench_config() {
    local directory=$1
    shift
    {
        cat <<-END
			BaseDir "$work"
			PIDFile "$work/pid"
			Hostname "host"
			FQDNLookup false
			Interval 1
			TypesDB "$PB_TYPESDB"
			PluginDir "$PB_COLLECTD_PLUGINS"
			LoadPlugin logfile
			<Plugin logfile>
			  LogLevel info
			  File "$work/log"
			</Plugin>
			LoadPlugin network
			<Plugin network>
			  Server "127.0.0.1" "25826"
			</Plugin>
		END
        if [ "$directory" != - ]; then
            printf 'PluginDir "%s"\nLoadPlugin tc_portbytes\n<Plugin tc_portbytes>\n' "$directory"
            printf '  %s\n' "$@"
            echo "</Plugin>"
        fi
    } >"$work/conf"
}

# cpu_of PID: microseconds that it has used
cpu_of() {
    cat "/proc/$1"/task/*/schedstat 2>/dev/null | awk '{ sum += $1 } END { printf "%d\n", sum / 1000 }'
}

section_dispatch() {
    local reads=12 series name before after sender
    $quick && reads=4
    mkdir -p "$work/timed"
    cp "$PB_BUILD/tests/bench/.libs/timed.so" "$work/timed/tc_portbytes.so"
    fresh_namespaces
    export PB_BENCH_READS=$work/reads
    start_bench_collectd - && sleep 1 && resident "collectd without the plugin"
    stop_collectd 2>/dev/null
    for series in 0 20 1000 10000; do
        : >"$PB_BENCH_READS"
        start_bench_collectd "$work/timed" 'MinBytes 0' 'MaxPorts 10240' 'FoldEphemeral false' \
            'ListeningPorts false' || {
            note dispatch "collectd does not start"
            continue
        }
        sender=
        if [ $series -gt 0 ]; then
            # Every port, four times a second, so that each read has all of them.
            (while in_b "$programs/send" b0 $series 1000 $series "$mac" 10.99.9.2 0 >/dev/null; do
                sleep 0.25
            done) &
            sender=$!
            started+=("$sender")
        fi
        sleep 3.2 # the series come up
        before=$(cpu_of "$collectd") after=$(wc -l <"$PB_BENCH_READS")
        sleep $reads
        name="$series series"
        [ "$(wc -l <"$PB_BENCH_READS")" -gt "$after" ] &&
            sample dispatch "$name" "daemon's CPU, for each read" ms \
                "$(awk -v us=$(($(cpu_of "$collectd") - before)) \
                    -v reads=$(($(wc -l <"$PB_BENCH_READS") - after)) \
                    'BEGIN { print us / 1000 / reads }')"
        tail -n +"$((after + 1))" "$PB_BENCH_READS" | while read -r us cpu; do
            sample dispatch "$name" "read callback" ms "$(awk -v n="$us" 'BEGIN { print n / 1000 }')"
            sample dispatch "$name" "  of which CPU" ms "$(awk -v n="$cpu" 'BEGIN { print n / 1000 }')"
        done
        resident "collectd, $name"
        [ -z "$sender" ] || { kill "$sender" && wait "$sender"; } 2>/dev/null
        stop_collectd
    done
}

# resident NAME: the memory of collectd's own
resident() {
    sample rss "collectd" "$1" KiB "$(awk '/^RssAnon/ { print $2 }' "/proc/$collectd/status")"
}

# ---- 7: interfaces ----

# shellcheck source=tests/bench/interfaces.sh
. "$bench/interfaces.sh"

# ---- 8: a local user's load ----

# shellcheck source=tests/bench/load.sh
. "$bench/load.sh"

# ---- 3: what the user feels ----

# Sets nft and pmacctd, "" where there is none; unpacks what is not installed.
find_alternatives() {
    local root=$dir/alternatives deb
    nft=$(command -v nft) pmacctd=$(command -v pmacctd)
    if [ -z "$nft" ] || [ -z "$pmacctd" ]; then
        if command -v apt-get >/dev/null && [ ! -e "$root/complete" ]; then
            mkdir -p "$root/debs/partial"
            # As the installation would fetch them, with all that is missing; nothing is installed.
            apt-get -qy -o Dir::Cache::archives="$root/debs" -o APT::Sandbox::User=root \
                -o Debug::NoLocking=1 --no-install-recommends --download-only \
                install nftables pmacct >"$dir/alternatives.log" 2>&1 </dev/null &&
                for deb in "$root"/debs/*.deb; do
                    dpkg -x "$deb" "$root" || return
                done && touch "$root/complete"
        fi
        libraries=$(find "$root" -name '*.so.*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd:)
        [ -n "$nft" ] || nft=$(find "$root/usr/sbin" -name nft 2>/dev/null)
        [ -n "$pmacctd" ] || pmacctd=$(find "$root/usr/sbin" -name pmacctd 2>/dev/null)
    fi
    if [ -n "$nft" ] && ! alternative in_a "$nft" list tables >/dev/null 2>"$work/errors"; then
        note feel "nftables left out: $(tail -n 1 "$work/errors")"
        nft=
    fi
}

libraries=
alternative() { LD_LIBRARY_PATH=$libraries "$@"; }

# A forwards what comes in by a0 out of a1, whose other end throws it away.
make_router() {
    fresh_namespaces
    make_veth 1
    in_a sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
        net.ipv4.conf.a0.rp_filter=0
    ip -n "$A" addr add 10.99.0.2/24 dev a0
    ip -n "$A" addr add 10.99.9.1/24 dev a1
    ip -n "$A" neigh add 10.99.9.2 lladdr 02:00:00:00:00:09 dev a1
}

# One file of rules a number of ports: a rule each, or a map of named counters.
write_rules() {
    local ports=$1 port
    {
        printf '%s\n' "table inet bench {" "chain forward {" \
            "type filter hook forward priority 0; policy accept;"
        for ((port = 1001; port <= 1000 + ports; port++)); do echo "udp dport $port counter"; done
        printf '%s\n' "}" "}"
    } >"$work/rules-$ports"
    {
        echo "table inet bench {"
        for ((port = 1001; port <= 1000 + ports; port++)); do echo "counter p$port { }"; done
        echo "map ports { type inet_service : counter; elements = {"
        for ((port = 1001; port <= 1000 + ports; port++)); do echo "$port : \"p$port\","; done
        printf '%s\n' "}" "}" "chain forward {" \
            "type filter hook forward priority 0; policy accept;" \
            "counter name udp dport map @ports" "}" "}"
    } >"$work/map-$ports"
}

# turn VARIANT PORTS PACKETS: sets up, sends, takes away
turn() {
    local variant=$1 ports=$2 packets=$3 daemon='' holder='' before=0 after=0 sent time busy arrived at
    case $variant in
    nothing | again) ;;
    empty | tc_portbytes)
        rm -f "$work/hooks"
        ip netns exec "$A" "$programs/live" a0 "$variant" >"$work/hooks" 2>"$work/errors" &
        holder=$!
        started+=("$holder")
        wait_for 10 test -s "$work/hooks" || {
            note feel "nothing at the hooks: $(tail -n 1 "$work/errors")"
            return 1
        }
        ;;
    plugin)
        start_bench_collectd "${PB_PLUGIN%/*}" || return
        daemon=$collectd
        ;;
    rules | map) alternative in_a "$nft" -f "$work/$variant-$ports" || return ;;
    pmacctd)
        printf '%s\n' 'daemonize: false' 'pcap_interface: a0' 'plugins: memory' \
            'aggregate: proto, dst_port' "imt_path: $work/pmacct.pipe" >"$work/pmacctd.conf"
        LD_LIBRARY_PATH=$libraries ip netns exec "$A" "$pmacctd" -f "$work/pmacctd.conf" \
            >"$work/pmacctd.log" 2>&1 &
        daemon=$!
        started+=("$daemon")
        sleep 1.5
        kill -0 "$daemon" 2>/dev/null || {
            note feel "pmacctd ended: $(tail -n 1 "$work/pmacctd.log")"
            return 1
        }
        ;;
    esac
    [ -z "$daemon" ] || before=$(family_cpu "$daemon") at=$EPOCHREALTIME
    arrived=$(interface_counter "$A" a1 tx packets)
    read -r sent time busy < <(in_b timeout 60 "$programs/send" b0 "$packets" 1001 "$ports" "$mac" 10.99.9.2 1)
    arrived=$(($(interface_counter "$A" a1 tx packets) - arrived))
    [ -z "$daemon" ] || {
        sleep 1.2 # a read, and what waits in buffers
        after=$(family_cpu "$daemon")
        # Of all that time, only the part in which packets came is theirs; what a capture still
        # has in its buffers then is, too.
        [ "$variant" != plugin ] || after=$(awk -v b="$before" -v a="$after" -v t="$time" \
            -v s="$at" -v e="$EPOCHREALTIME" 'BEGIN { printf "%d", b + (a - b) * t / (e - s) }')
    }
    case $variant in
    plugin) stop_collectd ;;
    empty | tc_portbytes) kill -TERM "$holder" && wait "$holder" ;;
    rules | map) alternative in_a "$nft" delete table inet bench ;;
    pmacctd)
        kill -TERM "$daemon" 2>/dev/null
        wait_for 5 gone "$daemon" || kill -KILL "$daemon" 2>/dev/null
        wait "$daemon" 2>/dev/null
        ;;
    esac
    [ "${sent:-0}" -gt 0 ] && [ -z "${quietly:-}" ] || return
    sample feel "$ports ports" "${names[$variant]}" "thousand packets/s" \
        "$(awk -v n="$arrived" -v t="$time" 'BEGIN { print n / t / 1000 }')"
    sample feel-cpu "$ports ports" "${names[$variant]}" "ns CPU a packet" \
        "$(awk -v n="$sent" -v t="$busy" -v d=$((after - before)) 'BEGIN { print (t * 1e9 + d * 1e3) / n }')"
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# family_cpu PID: microseconds of it and its children
family_cpu() {
    local pid sum=0
    for pid in "$1" $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        sum=$((sum + $(cpu_of "$pid")))
    done
    echo $sum
}

declare -A names=([nothing]=nothing [again]="nothing, once more"
    [empty]="an empty program at the same hooks" [tc_portbytes]="the classifier without collectd"
    [plugin]=tc_portbytes [rules]="nftables, a rule for each port"
    [map]="nftables, a map of counters" [pmacctd]="pmacctd (libpcap)")

section_feel() {
    local rounds=8 packets=300000 variants=(nothing empty tc_portbytes plugin again) others=() all round ports i
    $quick && rounds=4 packets=100000
    make_router
    find_alternatives
    [ -z "$nft" ] || others+=(rules map)
    if [ -n "$pmacctd" ]; then others+=(pmacctd); else note feel "pmacctd left out: not to be had"; fi
    for ports in 20 1000; do
        write_rules $ports
        quietly=1 turn nothing $ports 100000 # warm-up
        for ((round = 0; round < rounds; round++)); do
            # The others differ by more: half of the rounds will do.
            all=("${variants[@]}")
            ((round % 2)) || all+=(${others[@]+"${others[@]}"})
            for ((i = 0; i < ${#all[@]}; i++)); do
                turn "${all[(i + round) % ${#all[@]}]}" $ports \
                    $((ports == 1000 ? packets / 2 : packets))
            done
        done
    done
}

# ---- all ----

tell_about
for section in "${sections[@]}"; do
    say "$section"
    at=$SECONDS
    "section_$section"
    about "seconds for $section" "$((SECONDS - at))"
done
about "load after" "$(cut -d' ' -f1-3 /proc/loadavg)"
about "seconds in all" "$((SECONDS - began))"
python3 "$bench/report.py" "$samples" "$dir/report.json" >"$dir/report.txt" || exit 1
cat "$dir/report.txt"
echo "bench: report.txt, report.json, samples.tsv are in $dir" >&2
