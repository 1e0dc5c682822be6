#!/usr/bin/env bash
# check.sh [STEP...] - what `make check` does: every step runs, failures are told at the end.
#
# Tests wait more than they compute.  So clang-tidy and the build for TSan run beside the tests
# under ASan, at the lowest priority, and are told when it is their turn.
#
#   format  clang-format leaves the sources alone   werror  gcc, a warning is an error
#   lint    the rules of tests/lint                 asan    clang -Werror, ASan and UBSan tests
#   tidy    clang-tidy, the list in .clang-tidy     tsan    clang -Werror, TSan tests
set -uo pipefail
cd "$(dirname "$0")/.."
jobs=${JOBS:-$(nproc)}
steps=" ${*:-format lint werror asan tidy tsan} "
passed=0
failed=""
declare -A early=() # what runs beside the tests: its process id, by name
mkdir -p build
trap 'for group in "${early[@]}"; do kill -- "-$group" 2>/dev/null; done' EXIT

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

begin_early() { # NAME COMMAND...
    set -m # a process group of its own, so that all of it can be ended
    (renice -n 19 "$BASHPID" && "${@:2}") >"build/early-$1.log" 2>&1 </dev/null &
    set +m
    early[$1]=$!
}

# What has begun early, else now.
done_early() { # NAME COMMAND...
    [ -n "${early[$1]:-}" ] || {
        "${@:2}"
        return
    }
    local result=0
    wait "${early[$1]}" || result=$?
    unset "early[$1]"
    grep -v '(process ID) old priority' "build/early-$1.log"
    return $result
}

# Uses clang's own compile commands, so that no gcc flag is foreign to it.
tidy() {
    sources 'src/*.c' 'apps/*.c' 'examples/*.c' |
        xargs -P "$jobs" -n 4 clang-tidy-14 --quiet -p build/asan --warnings-as-errors='*' 2>&1 |
        grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter'
    return "${PIPESTATUS[1]}"
}
step_tidy() {
    tools/build.sh asan help || return 1 # configured; nothing is compiled yet
    done_early tidy tidy
}

# Without what tests programs that are not ours, and the rounds whose time-outs are those of a
# release build.
sanitized() {
    tools/test.sh "$1" -E 'kafka_(broker|proxy|bench)|crash_kafka|deploy'
}
step_asan() {
    tools/build.sh asan || return 1
    case $steps in *" tidy "*) begin_early tidy tidy ;; esac
    case $steps in *" tsan "*) begin_early tsan tools/build.sh tsan ;; esac
    sanitized asan
}
step_tsan() { done_early tsan tools/build.sh tsan && sanitized tsan; }

for step in $steps; do
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
