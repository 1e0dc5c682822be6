#!/usr/bin/env bash
# enter.sh ROOT COMMAND... - in a mount and pid namespace of its own: makes ROOT the root, with what
# the kernel gives (/proc, /sys, /dev), and goes on with ROOT/srv/inside.sh.
set -euo pipefail
root=$1
shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755,size=1m devices "$root/dev"
for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"
done
cd "$root"
pivot_root . mnt
umount -l /mnt # from here on there is nothing of the machine's own files
cd /
exec /bin/bash /srv/inside.sh "$@"
