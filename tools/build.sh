#!/usr/bin/env bash
# build.sh PRESET [TARGET...] - configure once, build, and stay quiet unless something is wrong.
#
# A build folder that came along with a moved or copied checkout belongs to another source folder:
# CMake refuses it, and files in it (the address of a test's broker) are about the other one.  It is
# made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
log=build/$preset.log
mkdir -p build
jobs=${JOBS:-$(nproc)}
cache=build/$preset/CMakeCache.txt
elsewhere=$([ ! -e "$cache" ] || sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache")
if [ -n "$elsewhere" ] && ! [ "$elsewhere" -ef . ]; then
    echo "build $preset: the build folder was made for $elsewhere; building anew for $PWD"
    rm -rf "build/$preset"
fi
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
    if [ -n "${CI:-}" ]; then
        echo "build $preset: a warning is a failure in CI"
        exit 1
    fi
fi
echo "build $preset: ok"
