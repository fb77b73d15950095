# SPDX-License-Identifier: MIT
# What a test says (TAP), and how it ends. Sourced by test.sh, and by what needs nothing else of it.
# shellcheck shell=bash

tests=0
failures=0

# ok CONDITION-STATUS NAME: the test passed if the status is 0
ok() {
    tests=$((tests + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tests - $2"
    else
        echo "not ok $tests - $2"
        failures=$((failures + 1))
    fi
    return 0
}

# is GOT EXPECTED NAME
is() {
    local status=1
    [ "$1" = "$2" ] && status=0
    ok $status "$3"
    [ $status -eq 0 ] || echo "#   got: $1"$'\n'"#   expected: $2"
}

skip() {
    tests=$((tests + 1))
    echo "ok $tests - $2 # SKIP $1"
}

# The end of every test script.
finish() {
    echo "1..$tests"
    [ "$failures" -eq 0 ] || show_log
    exit $((failures > 0))
}

show_log() {
    [ -f "${work:-}/log" ] && sed 's/^/# log: /' "$work/log"
    return 0
}
