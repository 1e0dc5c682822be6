#!/usr/bin/env bash
# bench/peers/build.sh - Kafka Streams and Flink, and the job that bench/e2e and bench/cost run on
# them, into build/deps/peers:
#
#   streams/*.jar  flink/*.jar    a class path each
#
# By Maven from the pom.xml beside this file; each jar that comes is compared with SHA256SUMS.
# Needs a JDK (17 or later), mvn and, the first time, a network; then it looks at a stamp (the
# checksum of this folder) and does nothing.
# build.sh update-checksums writes SHA256SUMS anew, after a change of a pom.xml.
set -euo pipefail
cd "$(dirname "$0")/../.."

here=$PWD/bench/peers
sums=$here/SHA256SUMS
target=$PWD/build/deps/peers
log=$target.log

fail() {
    echo "peers: $1" >&2
    exit 1
}

stamp() {
    (cd "$here" && find . -type f -name '*.java' -o -name pom.xml -o -name SHA256SUMS |
        LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1)
}

update=${1:-}
[ -z "$update" ] || [ "$update" = update-checksums ] || fail "one argument: update-checksums"
if [ -z "$update" ] && [ "$(cat "$target/stamp" 2>/dev/null)" = "$(stamp)" ]; then
    exit 0
fi
command -v mvn >/dev/null || fail "they come with Maven (mvn), which is missing"
command -v javac >/dev/null || fail "a JDK is missing (javac)"

mkdir -p build/deps
exec 9>build/deps/.peers.lock
flock 9
work=$(mktemp -d "$PWD/build/deps/peers.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp -r "$here/." "$work/source" # Maven writes beside its sources
echo "peers: building (215 MB of jars the first time)"
mvn -q -B -f "$work/source/pom.xml" package dependency:copy-dependencies \
    -DincludeScope=runtime -DexcludeGroupIds=leat.bench \
    '-DoutputDirectory=${project.build.directory}/libs' \
    >"$log" 2>&1 </dev/null || fail "Maven cannot build them; its words are in $log"
for peer in streams flink; do
    mkdir -p "$work/done/$peer"
    mv "$work/source/$peer/target/libs/"*.jar "$work/done/$peer/"
done
if [ -n "$update" ]; then
    (cd "$work/done" && LC_ALL=C sha256sum -- */*.jar) >"$sums"
fi
(cd "$work/done" && sha256sum --quiet -c "$sums") >>"$log" 2>&1 ||
    fail "a jar has another checksum than bench/peers/SHA256SUMS says ($log)"
[ "$(find "$work/done" -name '*.jar' | wc -l)" = "$(wc -l <"$sums")" ] ||
    fail "there are jars that bench/peers/SHA256SUMS does not name"
for peer in streams flink; do
    cp "$work/source/json/target/"peer-*.jar "$work/source/$peer/target/"peer-*.jar \
        "$work/done/$peer/"
done
stamp >"$work/done/stamp"
rm -rf "$target"
mv "$work/done" "$target"
rm -f "$log"
echo "peers: in build/deps/peers"
