#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Interface and IgnoreSelected mean what they mean to collectd: its own interface plugin,
# with the same lines in the same daemon, picks the same interfaces. No Interface line: the default
# rule. Alternative names are as good as the first.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

[ -n "${PB_KERNEL:-}" ] || collectd_interval=0.2 # less time than an emulated CPU may need
make_namespaces
for link in 0 1 2 10; do
    make_veth $link
done
# Names that mean something else to a regular expression.
ip -n "$A" link set a10 down && ip -n "$A" link set a10 name a.0 && ip -n "$A" link set a.0 up
names="a.0 a0 a1 a2"

# One device of each kind that has members, each with a member; not all kernels have all.
slaves=
others=
for type in bridge bond team; do
    if ip -n "$A" link add "${type}0" type $type 2>/dev/null; then
        ip -n "$A" link add "s$type" type veth peer name "p$type" netns "$B"
        ip -n "$B" link set "p$type" up
        ip -n "$A" link set "s$type" master "${type}0"
        ip -n "$A" link set "${type}0" up
        ip -n "$A" link set "s$type" up
        names+=" ${type}0"
        slaves+=" s$type"
    else
        skip "this kernel has no $type" "what belongs to a $type"
    fi
done
# A VRF routes for its members and does not show their traffic: they are counted.
if ip -n "$A" link add vrf0 type vrf table 10 2>/dev/null; then
    ip -n "$A" link set a2 master vrf0
    ip -n "$A" link set vrf0 up
    others+=" vrf0"
else
    skip "this kernel has no vrf" "what belongs to a VRF"
fi
if ip -n "$A" link add ifb0 type ifb 2>/dev/null; then
    ip -n "$A" link set ifb0 up
    others+=" ifb0"
else
    skip "this kernel has no ifb" "redirected packets"
fi
[ -n "$slaves" ]
ok $? "there is something that belongs to something else:$slaves"

sorted() { tr ' ' '\n' | grep . | LC_ALL=C sort | paste -sd' '; }

attached() { in_a "$PB_TOOLS/hooks" | sed -n 's/ ingress egress$//p' | sorted; }

# those_of_interface_plugin: what collectd's own interface plugin has stored
# Without the devices that tunnel modules put into every namespace: they are down, and we
# count what is up.
those_of_interface_plugin() {
    local directory
    for directory in "$work"/csv/host/interface-*; do
        [ -d "$directory" ] && echo "${directory##*/interface-}"
    done | grep -vxE '(erspan|gre|gretap|ip6gre|ip6tnl|sit|tunl|ip_vti|ip6_vti)0' | sorted
}

# shellcheck disable=SC2317 # called by wait_for
stored_twice() { [ "$(cat "$work/csv/host/interface-$1"/if_octets-* 2>/dev/null | grep -c '^[0-9]')" -ge 2 ]; }

reference=
if [ -f "$PB_COLLECTD_PLUGINS/interface.so" ]; then
    reference=yes
else
    skip "there is no interface.so" "the same as collectd's interface plugin"
fi

