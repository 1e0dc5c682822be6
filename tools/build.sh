#!/usr/bin/env bash
# build.sh PRESET [TARGET...] - configure once, build, and stay quiet unless something is wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
log=build/$preset.log
mkdir -p build
jobs=${JOBS:-$(nproc)}
build() {
    cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"}
}
if ! build "$@" >"$log" 2>&1; then
    grep -E -A 12 'FAILED: |error: |CMake Error|undefined reference' "$log" | tail -n 80
    echo "build $preset: failed (all of it: $log)"
    exit 1
fi
if warnings=$(grep -E 'warning:' "$log"); then
    echo "$warnings" | sort | uniq | head -n 20
fi
echo "build $preset: ok"
