#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Builds the Debian packages for several releases and architectures, each in a clean system of its
# release, and makes the directory that a web server needs for apt to install them.
#
# usage: repository.sh [OPTION]... TARBALL DIRECTORY [RELEASE:ARCHITECTURE]...
#
# TARBALL is what `make dist` makes. DIRECTORY is the repository; what is there of other releases
# and older packages stays. Without RELEASE:ARCHITECTURE: bookworm, trixie and sid, each for amd64
# and arm64.
#
#   --key KEY      signs by this key of gpg's keyring, and puts its public part into
#                  DIRECTORY/tc_portbytes.gpg; without it apt accepts the repository only as
#                  [trusted=yes]
#   --mirror URL   where Debian's packages are [where this machine's apt has them]
#   --systems DIR  keeps the systems there (1 GB each) and takes those of the last 7 days; they
#                  are made and removed otherwise
#
# Needs mmdebstrap, apt-utils, xz-utils and, for --key, gpg. As root, or as a user with subordinate
# ids (package uidmap, subuid(5)). For another architecture than this machine's it cross-builds,
# without the unit tests; nothing is emulated. DIRECTORY and DIR must be as tests/lib/directory.sh
# says: nobody else can write there. TMPDIR [/var/tmp] has room for 3 GB.
#
# In DIRECTORY: pool/RELEASE has the packages and the log of each build (.build), dists/RELEASE the
# indices. These change only when all packages were built. Exit status: 0; 1: something failed, the
# last line on standard error says what; 2: usage.

set -euo pipefail
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin # su and some sudos leave them out
export TMPDIR=${TMPDIR:-/var/tmp}

self=$(readlink -f "${BASH_SOURCE[0]}")
# shellcheck source=tests/lib/directory.sh
. "${self%/conf/*}/tests/lib/directory.sh"