# picks EXPECTED LINE...: these lines, this is what gets counted
picks() {
    local expected lines
    expected=$(echo "$1" | sorted)
    shift
    rm -rf "$work/csv"
    extra_config=
    if [ -n "$reference" ] && [ $# -gt 0 ]; then
        lines=$(printf '  %s\n' "$@")
        extra_config="LoadPlugin interface
<Plugin interface>
$lines
</Plugin>"
    fi
    write_config "$@"
    start_collectd || ok 1 "$*: collectd starts"
    is "$(attached)" "$expected" "${*:-no line at all}: ${expected:-nothing}"
    if [ -n "$extra_config" ]; then
        if [ -n "$expected" ]; then # with the second value of one, the first of all are stored
            wait_for 60 stored_twice "${expected##* }"
        else # nothing says when something would have come
            sleep "$collectd_interval"
        fi
        is "$(those_of_interface_plugin)" "$expected" "$*: collectd's interface plugin agrees"
    fi
    stop_collectd
    is "$?/$(in_a "$PB_TOOLS/hooks")" "0/" "${*:-no line at all}: nothing is left"
}

everything="lo $names $slaves $others"

picks "$names" # no line at all
picks a0 'Interface "a0"'
picks "a0 a1" 'Interface "a0"' 'Interface "a1"'
picks "" 'Interface "a"'
picks a.0 'Interface "a.0"' 'Interface "A1"'
picks "a.0 a0" 'Interface "/^a.?0/"'
picks "$(echo "$everything" | sorted | tr ' ' '\n' | grep 0 | paste -sd' ')" 'Interface "/0/"'
picks "a1 lo" 'Interface "/^(a1|lo)$/"'
picks "lo $slaves" 'Interface "lo"' 'Interface "/^s[a-z]+$/"'
picks "$(echo "$everything" | sorted | tr ' ' '\n' | grep -v '^a1$' | paste -sd' ')" \
    'IgnoreSelected true' 'Interface "a1"'
picks "lo $slaves" 'Interface "/[0-9]$/"' 'IgnoreSelected true'
picks a1 'Interface "a1"' 'Interface "/a0"' 'Interface "//"' 'IgnoreSelected false'

# Without a pattern there is nothing to invert; here collectd's would take loopback too.
reference=
picks "$names" 'IgnoreSelected true'

# What can be named is counted as well: loopback both ways, and the member of a bridge.
slave=${slaves# }
slave=${slave%% *}
rm -rf "$work/csv"
extra_config=
write_config 'Interface "lo"' "Interface \"$slave\"" 'MinBytes 0'
start_collectd
ok $? "collectd starts"
in_a "$PB_TOOLS/blast" lo 4 udp 53 67 101 100 >/dev/null
in_b "$PB_TOOLS/blast" "p${slave#s}" 4 udp 40000 53 211 100 >/dev/null
settle
is "$(values lo udp-67) $(values lo udp-53)" "10100 101 0 0 0 0 10100 101" \
    "loopback: in under the destination port, out under the source port"
is "$(value "$slave" udp-53 rx_packets)" 211 "$slave: what came in"
stop_collectd
is "$?" 0 "collectd ends well"

# ---- alternative names ----

# What collectd's interface plugin has none of.
long=$(printf 'x%.0s' {1..127})
ip -n "$A" link property add dev a0 altname x0 altname "$long"
ok $? "a0 has two more names"
picks a0 'Interface "x0"'
is "$(plugin_said)" "a0: counting." "it is found, and counted under its own name"
picks a0 "Interface \"$long\""
picks "a0 a1" 'Interface "/^x0$/"' 'Interface "a1"'
picks "$(echo "$everything" | sorted | tr ' ' '\n' | grep -v '^a0$' | paste -sd' ')" \
    'IgnoreSelected true' 'Interface "x0"'

logged_again() { [ "$(logged "$1")" -gt "$2" ]; }
rm -rf "$work/csv"
write_config 'MinBytes 0' 'Interface "x1"'
start_collectd
is "$(attached)/$(plugin_said)" "/x1: interface not found; will attach when it appears." \
    "a name that no interface has"
in_a "$PB_TOOLS/hooks" a1 attached ip link property add dev a1 altname x1 >/dev/null
ok $? "a1 gets that name: it is counted"
wait_for 60 logged_again "a1: counting." 0
in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 307 100 >/dev/null
settle
is "$(values a1 udp-53)" "30700 307 0 0" "to the byte"
in_a "$PB_TOOLS/hooks" a1 detached ip link property del dev a1 altname x1 >/dev/null
ok $? "it loses the name: it isn't counted any more"
stop_collectd
is "$?" 0 "collectd ends well"

# ---- names that would do something to a terminal ----

ip -n "$A" link set a1 down && ip -n "$A" link set a1 name $'a\e[1m1' && ip -n "$A" link set $'a\e[1m1' up
ok $? "an interface has a control character in its name"
write_config
start_collectd
wait_for 60 has_logged 'a\x1b[1m1: counting.'
is "$?/$(grep -c $'\e' "$work/log")" "0/0" "the log has its number in its place"
stop_collectd
is "$?" 0 "collectd ends well"

# ---- more alternative names than fit the usual datagram of a dump, 32 KB ----

for ((n = 0; n < 300; n++)); do
    printf 'link property add dev a2 altname many-%03d-%0118d\n' $n 0
done | ip -n "$A" -batch -
ok $? "a2 has 300 long names"
write_config 'Interface "a0"' "Interface \"$(printf 'many-299-%0118d' 0)\""
start_collectd
ok $? "collectd starts"
is "$(plugin_said | sort | xargs)" "a0: counting. a2: counting." "it finds a2 by the last of them"
stop_collectd
is "$?" 0 "collectd ends well"
finish
