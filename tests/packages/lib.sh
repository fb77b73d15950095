# SPDX-License-Identifier: MIT
# A package on its whole way, as the README tells an operator: built from `make dist`'s tarball
# in a clean system of a Debian release, installed in another one, in which nothing hides a
# missing dependency, enabled, run, removed.
# The systems are directories in which commands run by chroot; what is mounted there is so in a
# mount namespace of its own, and ends with the process that holds it.
# PB_CACHE (/var/cache/tc_portbytes): where the systems are kept for the next run, but for the
# one in which the package was installed. Only root can enter: the build in there is nobody's,
# and root installs what it made.
# shellcheck shell=bash disable=SC2154
# shellcheck source=tests/stacks/lib.sh
. "${BASH_SOURCE[0]%/*}/../stacks/lib.sh"

clean= # the system in which the package is installed
declare -A holder
# After what is mounted there: that ends with its holder, in cleanup.
trap 'cleanup; [ -z "$clean" ] || rm -rf "$clean"' EXIT

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

# ---- systems ----

# make_base RELEASE: the smallest system of a release, from where this machine has its packages.
# That it can't be had says nothing of ours: all is skipped.
make_base() {
    local base=$cache/base proxy mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$cache/base.complete" ] && return
    command -v debootstrap >/dev/null ||
        apt-get install -qqy --no-install-recommends debootstrap >"$cache/log" 2>&1 </dev/null ||
        skip_all "debootstrap can't be installed"
    [ -r "$keyring" ] || skip_all "there is no $keyring to check signatures with"
    # shellcheck disable=SC2016 # apt expands it
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
        head -n 1)
    # apt's proxy for what is not apt.
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    rm -rf "$base"
    env ${proxy:+"http_proxy=$proxy"} timeout 1800 debootstrap --variant=minbase \
        --keyring="$keyring" "$1" "$base" ${mirror:+"$mirror"} >"$cache/log" 2>&1 </dev/null ||
        skip_all "debootstrap can't make $1: $(tail -n 1 "$cache/log")"
    apt-config dump | grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|ForceIPv)' \
        >"$base/etc/apt/apt.conf.d/90host"
    echo 'Acquire::Languages "none";' >>"$base/etc/apt/apt.conf.d/90host"
    # A crash of the machine is nothing that these files have to survive.
    echo force-unsafe-io >"$base/etc/dpkg/dpkg.cfg.d/unsafe-io"
    printf '#!/bin/sh\nexit 101\n' >"$base/usr/sbin/policy-rc.d" # no service is started
    chmod 755 "$base/usr/sbin/policy-rc.d"
    touch "$cache/base.complete"
}

# lock_cache RELEASE: sets cache, where the systems of that release are kept, for this process alone
lock_cache() {
    command -v apt-get >/dev/null || skip_all "only Debian and its like make Debian systems"
    use_cache "packages/$1" || skip_all "PB_CACHE: $refusal"
    chmod 700 "$cache"
    exec 9>"$cache/lock"
    flock 9 # two runs would disturb each other
}

# open_compilers RELEASE: sets and opens system, a clean one that is kept for compiling in. While
# something is installed in it there must be no $cache/clang.complete: what was cut short would
# disturb the next run. The caller's skip_all says why there is none.
open_compilers() {
    lock_cache "$1"
    system=$cache/clang
    make_base "$1"
    if ! [ -e "$cache/clang.complete" ]; then
        rm -rf "$system"
        cp -a "$cache/base" "$system" && touch "$cache/clang.complete" || exit
    fi
    make_namespaces && open_system "$system" || exit
}

