#!/usr/bin/env bash
# librdkafka.sh - the Kafka client library, built from pinned sources into build/deps/rdkafka:
#
#   include/librdkafka/rdkafka.h   lib/librdkafka.a    inside programs and libleat.so
#   version                        lib/librdkafka.so*  for tests and instrumented builds
#
# LIBRDKAFKA=system takes what the distribution has and builds nothing.  Done once: a stamp says
# what is there.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=2.15.1
carrier=@confluentinc/kafka-javascript@1.10.1 # carries the unchanged sources
archive=confluentinc-kafka-javascript-1.10.1.tgz
sha256=ada7d703bb1d3237e2292bfabf438d663b6160c9f1ac2a2406b5dc4257c81b66
patches=$PWD/tools/setup.d/librdkafka
recipe=9 # raise it when the commands below, or the patches, change what they make
stamp="librdkafka $version recipe $recipe"
deps=$PWD/build/deps
prefix=$deps/rdkafka

fail() {
    echo "setup: $1"
    exit 1
}

if [ "${LIBRDKAFKA:-bundled}" = system ]; then
    found=$(pkg-config --modversion rdkafka 2>/dev/null) ||
        fail "LIBRDKAFKA=system, but there is no librdkafka: install librdkafka-dev"
    echo "setup: warning: the distribution's librdkafka $found instead of $version: 2.0.2 was" \
        "measured to wait busily (three times the CPU time) and to commit more slowly under load;" \
        "configure with -DLEAT_LIBRDKAFKA=system"
    exit 0
fi
[ "${LIBRDKAFKA:-bundled}" = bundled ] ||
    fail "LIBRDKAFKA is '$LIBRDKAFKA': bundled (built here) or system (the distribution's)"
[ "$(cat "$prefix/version" 2>/dev/null)" != "$stamp" ] || exit 0

mkdir -p "$deps"
exec 9>"$deps/.rdkafka.lock"
flock 9
[ "$(cat "$prefix/version" 2>/dev/null)" != "$stamp" ] || exit 0

work=$(mktemp -d "$deps/rdkafka-build.XXXXXX")
log=$deps/rdkafka.log
trap 'rm -rf "$work"' EXIT
echo "setup: building librdkafka $version (about a minute)"
command -v npm >/dev/null ||
    fail "librdkafka's sources come with npm, which is missing; or: LIBRDKAFKA=system make setup"
if [ ! -e "$deps/$archive" ]; then
    (cd "$work" && npm pack --silent "$carrier" >"$log" 2>&1) ||
        fail "npm cannot fetch $carrier ($log); without a network: LIBRDKAFKA=system make setup"
    mv "$work/$archive" "$deps/$archive"
fi
if ! echo "$sha256  $deps/$archive" | sha256sum --quiet -c >"$log" 2>&1; then
    mv "$deps/$archive" "$deps/$archive.bad"
    fail "$archive has another checksum than $sha256; kept as $deps/$archive.bad"
fi
tar xzf "$deps/$archive" -C "$work" package/deps/librdkafka
# What is changed, and why: docs/decisions.md, "librdkafka is patched".
cp "$patches"/rdkafka_merge.[ch] "$work/package/deps/librdkafka/src/"
patch --silent -d "$work/package/deps/librdkafka" -p1 --fuzz=0 <"$patches/leat.patch" \
    >"$log" 2>&1 ||
    fail "librdkafka's sources are not those we know: $patches/leat.patch does not fit ($log)"
(
    cd "$work/package/deps/librdkafka"
    # No debug symbols: programs are stripped, and 29 MB of archive would be linked into each test.
    # A section per function: a program takes those it uses, 0.7 MB less.
    # POSIX threads instead of C11's: those TSan sees.
    CFLAGS="-ffunction-sections -fdata-sections" ./configure --prefix="$work/done" \
        --enable-static --disable-lz4-ext --disable-gssapi --disable-curl --disable-syslog \
        --disable-debug-symbols --disable-c11threads
    grep -q '^CPPFLAGS.*-fPIC' Makefile.config
    make -j"${JOBS:-$(nproc)}" -C src
    make -C src install
) >"$log" 2>&1 </dev/null || fail "librdkafka does not build; its compiler's words are in $log"
for feature in SSL ZLIB ZSTD; do
    grep -q "#define WITH_$feature 1" "$work/package/deps/librdkafka/config.h" ||
        fail "librdkafka was configured without $feature ($log)"
done
rm -rf "$work/done/lib/pkgconfig" "$work/done/lib/librdkafka-static.a" "$work/done/share"
echo "$stamp" >"$work/done/version"
cp "$work/package/deps/librdkafka/LICENSES.txt" "$work/done/"
rm -rf "$prefix"
mv "$work/done" "$prefix"
echo "setup: librdkafka $version is in build/deps/rdkafka"
