# SPDX-License-Identifier: MIT
# collectd as a service: a Debian system with Debian's collectd in which systemd is process 1 of
# a PID namespace. It has its own mounts, cgroups and host name, and the network namespace A.
# Nothing outside is changed: /proc/sys is read-only, and only the units that the test asks for
# are started.
# PB_SYSTEM: the system, made by make_service. Unset: made in PB_CACHE, for this machine's release.
# PB_CACHE (/var/cache/tc_portbytes): where the systems are kept for the next run.
# shellcheck shell=bash disable=SC2154,SC2034
# shellcheck source=tests/packages/lib.sh
. "${BASH_SOURCE[0]%/*}/../packages/lib.sh"

trap 'cleanup; remove_cgroup; [ -z "$clean" ] || rm -rf "$clean"' EXIT

# What collectd's plugins in unit.sh and tc_portbytes are linked to, beside collectd and systemd.
service_packages=(systemd collectd libbpf1 libelf1 libmnl0 libmicrohttpd12 libprotobuf-c1
    libgcrypt20 liboping0)

# make_service RELEASE: sets made, such a system in the cache. Others start from a copy.
make_service() {
    lock_cache "$1"
    made=$cache/service
    make_base "$1"
    if ! [ "$(cat "$made.complete" 2>/dev/null)" = "${service_packages[*]}" ]; then
        rm -rf "$made" "$made.complete" "$work/opened-service" # which another release has made
        cp -a "$cache/base" "$made" && open_system "$made" || return
        { apt "$made" update && apt "$made" install "${service_packages[@]}" &&
            inside "$made" useradd --system --no-create-home collectd; } >"$cache/log" 2>&1 ||
            skip_all "no systemd and collectd of $1: $(tail -n 1 "$cache/log")"
        # What the unit does not need is not started, and not carried into guests.
        rm -rf "$made"/usr/share/{doc,man,locale,info} "$made"/var/{cache/apt,lib/apt/lists}/* \
            "$made"/usr/lib/systemd/{system-generators,system/sysinit.target.wants} \
            "$made"/etc/systemd/system/*.wants
        echo "${service_packages[*]}" >"$made.complete"
    fi
    exec 9>&-
}

cgroup=tc_portbytes-$$

# in_cgroups COMMAND...: with the root of the cgroups in $work/cgroup
in_cgroups() {
    # shellcheck disable=SC2016
    unshare --mount sh -ec 'mkdir -p "$1" && mount -t cgroup2 cgroup2 "$1"
        cd "$1" && shift && exec "$@"' sh "$work/cgroup" "$@"
}

# remove_cgroup: after cleanup, which ended systemd; what ran below it ends a moment later
remove_cgroup() {
    mkdir -p "$work"
    # shellcheck disable=SC2016
    in_cgroups sh -c 'n=0
        while [ -d "$1" ] && [ $n -lt 100 ]; do
            find "$1" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
            n=$((n + 1))
        done' sh "$cgroup" 2>/dev/null
    rm -rf "$work"
}

# boot_service: sets clean, the copy of the system that runs, and init, its process 1. That systemd
# does not come up says nothing of ours, of which nothing runs yet: all is skipped.
boot_service() {
    local release
    if [ -n "${PB_SYSTEM:-}" ]; then
        clean=$PB_SYSTEM
    else
        release=$(. /etc/os-release && [ "${ID:-}" = debian ] && echo "${VERSION_CODENAME:-}")
        [ -n "$release" ] || skip_all "the plugin is built for this machine, which is not Debian"
        make_service "$release" || return
        clean=$cache/clean.$$
        cp -a "$made" "$clean" || return
    fi
    cp "$PB_PLUGIN" "$clean/usr/lib/collectd/"
    # shellcheck disable=SC2016
    in_cgroups sh -c 'mkdir "$1" 2>&1' sh "$cgroup" >"$work/mkdir" ||
        skip_all "no cgroup can be made: $(cat "$work/mkdir")"
    ip netns exec "$A" "${BASH_SOURCE[0]%/*}/boot.sh" "$clean" "$cgroup" "$work/cgroup" \
        >"$work/systemd" 2>&1 </dev/null &
    started+=("$!")
    namespaces=$!
    wait_for 180 is_booted && return
    sed 's/^/# /' "$work/systemd"
    skip_all "systemd does not come up: $(tail -n 1 "$work/systemd")"
}
is_booted() {
    init=$(pgrep -P "$namespaces") &&
        says running in_service systemctl is-system-running 2>/dev/null
}

# in_service COMMAND...: as root in there, outside of all units' restrictions
in_service() {
    nsenter --target="$init" --mount --pid --uts --ipc --net --cgroup --root --wd \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@" </dev/null
}

# in_unit COMMAND...: as root with all capabilities, but with the files as collectd sees them
in_unit() {
    nsenter --target="$collectd" --mount --root --wd env -i PATH=/usr/bin:/bin "$@" </dev/null
}

# start_service: as the unit and collectd.conf are now; sets collectd
log_owner=root
start_service() {
    rm -f "$clean/var/log/collectd.log"
    in_service install -o "$log_owner" /dev/null /var/log/collectd.log
    in_service systemctl daemon-reload
    in_service systemctl reset-failed collectd 2>/dev/null
    in_service systemctl start collectd >"$work/started" 2>&1 &&
        wait_for 180 has_logged "entering read-loop" && collectd=$(main_process) || {
        in_service journalctl --no-pager -o cat -n 20 | sed 's/^/# /'
        show_log
        return 1
    }
}
main_process() { pgrep -x -P "$init" collectd; }
stop_service() { in_service systemctl stop collectd; }
