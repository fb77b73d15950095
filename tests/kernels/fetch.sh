#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fetch.sh [--refresh] [SERIES...]: Debian's cloud kernels, and with -rt behind the
# series the PREEMPT_RT ones, which have all modules; unpacked into a cache.
#
# Prints one line for each series, fields separated by tabs:
#   SERIES  VERSION  VMLINUZ  MODULES_DIR [NOTE]
#   SERIES  SKIP  REASON
# A kernel in the cache is used as it is; --refresh looks for a newer one.
# Nothing is installed, and apt runs on sources, lists and caches of its own.
#
# PB_CACHE            where the cache is (/var/cache/tc_portbytes)
# PB_MIRROR           Debian's mirror, if apt's configuration of this machine has none
# PB_MIRROR_SECURITY  the same for the security archive
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

# series, how its package is found:
#   meta     what linux-image-cloud-amd64 of that series depends on
#   newest   newest linux-image-SERIES.*-FLAVOUR-amd64
#   rolling  the same; a newer release of the same major version if the archive dropped it
all_series=(5.10 6.1 6.12 6.18 7.3 7.3-rt)
declare -A how=([5.10]=meta [6.1]=meta [6.12]=meta [6.18]=newest [7.3]=rolling [7.3-rt]=rolling)

# flavour SERIES: what stands before -amd64 in the names of its packages
flavour() {
    case $1 in
    *-rt) echo rt ;;
    *) echo cloud ;;
    esac
}

releases=(bookworm trixie bullseye)
backports=(trixie-backports)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

