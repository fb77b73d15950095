#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The classifier that the plugin has loaded adds atomically where the kernel is a PREEMPT_RT one,
# or the machine has 32 bits, and nowhere else. Guest only: bpftool there is the one that this was written for.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"
[ -n "${PB_GUEST:-}" ] || { echo "1..0 # SKIP for the guests of boot.sh only"; exit 0; }

# adds PROGRAM-ID: "PLAIN ATOMIC", how many there are of either, in the part that each packet
# passes: the functions for what is rare come after it. A plain one is a load, an addition to the
# register, and a store to where it came from.
adds() {
    bpftool prog dump xlated id "$1" | awk '
        /^[a-z_].*\):$/ && function_number++ { exit }
        / lock \*\(u64 \*\)|atomic64_fetch_add/ { atomic++ }
        match($0, /\*\(u64 \*\)\(r[0-9]+ [+-][0-9]+\)/) {
            memory = substr($0, RSTART, RLENGTH)
            register = $NF
            if (index($0, "= *(u64")) { from[$3] = memory; added[$3] = 0 }
            else if (from[register] == memory && added[register]) plain++
        }
        $4 == "+=" { added[$3] = 1 }
        END { print plain + 0, atomic + 0 }'
}

why=
[[ $(uname -v) != *PREEMPT_RT* ]] || why="the kernel is PREEMPT_RT"
# EI_CLASS, see elf(5): 1 is ELFCLASS32
[ "$(od -An -tu1 -j4 -N1 "$PB_PLUGIN" | tr -d ' ')" != 1 ] || why="the machine has 32 bits"
[ "$(uname -m)" != riscv64 ] || why="its CPUs may share a lane"

make_namespaces
make_veth 0
write_config
# shellcheck disable=SC2119
start_collectd
ok $? "collectd starts with the plugin"
looked_at=0
for id in $(programs); do
    name=$(bpftool prog show id "$id" | sed -n '1s/.* name \([^ ]*\) .*/\1/p')
    read -r plain atomic < <(adds "$id")
    looked_at=$((looked_at + 1))
    if [ -n "$why" ]; then
        ok $((plain > 0 || atomic == 0)) "$name adds atomically: $why"
    else
        ok $((plain == 0 || atomic > 0)) "$name adds plainly: 64 bits, and no PREEMPT_RT"
    fi
    echo "# $name: $plain plain adds, $atomic atomic ones"
done
is "$looked_at" 2 "there are two programs"
stop_collectd
is "$?" 0 "collectd ends well"
finish
