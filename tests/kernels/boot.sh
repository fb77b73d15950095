#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# boot.sh SERIES PAYLOAD_DIR COMMAND...
#
# Boots the kernel that fetch.sh has for SERIES in qemu, with PAYLOAD_DIR copied
# over the root of a small guest, and runs COMMAND there. Its output goes to
# stdout, its exit status becomes ours. PAYLOAD_DIR may be empty (""): none.
# The guest has this machine's programs; of another architecture, those that fetch.sh has for it.
# Exit status: of COMMAND; 124 after a timeout; 125 if the guest died or never
# got as far as COMMAND's end; 77 if there is no such kernel or no qemu.
#
# PB_BOOT_TIMEOUT  seconds until qemu is killed (300)
# PB_SMP           qemu's -smp (2; on armhf 1); for 64 possible CPUs PB_SMP=64 and
#                  PB_CMDLINE=maxcpus=2 (from 6.12 on "2,maxcpus=64" gives only 2)
# PB_MEM           memory in MB (1024)
# PB_CPU           appended to qemu's -cpu, e.g. ",+rdrand": random numbers from the start
# PB_CMDLINE       appended to the kernel's command line
# PB_CONSOLE_LOG   file that gets the kernel's console
# PB_GUEST_PROGRAMS  further programs of this machine to take into the guest
# PB_CACHE         see fetch.sh
#
# No KVM: a verdict must not depend on what the machine below is, and in many
# places there is none.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

(($# >= 3)) || die "usage: boot.sh SERIES PAYLOAD_DIR COMMAND..."
series=$1 payload=$2
shift 2

# Real tools, not busybox's, where a script could see the difference: tests are
# to run in the guest as on the host. The first group is a must.
must_have=(bash busybox ip tc ss bpftool modprobe)
nice_to_have=(
    awk mawk gawk basename cat chmod chown comm cp cut date dd df dirname du env expr
    false fold head id join ln ls mkdir mkfifo mknod mktemp mv nl nproc od paste
    printf readlink realpath rm rmdir seq shuf sleep sort split stat stdbuf stty
    sync tac tail tee test timeout touch tr true truncate tsort uname uniq wc yes
    grep egrep fgrep sed find xargs diff cmp dash
    ps pgrep pkill sysctl
    setpriv unshare nsenter prlimit taskset mount umount flock setsid
    capsh getcap nft ethtool wg bridge ping tcpdump strace)

# With dependencies, and whatever else is loadable on top: the kernel autoloads. The last
# line is of PREEMPT_RT kernels, which have what cloud kernels leave out.
modules=(
    veth dummy ifb tun 8021q macvlan ipvlan vrf bonding bridge br_netfilter
    team team_mode_roundrobin team_mode_activebackup team_mode_broadcast
    team_mode_loadbalance team_mode_random
    wireguard ipip sit ip_gre ip6_gre ip_tunnel ip6_tunnel tunnel4 tunnel6
    vxlan geneve fou fou6
    xfrm_interface xfrm_user af_key ip_vti ip6_vti esp4 esp6 ah4 ah6 esp4_offload esp6_offload
    gcm drbg jitterentropy_rng ghash-generic ctr cbc seqiv echainiv authenc
    macvtap openvswitch nlmon vsockmon
    virtio_pci virtio_net virtio_mmio virtio_console
    sch_ingress sch_fq sch_fq_codel sch_htb sch_netem sch_prio sch_tbf sch_clsact
    cls_bpf cls_matchall cls_u32 cls_flower
    act_gact act_mirred act_bpf act_vlan act_skbedit
    sctp sctp_diag inet_diag tcp_diag udp_diag raw_diag unix_diag af_packet_diag
    netlink_diag af_packet
    nf_tables nft_ct nft_limit nft_log nft_nat nft_masq nft_reject nft_reject_inet
    nft_chain_nat nft_compat nf_conntrack nf_nat nfnetlink xt_bpf
    nft_flow_offload nf_flow_table_inet
    libcurve25519 virtio_rng
    pppoe vcan mac80211_hwsim)

# What is special about the machine of each architecture: qemu's program, its Debian package and
# what that only recommends; machine; the kernel's console.
# -cx16: qemu 7.2 emulates cmpxchg16b such that 6.12's slab allocator can fault. cortex-a57: "max"
# has pointer authentication, which is slow to emulate.
describe_machine() {
    port=virtio-serial-pci cpus=2
    case $arch in
    amd64)
        emulator=(qemu-system-x86_64:qemu-system-x86)
        machine=(-cpu "qemu64,-cx16${PB_CPU-}") console_device=ttyS0
        ;;
    arm64)
        emulator=(qemu-system-aarch64:qemu-system-arm)
        machine=(-M virt -cpu "cortex-a57${PB_CPU-}") console_device=ttyAMA0
        ;;
    armhf) # without LPAE the kernel reaches nothing above 4 GB; with two CPUs it hangs at its start
        cpus=1
        emulator=(qemu-system-arm:qemu-system-arm)
        machine=(-M "virt,highmem=off" -cpu "cortex-a15${PB_CPU-}") console_device=ttyAMA0
        ;;
    s390x)
        emulator=(qemu-system-s390x:qemu-system-misc)
        machine=(-M s390-ccw-virtio) console_device=ttysclp0 port=virtio-serial-ccw
        ;;
    riscv64)
        emulator=(qemu-system-riscv64:qemu-system-misc
            /usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin:opensbi)
        machine=(-M virt) console_device=ttyS0
        ;;
    ppc64el)
        emulator=(qemu-system-ppc64:qemu-system-ppc /usr/share/qemu/slof.bin:qemu-slof)
        machine=(-M pseries) console_device=hvc0
        ;;
    esac
}

