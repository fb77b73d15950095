#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The package on Debian 13: collectd 5.12, libbpf 1.5, clang 19.
# shellcheck source=tests/packages/lib.sh
. "${0%/*}/lib.sh"

on_release trixie test_deb
