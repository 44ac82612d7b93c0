#!/bin/sh
# Makes sure that what building and testing need is there: Rust (asked for), a C compiler and linker (installed).
# `setup.sh all` adds what building the hypervisor's reader needs, and `setup.sh test` also the programs that tests
# compare with. Without root those tests say that they are left out.
set -eu

missing=
command -v cc >/dev/null 2>&1 || missing="$missing gcc"
# Debian's gcc alone cannot link: the start-up files come with the C library's headers.
if ! [ -e /usr/include/stdlib.h ]; then missing="$missing libc6-dev"; fi
# cargo checks its registry's certificate against these.
if ! [ -e /etc/ssl/certs/ca-certificates.crt ]; then missing="$missing ca-certificates"; fi

if [ -n "${1:-}" ]; then
    command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
    [ -e /usr/include/libvirt/libvirt.h ] || missing="$missing libvirt-dev"
fi

compared=
if [ "${1:-}" = test ]; then
    command -v lscpu >/dev/null 2>&1 || compared="$compared util-linux"
    command -v numactl >/dev/null 2>&1 || compared="$compared numactl"
    command -v lspci >/dev/null 2>&1 || compared="$compared pciutils"
    command -v bindfs >/dev/null 2>&1 || compared="$compared bindfs"
    command -v fusermount3 >/dev/null 2>&1 || compared="$compared fuse3"
    # A libvirt of a test's own, with guests.
    command -v libvirtd >/dev/null 2>&1 || compared="$compared libvirt-daemon libvirt-daemon-driver-qemu"
    command -v virsh >/dev/null 2>&1 || compared="$compared libvirt-clients"
    [ -e /usr/share/libvirt/cpu_map/x86_features.xml ] || compared="$compared libvirt0"
    command -v qemu-system-x86_64 >/dev/null 2>&1 || compared="$compared qemu-system-x86"
    command -v qemu-img >/dev/null 2>&1 || compared="$compared qemu-utils"
    # promtool.
    command -v promtool >/dev/null 2>&1 || compared="$compared prometheus"
    # Kills a process at a system call.
    command -v strace >/dev/null 2>&1 || compared="$compared strace"
    command -v valgrind >/dev/null 2>&1 || compared="$compared valgrind"
    # A client of the placement service in Python.
    python3 -c "import venv, ensurepip" 2>/dev/null || compared="$compared python3-venv"
    # A Debian root with a systemd to boot; gpg finds the key that signs it.
    command -v mmdebstrap >/dev/null 2>&1 || compared="$compared mmdebstrap"
    command -v gpg >/dev/null 2>&1 || compared="$compared gpg"
    command -v systemd-analyze >/dev/null 2>&1 || compared="$compared systemd"
fi
if [ -n "$compared" ]; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ]; then
        missing="$missing$compared"
    else
        echo "setup: tests that need$compared are left out; only root may install it: sudo apt-get install$compared" >&2
    fi
fi

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: please install$missing (Debian's names), then try again" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "setup: needs$missing, and only root may install it: sudo apt-get install$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing" >&2
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

if ! command -v "${CARGO:-cargo}" >/dev/null 2>&1; then
    echo "setup: needs a Rust toolchain (cargo is not in PATH); rust-version in Cargo.toml says which" >&2
    exit 1
fi
