#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Do those count right that the benchmark compares: the textbook and the stores behind its
# parser, and the classifier? TAP. PB_BUILD: a build directory.
set -uo pipefail
build=${PB_BUILD:?}

if [ "$(id -u)" -ne 0 ]; then
    echo "1..0 # SKIP only root may load a classifier"
    exit 0
fi
if ! output=$(make -s -C "$build" bench-programs 2>&1); then
    echo "$output" | tail -n 30 | sed 's/^/# /'
    echo "Bail out! the benchmark's programs could not be built"
    exit 1
fi
timeout -k 5 120 "$build/tests/bench/packet" check