say() { printf 'repository.sh: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}
usage() {
    sed -n '/^# usage: /,/^$/s/^# \{0,1\}//p' "$self"
    exit "$1"
}

# The suffix makes apt replace a package by that of the next release when the system is upgraded,
# see deb-version(7) on "~".
declare -A suffixes=([bookworm]='~deb12u1' [trixie]='~deb13u1' [sid]='')

# For root, too, with mounts and processes of its own: none is left when it is ended halfway.
mmdebstrap=(mmdebstrap --mode=unshare)

# ---- systems ----

# Sets apt_options: of this machine's apt, what says how to reach the mirror.
find_mirror() {
    local line
    apt_options=(--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"')
    while read -r line; do
        apt_options+=(--aptopt="${line%;}")
    done < <(apt-config dump |
        grep -E '^Acquire::(http|https|Retries|Check-Valid-Until|Check-Date|ForceIPv)')
    # shellcheck disable=SC2016 # apt expands it
    [ -n "$mirror" ] ||
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
            'Label: Debian' | head -n 1)
    [ -n "$mirror" ] || die "this machine's apt names no mirror of Debian; --mirror gives one."
}

# make_system RELEASE ARCHITECTURE: sets system, a tarball of one that has what debian/control
# needs to build for it
make_system() {
    local architectures=$native get='chroot "$1" env DEBIAN_FRONTEND=noninteractive apt-get -qqy'
    local hooks=("$get build-dep /build")
    if [ "$2" != "$native" ]; then
        architectures+=,$2
        # apt does not take the compiler for a build dependency.
        hooks=("$get install crossbuild-essential-$2 libc-dev:$2"
            "$get --host-architecture $2 -Pcross,nocheck build-dep /build")
    fi
    # What the system is made for is part of its name.
    system=$systems/$1-$2-$({
        echo "$mirror ${hooks[*]}"
        sed -n '/^Build-Depends:/,/^Standards-Version:/p' "$source/debian/control"
    } | cksum | cut -d' ' -f1).tar
    [ -z "$(find "$systems" -maxdepth 1 -name "${system##*/}" -mtime -7)" ] || return 0
    rm -f "$systems/$1-$2"-*.tar*
    say "$1:$2: making a system"
    "${mmdebstrap[@]}" --variant=apt --format=tar "${apt_options[@]}" \
        --architectures="$architectures" --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook="copy-in $(printf %q "$source/debian") /build" \
        --setup-hook='mkdir "$1/build"' "${hooks[@]/#/--customize-hook=}" \
        "$1" "$system.new" "$mirror" >"$log" 2>&1 </dev/null || fail "$1:$2: no system"
    mv "$system.new" "$system"
}

# fail WHAT: ends, with what the log ends with
fail() {
    tail -n 50 "$log" >&2
    die "$1"
}

# ---- packages ----

# unpack TARBALL: into source, as dpkg-buildpackage wants it
unpack() {
    mkdir "$work/source"
    tar -C "$work/source" --no-same-owner -xf "$1" || die "$1 can't be unpacked."
    source=$(find "$work/source" -mindepth 1 -maxdepth 1)
    [ -f "$source/configure" ] && [ -d "$source/conf/packaging/debian" ] ||
        die "$1 is not what make dist makes."
    cp -R "$source/conf/packaging/debian" "$source/debian"
    cp "$source/debian/changelog" "$work/changelog"
}

# set_version RELEASE: of the package, by an entry that is a second later than the last one:
# dpkg-buildpackage takes that for the times of all files, so a build can be repeated.
set_version() {
    local name version author date
    read -r name version _ <"$work/changelog"
    version=${version#(} version=${version%)}
    author=$(sed -n '/^ -- /{s/^ -- \(.*>\)  .*/\1/p;q}' "$work/changelog")
    date=$(sed -n '/^ -- /{s/.*>  //p;q}' "$work/changelog")
    {
        [ -z "${suffixes[$1]}" ] ||
            printf '%s (%s) %s; urgency=medium\n\n  * %s\n\n -- %s  %s\n\n' \
                "$name" "$version${suffixes[$1]}" "$1" "Built for $1." \
                "$author" "$(date -uR -d "$date + 1 second")"
        cat "$work/changelog"
    } >"$source/debian/changelog"
}

# build RELEASE ARCHITECTURE: into $work/pool/RELEASE
build() {
    local pool=$work/pool/$1 options=(-us -uc -b) checks=
    [ "$2" = "$native" ] || { options+=(--host-arch "$2" "-Pcross,nocheck") checks=nocheck; }
    log=$work/log
    make_system "$1" "$2"
    set_version "$1"
    say "$1:$2: building"
    rm -rf "$work/result"
    mkdir -p "$work/result" "$pool"
    log=$pool/$1-$2.build
    # No suite is installed: a copy of the system is unpacked, used and removed. The build has no
    # privileges, and nothing of this machine's environment.
    "${mmdebstrap[@]}" --variant=custom --format=null --skip=update,cleanup \
        --setup-hook='tar -C "$1" --exclude="./dev/*" -x <&3' \
        --customize-hook="copy-in $(printf %q "$source") /build" \
        --customize-hook="chroot \"\$1\" chown -R 65534:65534 /build" \
        --customize-hook="chroot \"\$1\" setpriv --reuid=65534 --regid=65534 --clear-groups \
            env -i -C /build/${source##*/} PATH=/usr/bin:/bin HOME=/nonexistent LC_ALL=C.UTF-8 \
            DEB_BUILD_OPTIONS='$checks parallel=$(nproc)' dpkg-buildpackage ${options[*]}" \
        --customize-hook='mkdir "$1/result" && mv "$1/build/"*.deb "$1/result"' \
        --customize-hook="sync-out /result $(printf %q "$work/result")" \
        '' /dev/null >"$log" 2>&1 </dev/null 3<"$system" || fail "$1:$2: not built"
    [ "$systems" != "$work" ] || rm -f "$system"
    find "$work/result" -name '*.deb' -exec install -m 644 -t "$pool" {} +
}

# ---- indices ----

# index RELEASE: of what is in its pool; in the repository
index() {
    local release=$1 new=dists/.$1.new architecture architectures of
    architectures=$(find "pool/$release" -name '*.deb' | sed 's/.*_//;s/\.deb$//' | sort -u | xargs)
    rm -rf "$new"
    for architecture in $architectures; do
        of=$new/main/binary-$architecture
        mkdir -p "$of"
        apt-ftparchive --arch "$architecture" packages "pool/$release" >"$of/Packages"
        xz -k "$of/Packages"
    done
    apt-ftparchive -o APT::FTPArchive::Release::Origin=tc_portbytes \
        -o APT::FTPArchive::Release::Label=tc_portbytes \
        -o APT::FTPArchive::Release::Suite="$release" \
        -o APT::FTPArchive::Release::Codename="$release" \
        -o APT::FTPArchive::Release::Architectures="$architectures" \
        -o APT::FTPArchive::Release::Components=main \
        release "$new" >"$work/Release"
    mv "$work/Release" "$new"
    if [ -n "$key" ]; then
        # An agent that this starts must not hold the locks.
        gpg --local-user "$key" --clearsign --output "$new/InRelease" "$new/Release" \
            8<&- 9<&- || die "gpg did not sign; dists/$release is what it was."
    fi
    # In one piece: who reads it meanwhile has the old or the new one.
    rm -rf "dists/.$release.old"
    [ ! -e "dists/$release" ] || mv "dists/$release" "dists/.$release.old"
    mv "$new" "dists/$release"
    rm -rf "dists/.$release.old"
}

# ---- the whole ----

need_tools() {
    local tool missing=()
    for tool in mmdebstrap:mmdebstrap apt-ftparchive:apt-utils xz:xz-utils ${key:+gpg:gpg}; do
        command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
    done
    [ ${#missing[@]} -eq 0 ] || die "packages are missing: apt install ${missing[*]}"
    # Before an hour of building.
    [ -z "$key" ] || gpg --batch --list-secret-keys "$key" >/dev/null 2>&1 ||
        die "gpg has no secret key $key."
}

main() {
    local targets=() target release
    key='' mirror='' systems='' directory=''
    while [ $# -gt 0 ]; do
        case $1 in
        --help) usage 0 ;;
        --key | --mirror | --systems)
            [ -n "${2:-}" ] || usage 2 >&2
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        -*) usage 2 >&2 ;;
        *) break ;;
        esac
        shift
    done
    [ $# -ge 2 ] || usage 2 >&2
    targets=("${@:3}")
    [ $# -gt 2 ] || targets=({bookworm,trixie,sid}:{amd64,arm64})
    for target in "${targets[@]}"; do
        [[ -v "suffixes[${target%%:*}]" && $target =~ ^[a-z]+:[a-z0-9]+$ ]] || {
            say "there is no $target: RELEASE:ARCHITECTURE with one of ${!suffixes[*]}"
            exit 2
        }
    done
    if [ -n "$systems" ]; then
        need_directory --systems "$systems"
        systems=$directory
    fi
    need_directory DIRECTORY "$2"
    repository=$directory
    need_tools
    exec 8<"$repository"
    flock 8 # two runs in one would mix
    work=$(mktemp -d "$TMPDIR/tc_portbytes-repository.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
    systems=${systems:-$work}
    exec 9<"$systems"
    flock 9
    native=$(dpkg --print-architecture)
    find_mirror
    unpack "$1"
    for target in "${targets[@]}"; do
        build "${target%:*}" "${target#*:}"
    done
    mkdir -p "$repository"/{pool,dists}
    cp -R "$work/pool" "$repository"
    cd "$repository"
    for release in $(printf '%s\n' "${targets[@]%:*}" | sort -u); do
        index "$release"
    done
    [ -z "$key" ] || gpg --batch --yes --export --output "$repository/tc_portbytes.gpg" "$key"
    say "$repository has all packages"
}

main "$@"
