#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Least privilege: three capabilities are enough, no locked memory, no root; each that is
# missing, and whatever else forbids bpf(), gets one sentence with the remedy.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

needed=(bpf perfmon net_admin)
drop_in=${0%/*}/../../conf/systemd.conf

joined() { local IFS=,; echo "${*/#/+}"; } # +bpf,+perfmon

if ! setpriv --bounding-set="-all,$(joined "${needed[@]}")" true 2>/dev/null; then
    echo "1..0 # SKIP no setpriv here that knows these capabilities"
    exit 0
fi

# as root|stranger CAPABILITY...: sets command, which runs what follows with these alone
as() {
    local user=$1 set
    shift
    set=-all
    [ $# -eq 0 ] || set+=,$(joined "$@")
    command=(setpriv --bounding-set="$set" --inh-caps="$set")
    [ "$user" = root ] ||
        command+=("${unprivileged[@]}" --ambient-caps="$set")
}

preload=
[ $hook = clsact ] && preload="$PB_TOOLS/libnotcx.so"

make_namespaces
make_veth 0
lend_work

# ---- enough ----

# enough NAME: collectd runs under command, and counts what was there and what comes
enough() {
    local ids
    rm -rf "$work/csv"
    write_config 'MinBytes 0'
    start_collectd "${command[@]}"
    ok $? "$1: collectd starts"
    is "$(logged "a0: counting.")" 1 "$1: it attaches"
    in_b "$PB_TOOLS/blast" b0 4 udp 40000 53 1009 100 >/dev/null
    in_a "$PB_TOOLS/blast" a0 4 udp 53 40000 503 100 >/dev/null
    make_veth 1
    wait_for 60 has_logged "a1: counting."
    ok $? "$1: to an interface that comes later, too"
    in_b "$PB_TOOLS/blast" b1 4 udp 40000 53 211 100 >/dev/null
    settle
    is "$(values a0 udp-53)" "100900 1009 50300 503" "$1: to the packet and the byte"
    is "$(values a1 udp-53)" "21100 211 0 0" "$1: that one, too"
    is "$(plugin_said | grep -vc ': counting\.$')" 0 "$1: there is nothing to complain of"
    ids=$(programs)
    stop_collectd
    is $? 0 "$1: it ends well"
    # shellcheck disable=SC2086
    wait_for 60 none_alive $ids
    is "$?$(left_of a0)$(left_of a1)" 0 "$1: nothing is left"
    ip -n "$A" link del a1
}

as stranger "${needed[@]}"
command=(prlimit --memlock=0:0 "${command[@]}")
enough "nobody, with three capabilities and no locked memory"
as root "${needed[@]}"
enough "root, with a bounding set of three capabilities"

# ---- too little ----

# said_once TEXT NAME: the plugin says one line, with that in it (libbpf's own may follow),
# and collectd goes on
said_once() {
    local line
    line=$(sed -n 's/.*tc_portbytes plugin: //p' "$work/log" | grep -v '^classifier: libbpf:')
    [[ $line == *"$1"* ]] && [ "$(wc -l <<<"$line")" -eq 1 ]
    ok $? "$2: one sentence says so"
    echo "#   $line"
    kill -0 "$collectd" && [ "$(logged "read-function of plugin")" -eq 0 ]
    ok $? "$2: collectd goes on, without this read"
    stop_collectd
    [ -z "$(filters_of a0)" ]
    ok $? "$2: nothing is left"
}

# lacks NAME WHAT: under command there is one sentence that names what is missing
lacks() {
    write_config
    start_collectd "${command[@]}"
    said_once "collectd lacks $2; run it as root or give it CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN" "$1"
}

# A user namespace gives all capabilities, none of which permits bpf(): as in a container that an
# unprivileged user runs. As lacks, where command makes one.
own=(unshare --user --map-root-user)
in_user_namespace() {
    local wanted="because collectd runs in a user namespace (an unprivileged container), where no capability permits bpf(); run it on the host, or in a container without one"
    if ! "${command[@]}" true 2>/dev/null; then
        skip "no user namespace can be made here" "$1"
        return
    fi
    write_config
    start_collectd "${command[@]}"
    said_once "$wanted" "$1"
}

# Whether it is 0, 1 or 2: only those without CAP_BPF are asked. A guest may be changed.
disabled=/proc/sys/kernel/unprivileged_bpf_disabled
values=$(cat $disabled 2>/dev/null || echo none)
[ -z "${PB_KERNEL:-}" ] || [ "$values" = none ] || values="0 2"
for value in $values; do
    [ -z "${PB_KERNEL:-}" ] || [ "$value" = none ] || echo "$value" >$disabled
    as stranger perfmon net_admin
    lacks "without CAP_BPF (unprivileged_bpf_disabled is $value)" "CAP_BPF"
    command=("${own[@]}")
    in_user_namespace "root of a user namespace made by root (unprivileged_bpf_disabled is $value)"
    as stranger
    command+=("${own[@]}")
    in_user_namespace "root of a user namespace made by nobody (unprivileged_bpf_disabled is $value)"
done
as stranger bpf net_admin
lacks "without CAP_PERFMON" "CAP_PERFMON"
as stranger bpf perfmon
lacks "without CAP_NET_ADMIN" "CAP_NET_ADMIN"
as root
lacks "root with an empty bounding set, as upstream's unit has it" "CAP_BPF CAP_PERFMON CAP_NET_ADMIN"
as stranger
write_config
start_collectd "${command[@]}"
sleep 2 # two intervals: nothing more is said or done
said_once "lacks CAP_BPF CAP_PERFMON CAP_NET_ADMIN; run it as root" "nobody, without any capability"
in_a "${command[@]}" "$PB_COLLECTD" -T -C "$work/conf" >"$work/stdout" 2>&1
is $? 1 "collectd -T, which reads all the same, fails and does not crash"
# There they don't matter.
command=("${own[@]}" setpriv --bounding-set=-all --inh-caps=-all)
in_user_namespace "a user namespace, and an empty bounding set"

# A security module, a seccomp filter and lockdown answer all alike; so does this.
as stranger "${needed[@]}"
for number in -1 0 5; do
    write_config
    case $number in
    -1) name="bpf() is forbidden (lockdown, seccomp)" ;;
    0) name="maps are forbidden (a security module)" ;;
    5) name="programs are forbidden (a security module)" ;;
    esac
    start_collectd "${command[@]}" env LD_PRELOAD="$preload $PB_TOOLS/libfaults.so" PB_FAULT_BPF="$number 1"
    said_once "(Operation not permitted) although the capabilities are there: look for a security module, a seccomp filter or lockdown that forbids bpf()" "$name"
