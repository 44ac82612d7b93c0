#!/bin/sh
# The main job once, on real input: this machine's own agent, agents of recorded hosts, a coordinator, and the questions
# an operator asks first. Everything listens on Unix sockets in a directory of its own and is stopped at the end.
set -eu

cd "$(dirname "$0")/.."
programs=${CARGO_TARGET_DIR:-target}/debug
hosts=tests/fixtures/hosts
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

start() {
    name=$1
    shift
    "$@" 2>"$dir/$name.log" &
    pids="$pids $!"
}

# A daemon is ready when its socket is there.
wait_for() {
    tries=0
    until [ -S "$dir/$1.sock" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ]; then
            echo "demo: $1 did not start:" >&2
            cat "$dir/$1.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

say() { printf '\n\033[1m$ %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi; }

ask() {
    say "vmuster $*"
    code=0
    "$programs/vmuster" --coordinator "unix:$dir/coordinator.sock" "$@" || code=$?
    if [ "$code" -ne "$expected" ]; then
        echo "demo: exit code $code, expected $expected" >&2
        exit 1
    fi
}

# The coordinator refuses what an agent of another name says, and this machine may be called anything.
echo 'name = "this-machine"' >"$dir/agent.toml"
start this-machine "$programs/vmuster-agent" --config "$dir/agent.toml" serve --listen "unix:$dir/this-machine.sock"
printf '[[host]]\nname = "this-machine"\naddress = "unix:%s"\nlabels = { kind = "real" }\n' \
    "$dir/this-machine.sock" >"$dir/hosts.toml"
wait_for this-machine
for name in rome-2s milan-4node skylake-smt haswell-1s nehalem-old; do
    start $name "$programs/vmuster-agent" --recorded $hosts/$name serve --listen "unix:$dir/$name.sock"
    printf '[[host]]\nname = "%s"\naddress = "unix:%s"\nlabels = { kind = "recorded" }\n' \
        "$name" "$dir/$name.sock" >>"$dir/hosts.toml"
    wait_for "$name"
done
last=${pids##* }
# Two hosts with what their libvirt said: one gives guests its own CPU, the other has no KVM and emulates one.
for kind in kvm tcg; do
    start guests-$kind "$programs/vmuster-agent" --recorded tests/fixtures/guests/$kind serve \
        --listen "unix:$dir/guests-$kind.sock"
    printf '[[host]]\nname = "guests-%s"\naddress = "unix:%s"\nlabels = { kind = "libvirt" }\n' \
        "$kind" "$dir/guests-$kind.sock" >>"$dir/hosts.toml"
    wait_for "guests-$kind"
done

cat >"$dir/coordinator.toml" <<EOF
listen = ["unix:$dir/coordinator.sock"]
hosts_file = "$dir/hosts.toml"
cache_dir = "$dir/cache"
state_dir = "$dir/state"
EOF
start coordinator "$programs/vmuster-coordinator" --config "$dir/coordinator.toml" serve
wait_for coordinator

expected=0
ask hosts list

echo
echo "What guests can be given, where a libvirt told. The CPUs are of two vendors, and no guest moves between them (exit code 1):"
expected=1
ask flags --label kind=libvirt
expected=0
ask baseline --hosts guests-kvm --no-verify

echo
echo "Can a guest of one go to the other? No host can take it, and why (exit code 1):"
expected=1
ask migrate check --domain aaa --from guests-kvm --label kind=libvirt

echo
echo "What the kernels show of all of them, on hosts without libvirt too:"
expected=0
ask flags --layer host
ask flags --layer host --matrix --label kind=recorded
ask flags --layer host --why avx2
ask flags diff --layer host rome-2s milan-4node

echo
echo "One host goes down. Its last known flags still count, and the answer says so (exit code 3):"
kill "$last"
while [ -S "$dir/nehalem-old.sock" ]; do sleep 0.1; done
expected=3
ask flags --layer host --max-age 0s
