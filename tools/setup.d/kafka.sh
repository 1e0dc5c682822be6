#!/usr/bin/env bash
# kafka.sh - the broker that tools/kafka runs: Kafka's jars, by Maven from tools/kafka.d/pom.xml
# into build/deps/kafka/libs, each compared with tools/kafka.d/SHA256SUMS.
#
# kafka.sh update-checksums writes that file anew, after a change of pom.xml.  Done once: a stamp
# (the checksum of pom.xml and SHA256SUMS) says what is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

pom=$PWD/tools/kafka.d/pom.xml
sums=$PWD/tools/kafka.d/SHA256SUMS
target=$PWD/build/deps/kafka
log=$target.log

fail() {
    echo "setup: $1"
    exit 1
}

# The stamp is a checksum of both files: another pom.xml is another broker.
stamp() { cat "$pom" "$sums" 2>/dev/null | sha256sum | cut -d' ' -f1; }

fetch() { # into $1/libs
    mvn -q -B -f "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$1/libs" >"$log" 2>&1 </dev/null
}

update=${1:-}
[ -z "$update" ] || [ "$update" = update-checksums ] ||
    fail "kafka.sh has one argument: update-checksums"
if [ -z "$update" ] && [ "$(cat "$target/stamp" 2>/dev/null)" = "$(stamp)" ]; then
    exit 0
fi
mkdir -p build/deps
exec 9>build/deps/.kafka.lock
flock 9
if [ -z "$update" ] && [ "$(cat "$target/stamp" 2>/dev/null)" = "$(stamp)" ]; then
    exit 0
fi
command -v mvn >/dev/null || fail "the Kafka broker comes with Maven (mvn), which is missing"

work=$(mktemp -d build/deps/kafka.XXXXXX)
work=$PWD/$work
trap 'rm -rf "$work"' EXIT
echo "setup: fetching the Kafka broker (44 MB)"
fetch "$work" || fail "Maven cannot fetch the Kafka broker; its words are in $log"
if [ -n "$update" ]; then
    (cd "$work/libs" && LC_ALL=C sha256sum -- *.jar) >"$sums"
fi
(cd "$work/libs" && sha256sum --quiet -c "$sums") >>"$log" 2>&1 ||
    fail "a jar of the Kafka broker has another checksum than tools/kafka.d/SHA256SUMS says ($log)"
[ "$(find "$work/libs" -name '*.jar' | wc -l)" = "$(wc -l <"$sums")" ] ||
    fail "the Kafka broker came with jars that tools/kafka.d/SHA256SUMS does not name"
stamp >"$work/stamp"
rm -rf "$target"
chmod 755 "$work"
mv "$work" "$target"
tools/kafka prepare >>"$log" 2>&1 || true # only makes starts quicker
rm -f "$log"
echo "setup: the Kafka broker is in build/deps/kafka"
