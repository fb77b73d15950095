# SPDX-License-Identifier: MIT
# What collectd stored. Sourced by test.sh.
# shellcheck shell=bash disable=SC2154

# reads NUMBER: until so many reads that began after this call are stored completely. If they do
# not come that is a failed test: checks that follow would prove nothing.
clock_ahead=0 # seconds that collectd's clock is ahead of ours
reads() {
    local since
    since=$(awk -v now="$EPOCHREALTIME" -v ahead=$clock_ahead 'BEGIN { printf "%.6f", now + ahead }')
    wait_for 120 are_stored "$1" "$since" || {
        ok 1 "collectd reads: $1 times within 120 s"
        return 1
    }
}

# attached_all: or those that can be, for want of descriptors
attached_all() {
    ! has_logged "the others follow." || has_logged "interfaces are attached." ||
        has_logged "are not counted"
}

# settle: until all that was sent is counted and stored. That takes two reads: a new series first
# reports 0, one that returns its old total. And on a slow machine not all interfaces are attached,
# or read if they were pinned, when collectd begins to read.
settle() {
    delivered
    wait_for 60 attached_all
    reads 2
}

# are_stored NUMBER TIME: whether so many reads that began after TIME are stored completely. The
# last one is when a later one is there, since there is one writer, or when each series of the
# read before has a value of it. The csv plugin rounds times to milliseconds.
are_stored() {
    tail -vn $(($1 + 6)) "$work"/csv/*/tc_portbytes-*/* 2>/dev/null | awk -F, -v number="$1" -v since="$2" '
        function following(this,    time, first) {
            for (time in later)
                if (time - this > 0 && (first == "" || time - first < 0)) first = time
            return first
        }
        /^==>/ { file++ }
        /^[0-9]/ {
            has[file, $1]
            if ($1 - since > 0.0005) later[$1]
            else if ($1 - last > 0) last = $1
        }
        END {
            for (n = 0; n < number; n++) {
                previous = last
                last = following(last)
                if (last == "") exit 1
            }
            if (following(last) != "") exit 0
            if (previous == "") exit 1
            for (n = 1; n <= file; n++)
                if ((n, previous) in has && !((n, last) in has)) exit 1
        }'
}

# value INTERFACE INSTANCE COLUMN: the last one stored; columns rx_bytes, rx_packets, ...
value() {
    cat "$work/csv/host/tc_portbytes-$1/port_traffic-$2"-????-??-?? 2>/dev/null |
        awk -F, -v want="$3" '
            /^epoch/ { next }
            { last = $0 }
            END {
                split("rx_bytes rx_packets tx_bytes tx_packets", name, " ")
                split(last, field, ",")
                for (i in name)
                    if (name[i] == want)
                        printf "%s\n", last == "" ? "none" : field[i + 1]
            }'
}

# values INTERFACE INSTANCE: all four
values() {
    echo "$(value "$1" "$2" rx_bytes) $(value "$1" "$2" rx_packets)" \
        "$(value "$1" "$2" tx_bytes) $(value "$1" "$2" tx_packets)"
}

# series INTERFACE: the instances stored, sorted
series() {
    local file
    for file in "$work/csv/host/tc_portbytes-$1"/port_traffic-*; do
        [ -f "$file" ] || continue
        file=${file##*/port_traffic-}
        echo "${file%-????-??-??}"
    done | sort -u
}

# total INTERFACE COLUMN: over all series
total() {
    local instance sum=0
    for instance in $(series "$1"); do
        sum=$((sum + $(value "$1" "$instance" "$2")))
    done
    echo "$sum"
}

# falls: how many values of any series are below the one before. By time, not by line:
# collectd's write threads may overtake each other when reads follow closely, and a late read
# may be followed by the next in the same millisecond. Without the last line, which may be
# half written.
falls() {
    local file
    for file in "$work"/csv/host/tc_portbytes-*/port_traffic-*; do
        [ -f "$file" ] || continue
        head -n -1 "$file" | sort -t, -k1,1n -k2,2n -k3,3n -k4,4n -k5,5n | awk -F, '
            /^epoch/ { next }
            { for (i = 2; i <= 5; i++) { if ($i + 0 < before[i]) print; before[i] = $i + 0 } }'
    done | wc -l
}

# exact NAME: all series of a0 together are what the interface itself has received since the
# last baseline
declare -A at_baseline=([packets]=0 [bytes]=0)
baseline() {
    local unit
    for unit in packets bytes; do at_baseline[$unit]=$(interface_counter "$A" a0 rx $unit); done
}
exact() {
    local unit
    for unit in packets bytes; do
        is "$(total a0 rx_$unit)" $(($(interface_counter "$A" a0 rx $unit) - at_baseline[$unit])) \
            "$1: all series together are exact in $unit"
    done
    is "$(falls)" 0 "$1: no series falls"
}
