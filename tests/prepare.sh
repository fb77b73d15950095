#!/bin/bash
# SPDX-License-Identifier: MIT
#
# prepare.sh DIR [PACKAGE...]: everything that building and running the plugin needs,
# and the plugin itself, built in DIR, which nobody else may be able to change (see
# lib/directory.sh). The checkout stays as it is; no service is started or enabled. A second
# run does only what has changed.
#
# Debian, Ubuntu: missing packages are installed, those named as arguments too.
# Elsewhere: says what is missing.
#
# Writes DIR/env, shell assignments to be sourced:
#   PB_SOURCE PB_BUILD PB_PLUGIN                          copied tree, build tree, tc_portbytes.so
#   PB_COLLECTD PB_COLLECTD_PLUGINS PB_TYPESDB            binary, plugin directory, types.db
#   PB_BPFTOOL                                            one that works

set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin # su and some sudos leave them out; ip and bpftool are there

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/lib/directory.sh
. "$checkout/tests/lib/directory.sh"

say() { printf 'prepare: %s\n' "$*"; }
die() {
    printf 'prepare: %s\n' "$*" >&2
    exit 1
}

libbpf_needed=1.0 # as in configure.ac

# What is needed: Debian's name, Fedora's, how one sees that it is there.
needs() {
    cat <<END
gcc                    gcc                      command gcc
libc6-dev              glibc-devel              compiles
make                   make                     command make
autoconf               autoconf                 command autoreconf
automake               automake                 command automake
libtool                libtool                  command libtoolize
pkg-config             pkgconf-pkg-config       command pkg-config
clang                  clang                    find_clang
bpftool                bpftool                  find_bpftool
libbpf-dev             libbpf-devel             library libbpf >= $libbpf_needed
libelf-dev             elfutils-libelf-devel    library libelf
libmnl-dev             libmnl-devel             library libmnl
libcap2                libcap                   loads libcap.so.2
iproute2               iproute-tc               command tc
END
}

compiles() { gcc -E -x c - <<<'#include <stdio.h>'; }
loads() { ldconfig -p | grep -F "$1"; } # collectd's only library, which unpacking doesn't bring
library() { pkg-config --exists "$*"; }

# The names configure looks for.
find_clang() {
    local name

    for name in clang clang-21 clang-19 clang-16 clang-14; do
        command -v "$name" && return
    done
    return 1
}

