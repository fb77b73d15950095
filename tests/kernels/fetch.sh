#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# fetch.sh [--refresh] [SERIES...]: Debian's cloud kernels, and with -rt behind the
# series the PREEMPT_RT ones, which have all modules; unpacked into a cache. With an
# architecture behind the series, as in 6.12-arm64, that one's kernel, and beside it root/, the
# files of the packages that a guest of that architecture is made of.
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
#   meta     what linux-image-FLAVOUR of that series depends on
#   newest   newest linux-image-SERIES.*-FLAVOUR
#   rolling  the same; a newer release of the same major version if the archive dropped it
all_series=(5.10 6.1 6.12 6.18 7.3 7.3-rt)
declare -A how=([5.10]=meta [6.1]=meta [6.12]=meta [6.18]=newest [7.3]=rolling)

# flavour SERIES: how the names of its packages end
flavour() {
    case $1 in
    *-rt) echo rt-amd64 ;;
    *-arm64) echo cloud-arm64 ;;
    *-armhf) echo armmp ;;
    *-ppc64el) echo powerpc64le ;;
    *) foreign "$1" && echo "${1##*-}" || echo cloud-amd64 ;;
    esac
}

releases=(bookworm trixie bullseye)
backports=(trixie-backports)
# Of other architectures a kernel and these packages, with what they depend on.
root_packages=(bash bpftool busybox-static collectd-core coreutils diffutils findutils grep
    iproute2 kmod libbpf1 libgcc-s1 libmnl0 mawk mount procps sed util-linux)
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
        -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
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
    local releases=("${releases[@]}")
    [[ $arch == amd64 ]] || releases=("$(release "$series")")
    {
        # Valid-Until is ignored: a release that Debian has closed stays past its
        # date for ever. That date only guards against being served an old state,
        # and an old kernel is what is asked for here. Signatures are always
        # checked, with Debian's keyring alone; if the keys of a release have
        # expired, apt refuses it and its kernel is skipped with that reason.
        for release in "${releases[@]}"; do
            source_entry "$mirror" "$release"
            # without it the kernels are those of the last point release
            [[ -z $security || $release == sid ]] || source_entry "$security" "$release-security"
        done
        [[ $arch != amd64 ]] || source_entry "$mirror" "${backports[*]}"
    } >"$apt_dir/sources/kernels.sources"
}

# newest_image REGEX FLAVOUR: the newest image package of that flavour whose version fits
newest_image() {
    apt apt-cache search --names-only "^linux-image-$1-$2\$" | awk '{ print $1 }' | sort -V | tail -n1
}

version_of() {
    apt apt-cache madison "$1" | awk -F ' *[|] *' '{ print $2 }' | sort -V | tail -n1
}

# find_image SERIES: sets image, version, note; fails if there is none
find_image() {
    local number=${1%%-*} flavour re meta
    flavour=$(flavour "$1")
    re=${number//./\\.}
    image='' version='' note='' older=()
    case ${how[$number]-newest} in
    meta)
        meta=$(apt apt-cache madison "linux-image-$flavour" | awk -F ' *[|] *' '{ print $2 }' |
            { grep -E "^$re\." || :; } | sort -V | tail -n1)
        [[ -n $meta ]] || return 1
        image=$(apt apt-cache show "linux-image-$flavour=$meta" |
            sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n1)
        version=$meta
        mapfile -t older < <(apt apt-cache search --names-only "^linux-image-$re\.[0-9].*-$flavour\$" |
            awk '{ print $1 }' | sort -rV | awk -v image="$image" 'older; $1 == image { older = 1 }')
        ;;
    *)
        image=$(newest_image "$re\.[0-9].*" "$flavour")
        if [[ -z $image && ${how[$number]-} == rolling ]]; then
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
    # of ppc64el not compressed
    kernel=$(find "$new/tree" -name 'vmlinu[xz]*' -type f | head -n1)
    modules=$(find "$new/tree" -path '*lib/modules/*' -mindepth 3 -maxdepth 4 -name "*-$(flavour "$series")" -type d | head -n1)
    if [[ -z $kernel || -z $modules ]]; then
        reason="no vmlinuz or no modules in ${packages[*]}"
        return 1
    fi
    mv "$kernel" "$new/out/vmlinuz"
    mv "$modules" "$new/out/lib/modules/"
    depmod -b "$new/out" "${modules##*/}" || { reason="depmod failed"; return 1; }
    ! foreign "$series" || unpack_root "$new/out/root" || return
    printf '%s\n' "$note" >"$new/out/note"
    printf '%s\n' "$version" >"$new/out/version"
    rm -rf "${kernels_cache:?}/$series"
    mv "$new/out" "$kernels_cache/$series"
    rm -rf "$new"
}

