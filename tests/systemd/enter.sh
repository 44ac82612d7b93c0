#!/bin/sh
# enter.sh ROOT: the first process in new namespaces (boot.sh) lays out ROOT as a container and becomes its systemd.
set -eu

lower=$1
# Over a directory that every machine has; only this mount namespace sees it. All that is written goes to memory.
mount -t tmpfs -o mode=0755,size=2g tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$lower,upperdir=/mnt/upper,workdir=/mnt/work" overlay /mnt/root
cd /mnt/root

mount -t proc -o nosuid,nodev,noexec proc proc
# The kernel's settings are the machine's, not the box's: systemd-sysctl would change them.
for name in sys sysrq-trigger irq bus; do
    [ -e "proc/$name" ] || continue
    mount --bind "proc/$name" "proc/$name"
    mount -o remount,bind,ro "proc/$name"
done
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mount -t tmpfs -o mode=0755,nosuid tmpfs dev
for name in null zero full random urandom tty; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
# For libvirt's QEMU, which is not root: a node of the box's own, since the machine's may be root's alone.
[ ! -e /dev/kvm ] || mknod -m 0666 dev/kvm c 10 232 || true
mkdir dev/pts dev/shm
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

# Its own name, not the machine's, and a machine id that it makes itself.
echo box >etc/hostname
: >etc/machine-id

mkdir .old
pivot_root . .old
umount -l .old
rmdir .old
# systemd leaves it to whoever started it in a container, and credentials of services need it.
mount --make-rshared /
# What would reach the machine beyond any namespace.
exec env -i container=vmuster-box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-sys_boot,-mac_admin,-mac_override,-wake_alarm \
    /lib/systemd/systemd --system --log-target=journal --show-status=0
