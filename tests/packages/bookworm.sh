#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The package on Debian 12: collectd 5.12, libbpf 1.1, clang 14; by clsact, as on its
# kernel.
export PB_HOOK=clsact
# shellcheck source=tests/packages/lib.sh
. "${0%/*}/lib.sh"

on_release bookworm test_deb
