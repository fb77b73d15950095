#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What was sent is in the RRD files in the end, whether collectd writes them or rrdcached does,
# and in the picture that conf/graph.sh draws of them.
# shellcheck source=tests/stacks/lib.sh
. "${0%/*}/lib.sh"
conf=$(cd "${0%/*}/../../conf" && pwd)

unpack rrd rrdtool rrdcached || { echo "1..0 # SKIP rrdtool and rrdcached can't be had"; exit; }
cached=unix:$work/rrdcached.sock
# rrdtool draws text with the fonts that it finds by this.
cat >"$work/fonts.conf" <<END
<fontconfig><dir>/usr/share/fonts</dir><dir>$root/usr/share/fonts</dir>
<cachedir>$work/fonts</cachedir></fontconfig>
END
rrd() {
    ask env FONTCONFIG_FILE="$work/fonts.conf" timeout 120 "$@"
}

# sums FILE ARGUMENT...: of every data source, rate times step over all steps. fetch prints 11
# digits, so that at rates below 1 MB/s a step of 1 s is off by 5 millionths of a byte at most,
# and the sum by far less than the half byte that the rounding takes away. Steps are those of
# the reads, 1 s, and collectd's times are whole seconds: no step is known in part only, which
# RRD would take for the whole of it.
sums() {
    rrd rrdtool fetch "$1" AVERAGE -r 1 -s "$began" -e "$ended" "${@:2}" | awk '
        /^[0-9]+:/ {
            if (before && $1 - before != 1) print "steps of " $1 - before
            before = $1 + 0
            for (i = 2; i <= NF; i++) if ($i !~ /nan/) sum[i] += $i
        }
        END { for (i = 2; i <= 5; i++) printf "%.0f%s", sum[i], i < 5 ? " " : "\n" }'
}

# all_exact DIRECTORY NAME FETCH_ARGUMENT...
all_exact() {
    local instance expected
    while read -r instance expected; do
        is "$(sums "$1/host/tc_portbytes-a0/port_traffic-$instance.rrd" "${@:3}")" "$expected" \
            "$2: $instance: sums over rate and step are what was sent, to the packet and the byte"
    done <<<"$known"
}

# RRD knows whole seconds, and takes the first of two values in one: a read that comes late, and
# the next, may be such two. So one more, in a second of its own.
settle_whole_seconds() {
    settle
    sleep 1
    reads 1
}

make_namespaces
make_veth 0

# ---- rrdtool and rrdcached, side by side ----

mkdir -p "$work/cached" "$work/journal"
serve rrdcached rrdcached -g -l "$cached" -b "$work/cached" -B \
    -j "$work/journal" -p "$work/rrdcached.pid"
wait_for 60 test -S "$work/rrdcached.sock"
ok $? "rrdcached starts"
is "$(sed -n 's#^SOCKFILE=\(/var\)\?#unix:#p' "$root/etc/default/rrdcached")" \
    "$(sed -n 's/.*DaemonAddress "\(.*\)"/\1/p' "$conf/stacks/rrdcached.conf")" \
    "rrdcached.conf has the address of Debian's rrdcached"
is "$(sed -n 's/^BASE_PATH=//p' "$root/etc/default/rrdcached")collectd" \
    "$(sed -n 's/.*DataDir "\(.*\)"/\1/p' "$conf/stacks/rrdcached.conf")" \
    "and a directory in its own"