# unpack_root DIRECTORY: nothing of it is run, so nothing is configured. What no guest opens is
# left out: it takes its place in the guest's memory.
unpack_root() {
    local deb
    say "$arch: downloading ${root_packages[*]}, and what they depend on"
    mkdir -p "$1" "$new/root-debs/partial"
    apt apt-get -y --no-install-recommends -o Debug::NoLocking=1 \
        -o Dir::Cache::archives="$new/root-debs" --download-only install "${root_packages[@]}" \
        >"$work/log" 2>&1 || {
        reason="download of the guest's packages failed: $(grep -m1 '^[EW]:' "$work/log" || tail -n1 "$work/log")"
        return 1
    }
    # Packages may have files in /bin and /lib still.
    mkdir -p "$1"/usr/{bin,sbin,lib,lib64}
    for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$1/$dir"; done
    for deb in "$new"/root-debs/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1" --keep-directory-symlink \
            --exclude='./usr/share/*' --exclude='./var/*' --exclude='*/perl*' --exclude='*/gconv' \
            --exclude='./usr/lib/systemd' --exclude='./usr/lib/udev' --exclude='./usr/lib/*/dri' ||
            { reason="unpacking ${deb##*/} failed"; return 1; }
    done
    for dir in bin sbin lib lib64; do rm "$1/$dir"; done
    mkdir -p "$1/usr/share"
    dpkg-deb --fsys-tarfile "$new"/root-debs/collectd-core_*.deb |
        tar -x -C "$1" ./usr/share/collectd/types.db || { reason="collectd-core has no types.db"; return 1; }
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

work=$(mktemp -d "$kernels_cache/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT

# use_lists SERIES: from now on apt is for its architecture, and release if that is another. One
# release that cannot be had must not take the others along: whatever did come is used, and the
# reason is looked up for the series that miss.
use_lists() {
    arch=$(architecture "$1")
    apt_dir=$kernels_cache/apt
    [[ $arch == amd64 ]] || apt_dir+=-$(release "$1")-$arch
    updated=$work/${apt_dir##*/}
    [[ ! -e $updated ]] || return 0
    write_sources || return
    say "reading package lists${apt_dir#"$kernels_cache/apt"}"
    apt apt-get update >"$updated" 2>&1 || :
}

for series in "${missing[@]}"; do
    reason=
    use_lists "$series" || {
        skip "$series" "this machine's apt configuration names no Debian mirror (PB_MIRROR gives one)"
        continue
    }
    if [[ -z $refresh ]] && have "$series"; then
        report "$series"
    elif ! find_image "$series"; then
        why=$({ grep -E -m1 '^(E|W|Err)' "$updated" || :; } | cut -c1-200)
        reason="no $series kernel in the archive${why:+ ($why)}"
    else
        unpack "$series" || :
        # A mirror may name a kernel that it has not yet, or not any more.
        for image in "${older[@]}"; do
            [[ $reason == download* ]] || break
            say "$series: $reason"
            reason='' version=$(version_of "$image")
            unpack "$series" || :
        done
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
