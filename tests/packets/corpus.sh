#!/bin/bash
# SPDX-License-Identifier: MIT
# Prints the directory of the capture files that the packet tests read, fetching
# them first if they are not there. They are the regression tests of tcpdump,
# nDPI and Wireshark, out of Debian's source packages. Exit status 77: not to be
# had, the reason is on standard error.
set -euo pipefail

packages=(tcpdump ndpi wireshark)
# Beyond this size a file brings more of the same.
largest=4M

# shellcheck source=tests/lib/directory.sh
. "$(cd "$(dirname "$0")/../lib" && pwd)/directory.sh"

unavailable() {
    echo "corpus.sh: $*" >&2
    exit 77
}

# The machine's own package sources, asked for source packages, in a directory
# of their own: the system's configuration and package lists stay as they are.
own_sources() {
    local file
    mkdir -p "$work/sources" "$work/lists/partial" "$work/archives/partial"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -E -n 's/^[[:space:]]*deb(-src)?[[:space:]]/deb-src /p' "$file"
    done | sort -u >"$work/sources/one-line.list"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        sed -E 's/^Types:.*/Types: deb-src/I' "$file" >"$work/sources/${file##*/}"
    done
}

apt_own() {
    apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work" \
        -o APT::Sandbox::User=root "$@"
}

# fetch PACKAGE: its capture files, into $work/captures/PACKAGE
fetch() {
    local archive into=$work/captures/$1
    mkdir -p "$work/source/$1" "$into"
    (cd "$work/source/$1" && apt_own source --download-only --tar-only "$1") \
        >>"$work/log" 2>&1 || return 1
    for archive in "$work/source/$1"/*.orig*.tar.*; do
        case $archive in *.asc) continue ;; esac
        tar -tf "$archive" |
            { grep -E '\.(pcap|pcapng|cap|pcap\.gz|pcapng\.gz)$' || true; } >"$work/names"
        [ -s "$work/names" ] || continue
        tar -xf "$archive" -C "$into" --strip-components=1 -T "$work/names" || return 1
    done
    rm -rf "$work/source/$1"
    find "$into" -type f -size "+$largest" -delete
    [ -n "$(find "$into" -type f -print -quit)" ]
}

status=0
provide_directory "${PB_CACHE:-/var/cache/tc_portbytes}" || status=$?
[ "$status" -ne 2 ] || unavailable "PB_CACHE: $refusal"
if [ "$status" -ne 0 ]; then
    echo "corpus.sh: PB_CACHE: $refusal" >&2
    exit 1
fi
cache=$directory
captures=$cache/captures
if [ -f "$captures/complete" ]; then
    echo "$captures"
    exit 0
fi
command -v apt-get >/dev/null || unavailable "no apt-get, so no Debian source packages"
[ -w "$cache" ] || unavailable "cannot write to $cache"

work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
own_sources
# A source of the machine's that has no source packages is an error to apt-get,
# but none of ours.
apt_own update >"$work/log" 2>&1 || true
got=0
for package in "${packages[@]}"; do
    if fetch "$package"; then
        got=$((got + 1))
    else
        echo "corpus.sh: $package is not to be had:" >&2
        tail -n 3 "$work/log" >&2
        rm -rf "$work/captures/$package"
    fi
done
[ "$got" -gt 0 ] || unavailable "none of the source packages could be fetched: ${packages[*]}"
rm -rf "$captures"
mv "$work/captures" "$captures"
# With some missing, they are asked for again the next time.
[ "$got" -lt ${#packages[@]} ] || touch "$captures/complete"
echo "$captures"
