#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Tries the plugin without installing it, in a checkout: builds it, runs a collectd of its own with
# it, shows the busiest ports, and draws them at the end. See usage below.
#
# Everything is written to one directory; no service and no file of the system is
# touched, and what collectd attached goes with it.

set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin # su and some sudos leave them out

conf=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tests=$conf/../tests
# shellcheck source=tests/lib/directory.sh
. "$tests/lib/directory.sh"

usage() {
    cat <<'END'
usage: try.sh [--demo] [--interval SECONDS] [--count-by WORD] [--dir DIR]

Counts on the interfaces that the plugin counts by default, until q or Ctrl-C.

  --demo              counts known traffic instead, in network namespaces of its own,
                      for about half a minute, and compares sent with counted
  --interval SECONDS  time between two reads [2; demo: 1]
  --count-by WORD     which port counts: local, remote, destination, source or lower
                      [local]; lower shows more where this machine is the client
  --dir DIR           where to build and keep the data [/var/tmp/tc_portbytes]: root's, as
                      all directories above it, and writable by nobody else
END
}

say() { printf '%s\n' "$*"; }
die() {
    printf 'try.sh: %s\n' "$*" >&2
    exit 1
}

parse() {
    demo=false interval='' count_by=local dir=/var/tmp/tc_portbytes
    while [ "$#" -gt 0 ]; do
        case $1 in
        --demo) demo=true ;;
        --interval | --count-by | --dir)
            [ "$#" -ge 2 ] || die "$1 needs a value."
            case $1 in
            --interval) interval=$2 ;;
            --count-by) count_by=$2 ;;
            --dir) dir=$2 ;;
            esac
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 2
            ;;
        esac
        shift
    done
    # The demo is short: more to see.
    [ -n "$interval" ] || { if "$demo"; then interval=1; else interval=2; fi; }
    [[ $interval =~ ^[1-9][0-9]{0,4}$ ]] ||
        die "--interval: invalid value \"$interval\"; expected whole seconds, from 1 to 99999."
    case $count_by in
    local | remote | destination | source | lower) ;;
    *) die "--count-by: invalid value \"$count_by\"; expected local, remote, destination, source or lower." ;;
    esac
    case $dir in
    *[\"\\]*) die "a directory whose name has quotes or backslashes can't be put in collectd's configuration." ;;
    esac
}

# ---- processes ----

# Background processes: with their session, so that neither Ctrl-C nor a hang-up gets
# to them before we end them in order (collectd dies of a hang-up without its shutdown),
# and ended with us if we are killed. Nothing here forks: $! is the program's.
alone() { exec setpriv --pdeathsig TERM setsid "$@" </dev/null; }

is_alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# end_process PID: asks it to end, and waits for that.
end_process() {
    local patience=300 # tenths of a second

    is_alive "$1" || return 0
    kill -TERM "$1" 2>/dev/null || true
    while is_alive "$1" && [ "$((patience -= 1))" -gt 0 ]; do sleep 0.1; done
    if is_alive "$1"; then
        say "process $1 does not end and is killed" >&2
        kill -KILL "$1" 2>/dev/null || true
    fi
    wait "$1" 2>/dev/null || true
}

# In the background, as a trap has to wait for a command in the foreground.
pause() {
    local sleeper

    sleep "$1" &
    sleeper=$!
    wait "$sleeper" || kill "$sleeper" 2>/dev/null || true
}

# Signals only set this; what waits returns, and looks at it.
on_signal() {
    stop=$1
    # Nobody reads any more: the end is written down instead.
    [ "$1" = INT ] || [ "$1" = TERM ] || exec >>"$run/try.log" 2>&1
}

# The last resort; the ordinary way has nothing left to end. The demo's namespaces
# and its veth pair have no names: they vanish with the last process in them.
on_exit() {
    local pid

    for pid in $view $collectd ${sender-} ${server-} ${namespaces-}; do end_process "$pid"; done
}

# The programs that collectd holds, so that another collectd's don't count.
programs_of() { sed -n 's/^prog_id:[[:space:]]*//p' "/proc/$1/fdinfo/"* 2>/dev/null | sort -u | xargs; }

# left_of PROGRAM...: those still in the kernel after 5 seconds: it removes them a little after the
# last reference to them has gone.
left_of() {
    local attempt program left=

    for attempt in {1..25}; do
        left=
        for program in "$@"; do
            ! "$PB_BPFTOOL" prog show id "$program" >/dev/null 2>&1 || left+=" $program"
        done
        [ -n "$left" ] || return 0
        [ "$attempt" = 25 ] || sleep 0.2
    done
    echo "$left"
}

# ---- collectd ----

write_config() {
    local rows=1800

    cat >"$run/collectd.conf" <<END
Hostname "$host"
FQDNLookup false
BaseDir "$run"
PIDFile "$run/collectd.pid"
TypesDB "$PB_TYPESDB"
Interval $interval
PluginDir "$PB_COLLECTD_PLUGINS"

LoadPlugin logfile
<Plugin logfile>
    LogLevel info
    File "$run/collectd.log"
    Timestamp true
    PrintSeverity true
</Plugin>

# For tc_portbytes-top.
LoadPlugin unixsock
<Plugin unixsock>
    SocketFile "$run/socket"
</Plugin>

$("$demo" && demo_plugins)
# For the graphs.
LoadPlugin rrdtool
<Plugin rrdtool>
    DataDir "$run/rrd"
    StepSize $interval
    HeartBeat $((interval * 2))
    CacheTimeout 0
    RRARows $rows
    RRATimespan $((rows * interval))
    RRATimespan $((rows * interval * 24))
</Plugin>

PluginDir "$(dirname "$PB_PLUGIN")"
LoadPlugin tc_portbytes
<Plugin tc_portbytes>
    CountBy "$count_by"
$("$demo" && demo_lines)
</Plugin>
END
}

