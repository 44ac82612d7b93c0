#!/bin/sh
# Runs each fuzz target for so many seconds (default 120), cpuinfo and mountinfo, whose forms are the most, five times
# as long. Stops at the first finding. usage: run.sh [SECONDS [TARGET...]]
set -eu

seconds=${1:-120}
case $seconds in
    '' | *[!0-9]*)
        echo "usage: $0 [SECONDS [TARGET...]]" >&2
        exit 2
        ;;
esac
[ $# -eq 0 ] || shift
cd "$(dirname "$0")"

missing() {
    echo "$0: $1 is missing. Install it: $2" >&2
    exit 1
}
cargo +nightly --version >/dev/null 2>&1 || missing 'a nightly toolchain' 'rustup toolchain install nightly'
cargo +nightly fuzz --version >/dev/null 2>&1 || missing cargo-fuzz 'cargo install --locked cargo-fuzz'

# No sanitizer: vmuster has no unsafe code, and without one twice as many inputs are tried. Overflows are checked.
fuzz() {
    command=$1
    shift
    cargo +nightly fuzz "$command" --fuzz-dir . --sanitizer none "$@"
}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

if ! fuzz build >"$dir/build" 2>&1; then
    cat "$dir/build" >&2
    exit 1
fi
[ $# -gt 0 ] || {
    list=$(cargo +nightly fuzz list --fuzz-dir .)
    # shellcheck disable=SC2086 # a list of names
    set -- $list
}

printf '%-28s %8s %12s %9s  %s\n' TARGET SECONDS EXECUTIONS COVERAGE FINDINGS
for target; do
    case $target in
        cpuinfo | mountinfo) time=$((seconds * 5)) ;;
        *) time=$seconds ;;
    esac
    # What is found on the way stays out of the repository; seeds are only read.
    mkdir "$dir/$target"
    findings=0
    # Twice the largest seed: two can be joined. Ten seconds for 8 KiB is a finding.
    fuzz run "$target" "$dir/$target" "seeds/$target" -- -max_total_time="$time" -max_len=8192 -timeout=10 \
        -rss_limit_mb=1024 -print_final_stats=1 >"$dir/log" 2>&1 || findings=1
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log")
    coverage=$(sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$dir/log" | tail -n 1)
    printf '%-28s %8s %12s %9s  %s\n' "$target" "$time" "${executions:--}" "${coverage:--}" "$findings"
    if [ "$findings" -ne 0 ]; then
        tail -n 40 "$dir/log" >&2
        exit 1
    fi
done
