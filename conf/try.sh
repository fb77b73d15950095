#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Tries the plugin without installing it: builds it, runs a collectd of its own with
# it, shows the busiest ports, and draws them at the end. See usage below.
#
# Everything is written to one directory; no service and no file of the system is
# touched, and what collectd attached goes with it.

set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin # su and some sudos leave them out

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/lib/directory.sh
. "$here/../tests/lib/directory.sh"

usage() {
    cat <<'END'
usage: try.sh [--demo] [--interval SECONDS] [--count-by WORD] [--dir DIR]

Counts on this machine's interfaces and on loopback until Ctrl-C.

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

demo_seconds=20 # of traffic

# ---- ending ----

# Background processes: with their session, so that neither Ctrl-C nor a hang-up gets
# to them before we end them in order (collectd dies of a hang-up without its shutdown),
# and ended with us if we are killed. Nothing here forks: $! is the program's.
alone() { exec setpriv --pdeathsig TERM setsid "$@" </dev/null; }

# Signals only set this. The main loop looks at it.
on_signal() {
    stop=$1
    # Nobody reads any more: the end is written down instead.
    [ "$1" = INT ] || [ "$1" = TERM ] || exec >>"$run/try.log" 2>&1
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null || true
}

# In the background, as a trap has to wait for a command in the foreground.
pause() {
    [ -z "$stop" ] || return 0
    sleep "$1" &
    sleeper=$!
    [ -z "$stop" ] || kill "$sleeper" 2>/dev/null || true
    wait "$sleeper" 2>/dev/null || true
    sleeper=''
}

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

# The last resort; the ordinary way has nothing left to end. The demo's namespaces
# and its veth pair have no names: they vanish with the last process in them.
on_exit() {
    local pid

    for pid in $collectd $sender $server $namespaces; do end_process "$pid"; done
}

# ---- the classifiers in the kernel ----

# By what the process holds, so that another collectd's don't count.
programs_of() { sed -n 's/^prog_id:[[:space:]]*//p' "/proc/$1/fdinfo/"* 2>/dev/null | sort -u | xargs; }

# left_of PROGRAM...: those still in the kernel. It removes them a little after the
# last reference to them has gone.
left_of() {
    local attempt program left=

    for attempt in 1 2 3 4 5 6 7 8 9; do
        left=
        for program in "$@"; do
            ! "$PB_BPFTOOL" prog show id "$program" >/dev/null 2>&1 || left="$left $program"
        done
        [ -n "$left" ] || return 0
        sleep "0.$attempt"
    done
    echo "$left"
}

# ---- collectd ----

# All interfaces and loopback, those that come later too. Any Interface line replaces
# the default. So name what is to be left out: ports of a bridge, bond or team that are there
# now, whose packets pass the master too.
interface_lines() {
    local kind name

    echo '    IgnoreSelected true'
    echo '    Interface "/^$/"' # no name at all: a list must not be empty
    for kind in bridge bond team; do
        for name in $(ip -o link show type "${kind}_slave" | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }'); do
            # What is bridged from port to port is seen on a card or a bond only.
            if [ $kind = bridge ] && { [ -e "/sys/class/net/$name/device" ] ||
                [ -e "/sys/class/net/$name/bonding" ]; }; then
                continue
            fi
            echo "    Interface \"$name\""
        done
    done
}

demo_lines() {
    echo '    Interface "demo0"'
    echo '    MinBytes 0 # each port its series from the first packet, so that all can be compared'
}

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

# For the table.
LoadPlugin unixsock
<Plugin unixsock>
    SocketFile "$run/socket"
</Plugin>

# For the comparison.
LoadPlugin csv
<Plugin csv>
    DataDir "$run/csv"
    StoreRates false
</Plugin>

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
$(if "$demo"; then demo_lines; else interface_lines; fi)
</Plugin>
END
}

# What went wrong, in collectd's words.
error_lines() {
    cat "$run/collectd.out" "$run/collectd.log" 2>/dev/null | grep -E '\[(error|warning)\]|[Ee]rror|ERROR' |
        awk '!seen[$0]++' | tail -n 15 || true
}

