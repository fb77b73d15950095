#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The plugin under the address, undefined behaviour and leak sanitizers in a real collectd:
# interfaces come and go under traffic, a configuration is refused, it ends. TAP.
# As tests/lib/test.sh, but PB_PLUGIN is one built with -fsanitize=address,undefined.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
# shellcheck source=tests/lib/directory.sh
. "${0%/*}/../lib/directory.sh"

if [ -n "${PB_LOGS:-}" ]; then
    need_directory PB_LOGS "$PB_LOGS"
    PB_LOGS=$directory
fi

asan=$(ldd "$PB_PLUGIN" 2>/dev/null | awk '/libasan/ { print $3 }')
if [ -z "$asan" ]; then
    echo "1..0 # SKIP $PB_PLUGIN is not built with gcc's -fsanitize=address"
    exit 0
fi

preload=$asan
[ $hook = clsact ] && preload="$asan $PB_TOOLS/libnotcx.so"
# Whole stacks: collectd is built without frame pointers. No leak is suppressed: collectd 5.12
# has none of its own here, and each of ours has frames of collectd in it, so a suppression would
# hide it. One of another library is told from ours by the frames.
options="log_path=$work/found:detect_leaks=1:fast_unwind_on_malloc=0:exitcode=23:malloc_context_size=40"

# the environment of a collectd that is watched
sanitized=(env LD_PRELOAD="$preload" ASAN_OPTIONS="$options" UBSAN_OPTIONS=print_stacktrace=1)

# ours: the reports with the plugin in them; a report ends with an empty line
ours() {
    cat "$work"/found.* 2>/dev/null | awk -v RS= '/tc_portbytes/ { print; print "" }'
}

# all_well NAME: nothing of ours was found since the last time
all_well() {
    local found
    found=$(ours)
    [ -z "$found" ]
    ok $? "$1: the sanitizers find nothing in the plugin"
    head -n 60 <<<"$found" | sed '/^$/d; s/^/# /'
    echo "# leaks in all: $(cat "$work"/found.* 2>/dev/null | grep -c '^\(Direct\|Indirect\) leak')"
    [ -z "${PB_LOGS:-}" ] || cat "$work"/found.* >>"$PB_LOGS/sanitize-collectd.found" 2>/dev/null
    rm -f "$work"/found.*
}

# ended: what stop_collectd said; 23 is said of leaks that may not be ours
ended() {
    local status=$?
    [ $status -eq 0 ] || { [ $status -eq 23 ] && [ -z "$(ours)" ]; }
    ok $? "collectd ends well"
}

make_namespaces
make_veth 0

# ---- does it watch at all? ----

write_config 'Interface "a0"'
start_collectd "${sanitized[@]}"
ok $? "collectd starts with the sanitized plugin"
grep -q libasan "/proc/$collectd/maps"
ok $? "under the sanitizer"
stop_collectd
ended
all_well "start and stop"

# ---- traffic, an interface that comes and goes, all kinds of ports ----

write_config 'MinBytes 0' 'MaxPorts 16' 'DynamicPorts true' 'ListeningPorts true' 'Port "udp/53"' 'Port "8000-8099"' 'TopPorts 4' 'IdleTimeout 2' 'NotifyNewPorts true'
start_collectd "${sanitized[@]}"
ok $? "collectd starts with many options"
in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 1009 100 >/dev/null
in_b "$PB_TOOLS/blast" b0 6 tcp 40000 443 503 131 >/dev/null
in_b "$PB_TOOLS/scan" b0 100 >/dev/null 2>&1
for i in 1 2 3; do make_veth $i; done
wait_for 60 has_logged "a3: counting."
ok $? "interfaces come"
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 211 100 >/dev/null
settle
ip -n "$A" link set a2 down && ip -n "$A" link set a2 name other2 && ip -n "$A" link set other2 up
wait_for 60 has_logged "other2"
in_a "$PB_TOOLS/blast" a1 4 udp 53 40000 307 100 >/dev/null
ip -n "$A" link del a1
wait_for 60 has_logged "a1: stopped counting"
ok $? "one goes"
settle
is "$(values a0 udp-53)" "100900 1009 0 0" "to the packet and the byte"
is "$(values a1 udp-53)" "21100 211 30700 307" "also what has gone"
is "$(falls)" 0 "no series falls"
ids=$(programs)
stop_collectd
ended
# shellcheck disable=SC2086
wait_for 60 none_alive $ids
ok $? "no program is left"
all_well "interfaces come and go"

# ---- what fails ----

refused() {
    write_config "$@"
    ip netns exec "$A" "${sanitized[@]}" timeout 180 "$PB_COLLECTD" -f -C "$work/conf" >"$work/stdout" 2>&1
    is $? 1 "$*: refused"
    all_well "$*"
}
refused 'Interface "a0"' 'Interface "/eth(/"'
refused 'Port "8000-8999"' 'Port "0"'
refused 'Colour "blue"'

write_config
start_collectd "${sanitized[@]}" setpriv --bounding-set=-all --inh-caps=-all
is "$(logged "collectd lacks")" 1 "without capabilities it goes on"
stop_collectd
all_well "without capabilities"
finish
