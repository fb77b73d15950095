#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# unit.sh in guests: a kernel that is attached to by clsact with the systemd of its Debian, and one
# by tcx with that of the next. TAP, one test for each.
# PB_KERNELS: which, each KERNEL:RELEASE (6.1:bookworm 7.3:trixie). PB_LOGS, PB_CACHE: as in
# tests/kernels/run.sh.
# shellcheck source=tests/service/lib.sh
. "${0%/*}/lib.sh"
here=$(cd "${0%/*}" && pwd)
kernels=$here/../kernels
read -ra guests <<<"${PB_KERNELS:-6.1:bookworm 7.3:trixie}"
logs=${PB_LOGS:-$work}
export PB_MEM=2560 PB_CPU=,+rdrand # systemd waits for random numbers

# Debian's own are all in the guest's base.
make_namespaces
for guest in "${guests[@]}"; do
    series=${guest%%:*}
    root=$work/$series
    make_service "${guest#*:}" || exit
    mkdir -p "$root/pb/tests/kernels" "$root/pb/conf"
    cp -a "$made" "$root/system"
    cp -R "$here" "$here/../stacks" "$here/../packages" "$here/../lib" "$root/pb/tests/"
    cp "$here/../../conf/systemd.conf" "$root/pb/conf/"
    cp "$PB_PLUGIN" "$root/pb/tc_portbytes.so"
    cp -RL "$PB_TOOLS" "$root/pb/tools"
    cp "$kernels/guest-tests.sh" "$root/pb/"
    printf 'export %s=%q\n' PB_PLUGIN /pb/tc_portbytes.so PB_TOOLS /pb/tools PB_SYSTEM /system \
        PB_KERNEL "$series" PB_SCRIPT_TIMEOUT 1500 >"$root/pb/env"
    begun=$SECONDS status=0
    PB_BOOT_TIMEOUT=${PB_BOOT_TIMEOUT:-1800} PB_CONSOLE_LOG=$logs/service-$series.console \
        "$kernels/boot.sh" "$series" "$root" bash /pb/guest-tests.sh service/unit.sh \
        >"$logs/service-$series.log" 2>&1 || status=$?
    rm -rf "$root"
    sed 's/^/# /' "$logs/service-$series.log"
    total=$(sed -n 's/^PB-TOTAL //p' "$logs/service-$series.log")
    name="Linux $series, systemd of ${guest#*:}: ${total:-no verdict}, $((SECONDS - begun)) s"
    if [ $status -eq 77 ]; then
        skip "$(tail -n 1 "$logs/service-$series.log")" "Linux $series"
    else
        [ $status -eq 0 ] && [[ $total =~ ^ok=[1-9][0-9]*\ skip=0\ fail=0$ ]]
        ok $? "$name"
    fi
done
finish
