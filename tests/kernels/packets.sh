#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The hand-written packets, GSO and mutants of tests/packets, as recorded by record.py, past
# the classifier as this kernel loads it. TAP; guest only. Says how many instructions the
# kernel's verifier looked at, so that growth is seen.
set -uo pipefail
number=0
failures=0
for arguments in /pb/records/*.args; do
    [ -f "$arguments" ] || break
    number=$((number + 1))
    mapfile -t words <"$arguments"
    if output=$("$PB_TOOLS/replay" "${words[@]}" <"${arguments%.args}.records" 2>&1); then
        echo "ok $number - ${words[*]}: kernel == reference"
    else
        echo "not ok $number - ${words[*]}: kernel == reference"
        failures=$((failures + 1))
    fi
    tail -n 4 <<<"$output" | sed 's/^/# /'
done
for program in $(bpftool -d prog loadall /pb/tc_portbytes.bpf.o /sys/fs/bpf/verified 2>&1 |
    sed -n 's/^processed \([0-9]*\) insns.*/\1/p'); do
    echo "# verified instructions on $(uname -r): $program"
done
rm -rf /sys/fs/bpf/verified
[ "$number" -gt 0 ] || echo "# no recordings in /pb/records"
echo "1..$number"
exit $((failures > 0 || number == 0))
