# SPDX-License-Identifier: MIT
# A real collectd: its configuration, its log, its start and end. Sourced by test.sh.
# shellcheck shell=bash disable=SC2034,SC2154

# write_config [LINE...]: the lines of the plugin's block; none: no block at all.
# collectd_interval sets the interval, extra_config is put in front of the plugin. A single
# writer stores values in the order of the reads. Several overtake each other, and two that create
# the same file overwrite each other's first line.
collectd_interval=1
collectd_writers=1
extra_config=
write_config() {
    {
        cat <<-END
			BaseDir "$work"
			PIDFile "$work/pid"
			Hostname "host"
			FQDNLookup false
			Interval $collectd_interval
			WriteThreads $collectd_writers
			TypesDB "$PB_TYPESDB"
			PluginDir "$PB_COLLECTD_PLUGINS"
			LoadPlugin logfile
			<Plugin logfile>
			  LogLevel debug
			  File "$work/log"
			</Plugin>
			LoadPlugin csv
			<Plugin csv>
			  DataDir "$work/csv"
			</Plugin>
			$extra_config
			PluginDir "${PB_PLUGIN%/*}"
			LoadPlugin tc_portbytes
		END
        if [ $# -gt 0 ]; then
            echo "<Plugin tc_portbytes>"
            printf '  %s\n' "$@"
            echo "</Plugin>"
        fi
    } >"$work/conf"
}

# plugin_said: what the plugin said, but for what it doesn't count by default, and how far a start
# is, which depends on the machine
plugin_said() {
    sed -n 's/.*tc_portbytes plugin: //p' "$work/log" |
        grep -v -e '^not counted by default: ' -e ' interfaces are attached[.;]'
}

# logged TEXT: how many lines of the log have it
logged() {
    local number=0
    [ -f "$work/log" ] && number=$(grep -cF -- "$1" "$work/log")
    echo "$number"
}

has_logged() { [ "$(logged "$1")" -gt 0 ]; }

# start_collectd [COMMAND...]: in namespace A, under the command if any; waits until it
# reads. Sets collectd.
start_collectd() {
    local preload=
    [ $hook = clsact ] && preload="$PB_TOOLS/libnotcx.so"
    rm -f "$work/log"
    ip netns exec "$A" env LD_PRELOAD="$preload" "$@" \
        "$PB_COLLECTD" -f -C "$work/conf" >"$work/stdout" 2>&1 &
    collectd=$!
    started+=("$collectd")
    wait_for 180 has_logged "entering read-loop" || { show_log; sed 's/^/# /' "$work/stdout"; return 1; }
}

# stop_collectd: with SIGTERM; its exit status
stop_collectd() {
    kill -TERM "$collectd"
    wait "$collectd"
}

# second FUNCTION...: one of these, for another collectd beside the first, which has files of
# its own. The caller keeps its pid, from collectd, apart.
second() {
    mkdir -p "$work/second"
    work=$work/second "$@"
}

# refused LINE WORDS...: collectd refuses to start, and says one line with all the words
refused() {
    local option=$1 status word missing=0
    shift
    write_config "${option//; /$'\n'}" # several lines
    rm -f "$work/log"
    ip netns exec "$A" timeout 180 "$PB_COLLECTD" -f -C "$work/conf" >"$work/stdout" 2>&1
    status=$?
    ok $((status != 1)) "$option: collectd refuses to start"
    is "$(logged "tc_portbytes plugin: ")" 1 "$option: one line says why"
    for word in "$@"; do
        grep -F "tc_portbytes plugin: " "$work/log" | grep -qF -- "$word" || missing=1
    done
    ok $missing "$option: it names option, value and what is allowed"
    [ $missing -eq 0 ] || show_log
}