base_archive() {
    local key programs=() p path tree
    if [[ $arch != amd64 ]]; then
        key=$({ cat "$here/lib.sh" "$here/boot.sh"; stat -c '%i %Y' "$root"; busybox --list; } |
            sha256sum | cut -c1-16)
        base=$kernels_cache/guest/base-$arch-$key.cpio
        [[ ! -s $base ]] || return 0
        start_tree
        tar -C "$root" -cf - . | tar -C "$tree" --keep-directory-symlink -xf -
        complete_tree
        return
    fi
    for p in "${must_have[@]}"; do
        path=$(command -v "$p") || die "no $p on this machine"
        programs+=("$path")
    done
    # shellcheck disable=SC2086  # a list of words
    for p in "${nice_to_have[@]}" ${PB_GUEST_PROGRAMS-}; do
        path=$(type -P "$p") && programs+=("$path")
    done
    # dlopen'd by libc for pthread_cancel and pthread_exit, invisible to ldd
    path=$(ldconfig -p 2>/dev/null | awk '/libgcc_s\.so\.1 .*x86-64/ && !n++ { print $NF }')
    [[ -z $path ]] || programs+=("$path")

    # Of anything it is made of: if a program, a library or this script is
    # another, so is the key.
    key=$({ cat "$here/lib.sh" "$here/boot.sh"; stat -Lc '%n %s %Y' "${programs[@]}"
        stat -c %Y /var/lib/dpkg/status /etc/ld.so.cache 2>/dev/null || :; } | sha256sum | cut -c1-16)
    base=$kernels_cache/guest/base-$key.cpio
    [[ ! -s $base ]] || return 0

    start_tree
    copy_with_libs "$tree" "${programs[@]}"
    complete_tree
}

# start_tree: sets tree, a root without programs; complete_tree: what makes a system of it, whose
# archive is $base
start_tree() {
    local p
    tree=$work/base
    mkdir -p "$tree"/usr/{bin,sbin,lib,lib64} "$tree"/{dev,proc,sys,run,tmp,root,etc,var/{lib,log,tmp},mnt}
    for p in bin sbin lib lib64; do ln -s "usr/$p" "$tree/$p"; done
    ln -s ../run "$tree/var/run"
}

