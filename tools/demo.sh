#!/usr/bin/env bash
# demo.sh - real clicks through the recommender; what `make demo` shows once everything is built.
#
#   clicks of a web shop ─► leat-recommender serve ─► recommendations, latency, quality
#
# Needs no server and no network, leaves nothing running and nothing behind.  Fails loudly: the exit
# status is 0 only if every step did what it says.  LEAT_BIN_DIR: where the programs are.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${LEAT_BIN_DIR:-build/release/bin}
for program in leat leat-recommender; do
    [ -x "$bin/$program" ] || {
        echo "demo: $bin/$program is missing; 'make build' makes it" >&2
        exit 1
    }
done
LEAT_BIN_DIR=$bin exec python3 tools/demo.py