# open_system DIRECTORY: from now on commands can run inside. In A, whose interfaces /sys shows.
open_system() {
    local opened=$work/opened-${1##*/}
    cp -L /etc/resolv.conf /etc/hosts "$1/etc"
    # shellcheck disable=SC2016
    ip netns exec "$A" sh -c 'mount -t proc proc "$1/proc" && mount -t sysfs sysfs "$1/sys" &&
        mount -t bpf bpf "$1/sys/fs/bpf" && echo >"$2" && exec sleep 86400' sh "$1" "$opened" 9>&- &
    holder[$1]=$!
    started+=("$!")
    wait_for 60 test -e "$opened"
}

# inside DIRECTORY COMMAND...: as root, in the network of the caller, or in the namespace $network
network=
inside() {
    local at=$1
    shift
    timeout 1800 nsenter --mount="/proc/${holder[$at]}/ns/mnt" \
        ${network:+"--net=/run/netns/$network"} env -u TMPDIR HOME=/root LC_ALL=C \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        chroot "$at" "$@" </dev/null
}

# apt DIRECTORY COMMAND...
apt() {
    local at=$1
    shift
    inside "$at" apt-get -qqy --no-install-recommends "$@"
}

# as_nobody DIRECTORY SHELL-COMMAND: in /build, without privileges
as_nobody() {
    inside "$1" setpriv --reuid=65534 --regid=65534 --clear-groups \
        env HOME=/nonexistent sh -c "cd /build && $2"
}

# step NAME COMMAND...: a test; what the command said is in $work/step, and shown if it failed
step() {
    local name=$1 status
    shift
    "$@" >"$work/step" 2>&1
    status=$?
    ok $status "$name"
    [ $status -eq 0 ] || tail -n 60 "$work/step" | sed 's/^/# /'
    return $status
}

# ---- collectd, as it is installed ----

example=/etc/collectd/tc_portbytes.conf

# start_installed: in namespace A; sets collectd
start_installed() {
    local preload=
    [ "$hook" = tcx ] || preload=/root/libnotcx.so
    rm -f "$clean/var/log/collectd.log"
    # No function: $! is its pid.
    ip netns exec "$A" nsenter --mount="/proc/${holder[$clean]}/ns/mnt" \
        chroot "$clean" env "LD_PRELOAD=$preload" /usr/sbin/collectd -f >"$work/stdout" 2>&1 \
        </dev/null 9>&- &
    collectd=$!
    started+=("$collectd")
    wait_for 180 has_logged "entering read-loop" || {
        sed 's/^/# /' "$work/stdout"
        show_log
        return 1
    }
}

# set_option LINE: in the example, in place of its comment
set_option() { sed -i "s/^#\t${1%% *} .*/\t$1/" "$clean$example"; }

# Without the kernel's own, which each such file system has.
pins() { inside "$clean" find /sys/fs/bpf -mindepth 1 ! -name '*.debug' | sort; }

# left_over: what has the plugin's name, but for what collectd stored and logged, and apt fetched
left_over() {
    find "$clean" -xdev \( -path "$clean/var/lib/collectd" -o -path "$clean/var/log" -o \
        -path "$clean/var/cache/apt" -o -path "$clean/root" \) -prune -o \
        -name '*portbytes*' -printf '/%P\n' | sort
}

# ---- the way ----

# on_release RELEASE COMMAND: a whole test; the command has the base of that release, an
# interface a0 and the tarball
on_release() {
    lock_cache "$1"
    build=$cache/build
    version=$(sed -n 's/^VERSION = //p' "$PB_BUILD/Makefile")
    tree=tc_portbytes-$version
    make_base "$1" && make_namespaces && make_veth 0 &&
        step "make dist" make -s -C "$PB_BUILD" dist && "$2"
    ok $? "all of it was tried"
    finish
}

# change_build NAME COMMAND...: a step on the system to build in, which is kept if it succeeds
change_build() {
    rm -f "$cache/build.complete"
    step "$@" && touch "$cache/build.complete"
}

# open_build: the system to build in, which has an empty /build
open_build() {
    if ! [ -e "$cache/build.complete" ]; then
        rm -rf "$build"
        cp -a "$cache/base" "$build"
    fi
    open_system "$build" || return
    rm -rf "$build/build"
    install -d -o 65534 -g 65534 "$build/build"
    step "apt has lists" apt "$build" update
}

# open_source: the same with the tarball unpacked there, and with what its debian/control names
open_source() {
    open_build && tar -C "$build/build" -xf "$PB_BUILD/$tree.tar.xz" || return
    chown -R 65534:65534 "$build/build"
    change_build "what the package says it needs can be installed, and builds it" \
        apt "$build" build-dep "/build/$tree/conf/packaging"
}

# build_package TARGET: by that target of make; the unit tests are part of it
build_package() {
    step "make $1" as_nobody "$build" "cd $tree && ./configure && make $1" || return
    is "$(sed -n 's/^# \(FAIL\|ERROR\|SKIP\): *//p' "$work/step" | paste -sd' ')" "0 0 0" \
        "the build has run the unit tests"
}

# open_clean: the system to install in
open_clean() {
    clean=$cache/clean.$$
    cp -a "$cache/base" "$clean"
    cp "$PB_TOOLS/libnotcx.so" "$clean/root"
    open_system "$clean" && step "apt has lists of the clean system" apt "$clean" update
}

# stored_in_clean: lines for the collectd in $clean, which then logs and stores where
# read_from_clean has the tests look
stored_in_clean() {
    cat <<-'CONF'
		Hostname "host"
		WriteThreads 1
		LoadPlugin logfile
		<Plugin logfile>
		  File "/var/log/collectd.log"
		</Plugin>
		LoadPlugin csv
		<Plugin csv>
		  DataDir "/var/lib/collectd/csv"
		</Plugin>
		LoadPlugin unixsock
	CONF
}
read_from_clean() {
    ln -s "$clean/var/log/collectd.log" "$work/log"
    ln -s "$clean/var/lib/collectd/csv" "$work/csv"
}

configure_collectd() {
    # Read first: a plugin has the interval that was set before it was loaded.
    { echo "Interval 1" && stored_in_clean; } >"$clean/etc/collectd/collectd.conf.d/0test.conf"
    read_from_clean
}

# count TARGET DIRECTORY: enabled by a link to the one in the other
count() {
    local instance expected page
    for page in man1/tc_portbytes-top.1 man5/collectd-tc_portbytes.5; do
        is "$(find "$clean/usr/share/man" -path "*/$page*" -size +0 | wc -l)" 1 "there is $page"
    done
    set_option "MinBytes 0"
    inside "$clean" ln -s "$@"
    start_installed
    ok $? "enabled by a link, the plugin runs in this release's collectd"
    send_known
    settle
    while read -r instance expected; do
        is "$(values a0 "$instance")" "$expected" "$instance: to the packet and the byte"
    done <<<"$known"
    is "$(series a0 | paste -sd' ')" "$(cut -d' ' -f1 <<<"$known" | paste -sd' ')" \
        "there are these series and no others"
    is "$(inside "$clean" tc_portbytes-top --once | grep -Ec '^ *(tcp-443|udp-53) ')" 2 \
        "tc_portbytes-top shows them"
    stop_collectd
    is "$?" 0 "SIGTERM ends collectd with status 0"
}

# hooked: where the classifier is attached
hooked() { in_a "$PB_TOOLS/hooks" | paste -sd' '; }

# remove LEFT COMMAND...: by that command, while Persist keeps everything pinned and attached, as a
# new installation by $again does; then of the plugin's name only the files LEFT are there
remove() {
    local ids before network left=$1
    shift
    set_option "Persist true"
    start_installed
    ok $? "Persist true: collectd starts"
    ids=$(programs)
    is "$(wc -w <<<"$ids")" 2 "two programs are loaded"
    stop_collectd
    before=$(pins)
    ok $((${#before} == 0)) "what Persist keeps is pinned"
    network=$A # as collectd, whose filters are there
    step "the package is installed once more" "${again[@]}"
    is "$(pins)/$(hooked)" "$before/a0 ingress egress" "all stays pinned and attached"
    step "the package is removed" "$@"
    is "$(grep -c 'removed what was pinned' "$work/step")" 1 "and tells what it removed"
    is "$(pins)/$(hooked)" / "nothing is pinned or attached"
    # shellcheck disable=SC2086
    wait_for 60 none_alive $ids
    ok $? "no program is left"
    is "$(left_over)" "$left" "its configuration is left, and disabled"
    start_installed
    ok $? "collectd starts without it"
    stop_collectd
}

# ---- the Debian package ----

# check_deb DEB...: in the system to build in
check_deb() {
    local deb
    change_build "apt installs lintian" apt "$build" install lintian || return
    install -d "$build/build/packages"
    install -m 644 -t "$build/build/packages" "$@"
    step "lintian: no error" as_nobody "$build" "lintian --fail-on error packages/*.deb"
    for deb; do
        is "$(dpkg-deb --ctrl-tarfile "$deb" | tar -t | grep -v '/$' | sort | paste -sd' ')" \
            "./conffiles ./control ./md5sums ./postrm ./prerm" \
            "${deb##*/}: installing it runs nothing of its own"
    done
}

build_deb() {
    open_source && build_package deb || return
    deb=$(find "$build/build/$tree" -maxdepth 1 -name "collectd-tc-portbytes_${version}_*.deb")
    ok $((${#deb} == 0)) "the package has the version of configure.ac"
    check_deb "$deb"
}

# install_deb PACKAGE [COMMAND...]: a name or a file, for apt, which is run by that command
install_deb() {
    step "apt installs it" "${@:2}" apt "$clean" install "$1" || return
    is "$(inside "$clean" ldd /usr/lib/collectd/tc_portbytes.so | grep 'not found')" "" \
        "all libraries that the plugin needs came along"
    # collectd-core has no collectd.conf.
    step "apt installs collectd" apt "$clean" install collectd
}

# use_deb PACKAGE: the one that is installed, until it is purged
use_deb() {
    local info=/var/lib/dpkg/info/collectd-tc-portbytes
    configure_collectd
    count ../tc_portbytes.conf /etc/collectd/collectd.conf.d/
    again=(apt "$clean" install --reinstall "$1")
    remove "$example"$'\n'"$info.list"$'\n'"$info.postrm" \
        apt "$clean" remove collectd-tc-portbytes
    step "apt purges the package" apt "$clean" purge collectd-tc-portbytes
    is "$(left_over)" "" "nothing is left"
}

test_deb() {
    build_deb && open_clean && cp "$deb" "$clean/root" || return
    install_deb "/root/${deb##*/}" && use_deb "/root/${deb##*/}"
}
