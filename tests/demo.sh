# SPDX-License-Identifier: MIT
#
# conf/try.sh --demo: known traffic between two network namespaces, and whether the plugin counted
# what was sent. To be sourced by it, whose variables and functions this uses; compare is what
# tests/run.sh try relies on.
# shellcheck shell=bash disable=SC2154,SC2034

demo_seconds=20 # of traffic
sender='' server='' namespaces=''
outside=() # what runs a command at the other end

# What the comparison needs in collectd's configuration, and the plugin's block.
demo_plugins() {
    cat <<END
LoadPlugin csv
<Plugin csv>
    DataDir "$run/csv"
    StoreRates false
</Plugin>
END
}

demo_lines() {
    echo '    Interface "demo0"'
    echo '    MinBytes 0 # each port its series from the first packet, so that all can be compared'
}

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
    make -s -C "$PB_BUILD" tests/tools/demo >"$run/demo.err" 2>&1 ||
        die "the demo's program does not compile (see $run/demo.err)."
    start_namespaces
    alone "${inside[@]}" "$PB_BUILD/tests/tools/demo" serve "$families" >"$run/sent-by-server" \
        2>"$run/demo.err" &
    server=$!
    until grep -qs ready "$run/sent-by-server"; do
        is_alive "$server" || die "the demo's server failed: $(cat "$run/demo.err")"
        sleep 0.05
    done
}

start_sending() {
    say "counting $demo_seconds seconds of known traffic between two network namespaces"
    alone "${outside[@]}" "$PB_BUILD/tests/tools/demo" send "$families" "$demo_seconds" \
        >"$run/sent-by-client" 2>>"$run/demo.err" &
    sender=$!
}

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
