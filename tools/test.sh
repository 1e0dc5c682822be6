#!/usr/bin/env bash
# test.sh PRESET [ARGUMENT of ctest...] - runs what was built, then says how many minutes each group
# of tests took and what was skipped; with CI set, a skip that tests/skips.txt does not list fails.
set -uo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
results=$PWD/build/$preset/tests.xml
rm -f "$results"
status=0
# Whole outputs of tests that passed: their skipped cases are looked for in them.
ctest --preset "$preset" -j "${JOBS:-$(nproc)}" --output-junit "$results" \
    --test-output-size-passed 100000000 "$@" || status=$?
[ ! -e "$results" ] || python3 tools/test_report.py "$preset" || [ $status != 0 ] || status=1
exit $status
