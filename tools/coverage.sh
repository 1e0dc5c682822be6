#!/usr/bin/env bash
# coverage.sh - the tests on a counting build, then executed lines per folder.
set -uo pipefail
cd "$(dirname "$0")/.."
tools/build.sh coverage || exit 1
find build/coverage -name '*.gcda' -delete
ctest --preset coverage -j "$(nproc)" | tail -n 5
find build/coverage -name '*.gcda' -print0 | xargs -0 gcov --stdout --json-format 2>/dev/null |
    python3 tools/coverage_table.py