die_of_collectd() {
    say "collectd's messages (all of them: $run/collectd.log):" >&2
    cat "$run/collectd.out" "$run/collectd.log" 2>/dev/null |
        grep -E '\[(error|warning)\]|[Ee]rror|ERROR' | awk '!seen[$0]++' | tail -n 15 >&2 || true
    die "$1"
}

start_collectd() {
    write_config
    alone "${inside[@]}" "$PB_COLLECTD" -f -C "$run/collectd.conf" >"$run/collectd.out" 2>&1 &
    collectd=$!
    until grep -qs 'Initialization complete' "$run/collectd.log"; do
        [ -z "$stop" ] || return 0
        is_alive "$collectd" || die_of_collectd "collectd ended at its start."
        pause 0.1
    done
    # collectd itself goes on then.
    ! grep -q 'init callbacks failed' "$run/collectd.log" ||
        die_of_collectd "the plugin did not start."
}

# ---- what it counts ----

top() { "$PB_BUILD/tc_portbytes-top" --socket "$run/socket" "$@"; }

# The live view, until it, collectd or the demo's traffic ends, or a signal comes. Without a
# terminal every table stays: not that many.
watch() {
    local every=$interval

    pause $((interval + 1)) # a series has no rate before
    [ -z "$stop" ] || return 0
    [ -t 1 ] || every=$((interval * 5))
    "$PB_BUILD/tc_portbytes-top" --socket "$run/socket" --interval "$every" <&3 &
    view=$!
    # shellcheck disable=SC2086 # none, or a number
    wait -n "$view" "$collectd" ${sender-} || true
    end_process "$view"
    view=''
    [ -n "$stop" ] || is_alive "$collectd" || die_of_collectd "collectd has ended by itself."
}

# A picture of each of the busiest interfaces: more than a few nobody looks at.
draw() {
    local interface file

    for interface in $busiest; do
        file=$run/ports-$interface.png
        "$conf/graph.sh" --dir "$run/rrd" --host "$host" --interface "$interface" \
            --from "$started" --out "$file" >/dev/null && say "graph: $file"
    done
}

# ---- the whole ----

prepare() {
    need_directory --dir "$dir"
    dir=$directory
    "$tests/prepare.sh" "$dir" rrdtool netbase # netbase: /etc/services, for names
    # shellcheck source=/dev/null
    . "$dir/env"
    run=$dir/data-$(date +%Y%m%d-%H%M%S)
    mkdir "$run" || die "cannot make $run."
    host=$(cat /proc/sys/kernel/hostname)
}

finish() {
    local programs left busiest

    # The terminal may have gone before its SIGHUP comes.
    say "" 2>/dev/null || on_signal HUP
    busiest=$(top --once --json -n 0 2>/dev/null | grep -o '"interface":"[^"\]*"' | cut -d '"' -f 4 |
        head -n 6) || true
    # The live view has left nothing on the terminal.
    ! [ -t 1 ] || top --once || true
    programs=$(programs_of "$collectd")
    end_process "$collectd"
    collectd=''
    # shellcheck disable=SC2086 # numbers
    left=$(left_of $programs)
    if [ -n "$left" ]; then
        say "collectd has ended, but left classifiers in the kernel:$left." >&2
    elif [ -n "$programs" ]; then
        say "collectd has ended; its $(wc -w <<<"$programs") classifiers are gone from the kernel."
    fi
    say "data:  $run"
    draw
    [ -z "$left" ]
}

main() {
    local status=0 signal

    parse "$@"
    [ "$(id -u)" -eq 0 ] || die "only root may load a classifier: sudo $0 $*"
    collectd='' view='' stop='' inside=()
    prepare
    exec 3<&0 # a command in the background has no other way to the keys
    trap on_exit EXIT
    for signal in INT TERM HUP PIPE; do
        # shellcheck disable=SC2064 # its name now
        trap "on_signal $signal" "$signal"
    done

    if "$demo"; then
        # shellcheck source=tests/demo.sh
        . "$tests/demo.sh"
        start_demo
    fi
    started=$(date +%s)
    start_collectd
    if "$demo"; then
        start_sending
    else
        say "counting, every $interval s; q or Ctrl-C ends it"
        [ "$count_by" = lower ] ||
            say "(where this machine is mostly a client, --count-by lower shows more)"
    fi
    watch
    if "$demo" && [ -z "$stop" ]; then end_demo; fi

    trap '' INT TERM HUP PIPE # what follows is short and shall be whole
    finish || status=1
    if "$demo" && [ -z "$stop" ]; then
        say ""
        compare || status=1
    fi
    case $stop in # Ctrl-C is the way to end it, except a demo
    INT) ! "$demo" || status=130 ;;
    HUP) status=129 ;;
    PIPE) status=141 ;;
    TERM) status=143 ;;
    esac
    return "$status"
}

main "$@"
