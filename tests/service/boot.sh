#!/bin/sh
# SPDX-License-Identifier: MIT
# boot.sh SYSTEM CGROUP DIRECTORY: becomes unshare(1), whose child is systemd in that system. It is
# in that cgroup, a path from their root, for which DIRECTORY is a place to mount. To be run in a
# mount namespace of its own.
set -e
if [ "$1" != --inside ]; then
    mount -t cgroup2 cgroup2 "$3"
    echo $$ >"$3/$2/cgroup.procs"
    umount "$3"
    # --kill-child: it ends with the test.
    exec unshare --mount --pid --fork --kill-child --uts --ipc --cgroup "$0" --inside "$1"
fi
mount --make-rprivate /
mount --bind "$2" "$2"
cd "$2"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys # systemd would raise fs.file-max and others
mount -t sysfs sysfs sys
mount -t bpf -o mode=0700 bpf sys/fs/bpf # as systemd mounts it
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 dev dev
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
    mknod -m 666 "dev/${node% *}" c 1 "${node#* }"
done
mknod -m 666 dev/tty c 5 0
mkdir dev/shm dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=0755 run run
# pivot_root() does not work on the root of an initramfs. Shared, as systemd makes them elsewhere.
mount --move . /
mount --make-rshared .
exec chroot . env -i container=tc_portbytes PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --unit=basic.target --show-status=no
