# SPDX-License-Identifier: MIT
# Waiting for what has to happen, and what times mean. Sourced by test.sh.
# shellcheck shell=bash

# Tests wait for what has to happen, not for a time in which it should: on a slow machine that
# only takes longer. A limit is met only by what never happens, so none is below a minute.

# wait_for SECONDS COMMAND...: until it succeeds. After three timeouts the script has failed;
# further ones are cut short, so that it ends.
vain=0
wait_for() {
    local end limit=$1
    shift
    [ "$vain" -lt 3 ] || limit=$((limit < 10 ? limit : 10))
    end=$((SECONDS + limit))
    until "$@"; do
        [ $SECONDS -lt $end ] || { vain=$((vain + 1)); return 1; }
        sleep 0.05
    done
}

# says TEXT COMMAND...: whether that is what the command says
says() { [ "$("${@:2}")" = "$1" ]; }

# delivered: until what was sent has passed the hooks. A busy CPU leaves that to its ksoftirqd,
# which sleeps when nothing is left.
softirqs=$(pgrep '^ksoftirqd/')
delivered() {
    local thread
    for thread in $softirqs; do wait_for 60 sleeps "$thread"; done
}
sleeps() {
    local state
    read -r _ _ state _ <"/proc/$1/stat"
    [ "$state" = S ]
}

# ---- time ----

# ticks: what the CPUs did since the boot, what they did nothing, and what collectd did
ticks() {
    echo "$(head -n 1 /proc/stat) $(cat "/proc/${collectd:-0}/stat" 2>/dev/null)" | awk '{
        for (i = 2; i <= 11; i++) all += $i
        print all, $5 + $6, $25 + $26
    }'
}

# in_time TICKS-BEFORE CONDITION-STATUS NAME: as ok, but it is no failure when others had more
# than a quarter of the CPUs meanwhile
in_time() {
    local busy
    busy=$(echo "$1 $(ticks)" |
        awk '{ printf "%d", 100 * (($4 - $1) - ($5 - $2) - ($6 - $3)) / ($4 - $1 + 1) }')
    if [ -n "${PB_KERNEL:-}" ]; then
        skip "times in an emulated machine mean nothing" "$3"
    elif [ "$2" -ne 0 ] && [ "$busy" -gt 25 ]; then
        skip "others had $busy % of the CPUs" "$3"
    else
        ok "$2" "$3"
    fi
}