# Ubuntu's bpftool is a wrapper that refuses when the tools of exactly the running
# kernel are missing; those of any other kernel do as well for us.
find_bpftool() {
    local tool

    for tool in "$(command -v bpftool || true)" /usr/lib/linux-tools*/bpftool \
        /usr/lib/linux-tools*/*/bpftool; do
        if [ -x "$tool" ] && "$tool" version >/dev/null 2>&1; then
            echo "$tool"
            return
        fi
    done
    return 1
}

# ---- packages ----

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
is_available() { [ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]; }

# Runs a command into the log; what it said last stands in error when it fails.
logged() {
    local start status=0 # error is the caller's

    start=$(($(wc -c <"$log") + 1))
    printf '\n== %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        error=$(tail -c +"$start" "$log" | grep -E '^E: |error:|[Ee]rror ' | head -n 1 || true)
        error="${error:-status $status} (all of it: $log)"
    fi
    return "$status"
}

update_lists() {
    "$lists_updated" && return
    lists_updated=true
    say "apt-get update"
    logged apt-get update || die "apt-get update failed: $error."
}

# Recommended packages are left out; none of those asked for here brings a service.
install_packages() {
    local install=(apt-get install -y --no-install-recommends)

    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    say "installing $*"
    logged "${install[@]}" "$@" && return
    # Lists older than the archive name files that are gone.
    update_lists
    logged "${install[@]}" "$@" || die "installing packages failed: $error."
}

# Sets bpftool_packages. Ubuntu: no package of that name until 24.10, or a virtual one.
find_bpftool_packages() {
    is_available bpftool || is_available linux-tools-generic || update_lists
    bpftool_packages=(bpftool)
    is_available bpftool || bpftool_packages=(linux-tools-common linux-tools-generic)
}

# Prints the column of the table, 1 Debian's and 2 Fedora's name, of what is missing.
missing_needs() {
    local debian fedora check

    while read -r debian fedora check; do
        [ "${check#command }" = "$check" ] || check="command -v ${check#command }"
        $check >/dev/null 2>&1 && continue
        if [ "$1" = 1 ]; then echo "$debian"; else echo "$fedora"; fi
    done < <(needs)
}

# What the release lacks is said before anything is installed in vain.
check_release() {
    local package version

    for package in $(missing_collectd); do
        is_known "$package" ||
            die "apt knows no package $package; install collectd and its headers by hand."
    done
    if ! library libbpf ">= $libbpf_needed" && is_known libbpf-dev; then
        version=$(candidate libbpf-dev)
        dpkg --compare-versions "$version" ge "$libbpf_needed" || refuse_libbpf "${version%-*}"
    fi
}

# is_available, perhaps after an update, for which one has to be root.
is_known() {
    is_available "$1" || { [ "$(id -u)" -eq 0 ] && update_lists && is_available "$1"; }
}

# The version that apt would install, without its epoch.
candidate() { apt-cache policy "$1" | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}//p'; }

refuse_libbpf() {
    die "libbpf is $1 here, which is too old; take a release that has $libbpf_needed or later, as" \
        "Debian 12 and Ubuntu 24.04, or make a later libbpf known to pkg-config (PKG_CONFIG_PATH)."
}

provide_packages_debian() {
    local missing=() package bpftool_packages

    check_release
    for package in $(missing_needs 1); do
        # Without root there is no update to learn its name by.
        if [ "$package" = bpftool ] && [ "$(id -u)" -eq 0 ]; then
            find_bpftool_packages
            missing+=("${bpftool_packages[@]}")
        else
            missing+=("$package")
        fi
    done
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] ||
        die "packages are missing and only root can install them: ${missing[*]}."
    for package in "${missing[@]}"; do
        is_available "$package" || update_lists
        is_available "$package" || die "apt knows no package $package."
    done
    install_packages "${missing[@]}"
}

provide_packages_elsewhere() {
    local missing

    ! library libbpf || library libbpf ">= $libbpf_needed" ||
        refuse_libbpf "$(pkg-config --modversion libbpf)"
    missing=$(missing_needs 1 | xargs)
    [ -z "$missing" ] ||
        die "there is no apt-get here, so please install: $missing (names on Fedora:" \
            "$(missing_needs 2 | xargs))."
    [ "$#" -eq 0 ] || say "there is no apt-get here; taken to be installed: $*"
}

# ---- collectd ----

# Those of its packages that are to be unpacked.
missing_collectd() {
    { is_installed collectd-core && is_installed collectd-dev; } ||
        [ -e "$dir/collectd/complete" ] || echo collectd-core collectd-dev
}

# The packages are only unpacked: installing them would start the daemon, and
# collectd-dev, of which we want the headers, asks for collectd-core.
unpack_collectd() {
    local to=$dir/collectd package

    [ ! -e "$to/complete" ] || return 0
    rm -rf "$to" "$dir/packages"
    mkdir "$to" "$dir/packages"
    say "unpacking collectd-core and collectd-dev in $to (they are not installed)"
    download_collectd || { update_lists && download_collectd; } ||
        die "downloading collectd failed: $error."
    for package in "$dir"/packages/*.deb; do
        logged dpkg -x "$package" "$to" || die "unpacking $package failed: $error."
    done
    rm -rf "$dir/packages"
    touch "$to/complete"
}

# As root: user _apt may not write there. What is there already isn't fetched again.
download_collectd() {
    logged env -C "$dir/packages" apt-get -o APT::Sandbox::User=root \
        download collectd-core collectd-dev
}

# Sets collectd, plugins, typesdb and headers.
find_collectd() {
    if is_debian && ! { is_installed collectd-core && is_installed collectd-dev; }; then
        unpack_collectd
        collectd=$dir/collectd/usr/sbin/collectd
        plugins=$dir/collectd/usr/lib/collectd
        typesdb=$dir/collectd/usr/share/collectd/types.db
        headers=$dir/collectd/usr/include
    else
        collectd=$(PATH=$PATH:/opt/collectd/sbin command -v collectd) ||
            die "collectd is missing: install it, with its headers for plugins."
        plugins=$("$collectd" -h | sed -n 's/^ *Plugin directory  *//p')
        typesdb=${collectd%/sbin/collectd}/share/collectd/types.db
        headers=${collectd%/sbin/collectd}/include
    fi
    for need in "$collectd" "$plugins" "$typesdb" "$headers/collectd/core/daemon/plugin.h"; do
        [ -e "$need" ] || die "collectd is not complete: there is no $need."
    done
}

