#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What others prepare below /sys/fs/bpf, where all may write, is neither followed nor removed:
# links and directories of an unprivileged user in every place of the way to our pins. The bpffs
# is of this test's own.
# shellcheck source=tests/lib/test.sh
. "${0%/*}/../lib/test.sh"

make_namespaces
make_veth 0
bpffs=/sys/fs/bpf
mount_bpffs
is "$(in_mount stat -c %a $bpffs)" 1777 "anybody may write there, as mount(8) makes it"
as_user() { in_mount setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

netns=$(in_mount stat -Lc %i /proc/self/ns/net)
index=$(in_a cat /sys/class/net/a0/ifindex)
canary=$work/canary # what the links point at: a directory of root's with files in it
not_ours="is not a directory of uid 0 that nobody else may write; it was left alone"

# The canary's files and what the user made: that is what must be the same before and after.
state() {
    find "$canary" -printf '%p %y %U %m\n' | sort
    in_mount find $bpffs -mindepth 1 -printf '%p %y %l %U %m\n' | grep -e "$1" | sort
}

clear_pins() { in_mount rm -rf $bpffs/tc_portbytes && in_mount test ! -e $bpffs/tc_portbytes; }

# planted NAME PATH: with PATH prepared; collectd must leave it alone, name it once, and with
# Persist true refuse to begin
planted() {
    local name=$1 path=$2 before
    before=$(state "^$path ")
    ok $((${#before} == 0)) "$name: it is there"
    write_config 'Interface "a0"'
    start_collectd "${inside[@]}"
    is "$(logged "$path $not_ours")" 1 "$name, Persist false: it is named once"
    is "$(logged "a0: counting.")" 1 "$name, Persist false: a0 is counted all the same"
    stop_collectd
    is "$(state "^$path ")" "$before" "$name, Persist false: nothing of it was touched"
    write_config 'Interface "a0"' 'Persist true'
    start_collectd "${inside[@]}"
    is "$(logged "$path $not_ours")" 1 "$name, Persist true: it is named once"
    is "$(logged "a0: counting.") $(in_a "$PB_TOOLS/hooks" | wc -l)" "${3:-0 0}" \
        "$name, Persist true: ${4:-nothing is attached}"
    stop_collectd
    is "$(state "^$path ")" "$before" "$name, Persist true: nothing of it was touched"
    clear_pins
    ok $? "$name: the way is free again"
}

make_canary() {
    rm -rf "$canary"
    mkdir -p "$canary/$netns/$index" "$canary/$index"
    touch "$canary/state" "$canary/$index/state" "$canary/$netns/$index/state"
}

top=$bpffs/tc_portbytes
make_canary
as_user ln -s "$canary" $top
planted "the directory is a link" $top

as_user mkdir -m 777 $top
planted "the directory is a user's" $top

as_user mkdir -m 777 $top
as_user mkdir -m 777 "$top/$netns"
as_user ln -s "$canary" "$top/$netns/$index"
planted "the directory is a user's, with a link inside" $top
is "$(find "$canary" -type f | wc -l)" 3 "no file behind the link is removed"

in_mount mkdir -m 777 $top # root's, and all may write
as_user ln -s "$canary" "$top/$netns"
planted "all may write the directory" $top

in_mount mkdir -m 700 $top
in_mount ln -s "$canary" "$top/$netns"
planted "the network namespace's is a link" "$top/$netns"

in_mount mkdir -m 700 $top
in_mount mkdir -m 700 "$top/$netns"
in_mount chown 65534 "$top/$netns"
planted "the network namespace's is a user's" "$top/$netns"

# An interface's: others are swept, and a0 can't be counted where its own is in the way.
in_mount mkdir -m 700 $top "$top/$netns"
in_mount ln -s "$canary" "$top/$netns/$index"
planted "the interface's is a link" "$top/$netns/$index"

in_mount mkdir -m 700 $top "$top/$netns" "$top/$netns/999999"
in_mount chown 65534 "$top/$netns/999999"
planted "another interface's is a user's" "$top/$netns/999999" "1 1" "a0 is counted"

in_mount mkdir -m 700 $top "$top/$netns" "$top/$netns/007"
not_ours="is nothing that this plugin pins; it was left alone"
planted "a directory that no interface has" "$top/$netns/007" "1 1" "a0 is counted"

# ---- a bpffs in which others can exchange directories ----

# exchangeable NAME: Persist true is refused, Persist false touches nothing
exchangeable() {
    local before
    in_mount mkdir -m 700 $top "$top/$netns" "$top/$netns/$index"
    before=$(state "^$top")
    write_config 'Interface "a0"' 'Persist true'
    start_collectd "${inside[@]}"
    is "$(logged "Persist needs a $bpffs that only root can change: chown root $bpffs; chmod 0700 $bpffs.")" 1 \
        "$1: Persist true is refused with the remedy"
    stop_collectd
    write_config 'Interface "a0"'
    start_collectd "${inside[@]}"
    is "$(logged "a0: counting.")" 1 "$1: Persist false counts"
    stop_collectd
    is "$(state "^$top")" "$before" "$1: nothing was touched"
    clear_pins
}

in_mount chmod 0777 $bpffs # explicitly: by itself the kernel adds the sticky bit
exchangeable "writable by all, not sticky"
in_mount chmod 0700 $bpffs
in_mount chown 65534 $bpffs
exchangeable "a user's bpffs"
finish
