#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The package on Debian 13 (collectd 5.12, libbpf 1.5, clang 19), as a site installs it that has no
# compiler on its hosts: conf/packaging/repository.sh builds it for amd64 and arm64, a web server
# on loopback has the result, and apt takes from there what is signed by the site's key, and
# nothing else.
# PB_REPOSITORY (trixie:amd64 trixie:arm64): what is built; the first is installed here.
# shellcheck source=tests/packages/lib.sh
. "${0%/*}/lib.sh"

read -ra targets <<<"${PB_REPOSITORY:-trixie:amd64 trixie:arm64}"
declare -A suffixes=([bookworm]="~deb12u1" [trixie]="~deb13u1" [sid]="")
declare -A machines=([amd64]=62 [arm64]=183) # e_machine, see elf(5) and <linux/elf-em.h>
release=${targets[0]%:*}
www=$work/www
export GNUPGHOME=$work/gnupg
trap 'gpgconf --kill all; cleanup; [ -z "$clean" ] || rm -rf "$clean"' EXIT

# ---- the repository ----

provide_tools() {
    local missing=() tool
    for tool in mmdebstrap:mmdebstrap apt-ftparchive:apt-utils gpg:gpg; do
        command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
    done
    [ ${#missing[@]} -eq 0 ] || apt-get install -qqy --no-install-recommends "${missing[@]}" \
        >"$cache/log" 2>&1 </dev/null || skip_all "apt can't install ${missing[*]}"
}

# make_key NAME: in the keyring, without a passphrase
make_key() {
    gpg --batch --quiet --passphrase '' --quick-generate-key "$1" ed25519 sign never
}

build_repository() {
    mkdir -m 700 "$GNUPGHOME"
    make_key site && make_key stranger && mkdir "$www" || return
    step "repository.sh builds ${targets[*]}" "$PB_SOURCE/conf/packaging/repository.sh" --key site \
        --systems "$cache/systems" "$PB_BUILD/$tree.tar.xz" "$www/signed" "${targets[@]}"
}

# package RELEASE:ARCHITECTURE: its file
package() {
    echo "$www/signed/pool/${1%:*}/collectd-tc-portbytes_$version${suffixes[${1%:*}]}_${1#*:}.deb"
}

# paths DEB
paths() { dpkg-deb -c "$1" | awk '{ print $6 }'; }

# machines_of DEB: that its programs and its plugin are for
machines_of() {
    local at=$work/unpacked file
    rm -rf "$at"
    dpkg-deb -x "$1" "$at"
    for file in "$at"/usr/{bin/tc_portbytes-top,libexec/tc_portbytes-remove} \
        "$at/usr/lib/collectd/tc_portbytes.so"; do
        od -An -tu2 -j18 -N2 --endian=little "$file" | tr -d ' '
    done | paste -sd' '
}

check_packages() {
    local target deb machine
    for target in "${targets[@]}"; do
        deb=$(package "$target")
        machine=${machines[${target#*:}]}
        is "$(dpkg-deb -f "$deb" Version Architecture | paste -sd' ')" \
            "Version: $version${suffixes[${target%:*}]} Architecture: ${target#*:}" \
            "$target: its control has the release's version, and the architecture"
        is "$(dpkg-deb -f "$deb" Depends | tr , '\n' | awk '{ print $1 }' | paste -sd' ')" \
            "collectd-core libbpf1 libc6 libmnl0" "$target: it depends on these and no more"
        is "$(machines_of "$deb")" "$machine $machine $machine" "$target: that is what it is for"
        is "$(paths "$deb")" "$(paths "$(package "${targets[0]}")")" "$target: has the same files"
    done
    is "$(sed -n 's/^# \(FAIL\|ERROR\|SKIP\): *//p' \
        "$www/signed/pool/$release/$release-$(dpkg --print-architecture).build" | paste -sd' ')" \
        "0 0 0" "the build for this architecture has run the unit tests"
}

# ---- what apt takes ----

# flip FILE: another byte in its middle
flip() {
    local at byte
    at=$(($(stat -c %s "$1") / 2))
    byte=$(od -An -tu1 -j$at -N1 "$1")
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $(((byte + 1) % 256)))" |
        dd of="$1" bs=1 seek=$at conv=notrunc status=none
}

# Beside the repository as it is, what a web server has that is not to be trusted.
make_bad() {
    local name
    for name in unsigned foreign index package; do cp -R "$www/signed" "$www/$name"; done
    rm "$www/unsigned/dists/$release/InRelease"
    gpg --batch --quiet --yes --local-user stranger --clearsign \
        --output "$www/foreign/dists/$release/InRelease" "$www/foreign/dists/$release/Release"
    flip "$www/index/dists/$release/main/binary-amd64/Packages.xz"
    rm "$www/index/dists/$release/main/binary-amd64/Packages"
    flip "$www/package/pool/$release/$(basename "$(package "${targets[0]}")")"
}

serve_www() {
    ip netns exec "$A" python3 -m http.server --bind 127.0.0.1 --directory "$www" 8000 \
        >"$work/www.log" 2>&1 </dev/null 9>&- &
    started+=("$!")
    wait_for 60 in_a bash -c 'exec 2>/dev/null; : </dev/tcp/127.0.0.1/8000'
}

source_file=/etc/apt/sources.list.d/site.sources
key_file=/etc/apt/keyrings/site.gpg

# over_loopback COMMAND...: in namespace A, where there is nothing but the web server
over_loopback() {
    local network=$A
    "$@"
}

# update_from NAME: apt's lists, from that one alone
update_from() {
    printf '%s\n' "Types: deb" "URIs: http://127.0.0.1:8000/$1" "Suites: $release" \
        "Components: main" "Signed-By: $key_file" >"$clean$source_file"
    over_loopback apt "$clean" -o Dir::Etc::sourcelist="$source_file" \
        -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 update
}

# refuses WORDS NAME COMMAND...: apt fails, and says that
refuses() {
    local words=$1 name=$2 status
    shift 2
    "$@" >"$work/step" 2>&1
    status=$?
    grep -q "$words" "$work/step" && [ $status -ne 0 ]
    ok $? "apt refuses $name"
    is "$(inside "$clean" dpkg-query -W -f '${Status}' collectd-tc-portbytes 2>&1 |
        grep -c '^install')" 0 "and installs nothing"
}

# fetch_needed: what is needed beside it has to come from Debian's mirror, which is not in A
fetch_needed() {
    local needed
    needed=$(inside "$clean" apt-get -s --no-install-recommends install collectd-tc-portbytes \
        collectd | awk '$1 == "Inst" && $2 !~ /portbytes/ { print $2 }')
    # shellcheck disable=SC2086
    apt "$clean" -d install $needed
}

test_repository() {
    provide_tools
    build_repository || return
    check_packages
    open_build && check_deb "$(package "${targets[0]}")" "$(package "${targets[-1]}")" &&
        open_clean && make_bad && serve_www || return
    echo 'Acquire::http::Proxy::127.0.0.1 "DIRECT";' >>"$clean/etc/apt/apt.conf.d/90host"
    install -D -m 644 "$www/signed/tc_portbytes.gpg" "$clean$key_file"
    refuses "is not signed" "an index that is not signed" update_from unsigned
    refuses "is not signed" "one that another key signed" update_from foreign
    refuses "Hash Sum mismatch" "a list of packages that was changed" update_from index
    step "the list of packages is taken" update_from package &&
        step "apt fetches from Debian what is needed beside it" fetch_needed || return
    refuses "Hash Sum mismatch" "a package that was changed" \
        over_loopback apt "$clean" install collectd-tc-portbytes
    step "apt has the list of the repository as it is" update_from signed &&
        install_deb collectd-tc-portbytes over_loopback || return
    is "$(inside "$clean" dpkg-query -W -f '${Version}' collectd-tc-portbytes)" \
        "$version${suffixes[$release]}" "it is the one of this release"
    use_deb collectd-tc-portbytes
}

on_release "$release" test_repository
