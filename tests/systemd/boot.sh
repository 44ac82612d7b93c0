#!/bin/sh
# boot.sh ROOT: boots the systemd of ROOT in namespaces and a control group of its own, on a copy that vanishes with it,
# and prints its process id as the caller sees it. Ends it when stdin ends, so also when the caller is killed, and
# removes what is left.
set -eu

root=$1
here=$(dirname "$(readlink -f "$0")")

# A group below our own, so that limits on us hold for it. Where controllers are off in ours, they are off in it too.
mount=$(findmnt --noheadings --first-only --output=TARGET --types cgroup2 --options rw)
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
group=$mount${own%/}/vmuster-box-$$
mkdir "$group"

# Ctrl-C reaches the whole terminal. The caller dies of it, and then stdin ends.
trap '' INT
trap 'exit 143' TERM HUP
# In the background stdin is /dev/null, so the caller's end is not held open by systemd.
(
    echo 0 >"$group/cgroup.procs"
    exec unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup --propagation private \
        "$here/enter.sh" "$root" >&2
) &
unshare=$!

stop() {
    # With unshare goes its child, the first process of the namespace, and with that all others.
    kill -KILL $unshare 2>/dev/null || true
    wait $unshare 2>/dev/null || true
    tries=0
    # The kernel counts the dead out a moment later.
    until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || [ $tries -gt 100 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
}
trap stop EXIT

pid=
until [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ]; do
    kill -0 $unshare || exit 1
    pid=$(sed 's/ .*//' "/proc/$unshare/task/$unshare/children" 2>/dev/null || true)
    sleep 0.02
done
echo "$pid"

# Nothing is ever written to it.
read -r _ || true

# systemd's own way of being told to power off.
kill -s RTMIN+4 "$pid" 2>/dev/null || true
tries=0
while kill -0 $unshare 2>/dev/null && [ $tries -lt 200 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
[ $tries -lt 200 ] || echo "systemd did not power off within 10 s and was killed" >&2
