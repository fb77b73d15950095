#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# conf/try.sh on a release that can't have the plugin, by what apt would install: one line says so
# before anything is installed, downloaded or built. TAP. apt and pkg-config are replaced.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # SKIP only root installs packages"
    exit 0
fi
if ! command -v dpkg >/dev/null; then
    echo "1..0 # SKIP no dpkg here, which compares versions"
    exit 0
fi
top=$(cd "${0%/*}/../.." && pwd)

# ---- a release ----

# In the environment: CANDIDATE, libbpf-dev's version; FOUND, what pkg-config knows of libbpf;
# UNKNOWN, a package that apt does not know; LISTED, "no" until apt-get update. Nothing is
# installed, and nothing can be.
mkdir "$work/bin"
fake() { { echo '#!/bin/bash'; cat; } >"$work/bin/$1" && chmod 755 "$work/bin/$1"; }
fake apt-get <<'END'
echo "$*" >>"$WORK/called"
[ "$1" = update ] || { echo "E: nothing is installed in this test" >&2; exit 100; }
touch "$WORK/listed"
END
fake apt-cache <<'END'
package=${*: -1}
[ "$LISTED" = yes ] || [ -e "$WORK/listed" ] || exit 0
[ "$package" != "$UNKNOWN" ] || exit 0
case $1 in
show) echo "Package: $package" ;;
policy) printf '%s:\n  Installed: (none)\n  Candidate: %s\n' "$package" "$CANDIDATE" ;;
esac
END
fake dpkg-query <<'END'
exit 1
END
fake pkg-config <<'END'
case "$1 $2" in
"--exists libbpf") [ "$FOUND" ] ;;
"--exists libbpf >= "*) [ "$FOUND" ] && dpkg --compare-versions "$FOUND" ge "${2##* }" ;;
"--exists "*) exit 1 ;;
"--modversion libbpf") echo "$FOUND" ;;
esac
END

# try_on CANDIDATE FOUND [VARIABLE=VALUE...]: try.sh there. Sets said, its last line, and called,
# what apt-get was asked for.
try_on() {
    rm -rf "$work"/{called,listed,dir}
    env WORK="$work" CANDIDATE="$1" FOUND="$2" UNKNOWN='' LISTED=yes "${@:3}" PATH="$work/bin:$PATH" \
        timeout -k 5 60 "$top/conf/try.sh" --demo --dir "$work/dir" >"$work/said" 2>&1 </dev/null
    status=$?
    said=$(tail -n 1 "$work/said")
    called=$(cut -d' ' -f1 "$work/called" 2>/dev/null | sort | uniq -c | awk '{ print $2 }' | xargs)
}

# refused NAME CALLED TEXT: that was said, and nothing was done but what was called
refused() {
    local wrong=
    [ $status -ne 0 ] && [ $status -lt 124 ] || wrong+=" status $status;"
    [[ $said == "prepare: $3"* ]] || wrong+=" it says: $said;"
    [ "$called" = "$2" ] || wrong+=" apt-get was asked to: $called;"
    [ "$(find "$work/dir" -mindepth 1 ! -name prepare.log)" = "" ] || wrong+=" something was built;"
    is "$wrong" "" "$1"
}

# goes_on NAME: it would have installed packages
goes_on() {
    grep -q '^install' "$work/called"
    ok $? "$1: packages would be installed"
    [[ $said == "prepare: installing packages failed: E: nothing is installed in this test "* ]]
    ok $? "$1: nothing else ends it"
}

old="libbpf is 0.5.0 here, which is too old; take a release that has 1.0 or later"

try_on 1:0.5.0-1ubuntu22.04.1 ""
refused "Ubuntu 22.04, whose libbpf is 0.5: said before anything is installed" "" "$old"
is "$(wc -l <"$work/said")" 2 "in one line, beside the one that names the directory"
try_on 1:0.5.0-1ubuntu22.04.1 0.5.0
refused "the same where libbpf-dev is installed" "" "$old"
try_on 1:0.5.0-1ubuntu22.04.1 "" LISTED=no
refused "the same where apt's lists have to be updated first" update "$old"
try_on 0.3-2 ""
refused "Debian 11, whose libbpf is 0.3" "" "libbpf is 0.3 here"
try_on 1:1.1.2-0+deb12u1 "" UNKNOWN=collectd-dev
refused "a release without collectd-dev: said before anything is installed" update \
    "apt knows no package collectd-dev"

try_on 1:1.1.2-0+deb12u1 ""
goes_on "Debian 12"
try_on 1:1.0.0-1 0.5.0
goes_on "a libbpf that apt would replace by 1.0"
try_on 1:0.5.0-1ubuntu22.04.1 1.4.0
goes_on "a later libbpf made known to pkg-config"
finish