extra_config=$(sed "s#/var/lib/collectd/rrd#$work/rrd#" "$conf/stacks/rrd.conf")
standard_config=$extra_config
extra_config+=$'\n'$(sed "s#unix:/run/rrdcached.sock#$cached#
    s#/var/lib/rrdcached/db#$work/cached#" "$conf/stacks/rrdcached.conf")
write_config 'MinBytes 0'
began=$(date +%s)
start_collectd env LD_LIBRARY_PATH="$libraries"
ok $? "collectd starts with conf/stacks/rrd.conf and rrdcached.conf"
send_known
settle_whole_seconds
stop_collectd # it writes what it still has
ended=$(date +%s)

all_exact "$work/rrd" rrdtool
all_exact "$work/cached/collectd" rrdcached --daemon "$cached" # makes it write, too
is "$(find "$work/rrd" "$work/cached/collectd" -name 'port_traffic-*' | wc -l)" 8 \
    "there are no other files"
is "$(find "$work/rrd" "$work/cached/collectd" -name 'port_traffic-*' -size +500000c \
    -size -1000000c | wc -l)" 8 "each of 0.5 to 1 MB, as the README says"

# ---- the picture ----

graph() { rrd "$conf/graph.sh" --from "$began" --to "$ended" "$@" 2>&1; }
# drawn GRAPH_ARGUMENT...: what graph.sh prints, without its heading, in single spaces
drawn() { graph --out "$work/graph.png" "$@" | sed '1d; s/  */ /g'; }
# size_of PNG: width and height stand in its header, https://www.w3.org/TR/png/#11IHDR
size_of() { od -An -j 16 -N 8 -t u1 "$1" | awk '{ print $3 * 256 + $4 "x" $7 * 256 + $8 }'; }

is "$(drawn --dir "$work/rrd" --top 2 --size 713x509)" "tcp-8443 1052201 0
tcp-443 120180 906093
rest 166793 453300
ephemeral 0 24560
all 1339174 1383953" "graph.sh: totals of the busiest ports, of the rest and of all: what was sent"
is "$(size_of "$work/graph.png")" 713x509 "graph.sh: a PNG of the size asked for"
is "$(drawn --dir "$work/rrd" --packets)" "udp-53 1512 1511
tcp-443 2003 907
tcp-8443 701 0
ephemeral 0 307
all 4216 2725" "graph.sh --packets: the same in packets"
is "$(RRDCACHED_ADDRESS=$cached drawn --dir "$work/cached/collectd" | tail -n 1)" \
    "all 1339174 1383953" "graph.sh: from rrdcached's files, too"

# graph_refuses WORDS NAME ARGUMENT...
graph_refuses() {
    local words=$1 name=$2 said
    shift 2
    said=$(graph --out "$work/none.png" "$@")
    is "$? $(wc -l <<<"$said")" "1 1" "graph.sh: $name is refused in one line"
    grep -qF -- "$words" <<<"$said"
    ok $? "graph.sh: $name: the line says $words"
}
mkdir "$work/empty"
graph_refuses "--wide" "an unknown option" --dir "$work/rrd" --wide
graph_refuses "$work/empty" "a directory without files" --dir "$work/empty"
graph_refuses "a1" "an interface without files" --dir "$work/rrd" --interface a1
graph_refuses "--top" "a number that isn't one" --dir "$work/rrd" --top many
cp -r "$work/rrd/host" "$work/rrd/guest"
graph_refuses "guest host" "one of several hosts, not named," --dir "$work/rrd"

# A group, and what IPsec decrypted: files with the figures of udp-53 and tcp-443.
group="group-rtp.media_1-0123456789-012-other" # as long as it can be
mkdir "$work/more" "$work/bin"
cp -r "$work/rrd/host" "$work/more"
more=$work/more/host/tc_portbytes-a0/port_traffic
cp "$more-udp-53.rrd" "$more-$group.rrd"
cp "$more-tcp-443.rrd" "$more-decrypted.rrd"
is "$(drawn --dir "$work/more" --top 3)" "tcp-8443 1052201 0
tcp-443 120180 906093
$group 166793 453300
rest 166793 453300
ephemeral 0 24560
all 1505967 1837253
decrypted 120180 906093" \
    "graph.sh: a group is like a port, whatever its name ends in; decrypted is not in all"
cat >"$work/bin/rrdtool" <<END
#!/bin/sh
printf '%s\n' "\$@" >"$work/arguments"
exec "$(ask sh -c 'command -v rrdtool')" "\$@"
END
chmod +x "$work/bin/rrdtool"
rrd env PATH="$work/bin:$PATH" "$conf/graph.sh" --from "$began" --to "$ended" --dir "$work/more" \
    --out "$work/graph.png" >"$work/out"
is "$(grep -E '^(AREA|LINE).*(group|decrypted)' "$work/arguments" | cut -d: -f3 |
    sed 's/ *$//')" "group ${group#group-}
decrypted, not in sum" "graph.sh: the legend has the whole name of a group, and says of decrypted"
is "$(grep -cE '^LINE.*:dashes' "$work/arguments") $(wc -L <"$work/out")" "2 80" \
    "graph.sh: decrypted is a line, in and out; the columns of the totals are as wide as the names"

# Names that a network client may have sent to collectd; and a link where the picture goes.
odd_host=$'h\n\e[2J\x9b:\\:"\'$(touch run)`touch run`=%s'
odd_interface=$'-e\e[2J\n:*`touch run`'
odd=$work/odd/$odd_host/tc_portbytes-$odd_interface
mkdir -p "$odd" "$work/here"
cp "$work/rrd/host/tc_portbytes-a0"/port_traffic-* "$odd"
for name in all rest @ '*' $'tcp-1\ntcp-2' $'\e[2J' 'x[$(touch run)]' 'x]' -; do
    cp "$work/rrd/host/tc_portbytes-a0/port_traffic-tcp-443.rrd" "$odd/port_traffic-$name.rrd"
done
echo untouched >"$work/canary"
ln -s ../canary "$work/here/ports--e__2J____touch_run_.png"
(cd "$work/here" && graph --dir "$work/odd" --top 2) >"$work/out"
is "$(sed '1,2d; s/  */ /g' "$work/out")" "tcp-8443 1052201 0
tcp-443 120180 906093
rest 166793 453300
ephemeral 0 24560
all 1339174 1383953" "graph.sh: odd names, the right totals without the series that are not the plugin's"
is "$(head -n 1 "$work/out" | grep -c '^graph.sh: left out 9 files in ') $(tr -d '\n -~' <"$work/out" |
    wc -c)" "1 0" "graph.sh: odd names: the others are said to be left out; all is printable ASCII"
is "$(cd "$work/here" && echo ./* && size_of ./ports*) $(cat "$work/canary")" \
    "./ports--e__2J____touch_run_.png
960x600 untouched" "graph.sh: odd names: there is the picture in place of the link, nothing else"
cp -r "$work/odd/$odd_host" "$work/odd/host"
graph_refuses "--host must say which: \$'h\\n\\E[2J\\233:" "one of several odd hosts, not named," \
    --dir "$work/odd"

find "$work/more" -name 'port_traffic-*' ! -name '*-decrypted.rrd' -delete
graph_refuses "decrypted" "an interface with nothing else" --dir "$work/more"
[ ! -e "$work/none.png" ]
ok $? "graph.sh: what is refused leaves no picture"

# ---- StandardTypes ----

rm -rf "$work/rrd"
extra_config=$standard_config
write_config 'MinBytes 0' 'StandardTypes true'
began=$(date +%s)
start_collectd env LD_LIBRARY_PATH="$libraries"
ok $? "StandardTypes true: collectd starts"
send_known
settle_whole_seconds
stop_collectd
ended=$(date +%s)
is "$(drawn --dir "$work/rrd" --interface a0 --host host | tail -n 1)" "all 1339174 1383953" \
    "StandardTypes true: graph.sh has the bytes"
is "$(drawn --dir "$work/rrd" --packets | tail -n 1)" "all 4216 2725" \
    "StandardTypes true: and the packets"
finish
