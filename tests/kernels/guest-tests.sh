#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# guest-tests.sh SCRIPT...: runs TAP scripts, named relative to $PB_TESTS, one
# after the other, and judges them together. Exit status 0: no test failed.
# Last line: PB-TOTAL ok=N skip=N fail=N
#
# A script that says no plan, another number of tests than planned, or ends with
# an error without having said "not ok", has failed: silence is no success.
set -uo pipefail
# shellcheck source=/dev/null
[[ ! -e /pb/env ]] || . /pb/env
tests=${PB_TESTS:-/pb/tests}
limit=${PB_SCRIPT_TIMEOUT:-600}

ok=0 skip=0 fail=0 failed=()
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# fails SCRIPT WHAT
fails() {
    fail=$((fail + 1))
    failed+=("$1: $2")
}

# judge SCRIPT STATUS: reads what it wrote from $out
judge() {
    local line seen=0 bad=$fail plan='' lower
    while IFS= read -r line; do
        lower=${line,,}
        case $lower in
        "not ok"*"# todo"*) seen=$((seen + 1)) skip=$((skip + 1)) ;;
        "not ok"*) seen=$((seen + 1)); fails "$1" "${line#not ok }" ;;
        "ok "*"# skip"*) seen=$((seen + 1)) skip=$((skip + 1)) ;;
        ok | "ok "*) seen=$((seen + 1)) ok=$((ok + 1)) ;;
        "1..0"*"skip"*) plan=0 skip=$((skip + 1)) ;;
        1..[0-9]*) plan=${line#1..}; plan=${plan%%[!0-9]*} ;;
        "bail out!"*) fails "$1" "$line" ;;
        esac
    done <"$out"
    if (($2 == 124)); then
        fails "$1" "timed out after $limit s"
    elif [[ -z $plan ]]; then
        fails "$1" "no plan, exit status $2"
    elif ((plan != seen)); then
        fails "$1" "planned $plan tests, ran $seen, exit status $2"
    elif (($2 != 0 && bad == fail)); then
        fails "$1" "exit status $2 although no test failed"
    fi
}

for script; do
    echo "== $script"
    : >"$out"
    start=$SECONDS status=0
    # To a file, and shown from there: a daemon that a script leaves behind
    # would hold a pipe open for ever.
    timeout -k 5 "$limit" bash "$tests/$script" </dev/null >"$out" 2>&1 &
    pid=$!
    tail -n +1 -s 0.2 --pid="$pid" -f "$out"
    wait "$pid" || status=$?
    ((status != 137)) || status=124
    had=("$ok" "$skip" "$fail")
    judge "$script" "$status"
    echo "== $script: $((ok - had[0])) ok, $((skip - had[1])) skipped," \
        "$((fail - had[2])) failed, $((SECONDS - start)) s"
    # the next script must not meet this one's daemon
    for pid in $(pgrep -x collectd); do
        [[ ${PB_GUEST-} ]] || break
        echo "== $script: left collectd running (pid $pid), killed"
        kill -9 "$pid"
    done
done

((${#failed[@]} == 0)) || printf 'PB-FAILED %s\n' "${failed[@]}"
echo "PB-TOTAL ok=$ok skip=$skip fail=$fail"
((fail == 0))
