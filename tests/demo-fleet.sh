#!/bin/sh
# A simulated fleet of N hosts (200 unless told otherwise) on loopback addresses, a real coordinator, and how long the
# first questions take. Everything is in a directory of its own and is stopped at the end.
set -eu

cd "$(dirname "$0")/.."
programs=${CARGO_TARGET_DIR:-target}/debug
count=${1:-200}
case $count in
'' | *[!0-9]* | ?????*) count=0 ;;
esac
if [ "$count" -lt 1 ] || [ "$count" -gt 5000 ]; then
    echo "demo-fleet: N must be a number from 1 to 5000" >&2
    exit 2
fi
dir=$(mktemp -d)
pids=

stop() {
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

# Until the command that follows is true; NAME's log says why it never is.
wait_for() {
    name=$1
    shift
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ]; then
            echo "demo-fleet: $name did not start:" >&2
            cat "$dir/$name.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

memory() { sed -n 's/^VmRSS:[[:space:]]*//p' "/proc/$1/status"; }

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# All of the answer is taken before its first lines are shown, so that the time is that of the whole.
ask() {
    printf '\n$ vmuster %s\n' "$*"
    begin=$(now_ms)
    "$programs/vmuster" --coordinator "unix:$dir/coordinator.sock" "$@" >"$dir/answer"
    end=$(now_ms)
    head -n 12 "$dir/answer" | cut -c 1-160
    [ "$(wc -l <"$dir/answer")" -le 12 ] || echo "… $(wc -l <"$dir/answer") lines"
    echo "took $((end - begin)) ms"
}

begin=$(now_ms)
"$programs/vmuster-fleet" "$count" >"$dir/hosts.toml" 2>"$dir/fleet.log" &
fleet=$!
pids="$pids $fleet"
wait_for fleet grep -q '^# all' "$dir/hosts.toml"
echo "a fleet of $count hosts listens after $(($(now_ms) - begin)) ms"

cat >"$dir/coordinator.toml" <<END
listen = ["unix:$dir/coordinator.sock"]
hosts_file = "$dir/hosts.toml"
cache_dir = "$dir/cache"
state_dir = "$dir/state"
END
"$programs/vmuster-coordinator" --config "$dir/coordinator.toml" serve 2>"$dir/coordinator.log" &
coordinator=$!
pids="$pids $coordinator"
wait_for coordinator test -S "$dir/coordinator.sock"

echo
echo "Nothing is known yet, so every host is asked (cold):"
ask hosts list
echo
echo "The rest is answered from memory:"
ask flags --layer host
ask hosts list

echo
echo "resident memory: fleet $(memory $fleet), coordinator $(memory $coordinator)"
