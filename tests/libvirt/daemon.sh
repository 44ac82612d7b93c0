#!/bin/sh
# daemon.sh DIR [libvirtd.conf lines]: a libvirt daemon whose every file is below DIR, in a mount namespace of its own.
# Runs in the foreground as the process that was started. Its socket is DIR/sock/libvirt-sock, seen from outside as well.
# Guests outlive it. HIDE_KVM=1: as on a machine without KVM.
set -eu
directory=$1
shift
for part in etc/qemu state lib log cache sock hugepages; do
    mkdir -p "$directory/$part"
done
# No log daemon, no bus, no other user, no control groups: nothing that this machine would have to have.
{
    echo "unix_sock_dir = \"$directory/sock\""
    echo 'auth_unix_ro = "none"'
    echo "log_outputs = \"3:file:$directory/log/libvirtd.log\""
    # A key may be there once only.
    case "$*" in
        *auth_unix_rw*) ;;
        *) echo 'auth_unix_rw = "none"' ;;
    esac
    for line; do echo "$line"; done
} >"$directory/etc/libvirtd.conf"
cat >"$directory/etc/qemu.conf" <<'CONF'
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
CONF
# Guests in huge pages have their files here; seen by this daemon alone, and empty until one is started.
if grep -q hugetlbfs /proc/filesystems; then
    echo "hugetlbfs_mount = \"$directory/hugepages\"" >>"$directory/etc/qemu.conf"
fi
# libvirt looks up the user and groups that Debian's packages of it know, also where guests run as root. The package that
# makes them would start a daemon of its own: they are made here, for this daemon alone.
for file in passwd group; do cp "/etc/$file" "$directory/etc/$file"; done
grep -q ^libvirt-qemu: /etc/passwd ||
    echo 'libvirt-qemu:x:64055:64055:libvirt:/nonexistent:/usr/sbin/nologin' >>"$directory/etc/passwd"
grep -q ^libvirt-qemu: /etc/group || echo 'libvirt-qemu:x:64055:' >>"$directory/etc/group"
grep -q ^kvm: /etc/group || echo 'kvm:x:64056:' >>"$directory/etc/group"
exec unshare --mount --propagation private sh -euc '
    for pair in run/libvirt:state var/lib/libvirt:lib var/cache/libvirt:cache var/log/libvirt:log etc/libvirt:etc; do
        mkdir -p "/${pair%%:*}"
        mount --bind "$0/${pair##*:}" "/${pair%%:*}"
    done
    for file in passwd group; do mount --bind "$0/etc/$file" "/etc/$file"; done
    if grep -q hugetlbfs /proc/filesystems; then mount -t hugetlbfs hugetlbfs "$0/hugepages"; fi
    if [ -n "${HIDE_KVM:-}" ]; then mount --bind /dev/null /dev/kvm; fi
    exec libvirtd --config "$0/etc/libvirtd.conf" --pid-file "$0/state/daemon.pid"
' "$directory"
