#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# conf/systemd.conf, in force: systemd runs Debian's collectd with Debian's default configuration
# and some usual plugins beside. The plugin counts, Persist works, every other plugin stores what
# it stored without the drop-in, and says no more.
# shellcheck source=tests/service/lib.sh
. "${0%/*}/lib.sh"
drop_in=${PB_DROP_IN:-${0%/*}/../../conf/systemd.conf}

make_namespaces
make_veth 0
# write_prometheus asks getaddrinfo with AI_ADDRCONFIG: loopback's address alone is none.
ip -n "$A" address add 10.99.9.1/24 dev a0
boot_service
ok $? "systemd runs"
[ $failures -eq 0 ] || finish
read_from_clean
in_service mount --bind /home /home # a file system of its own, as far as df knows
units=$clean/etc/systemd/system
mkdir -p "$units/collectd.service.d"
debian=$clean/usr/lib/systemd/system/collectd.service

# ---- what is compared ----

# configure [LINE...]: the lines of the plugin's block, in front of which extra_config is put;
# unixsock is the block of that plugin.
# Debian's default configuration, but for the interval, and for the root of a guest: df leaves out
# an initramfs.
cp "$clean/etc/collectd/collectd.conf" "$work/collectd.conf"
interval=1
[ -z "${PB_KERNEL:-}" ] || interval=3 # an emulated CPU doesn't write all that in a second
unixsock='<Plugin unixsock>
  SocketGroup "root"
</Plugin>'
configure() {
    sed "s/^#Interval .*/Interval $interval/; /FSType rootfs/d" "$work/collectd.conf" \
        >"$clean/etc/collectd/collectd.conf"
    cat >"$clean/etc/collectd/collectd.conf.d/0test.conf" <<-END
		$(stored_in_clean)
		LoadPlugin network
		<Plugin network>
		  Server "127.0.0.1"
		</Plugin>
		LoadPlugin contextswitch
		LoadPlugin tcpconns
		$unixsock
		LoadPlugin uptime
		LoadPlugin write_prometheus
		$extra_config
		LoadPlugin tc_portbytes
		<Plugin tc_portbytes>
		  MinBytes 0
		  $(printf '%s\n' "$@")
		</Plugin>
	END
    rm -rf "$clean"/var/lib/collectd/{rrd,csv}
}

# stored: what RRDs there are, but for the plugin's, and for what a disk has only while it is busy
stored() {
    (cd "$clean/var/lib/collectd/rrd/host" &&
        find . -name '*.rrd' ! -path '*portbytes*' ! -name pending_operations.rrd | sort)
}
# additional LIST: the plugin instances of those of stored that are not in it
additional() { comm -13 <(echo "$1") <(stored) | cut -d/ -f2 | sort -u | paste -sd' '; }
missing() { comm -23 <(echo "$1") <(stored) | paste -sd' '; }
none_missing() { [ -z "$(missing "$1")" ]; }

# complaints: what is said to have failed; not that an RRD that is made has the second that it is
# updated in, which is so each time
complaints() {
    grep -iE "fail|error|denied|permi|read-only|cannot|unable|refus" "$work/log" |
        grep -v 'illegal attempt to update' | sed 's/^\[[^]]*\] //' | sort -u
}

# free FILE-SYSTEM: bytes, as df has it
free() { tail -qn 1 "$work/csv/host/df-$1"/df_complex-free-* | cut -d, -f2; }

is_restarted() {
    collectd=$(main_process) && [ "$collectd" != "$1" ] &&
        [ "$(logged "entering read-loop")" -eq 2 ]
}

exposure() {
    in_service systemd-analyze security --no-pager --offline=true collectd.service |
        sed -n 's/.*exposure level for collectd.service: \([0-9.]*\).*/\1/p'
}

# counts NAME: known traffic, to the packet and the byte
counts() {
    local instance expected
    send_known
    settle
    while read -r instance expected; do
        is "$(values a0 "$instance")" "$expected" "$1: $instance, to the packet and the byte"
    done <<<"$known"
}

# prometheus_has PATTERN: whether write_prometheus says that. There is no curl in a guest.
prometheus_has() {
    in_a timeout 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/9103
        printf "GET /metrics HTTP/1.0\r\n\r\n" >&3
        cat <&3' | grep -q "$1"
}

# keeps NAME: all that was stored before is, and nothing fails that didn't before
keeps() {
    local pid
    wait_for 60 none_missing "$before"
    is "$(missing "$before")" "" "$1: every plugin stores what it did"
    is "$(complaints)" "$complaints_before" "$1: nothing fails that did not before"
    pid=$(in_service systemctl show -P MainPID collectd)
    is "$(in_service journalctl --no-pager -o cat _PID="$pid" | grep -c 'entering read-loop')" 1 \
        "$1: syslog has it, too"
    wait_for 60 prometheus_has '^collectd_tc_portbytes_port_traffic_rx_bytes_total{.*tcp-443'
    ok $? "$1: write_prometheus answers"
}

# own_status NAMES: these values of collectd's /proc/PID/status
own_status() { awk "/^($1):/ { print \$2 }" "/proc/$collectd/status" | paste -sd' '; }

# restricted NAME: what the unit says is so
restricted() {
    local path erofs="Read-only file system"
    is "$(own_status 'CapBnd|NoNewPrivs|Seccomp')" "000000c000001000 1 2" \
        "$1: three capabilities, no new ones, a seccomp filter"
    for path in /usr/lib/x /etc/x /home/x /var/spool/x /proc/irq/default_smp_affinity \
        /sys/kernel/x /sys/fs/cgroup/x; do
        is "$(in_unit sh -c ": >$path" 2>&1 | grep -o "$erofs")" "$erofs" "$1: $path is read-only"
    done
    in_service mknod /dev/disk b 7 1
    in_unit test ! -e /dev/disk
    ok $? "$1: a device is not there"
    in_service rm /dev/disk
}

# ---- without, and with it ----

configure
start_service
ok $? "Debian's unit: collectd starts"
counts "Debian's unit"
before=$(stored)
complaints_before=$(complaints)
exposure_before=$(exposure)
for plugin in cpu df entropy interface irq load memory processes swap users; do
    grep -q "^\./${plugin}[-/]" <<<"$before"
    ok $? "Debian's unit: $plugin is stored"
done
stop_service

cp "$drop_in" "$units/collectd.service.d/tc_portbytes.conf"
# A call that is not permitted ends collectd here, so that it is seen.
printf '[Service]\nSystemCallErrorNumber=kill\n' >"$units/collectd.service.d/z.conf"
configure
start_service
ok $? "with the drop-in: collectd starts"
counts "with the drop-in"
restricted "with the drop-in"
keeps "with the drop-in"
near "with the drop-in: df has the right values of /home" "$(free home)" "$(free root)" 0.9 1.1
mounts= # systemd 257 has a file system in /tmp
for path in tmp var/lib/collectd var/log var/tmp; do
    in_service mountpoint -q "/$path" || mounts+=" df-${path//\//-}"
done
is "$(additional "$before")" "${mounts# }" \
    "with the drop-in: df reports what the drop-in says, and nothing else is new"
in_service sh -c 'mkdir -p /mnt/later && mount -t tmpfs later /mnt/later'
is "$(grep -c ' /mnt/later ' "/proc/$collectd/mountinfo")" 1 \
    "with the drop-in: a file system that is mounted later is seen"
in_service umount /mnt/later
stop_service
rm "$units/collectd.service.d/z.conf"
exposure_after=$(exposure)
echo "# systemd-analyze security: $exposure_before, with the drop-in $exposure_after"
awk -v before="$exposure_before" -v after="$exposure_after" \
    'BEGIN { exit !(before > 9 && after > 0 && after < 3) }'
ok $? "systemd-analyze security: below 3, where it was above 9"

# ---- upstream's unit, Persist, and what other plugins' lines do ----

{
    sed /^ExecStartPre/d "$debian"
    printf '%s\n' '[Service]' CapabilityBoundingSet= NoNewPrivileges=true ProtectSystem=full \
        ProtectHome=true
} >"$units/collectd.service"
{
    echo "[Service]"
    sed -n 's/^#   \(ping\|unixsock, for a group\)  *//p' "$drop_in"
} >"$units/collectd.service.d/z.conf"
unixsock= # the group is collectd
extra_config="LoadPlugin ping
<Plugin ping>
  Host \"127.0.0.1\"
</Plugin>
<Plugin df>
$(sed -n 's/^#   MountPoint/MountPoint/p' "$drop_in")
</Plugin>"
configure 'Persist true'
start_service
ok $? "upstream's unit, Persist: collectd starts"
counts "upstream's unit, Persist"
keeps "upstream's unit, Persist"
wait_for 60 test -e "$clean/var/lib/collectd/rrd/host/ping/ping-127.0.0.1.rrd"
is "$(additional "$before")" ping \
    "upstream's unit, Persist: the lines for ping and df do what they say"
is "$(in_service stat -c %G /run/collectd-unixsock)" collectd \
    "upstream's unit, Persist: that for unixsock, too"
first=$collectd
in_service systemctl restart collectd >"$work/started" 2>&1
wait_for 180 is_restarted "$first"
ok $? "upstream's unit, Persist: collectd is restarted"
stop_service
send_known # nobody reads
start_service
ok $? "upstream's unit, Persist: collectd starts again"
send_known
settle
while read -r instance expected; do
    # shellcheck disable=SC2086
    is "$(values a0 "$instance")" \
        "$(printf '%s\n' $expected | awk '{ print 3 * $1 }' | paste -sd' ')" \
        "upstream's unit, Persist: $instance goes on from where it was"
done <<<"$known"
stop_service
configure
start_service # removes the pins
ok $? "upstream's unit, Persist false: collectd starts"
is "$(in_service find /sys/fs/bpf -mindepth 1 ! -name '*.debug')" "" \
    "upstream's unit, Persist false: no pin is left"
stop_service
rm "$units/collectd.service" "$units/collectd.service.d/z.conf"

# ---- not as root ----

sed -i 's/^#\([A-Za-z]*=\)/\1/' "$units/collectd.service.d/tc_portbytes.conf"
cat >"$clean/usr/local/bin/value" <<'END'
#!/bin/sh
while :; do
    echo "PUTVAL host/exec-as-$(id -un)/gauge-x interval=1 N:1"
    sleep 1
done
END
chmod 755 "$clean/usr/local/bin/value"
unixsock='<Plugin unixsock>
  SocketFile "/run/collectd/unixsock"
</Plugin>'
extra_config='LoadPlugin exec
<Plugin exec>
  Exec "collectd" "/usr/local/bin/value"
</Plugin>'
configure
log_owner=collectd
start_service
ok $? "as a user: collectd starts"
is "$(own_status 'Uid|CapEff')" "$(in_service id -u collectd) 000000c000001000" \
    "as a user: that user, with three capabilities"
counts "as a user"
wait_for 60 none_missing "$before"
is "$(missing "$before")" "" "as a user: every plugin stores what it did"
wait_for 60 test -e "$clean/var/lib/collectd/rrd/host/exec-as-collectd/gauge-x.rrd"
ok $? "as a user: exec runs programs as this user"
is "$(in_service stat -c %F:%G /run/collectd/unixsock)" socket:collectd \
    "as a user: unixsock has its socket"
stop_service

# ---- a filter without bpf() ----

cp "$drop_in" "$units/collectd.service.d/tc_portbytes.conf"
printf '[Service]\nSystemCallFilter=~bpf\n' >"$units/collectd.service.d/z.conf"
extra_config=
log_owner=root
configure
start_service
ok $? "without bpf(): collectd starts"
refused="classifier: the kernel refused the classifier (Operation not permitted)"
is "$(grep -c "tc_portbytes plugin: $refused .* a seccomp filter" "$work/log")" 1 \
    "without bpf(): one line says where to look"
stop_service
finish
