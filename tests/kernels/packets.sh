#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# rows of tests/packets, and its hand-written packets, GSO and mutants, as recorded by record.py,
# past the classifier as this kernel loads it, once for each compiler that made one
# (/pb/objects). TAP; guest only. Says how many instructions the kernel's verifier looked at, so
# that growth is seen.
set -uo pipefail
number=0
failures=0

# ok STATUS NAME
ok() {
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        failures=$((failures + 1))
    fi
}

# verify DIRECTORY: loads both programs; what was verified, or the verifier's last words, is said
verify() {
    local log status instructions
    log=$("$1/verify" 2>&1)
    status=$?
    if [ $status -eq 0 ]; then
        instructions=$(sed -n 's/^processed \([0-9]*\) insns.*/\1/p' <<<"$log" | xargs)
        echo "# verified instructions, $name on $PB_KERNEL: $instructions"
    else
        # The reason stands before the verifier's statistics.
        echo "# refused, $name on $PB_KERNEL: $(awk '/^(verification time|stack depth|processed) / {
            if (!statistics) reason = last
            statistics = 1
            next
        } { statistics = 0; last = $0 } END { print reason }' <<<"$log")"
        tail -n 20 <<<"$log" | sed 's/^/#   /'
    fi
    return $status
}

for object in /pb/objects/*; do
    name=${object##*/}
    verify "$object"
    status=$?
    ok $status "$name: the kernel loads both programs"
    [ $status -eq 0 ] || continue
    output=$("$object/rows" 2>&1)
    ok $? "$name: rows, lanes, new ports"
    sed 's/^/# /' <<<"$output"
    for arguments in /pb/records/*.args; do
        mapfile -t words <"$arguments"
        output=$("$object/replay" "${words[@]}" <"${arguments%.args}.records" 2>&1)
        ok $? "$name ${words[*]}: kernel == reference"
        tail -n 4 <<<"$output" | sed 's/^/# /'
    done
done
echo "1..$number"
exit $((failures > 0 || number == 0))
