#!/usr/bin/env bash
# check.sh [STEP...] - what `make check` does: every step runs, failures are told at the end.
#
#   format  clang-format leaves the sources alone   werror  gcc, a warning is an error
#   lint    the rules of tests/lint                 asan    clang -Werror, ASan and UBSan tests
#   tidy    clang-tidy, the list in .clang-tidy     tsan    clang -Werror, TSan tests
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
passed=0
failed=""

# What git tracks: other files in somebody's checkout are nobody's business.
sources() {
    git ls-files --cached -- "$@" | while read -r file; do
        [ ! -e "$file" ] || echo "$file"
    done
}

step_format() {
    sources '*.c' '*.h' '*.cc' | xargs -P "$jobs" -n 20 clang-format-14 --dry-run -Werror
}

step_lint() { tools/build.sh release && tools/test.sh release -L 'lint|install'; }

step_werror() { tools/build.sh werror; }

# Uses clang's own compile commands, so that no gcc flag is foreign to it.
step_tidy() {
    tools/build.sh asan help || return 1 # configured; nothing is compiled yet
    sources 'src/*.c' 'apps/*.c' 'examples/*.c' |
        xargs -P "$jobs" -n 4 clang-tidy-14 --quiet -p build/asan --warnings-as-errors='*' 2>&1 |
        grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter'
    return "${PIPESTATUS[1]}"
}

# Without what tests programs that are not ours, and the rounds whose time-outs are those of a
# release build.
sanitized() {
    tools/build.sh "$1" &&
        tools/test.sh "$1" -E 'kafka_(broker|proxy|bench)|crash_kafka|deploy'
}
step_asan() { sanitized asan; }
step_tsan() { sanitized tsan; }

for step in ${*:-format lint werror tidy asan tsan}; do
    started=$SECONDS
    echo "== check $step"
    if "step_$step"; then
        passed=$((passed + 1))
        echo "== check $step: ok ($((SECONDS - started)) s)"
    else
        failed="$failed $step"
        echo "== check $step: FAILED ($((SECONDS - started)) s)"
    fi
done
[ -z "$failed" ] || echo "check failed:$failed"
echo "check: $passed passed, $(wc -w <<<"$failed") failed"
[ -z "$failed" ]