complete_tree() {
    local applet p
    if [[ -e $tree/usr/bin/dash ]]; then applet=dash; else applet=bash; fi
    ln -sf "$applet" "$tree/usr/bin/sh"
    while IFS= read -r applet; do
        [[ -e $tree/usr/bin/$applet || -e $tree/usr/sbin/$applet ]] ||
            ln -s busybox "$tree/usr/bin/$applet"
    done < <(busybox --list)
    # the kernel calls this one by its path
    [[ -e $tree/usr/sbin/modprobe ]] || ln -s ../bin/modprobe "$tree/usr/sbin/modprobe"
    for p in protocols services; do [[ ! -e /etc/$p ]] || cp "/etc/$p" "$tree/etc/"; done
    printf '%s\n' root:x:0:0:root:/root:/bin/bash daemon:x:1:1::/:/bin/false \
        nobody:x:65534:65534:nobody:/:/bin/false >"$tree/etc/passwd"
    printf '%s\n' root:x:0: daemon:x:1: nogroup:x:65534: >"$tree/etc/group"
    printf '%s\n' '127.0.0.1 localhost pb-guest' '::1 localhost' >"$tree/etc/hosts"
    printf '%s\n' 'passwd: files' 'group: files' 'hosts: files' 'protocols: files' 'services: files' \
        >"$tree/etc/nsswitch.conf"
    echo pb-guest >"$tree/etc/hostname"
    ln -sf /proc/self/mounts "$tree/etc/mtab"
    archive "$tree" "$base"
}

modules_archive() {
    local key tree file name
    key=$({ printf '%s\n' "${modules[@]}"; cat "$here/boot.sh"; stat -c '%i %Y' "$moddir/modules.dep"; } |
        sha256sum | cut -c1-16)
    mods=$kernels_cache/guest/modules-$series-$key.cpio
    [[ ! -s $mods ]] || return 0
    tree=$work/mods
    mkdir -p "$tree/usr/lib/modules"
    # a module some kernel does not know is devices.sh's affair
    for name in "${modules[@]}"; do
        modprobe -d "$(dirname "$(dirname "$(dirname "$moddir")")")" -S "${moddir##*/}" \
            -aqD "$name" 2>/dev/null || :
    done | awk '$1 == "insmod" { print $2 }' | sort -u | while IFS= read -r file; do
        name=$tree/usr/lib/modules/${moddir##*/}/${file#"$moddir"/}
        mkdir -p "${name%/*}"
        # unpacked here: the guest's CPU is emulated
        case $file in
        *.xz) xz -dc "$file" >"${name%.xz}" ;;
        *.zst) zstd -qdc "$file" >"${name%.zst}" ;;
        *.gz) gzip -dc "$file" >"${name%.gz}" ;;
        *) cp "$file" "$name" ;;
        esac
    done
    for name in builtin builtin.modinfo order; do
        [[ ! -e $moddir/modules.$name ]] || cp "$moddir/modules.$name" "$tree/usr/lib/modules/${moddir##*/}/"
    done
    ln -s usr/lib "$tree/lib"
    depmod -b "$tree" "${moddir##*/}"
    rm "$tree/lib"
    archive "$tree" "$mods"
}

