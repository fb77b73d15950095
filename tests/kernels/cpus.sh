#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Far more CPUs possible than online, and 40 interfaces: the kernel holds the memory that the man
# page says, for the CPUs that were online when collectd started. What others count that come
# online later is exact, too. Guest only: it brings CPUs online.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
[ -n "${PB_GUEST:-}" ] || { echo "1..0 # SKIP for the guests of boot.sh only"; exit 0; }

interfaces=40
cpus=/sys/devices/system/cpu
# of 0-N, without gaps
last() { sed 's/^0-//' "$cpus/$1"; }
lanes=$(($(last online) + 1))
spare=$(($(last present) - $(last online)))
[ "$(last possible)" -ge $((16 * lanes)) ] && [ $spare -ge 2 ] || {
    echo "1..0 # SKIP of CPUs $(<$cpus/possible) are possible, $(<$cpus/present) present, $(<$cpus/online) online"
    exit 0
}

counted() { [ "$(logged ": counting.")" -eq $interfaces ]; }

# entries: how many each map of counters has
entries() { bpftool map show | grep -A 1 ' name counters ' | sed -n 's/.* max_entries \([0-9]*\) .*/\1/p'; }

# lanes_of INTERFACE: packets received, in the lanes of one CPU each, and in that of all others
lanes_of() {
    local index rows row
    index=$(in_a cat "/sys/class/net/$1/ifindex")
    rows=$(bpftool map show | sed -n 's/^\([0-9]*\): array_of_maps .* name rows .*/\1/p')
    row=$(bpftool map lookup id "$rows" key $((index & 255)) $((index >> 8)) 0 0 |
        sed -n 's/.* value: \(..\) \(..\) .*/0x\2\1/p')
    bpftool map dump id $((row)) | awk -v own=$((lanes * slots)) '
        function number(from, bytes,    sum) {
            while (bytes--) sum = sum * 256 + digits[$(from + bytes)]
            return sum
        }
        BEGIN { for (i = 0; i < 256; i++) digits[sprintf("%02x", i)] = i }
        before == "key:" { key = number(1, 4) }
        before == "value:" { sum[key >= own] += number(9, 8) }
        { before = $1 }
        END { print sum[0] + 0, sum[1] + 0 }'
}

# send FROM-CPU TO-CPU INTERFACE COUNT: each of them at once, in both directions
send() {
    local cpu pids=()
    for ((cpu = $1; cpu <= $2; cpu++)); do
        in_b "$PB_TOOLS/blast" "b$3" 4 udp 40000 53 "$4" 100 "$cpu" >/dev/null &
        pids+=($!)
        in_a "$PB_TOOLS/blast" "a$3" 4 udp 53 40000 "$4" 300 "$cpu" >/dev/null &
        pids+=($!)
    done
    wait "${pids[@]}"
}

make_namespaces
make_veths 0 $((interfaces - 1))
write_config 'MinBytes 0'
percpu=$(awk '/^Percpu:/ { print $2 }' /proc/meminfo)
start_collectd
ok $? "collectd starts, CPUs $(<$cpus/online) online of $(<$cpus/possible)"
wait_for 120 counted
ok $? "$interfaces interfaces are counted"

# As the man page has it under COST: slots by default, of 32 bytes, and what all share.
slots=$((265 + 512 + 512))
memory=$(kernel_memory)
percpu=$(($(awk '/^Percpu:/ { print $2 }' /proc/meminfo) - percpu))
each=$((32 * slots * (lanes + 1) / 1024 + 4)) # in whole pages
ok $((memory > 5000 + interfaces * each)) \
    "at most 5 MB, and $each kB for each, of kernel memory ($memory kB, and $percpu kB of each CPU's)"
ok $((percpu > 1024)) "and none for CPUs that are not there"
slots=$(((slots + 3) / 4 * 4)) # whole lines of the cache
is "$(entries | sort | uniq -c | xargs)" "$interfaces $((slots * (lanes + 1)))" \
    "each has slots for the CPUs that are online, and once more"

send 0 $((lanes - 1)) 0 1009
settle
is "$(lanes_of a0)" "$((lanes * 1009)) 0" "CPUs that were online count in lanes of their own"
for ((cpu = lanes; cpu < lanes + spare; cpu++)); do echo 1 >"$cpus/cpu$cpu/online"; done
is "$(last online)" $((lanes - 1 + spare)) "$spare more CPUs come online"
send 0 $((lanes - 1 + spare)) 0 503
send $lanes $((lanes - 1 + spare)) $((interfaces - 1)) 211
settle
is "$(lanes_of a0)" "$((lanes * (1009 + 503))) $((spare * 503))" "these share a lane"
all=$((lanes * 1009 + (lanes + spare) * 503))
is "$(values a0 udp-53)" "$((all * 100)) $all $((all * 300)) $all" \
    "with all of them at once, each packet and each byte is counted"
all=$((spare * 211))
is "$(values a$((interfaces - 1)) udp-53)" "$((all * 100)) $all $((all * 300)) $all" \
    "so on an interface where only those counted that came later"
is "$(falls)" 0 "no series falls"
stop_collectd
is $? 0 "collectd ends well"
finish
