# SPDX-License-Identifier: MIT
# What the system tests share: TAP, namespaces of their own, a real collectd, its values; see the
# files that are sourced below.
# Sourced with these set: PB_PLUGIN (tc_portbytes.so), PB_TOOLS (directory of the
# compiled tools), PB_COLLECTD, PB_COLLECTD_PLUGINS, PB_TYPESDB. PB_HOOK=clsact hides
# tcx from the plugin.
# shellcheck shell=bash
set -uo pipefail

work=$(mktemp -d "${TMPDIR:-/tmp}/tc_portbytes-test.XXXXXX")
A=pbA$$ # the plugin's namespace, with a0, a1, ...
B=pbB$$ # the other end, with b0, b1, ...
started=() # processes to end

cleanup() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do
        kill -KILL "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    ip netns del "$A" 2>/dev/null
    ip netns del "$B" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# What the plugin attaches by here: tcx came with Linux 6.6.
IFS=.- read -r major minor _ <<<"$(uname -r)"
hook=clsact
[ "${PB_HOOK:-}" != clsact ] && [ $((major * 1000 + minor)) -ge 6006 ] && hook=tcx

# shellcheck source=tests/lib/tap.sh
. "${BASH_SOURCE[0]%/*}/tap.sh"
# shellcheck source=tests/lib/wait.sh
. "${BASH_SOURCE[0]%/*}/wait.sh"
# shellcheck source=tests/lib/netns.sh
. "${BASH_SOURCE[0]%/*}/netns.sh"
# shellcheck source=tests/lib/collectd.sh
. "${BASH_SOURCE[0]%/*}/collectd.sh"
# shellcheck source=tests/lib/values.sh
. "${BASH_SOURCE[0]%/*}/values.sh"
# shellcheck source=tests/lib/left.sh
. "${BASH_SOURCE[0]%/*}/left.sh"