done

# ---- only to attach ----

# By clsact, detaching needs CAP_NET_ADMIN, too: what is left there the next start removes.
make_pair() { # both ends in A
    ip -n "$A" link add "$1" arp off type veth peer name "$2" &&
        ip -n "$A" link set "$1" up && ip -n "$A" link set "$2" arp off up
}
make_pair c0 d0 && make_pair c1 d1
checks=0
while read -r status name; do
    ok "$status" "all capabilities given up after the start: $name"
    checks=$((checks + 1))
done < <(in_a env LD_PRELOAD="$preload" "$PB_TOOLS/exhaust" rights c0 d0 c1 d1 | grep -v '^#')
is $checks 7 "all capabilities given up after the start: all checks were made"

# ---- conf/systemd.conf says the same ----

if [ -f "$drop_in" ]; then
    wanted=$(printf 'CAP_%s ' "${needed[@]^^}")
    for setting in CapabilityBoundingSet AmbientCapabilities; do
        is "$(sed -n "s/^#*$setting=//p" "$drop_in") " "$wanted" "systemd.conf: $setting is what was tested"
    done
else
    skip "no conf/ here" "systemd.conf: the capabilities are what was tested"
fi
if ! command -v systemd-analyze >/dev/null; then
    skip "no systemd-analyze here" "systemd.conf: systemd understands it"
elif [ -f "$drop_in" ]; then
    mkdir -p "$work/units/collectd.service.d"
    cp "$drop_in" "$work/units/collectd.service.d/tc_portbytes.conf"
    # As upstream's and Debian's unit are, in what matters here; once with all lines in force.
    printf '[Service]\nType=exec\nExecStart=/bin/true\n%s\n' 'CapabilityBoundingSet=' >"$work/units/collectd.service"
    for how in "as it is" "with all settings in force"; do
        [ "$how" = "as it is" ] ||
            sed -i 's/^#\(User=\|Group=\).*/\1daemon/; s/^#\([A-Z][A-Za-z]*=\)/\1/' "$work/units/collectd.service.d/tc_portbytes.conf"
        SYSTEMD_UNIT_PATH="$work/units:" systemd-analyze --man=no verify collectd.service >"$work/verify" 2>&1
        status=$?
        grep -q 'tc_portbytes.conf\|collectd.service' "$work/verify" && status=1
        ok $status "systemd.conf: systemd understands it, $how"
        sed 's/^/# /' "$work/verify" | head -n 5
    done
fi
finish
