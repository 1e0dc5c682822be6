#!/usr/bin/env bash
# fuzz.sh [NAME...] - builds the fuzzers and runs each for FUZZ_SECONDS (60).  New inputs stay in
# build/fuzz-corpus; a finding stops with its file, to be kept in tests/fuzz/corpus/NAME.
set -uo pipefail
cd "$(dirname "$0")/.."
tools/build.sh fuzz fuzzers || exit 1
passed=0
failed=0
for target in build/fuzz/fuzz/fuzz_*; do
    name=${target##*/fuzz_}
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    mkdir -p "build/fuzz-corpus/$name" "tests/fuzz/corpus/$name"
    echo "== fuzz $name: ${FUZZ_SECONDS:-60} s"
    log=build/fuzz-$name.log
    if "$target" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="build/fuzz-$name-" "build/fuzz-corpus/$name" \
        "tests/fuzz/corpus/$name" >"$log" 2>&1; then
        grep -E '^stat::(number_of_executed_units|average_exec_per_sec)|^Done' "$log"
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        tail -n 40 "$log"
        echo "== fuzz $name: FAILED (input in build/fuzz-$name-*)"
    fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
