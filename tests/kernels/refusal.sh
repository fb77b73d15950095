#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# refusal.sh: on a kernel older than 5.12 the plugin says so in one sentence,
# leaves nothing behind, and collectd goes on with its other plugins.
# Guest only. PB_PLUGIN, PB_COLLECTD, PB_COLLECTD_PLUGINS, PB_TYPESDB as in run.sh.
set -uo pipefail
[[ ${PB_GUEST-} ]] || { echo "1..0 # SKIP for the guests of boot.sh only"; exit 0; }

n=0 daemon=
work=$(mktemp -d)
# shellcheck disable=SC2317  # called by the trap
cleanup() {
    [[ -z $daemon ]] || kill -9 "$daemon" 2>/dev/null
    rm -rf "$work"
    ip link del pbr0 2>/dev/null
}
trap cleanup EXIT

# check NAME COMMAND...
check() {
    local name=$1
    shift
    n=$((n + 1))
    if "$@"; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}
# until_true SECONDS COMMAND...
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

# some read plugin that must work on while ours does not
for other in uptime load interface ''; do
    [[ -e $PB_COLLECTD_PLUGINS/$other.so ]] && break
done
[[ -n $other ]] || { echo "Bail out! no read plugin in $PB_COLLECTD_PLUGINS"; exit 1; }

ip link add pbr0 type veth peer name pbr1 && ip link set pbr0 up && ip link set pbr1 up

cat >"$work/conf" <<END
Hostname "guest"
FQDNLookup false
Interval 1
BaseDir "$work"
PIDFile "$work/pid"
TypesDB "$PB_TYPESDB"
PluginDir "$PB_COLLECTD_PLUGINS"
LoadPlugin logfile
<Plugin logfile>
    LogLevel info
    File "$work/log"
    PrintSeverity true
</Plugin>
LoadPlugin csv
<Plugin csv>
    DataDir "$work/csv"
</Plugin>
LoadPlugin $other
PluginDir "${PB_PLUGIN%/*}"
LoadPlugin tc_portbytes
END

# two samples after the refusal, not only the first read
goes_on() {
    kill -0 "$daemon" && [[ $(cat "$work/csv/guest/$other"*/* 2>/dev/null | grep -c '^[0-9]') -ge 3 ]]
}
# what the plugin itself said as warning or error; collectd adds lines of its own
said() {
    grep -E '\[(error|warning|err|warn)\]' "$work/log" | grep tc_portbytes |
        grep -vE '\] plugin_[a-z_]+: |Initialization of plugin'
}
one_sentence() { [[ $(said | wc -l) == 1 ]]; }
names_kernel() { said | grep -cE '(^|[^0-9.])5\.12([^0-9.]|[.]?$)' >/dev/null; }
no_dump() { ! grep -qE 'BPF_STX|reserved fields|processed [0-9]+ insns|BEGIN PROG LOAD LOG|R[0-9]+=' "$work/log"; }
no_programs() { [[ $(bpftool -j prog show | grep -o '"type":"sched_cls"' | wc -l) == 0 ]]; }
no_qdisc() { ! tc qdisc show | grep -qE 'clsact|ingress'; }
no_series() { ! find "$work/csv" -name 'tc_portbytes*' | grep -q .; }
is_gone() { ! kill -0 "$daemon" 2>/dev/null; }

"$PB_COLLECTD" -f -C "$work/conf" >"$work/out" 2>&1 &
daemon=$!
check "collectd goes on: plugin $other is read and written" until_true 120 goes_on
check "the plugin says one sentence" one_sentence
check "which names 5.12 as the oldest kernel" names_kernel
check "no verifier log" no_dump
check "no BPF program stays loaded" no_programs
check "no qdisc was made" no_qdisc
check "no series was made" no_series
kill -TERM "$daemon"
check "collectd ends when told to" until_true 60 is_gone
echo "# log of collectd:"
sed 's/^/# /' "$work/log" "$work/out"
echo "1..$n"