die_of_collectd() {
    say "collectd's messages (all of them: $run/collectd.log):" >&2
    error_lines >&2
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

# ---- figures ----

csv_files() { find "$run/csv" -name 'port_traffic-*' -print0 2>/dev/null | sort -z; }

# Prints a line a series, TOTALS IFACE INSTANCE, with totals being bytes and packets in, bytes
# and packets out; only of series in the last read. From the last line of every file.
figures() {
    csv_files | xargs -0 -r tail -v -n 1 | awk -F, -v interval="$interval" '
        /^==> / {
            name = $0
            sub(/^.*\/tc_portbytes-/, "", name)
            sub(/-[0-9]+-[0-9]+-[0-9]+ <==$/, "", name) # collectd begins a file a day
            sub(/\/port_traffic-/, " ", name)
            next
        }
        $1 + 0 > 0 {
            time[name] = $1
            if ($1 > last) last = $1
            totals[name] = sprintf("%.0f %.0f %.0f %.0f", $2, $3, $4, $5)
        }
        END {
            for (name in time)
                if (last - time[name] <= interval * 1.5) print totals[name], name
        }'
}

# table LINES COLUMNS: of the busiest ports by interface, in not more than so many lines.
table() { LINES=$1 COLUMNS=$2 "$PB_BUILD/tc_portbytes-top" --once --socket "$run/socket" 2>&1 || true; }

# On a terminal a table takes the place of the one before.
show_table() {
    local text rows columns

    if ! [ -t 1 ]; then
        text=$(table 40 80)
        printf '\n-- %(%H:%M:%S)T\n%s\n' -1 "$text"
        return
    fi
    read -r rows columns < <(stty size <&1 2>/dev/null || echo 24 80)
    [ "$rows" -gt 0 ] || rows=24 columns=80
    text=$(table $((rows - 2)) "$columns")
    [ "$drawn" -eq 0 ] || printf '\033[%dA\033[J' "$drawn"
    say "$text"
    drawn=$(wc -l <<<"$text")
}

# Series, busiest first by all they carried: BYTES IFACE INSTANCE.
by_total() { figures | awk '$1 + $3 > 0 { print $1 + $3, $5, $6 }' | sort -k 1,1nr; }

# ---- graphs ----

draw_all() {
    local interface file

    # More than a few nobody looks at.
    for interface in $(by_total | awk '!seen[$2]++ && ++n <= 6 { print $2 }'); do
        file=$run/ports-$interface.png
        "$here/graph.sh" --dir "$run/rrd" --host "$host" --interface "$interface" \
            --from "$started" --to "$ended" --out "$file" >/dev/null && say "graph: $file"
    done
}

# ---- the demonstration ----

# Two network namespaces without a name, held by a process each, and a veth pair that
# never shows outside of them.
start_namespaces() {
    local pid both=() own

    own=$(readlink /proc/self/ns/net)
    for _ in server client; do
        alone unshare --net sleep infinity &
        pid=$!
        both+=("$pid")
        namespaces="$namespaces $pid"
        until [ "$(readlink "/proc/$pid/ns/net")" != "$own" ] && grep -qs sleep "/proc/$pid/comm"; do
            is_alive "$pid" || die "cannot make a network namespace."
            sleep 0.05
        done
    done
    inside=(nsenter --net="/proc/${both[0]}/ns/net")
    outside=(nsenter --net="/proc/${both[1]}/ns/net")

    families=4
    [ ! -e /proc/net/if_inet6 ] || families=46
    "${inside[@]}" ip link add demo0 type veth peer name demo1 netns "${both[1]}" ||
        die "cannot make a veth pair."
    configure_end demo0 1 "${inside[@]}"
    configure_end demo1 2 "${outside[@]}"
}

# configure_end DEVICE NUMBER COMMAND...: addresses for documentation only.
configure_end() {
    local device=$1 number=$2

    shift 2
    "$@" ip link set lo up
    "$@" ip link set "$device" up
    "$@" ip address add "198.51.100.$number/24" dev "$device"
    [ "$families" = 46 ] || return 0
    "$@" sh -c 'echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6' 2>/dev/null || true
    "$@" ip address add "2001:db8::$number/64" dev "$device" nodad
}

start_demo() {
    gcc -O2 -Wall -o "$dir/demo" "$here/demo.c" -lm || die "demo.c does not compile."
    start_namespaces
    alone "${inside[@]}" "$dir/demo" serve "$families" >"$run/sent-by-server" 2>"$run/demo.err" &
    server=$!
    until grep -qs ready "$run/sent-by-server"; do
        is_alive "$server" || die "the demo's server failed: $(cat "$run/demo.err")"
        sleep 0.05
    done
}

start_sending() {
    alone "${outside[@]}" "$dir/demo" send "$families" "$demo_seconds" \
        >"$run/sent-by-client" 2>>"$run/demo.err" &
    sender=$!
}

# Reads of the counters that began after this time.
reads_since() {
    csv_files | xargs -0 -r cat | awk -F, -v since="$1" '
        $1 + 0 > since && !seen[$1]++ { n++ } END { print n + 0 }'
}

# segments COMMAND...: TCP segments sent in this namespace, repeated ones too.
segments() {
    "$@" cat /proc/net/snmp | awk '/^Tcp: [0-9]/ { print $12 + $13 }'
}

# A new series first says 0, and the bytes of that read come with the next: two reads.
end_demo() {
    local since failed=0

    wait "$sender" || failed=1
    sender=''
    since=$(date +%s.%N)
    while [ -z "$stop" ] && is_alive "$collectd" && [ "$(reads_since "$since")" -lt 2 ]; do
        pause "0.5"
    done
    segments "${outside[@]}" >"$run/segments-in"
    segments "${inside[@]}" >"$run/segments-out"
    end_process "$server"
    server=''
    [ "$failed" -eq 0 ] || die "the demo's traffic failed: $(cat "$run/demo.err")"
}

# Sent against counted. Fails if UDP differs: there both are known to the byte. How TCP
# cuts its payload is the kernel's choice, so its packets are compared as a whole, with
# the senders' own count of segments, and its bytes are only set against the payload.
compare() {
    {
        sort -k 1,1 -k 2,2n "$run/sent-by-client" | sed 's/^/in /'
        sed '/ready/d; s/^/out /' "$run/sent-by-server"
        figures | awk '$5 == "demo0" { print "counted", $6, $2, $1, $4, $3 }'
        echo "segments $(cat "$run/segments-in") $(cat "$run/segments-out")"
    } | awk '
        function commas(x,   s) {
            s = sprintf("%.0f", x)
            while (match(s, /[0-9][0-9][0-9][0-9]($|,)/))
                s = substr(s, 1, RSTART) "," substr(s, RSTART + 1)
            return s
        }
        function line(series, direction, packets, bytes, packets2, bytes2, verdict) {
            printf "%-14s %-3s%9s%14s%9s%13s  %s\n", series, direction, packets, bytes, packets2, bytes2, verdict
        }
        $1 == "in" || $1 == "out" {
            series = $2 "-" $3
            if (!(series in known)) { known[series] = 1; order[++n] = series }
            packets[series, $1] += $5
            # Ethernet, IP and UDP headers; of TCP only the payload is known.
            bytes[series, $1] += $6 + ($2 == "udp" ? $5 * (14 + ($4 == 4 ? 20 : 40) + 8) : 0)
        }
        $1 == "counted" {
            got[$2, "in", 1] = $3; got[$2, "in", 2] = $4; got[$2, "out", 1] = $5; got[$2, "out", 2] = $6
            if ($2 ~ /^tcp-/) { segments["in"] += $3; segments["out"] += $5 }
            all[$2] = 1
        }
        $1 == "segments" { sent["in"] = $2; sent["out"] = $3 }
        END {
            way["in"] = way["out"] = 1
            print "                         sent by the demo    counted by the plugin"
            line("series", "", "packets", "bytes", "packets", "bytes", "")
            for (i = 1; i <= n; i++) for (d = 1; d <= 2; d++) {
                series = order[i]; direction = d == 1 ? "in" : "out"
                p = packets[series, direction]; b = bytes[series, direction]
                gp = got[series, direction, 1]; gb = got[series, direction, 2]
                if (p + b + gp + gb == 0) continue
                if (series ~ /^udp/) {
                    verdict = p == gp && b == gb ? "exact" : "DIFFERS"
                    if (verdict != "exact") bad = 1
                    line(series, direction, commas(p), commas(b), commas(gp), commas(gb), verdict)
                } else
                    line(series, direction, "", commas(b) " *", commas(gp), commas(gb),
                        gp ? sprintf("+ %.1f a packet", (gb - b) / gp) : "")
            }
            for (d = 1; d <= 2; d++) {
                direction = d == 1 ? "in" : "out"
                line("tcp, all ports", direction, commas(sent[direction]), "",
                    commas(segments[direction]), "", sent[direction] == segments[direction] ? "exact **" : "DIFFERS **")
            }
            for (series in all) if (!(series in known))
                line(series, "in", "", "", commas(got[series, "in", 1]), commas(got[series, "in", 2]), "the kernel'"'"'s own")
            print "*  payload only; what was counted beyond it is headers, so many bytes a packet"
            print "** packets sent, by the sender'"'"'s kernel (OutSegs + RetransSegs)"
            exit bad
        }'
}

# ---- the whole ----

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
    case $interval in
    '' | 0* | *[!0-9]*) die "--interval wants whole seconds, from 1 on." ;;
    esac
    case $count_by in
    local | remote | destination | source | lower) ;;
    *) die "--count-by wants local, remote, destination, source or lower." ;;
    esac
    case $dir in
    *[\"\\]*) die "a directory whose name has quotes or backslashes can't be put in collectd's configuration." ;;
    esac
}