# archive TREE FILE: not compressed, which would cost the guest more than it saves.
# Renamed into place: another boot.sh may be at the same file.
archive() {
    mkdir -p "${2%/*}"
    (cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$2.$$"
    mv "$2.$$" "$2"
    # those of older scripts and libraries; a day, since another boot.sh may be reading
    find "${kernels_cache:?}/guest" -maxdepth 1 -name '*.cpio*' -mmin +1440 ! -path "$2" -delete 2>/dev/null || :
}

payload_archive() {
    local tree=$work/payload p
    mkdir -p "$tree"/usr/{bin,sbin,lib,lib64} "$tree/.boot"
    # Directories named /lib in the payload must land in the guest's usr/lib;
    # unpacked as they are, they would replace the link and all below it.
    for p in bin sbin lib lib64; do ln -s "usr/$p" "$tree/$p"; done
    if [[ -n $payload ]]; then
        tar -C "$payload" -cf - . | tar -C "$tree" --keep-directory-symlink -xf -
    fi
    for p in bin sbin lib lib64; do rm "$tree/$p"; done
    cp "$here/guest-init" "$tree/init"
    chmod 755 "$tree/init"
    printf '%s\n' "$mark" >"$tree/.boot/mark"
    printf 'exec %s\n' "$(printf '%q ' "$@")" >"$tree/.boot/command"
    archive "$tree" "$work/payload.cpio"
}

# shellcheck disable=SC2317  # called by the trap
cleanup() {
    if [[ -n $qemu ]]; then
        # timeout(1) passes the signal on to the qemu it runs
        kill "$qemu" 2>/dev/null || :
        wait "$qemu" 2>/dev/null || :
    fi
    rm -rf "$work"
}

use_cache || { say "PB_CACHE: $refusal"; exit 77; }
arch=$(architecture "$series")
describe_machine
need "${emulator[@]}" busybox:busybox-static cpio:cpio modprobe:kmod \
    ip:iproute2 bpftool:bpftool xz:xz-utils ||
    { say "$need_reason"; exit 77; }
IFS=$'\t' read -r _ version kernel moddir _ < <("$here/fetch.sh" "$series") || die "fetch.sh $series failed"
[[ $version != SKIP ]] || { say "no kernel $series: $kernel"; exit 77; }
root=${kernel%/*}/root

qemu=
work=$(mktemp -d)
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mark="PB-GUEST-END-$$-$RANDOM$RANDOM"
base_archive
modules_archive
payload_archive "$@"
cat "$base" "$mods" "$work/payload.cpio" >"$work/initrd"

# Cards, in pairs: what is sent from one arrives at the other. tests/lib/cards.sh knows
# their addresses. The hubs offload nothing, so a frame is what the card's counters say. The
# last is the standby of a failover pair, whose other half is not plugged in.
# Not on other architectures, whose guests are for what depends on the architecture.
devices=()
if [[ $arch == amd64 ]]; then
    for n in 0 1 2 3 4 5; do
        devices+=(-netdev "hubport,id=card$n,hubid=$((n / 2))"
            -device "virtio-net-pci,netdev=card$n,mac=52:54:00:00:00:0$n,romfile=")
    done
    devices[-1]+=,failover=on
    devices+=(-serial chardev:out)
else
    # Not all have a second serial port. Without ioeventfd what was written has arrived when the
    # guest goes on, so nothing is lost in its last reboot.
    devices+=(-device "$port,ioeventfd=off" -device "virtserialport,chardev=out")
fi

console=$work/console
: >"$console"
mkfifo "$work/out"
limit=${PB_BOOT_TIMEOUT:-300}
# thread=single: with a thread for each CPU, code that one CPU patches while the
# other runs it can go wrong (6.18 died in 1 of 30 boots: "Oops: int3" on a static
# key). One thread for all is no slower where two guests run side by side.
# oops=panic: a guest that oopsed has not passed, whatever its tests say.
# no_timer_check: the kernel counts ticks while it loops; on a machine that is short of CPU
# there are too few, and it panics ("IO-APIC + timer doesn't work").
timeout -k 10 "$limit" "${emulator[0]%:*}" \
    -accel tcg,thread=single "${machine[@]}" -smp "${PB_SMP:-$cpus}" -m "${PB_MEM:-1024}" \
    -nodefaults -display none -vga none -no-reboot \
    -kernel "$kernel" -initrd "$work/initrd" \
    -append "console=$console_device quiet panic=1 oops=panic no_timer_check reboot=t rdinit=/init ${PB_CMDLINE-}" \
    -chardev "file,id=console,path=$console" -serial chardev:console \
    -chardev "file,id=out,path=$work/out" "${devices[@]}" \
    </dev/null >"$work/out" 2>"$work/qemu.err" &
qemu=$!
awk -v mark="$mark" -v file="$work/status" '
    (at = index($0, mark)) {
        split(substr($0, at), word, " ")
        print word[2] >file
        close(file)
        if (at == 1) next
        $0 = substr($0, 1, at - 1)
    }
    { print; fflush() }' <"$work/out" &
# waited for, not run in the foreground: there bash would take no signal
wait $!
ended=0
wait "$qemu" || ended=$?
qemu=

[[ -z ${PB_CONSOLE_LOG-} ]] || cp "$console" "$PB_CONSOLE_LOG"
# not fatal to the guest, but not to be overlooked
grep -aE 'WARNING: |BUG: |Oops|Kernel panic|Call Trace|Out of memory' "$console" | tr -d '\r' |
    sed 's/^/boot.sh: kernel: /' >&2 || :
if [[ -s $work/status ]]; then
    exit "$(<"$work/status")"
fi
tail -n 40 "$console" | tr -d '\r' >&2
cat "$work/qemu.err" >&2
if ((ended == 124 || ended == 137)); then
    say "kernel $series ($version): killed after $limit s"
    exit 124
fi
say "kernel $series ($version): the guest ended before its command did (qemu: $ended)"
exit 125
