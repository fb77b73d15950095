#!/bin/bash
# SPDX-License-Identifier: MIT
# Is every packet counted under the right key? The classifier in the kernel
# against a reader of packets of its own kind (reference.py), on packets written
# by hand, on other people's captures and on mutants of both; and that reader
# against tshark. And is it counted in the right row and lane (rows.c)? TAP.
#
# PB_BUILD: where tc_portbytes.skel.h (there, in plugin/ or bpf/) and, if they are
# built, replay and rows are (there or in tests/packets/). PB_CACHE: for captures. PB_LOGS: keeps what was said, if set.
# PB_MUTANTS: how many, for slow machines.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
build=${PB_BUILD:-$top}
# shellcheck source=tests/lib/directory.sh
. "$top/tests/lib/directory.sh"

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

# need COMMAND PACKAGE: installs what is missing; says why it cannot
need() {
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null || { echo "no $1, and no apt-get to install it"; return 1; }
    { DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$2" ||
        { apt-get -q update && DEBIAN_FRONTEND=noninteractive \
            apt-get install -qy --no-install-recommends "$2"; }; } >"$work/apt" 2>&1 </dev/null ||
        { echo "no $1, and $2 cannot be installed: $(tail -n 1 "$work/apt")"; return 1; }
}

# provide PROGRAM: sets program; compiles it where the build has not.
provide() {
    local place skeleton=
    for place in "$build" "$build/tests/packets"; do
        program=$place/$1
        [ ! -x "$program" ] || return 0
    done
    for place in "$build" "$build/plugin" "$build/bpf"; do
        [ -f "$place/tc_portbytes.skel.h" ] && skeleton=$place && break
    done
    program=$work/$1
    [ -n "$skeleton" ] || { echo "# no tc_portbytes.skel.h in $build"; return 1; }
    "${CC:-cc}" -std=gnu11 -O2 -Wall -Wextra -Wshadow -pthread -I"$skeleton" -I"$top/bpf" \
        "$here/$1.c" -o "$program" -lbpf
}

[ "$(id -u)" -eq 0 ] || skip_all "only root may load the classifier"
logs=
if [ -n "${PB_LOGS:-}" ]; then
    need_directory PB_LOGS "$PB_LOGS"
    logs=$directory
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Debian's python3, not one of a user's own
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export PATH PYTHONDONTWRITEBYTECODE=1
why=$(need python3 python3) || skip_all "$why"

for name in replay rows; do
    provide "$name" || { echo "Bail out! $name could not be compiled"; exit 1; }
    export "PB_${name^^}=$program"
done
# That the classifier does not load is a failure, not a reason to skip.
if ! limits=$("$PB_REPLAY" --limits); then
    echo "Bail out! the classifier could not be loaded and run"
    exit 1
fi
[ -n "$limits" ]

no_corpus=
captures=$("$here/corpus.sh" 2>"$work/corpus") || {
    [ $? -eq 77 ] || { echo "Bail out! $(tail -n 1 "$work/corpus")"; exit 1; }
    no_corpus=$(tail -n 1 "$work/corpus")
}
sed 's/^/# /' "$work/corpus"
no_tshark=
why=$(need tshark tshark) || no_tshark=$why

status=0
python3 "$here/differential.py" "${captures:-}" "$no_corpus" "$no_tshark" 2>"$work/errors" |
    tee "$work/tap" || status=$?
sed 's/^/# /' "$work/errors"
[ -z "$logs" ] || cat "$work/tap" "$work/errors" >"$logs/packets.tap"
exit "$status"