is_debian() { command -v apt-get >/dev/null; }

# ---- building ----

# Copies what differs, so that make sees what is new. Contents are compared, and times
# not kept: a checkout may hold older files with newer contents. Products of a build
# in the tree stay behind; git isn't asked, it may not trust a tree of another user.
copy_source() {
    local file

    mkdir -p "$dir/source/build-aux" # aclocal wants it to be there
    while IFS= read -r -d '' file; do
        cmp -s "$checkout/$file" "$dir/source/$file" && continue
        mkdir -p "$(dirname "$dir/source/$file")"
        cp "$checkout/$file" "$dir/source/$file"
    done < <(cd "$checkout" && find configure.ac Makefile.am README.md LICENSE bpf conf plugin tests \
        \( -name '.*' -o -name __pycache__ \) -prune -o -type f ! -name '*.[oad]' ! -name '*.l[oa]' \
        ! -name '*.skel.h' ! -name '*.log' ! -name '*.trs' ! -name '*~' -print0 2>/dev/null)
    # A file that was moved or removed must not stay: the tests take whatever matches plugin/*.c.
    while IFS= read -r -d '' file; do
        [ -e "$checkout/$file" ] || rm -f "$dir/source/$file"
    done < <(cd "$dir/source" && find bpf conf plugin tests -type f -print0)
    [ -f "$dir/source/configure.ac" ] || die "$checkout holds no source of tc_portbytes."
}

make_configure() {
    local input

    for input in configure.ac Makefile.am; do
        [ "$dir/autoreconf.done" -nt "$dir/source/$input" ] || rm -f "$dir/autoreconf.done"
    done
    [ ! -e "$dir/autoreconf.done" ] || return 0
    say "autoreconf"
    logged env -C "$dir/source" autoreconf -fi || die "autoreconf failed: $error."
    touch "$dir/autoreconf.done"
}

configure() {
    local arguments=(--with-collectd-headers="$headers" --with-plugin-dir="$plugins"
        BPFTOOL="$bpftool")

    if [ "$dir/configure.done" -nt "$dir/autoreconf.done" ] &&
        [ "$(cat "$dir/configure.done")" = "${arguments[*]}" ]; then
        return
    fi
    say "configure"
    rm -rf "$dir/build"
    mkdir "$dir/build"
    logged env -C "$dir/build" ../source/configure "${arguments[@]}" ||
        die "configure failed: $error."
    echo "${arguments[*]}" >"$dir/configure.done"
}

build() {
    say "make"
    logged make -C "$dir/build" -j"$(nproc)" || die "make failed: $error."
}

write_env() {
    local plugin=$dir/build/.libs/tc_portbytes.so

    [ -e "$plugin" ] || die "make made no $plugin."
    printf '%s=%q\n' >"$dir/env.new" \
        PB_SOURCE "$dir/source" PB_BUILD "$dir/build" PB_PLUGIN "$plugin" \
        PB_COLLECTD "$collectd" PB_COLLECTD_PLUGINS "$plugins" PB_TYPESDB "$typesdb" \
        PB_BPFTOOL "$bpftool"
    mv "$dir/env.new" "$dir/env"
}

# A directory of ours, in which programs may run.
enter_directory() {
    provide_directory "$1" || die "$refusal"
    dir=$directory
    say "building in $dir"
    install -m 700 "$(type -P true)" "$dir/runs" || die "cannot write in $dir."
    "$dir/runs" 2>/dev/null ||
        die "$dir is on a file system mounted noexec; name a directory elsewhere."
    rm -f "$dir/runs"
    log=$dir/prepare.log
    : >"$log"
}

main() {
    [ "$#" -ge 1 ] || die "usage: prepare.sh DIR [PACKAGE...]"
    lists_updated=false error=''
    enter_directory "$1"
    shift
    if is_debian; then
        provide_packages_debian "$@"
    else
        provide_packages_elsewhere "$@"
    fi
    bpftool=$(find_bpftool) || die "there is no bpftool that works, although it is installed."
    find_collectd
    copy_source
    make_configure
    configure
    build
    write_env
}

main "$@"
