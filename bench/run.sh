#!/usr/bin/env bash
# bench/run.sh [NAME...] - every figure of the project, measured here; `make bench` runs all.
#
#   engine            generator and JSON through keyed counts, memory and RocksDB, 1 and 2 workers
#   log, state        the layers below it
#   recommend         one prediction and its quality, example data and a million sessions
#   recommend_http    POST /v1/recommendations at saturation, CPU per request
#   recommend_latency event accepted -> recommendation committed, beside the bare fdatasync
#   recommend_ingest  events per CPU second through the whole job, with fsync
#   server            size, start, memory, ingest of leat-recommender
#
# By name only, with a Kafka broker of their own (docs/benchmarks.md); the first two beside Kafka
# Streams and Flink:
#
#   e2e               event -> count readable, 1,000 and 20,000 events/s (about 45 minutes)
#   cost              CPU and memory on a backlog, at the start, at a trickle
#   recovery          after kill -9, by another instance, from the changelog alone
#   recommend_kafka   event produced -> recommendation readable
#
# One after the other, never two at once. Each checks its results before it prints a speed, and
# fails if they are wrong. BENCH_ARGS is handed to each (--json, --quick where known).
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${LEAT_BIN_DIR:-build/release/bin}
if [ ! -x "$bin/bench/engine" ]; then
    echo "bench: $bin/bench/engine is missing; run 'make build' first" >&2
    exit 1
fi

echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores," \
    "$(awk '/MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo), Linux $(uname -r)," \
    "load $(cut -d' ' -f1 /proc/loadavg);" \
    "commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"

names=("$@")
[ ${#names[@]} -gt 0 ] || names=(engine log state recommend recommend_http recommend_latency
    recommend_ingest server)
failed=0
for name in "${names[@]}"; do
    printf '\n== %s\n' "$name"
    # shellcheck disable=SC2086
    if [ "$name" = server ]; then
        LEAT_BIN_DIR=$bin bench/server.py ${BENCH_ARGS:-} || failed=1
    elif [ "$name" = recommend_kafka ]; then
        LEAT_BIN_DIR=$bin bench/e2e/recommend.py ${BENCH_ARGS:-} || failed=1
    elif [ -x "bench/$name/run.py" ]; then
        LEAT_BIN_DIR=$bin "bench/$name/run.py" ${BENCH_ARGS:-} || failed=1
    elif [ "$name" = engine ] || [ "$name" = log ]; then
        "$bin/bench/$name" ${BENCH_ARGS:-} || failed=1
    elif [ -x "$bin/bench/$name" ]; then
        "$bin/bench/$name" || failed=1
    else
        echo "bench: there is no '$name'; see the head of bench/run.sh" >&2
        failed=1
    fi
done
exit $failed