prepare() {
    need_directory --dir "$dir"
    dir=$directory
    "$here/../tests/prepare.sh" "$dir" rrdtool netbase # netbase: /etc/services, for names
    # shellcheck source=/dev/null
    . "$dir/env"
    run=$dir/data-$(date +%Y%m%d-%H%M%S)
    mkdir "$run" || die "cannot make $run."
    host=$(cat /proc/sys/kernel/hostname)
}

watch() {
    local reads=0

    while [ -z "$stop" ]; do
        if "$demo"; then
            is_alive "$sender" || break
        fi
        is_alive "$collectd" || die_of_collectd "collectd has ended by itself."
        pause "$interval"
        # Without a terminal every table stays: not that many.
        reads=$((reads + 1))
        [ -n "$stop" ] || ! { [ -t 1 ] || [ $((reads % 5)) -eq 0 ]; } || show_table || true
    done
}

# What a signal makes of the exit status: Ctrl-C is the way to end it, except a demo.
status_of_stop() {
    case $stop in
    INT) if "$demo"; then echo 130; else echo 0; fi ;;
    TERM) echo 143 ;;
    HUP) echo 129 ;;
    PIPE) echo 141 ;;
    *) echo 0 ;;
    esac
}

finish() {
    local programs left

    ended=$(date +%s)
    programs=$(programs_of "$collectd")
    end_process "$collectd"
    collectd=''
    # shellcheck disable=SC2086 # numbers
    left=$(left_of $programs)
    say ""
    if [ -n "$left" ]; then
        say "collectd has ended, but left classifiers in the kernel: programs$left." >&2
    elif [ -n "$programs" ]; then
        say "collectd has ended; its $(wc -w <<<"$programs") classifiers are gone from the kernel."
    fi
    say "data:  $run"
    draw_all
    [ -z "$left" ]
}

main() {
    local status=0

    parse "$@"
    [ "$(id -u)" -eq 0 ] || die "only root may load a classifier: sudo $0 $*"
    collectd='' sender='' server='' namespaces='' sleeper='' stop='' drawn=0 inside=() outside=()
    prepare
    trap on_exit EXIT
    local signal
    for signal in INT TERM HUP PIPE; do
        # shellcheck disable=SC2064 # its name now
        trap "on_signal $signal" "$signal"
    done

    if "$demo"; then start_demo; fi
    started=$(date +%s)
    start_collectd
    if "$demo"; then
        say "counting $demo_seconds seconds of known traffic between two network namespaces"
        start_sending
    elif [ -z "$stop" ]; then
        say "counting on this machine's interfaces, every $interval s; Ctrl-C ends it"
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
    [ -z "$stop" ] || status=$(status_of_stop)
    return "$status"
}

main "$@"
