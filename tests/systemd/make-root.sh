#!/bin/sh
# make-root.sh DIR: makes a root of this machine's Debian release, with systemd, libvirt and QEMU, from the machine's
# own apt sources. Under a minute, 330 MB.
set -eu

dir=$1
part=$dir.part

# shellcheck disable=SC1091 # the machine's own
. /etc/os-release
release=${VERSION_CODENAME:-}
if [ -z "$release" ]; then
    echo "this distribution's release has no name in /etc/os-release" >&2
    exit 1
fi
# The release itself, its updates and security; whatever else the machine has installed from is not needed.
# shellcheck disable=SC2016 # apt's words
sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    grep -E " $release(-updates|-security)? main\$" | sort -u)
if [ -z "$sources" ]; then
    echo "apt knows no source of $release: apt-get update" >&2
    exit 1
fi

case $(dpkg --print-architecture) in
amd64) qemu="qemu-system-x86" ;;
arm64) qemu="qemu-system-arm" ;;
*)
    echo "which QEMU runs guests on this architecture is not known here" >&2
    exit 1
    ;;
esac

# libnss-systemd and polkitd: libvirt asks who its client is. procps: units reload by /bin/kill.
packages=systemd-sysv,dbus,polkitd,procps,libnss-systemd
packages=$packages,libvirt-daemon-system,libvirt-clients,$qemu,qemu-utils

rm -rf --one-file-system "$part"
# In a mount namespace, so that its mounts go with it however it ends. --mode=root: a root with true owners.
# Documentation is left out, and nothing needs to survive a crash.
echo "$sources" | unshare --mount --propagation private mmdebstrap --quiet --mode=root --variant=minbase \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt=force-unsafe-io \
    --include="$packages" "$release" "$part" -
# Whole or not there.
mv "$part" "$dir"