refresh=
[[ ${1-} != --refresh ]] || { refresh=1; shift; }
wanted=("$@")
(($#)) || wanted=("${all_series[@]}")

skip() { printf '%s\tSKIP\t%s\n' "$1" "$2"; }
skip_all() {
    local s
    for s in "${missing[@]}"; do skip "$s" "$1"; done
    exit 0
}

have() { [[ -s $kernels_cache/$1/version && -s $kernels_cache/$1/vmlinuz ]]; }

report() {
    local dir=$kernels_cache/$1 modules
    modules=("$dir"/lib/modules/*)
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$(<"$dir/version")" "$dir/vmlinuz" "${modules[0]}" "$(<"$dir/note")"
}

apt() {
    local tool=$1
    shift
    # Sandbox::User: the unpacking user of apt cannot enter a private cache directory.
    "$tool" -q \
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt_dir/sources" \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State="$apt_dir/state" -o Dir::State::lists="$apt_dir/state/lists" \
        -o Dir::State::status=/dev/null -o Dir::Cache="$apt_dir/cache" \
        -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache= \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

# system_mirror SUITE...: the address from which this machine's apt gets component
# main of one of these suites. apt itself reads .list and .sources for us.
system_mirror() {
    local suite
    for suite; do
        # shellcheck disable=SC2016  # apt expands these
        apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
            awk -v suite="$suite" '$2 == suite && $3 == "main" && !/^cdrom:/ && !n++ { print $1 }'
    done | head -n1
}

source_entry() {
    printf '%s: %s\n' Types deb URIs "$1" Suites "$2" Components main \
        Signed-By "$keyring" Check-Valid-Until no
    echo
}

write_sources() {
    local codename mirror security release
    codename=$(. /etc/os-release && [[ ${ID-} == debian ]] && echo "${VERSION_CODENAME-}") || codename=
    mirror=${PB_MIRROR-}
    security=${PB_MIRROR_SECURITY-}
    if [[ -n $codename ]]; then
        mirror=${mirror:-$(system_mirror "$codename" stable testing unstable)}
        security=${security:-$(system_mirror "$codename-security" stable-security "$codename/updates")}
    fi
    [[ -n $mirror ]] || return 1
    mkdir -p "$apt_dir"/{sources,state/lists/partial,cache/archives/partial}
    {
        # Valid-Until is ignored: a release that Debian has closed stays past its
        # date for ever. That date only guards against being served an old state,
        # and an old kernel is what is asked for here. Signatures are always
        # checked, with Debian's keyring alone; if the keys of a release have
        # expired, apt refuses it and its kernel is skipped with that reason.
        for release in "${releases[@]}"; do
            source_entry "$mirror" "$release"
            # without it the kernels are those of the last point release
            [[ -z $security ]] || source_entry "$security" "$release-security"
        done
        source_entry "$mirror" "${backports[*]}"
    } >"$apt_dir/sources/kernels.sources"
}

# newest_image REGEX FLAVOUR: the newest image package of that flavour whose version fits
newest_image() {
    apt apt-cache search --names-only "^linux-image-$1-$2-amd64\$" | awk '{ print $1 }' | sort -V | tail -n1
}

version_of() {
    apt apt-cache madison "$1" | awk -F ' *[|] *' '{ print $2 }' | sort -V | tail -n1
}

# find_image SERIES: sets image, version, note; fails if there is none
find_image() {
    local number=${1%-rt} flavour re meta
    flavour=$(flavour "$1")
    re=${number//./\\.}
    image='' version='' note=''
    case ${how[$1]-newest} in
    meta)
        meta=$(apt apt-cache madison linux-image-cloud-amd64 | awk -F ' *[|] *' '{ print $2 }' |
            { grep -E "^$re\." || :; } | sort -V | tail -n1)
        [[ -n $meta ]] || return 1
        image=$(apt apt-cache show "linux-image-cloud-amd64=$meta" |
            sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n1)
        version=$meta
        ;;
    *)
        image=$(newest_image "$re\.[0-9].*" "$flavour")
        if [[ -z $image && ${how[$1]-} == rolling ]]; then
            image=$(newest_image "${1%%.*}\.[0-9].*" "$flavour")
            note="the archive has no $1 any more, this is the newest ${1%%.*}.x"
        fi
        [[ -n $image ]] || return 1
        version=$(version_of "$image")
        ;;
    esac
    [[ -n $image && -n $version ]]
}

# unpack SERIES: download $image with what it is split into, keep kernel and modules
unpack() {
    local series=$1 new packages deb kernel modules
    if have "$series" && [[ $(<"$kernels_cache/$series/version") == "$version" ]]; then
        printf '%s\n' "$note" >"$kernels_cache/$series/note"
        return 0
    fi
    new=$work/$series
    mkdir -p "$new/debs" "$new/tree" "$new/out/lib/modules"
    # from 7.x on the image is in linux-binary-*, the modules in linux-modules-*,
    # the lists that depmod reads in linux-base-*; the 6.18 images name a
    # linux-base-* that holds nothing for us and has left the archive
    mapfile -t packages < <(apt apt-cache show "$image=$version" | sed -n 's/^Depends: //p' | head -n1 |
        tr ',' '\n' | sed -n 's/^ *\(linux-\(base\|binary\|modules\)-[0-9][^ ]*\).*/\1/p' |
        while read -r package; do
            [[ $package == linux-base-* && -z $(version_of "$package") ]] || echo "$package"
        done)
    packages+=("$image")
    say "$series: downloading ${packages[*]} $version"
    (cd "$new/debs" && apt apt-get download "${packages[@]/%/=$version}") >"$work/log" 2>&1 || {
        reason="download of $image failed: $(grep -m1 '^[EW]:' "$work/log" || tail -n1 "$work/log")"
        return 1
    }
    for deb in "$new"/debs/*.deb; do
        dpkg -x "$deb" "$new/tree" || { reason="dpkg -x ${deb##*/} failed"; return 1; }
    done
    kernel=$(find "$new/tree" -name 'vmlinuz*' -type f | head -n1)
    modules=$(find "$new/tree" -path '*lib/modules/*' -mindepth 3 -maxdepth 4 -name "*-$(flavour "$series")-amd64" -type d | head -n1)
    if [[ -z $kernel || -z $modules ]]; then
        reason="no vmlinuz or no modules in ${packages[*]}"
        return 1
    fi
    mv "$kernel" "$new/out/vmlinuz"
    mv "$modules" "$new/out/lib/modules/"
    depmod -b "$new/out" "${modules##*/}" || { reason="depmod failed"; return 1; }
    printf '%s\n' "$note" >"$new/out/note"
    printf '%s\n' "$version" >"$new/out/version"
    rm -rf "${kernels_cache:?}/$series"
    mv "$new/out" "$kernels_cache/$series"
    rm -rf "$new"
}

no_cache=
use_cache || no_cache=$refusal
missing=()
for series in "${wanted[@]}"; do
    if [[ -z $refresh$no_cache ]] && have "$series"; then report "$series"; else missing+=("$series"); fi
done
((${#missing[@]})) || exit 0

[[ $(uname -m) == x86_64 ]] || skip_all "only amd64 kernels are fetched, this is $(uname -m)"
for tool in apt-get apt-cache dpkg; do
    command -v "$tool" >/dev/null || skip_all "no $tool on this machine"
done
need depmod:kmod || skip_all "$need_reason"
[[ -r $keyring ]] || skip_all "no $keyring to check signatures with"
[[ -z $no_cache ]] || skip_all "PB_CACHE: $no_cache"
[[ -w $kernels_cache ]] || skip_all "cannot write $kernels_cache (PB_CACHE chooses another place)"

# Two fetches at once would disturb each other; the second finds the work done.
exec 9>"$kernels_cache/.lock"
flock 9

apt_dir=$kernels_cache/apt
work=$(mktemp -d "$kernels_cache/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT
write_sources || skip_all "this machine's apt configuration names no Debian mirror (PB_MIRROR gives one)"

# One release that cannot be had must not take the others along: whatever did
# come is used, and the reason is looked up for the series that miss.
say "reading package lists"
apt apt-get update >"$work/update" 2>&1 || :

for series in "${missing[@]}"; do
    reason=
    if [[ -z $refresh ]] && have "$series"; then
        report "$series"
    elif ! find_image "$series"; then
        why=$({ grep -E -m1 '^(E|W|Err)' "$work/update" || :; } | cut -c1-200)
        reason="no $series kernel in the archive${why:+ ($why)}"
    else
        unpack "$series" || :
    fi
    if [[ -z $reason ]]; then
        report "$series"
    elif have "$series"; then
        say "$series: $reason; using what the cache has"
        report "$series"
    else
        skip "$series" "$reason"
    fi
done
