#!/usr/bin/env bash
# setup.sh - all that building, testing and checking need, on Debian 12 as root or with sudo:
# packages, then what setup.d/ fetches and builds in build/deps: librdkafka, a Kafka broker.
#
# Idempotent: asks dpkg once, looks at stamps, and does nothing when all is there.  What cannot be
# had costs one line that says what is lost; the exit status is 1 only if leat cannot be built
# without it.  LIBRDKAFKA=system: the distribution's librdkafka instead of a newer one built here.
# setup.sh --needed: only what the build cannot do without (for images).
set -uo pipefail
here=$(dirname "$0")

# package | what there is not without it; "needed" means that nothing can be built
# "package unless COMMAND": not asked for where the command is there already
packages="
build-essential         | needed: compiler and make
cmake                   | needed: the build
ninja-build             | needed: the build
pkg-config              | needed: the test of the installed library
librocksdb-dev          | needed: state and the embedded log
libsimdjson-dev         | needed: JSON
libmicrohttpd-dev       | needed: the HTTP server
libcurl4-openssl-dev    | needed: HTTP clients
libcmocka-dev           | needed: the tests
libxxhash-dev           | needed: hash tables
libssl-dev              | needed: librdkafka (TLS, SCRAM)
libzstd-dev             | needed: compression inside RocksDB and librdkafka
zlib1g-dev              | needed: compression inside RocksDB and librdkafka
libbz2-dev              | needed: compression inside RocksDB
liblz4-dev              | needed: compression inside RocksDB
libsnappy-dev           | needed: compression inside RocksDB
libgflags-dev           | needed: RocksDB inside the programs
python3                 | needed: the tools, and the lint, crash and integration tests
clang-14                | make check (sanitizers, second compiler) and make fuzz
libclang-rt-14-dev      | make check (ASan, UBSan, TSan) and make fuzz
clang-tidy-14           | clang-tidy step of make check
clang-format-14         | make fmt and no format step of make check
universal-ctags         | lint test of function lengths
curl                    | test of the documents' HTTP examples
git                     | list of files for make fmt and make check
openssl                 | TLS listener of tools/kafka
prometheus              | test of the alert rules in deploy/
python3-yaml            | test of deploy/
default-jre-headless unless java | Kafka broker for tests (tools/kafka)
maven unless mvn        | Kafka broker for tests (tools/kafka)
"
if [ "${LIBRDKAFKA:-bundled}" = system ]; then
    packages+="librdkafka-dev | needed: the Kafka client library
"
else
    packages+="npm unless npm | needed: the sources of librdkafka (or LIBRDKAFKA=system)
patch                   | needed: our changes to librdkafka (or LIBRDKAFKA=system)
"
fi

only=${1:-}
if [ -n "$only" ] && [ "$only" != --needed ]; then
    echo "setup: unknown argument $only; there is --needed"
    exit 64
fi
[ -z "$only" ] || packages=$(grep '| needed:' <<<"$packages")

wanted_packages() {
    while read -r name word command _; do
        case $word in
        "|") echo "$name" ;;
        unless) command -v "$command" >/dev/null || echo "$name" ;;
        esac
    done <<<"$packages"
}
names=$(wanted_packages)

missing_packages() {
    comm -23 <(sort <<<"$names") \
        <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $names 2>/dev/null |
            sed -n 's/ installed$//p' | sort)
}

# Runs a command with root rights; never waits for a password that nobody can type.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        return 1
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >>"$log" 2>&1 </dev/null
}

# The folder setup.d: librdkafka is needed, the broker is not.
fetch_dependencies() {
    "$here/setup.d/librdkafka.sh" || status=1
    [ -z "$only" ] || return 0
    "$here/setup.d/kafka.sh" || echo "setup: without the broker, tests that need Kafka are skipped"
}

status=0
if ! command -v dpkg-query >/dev/null; then
    echo "setup: not a Debian system; install by hand: $(echo $names)"
    fetch_dependencies
    exit $status
fi
missing=$(missing_packages)
if [ -z "$missing" ]; then
    fetch_dependencies
    [ $status != 0 ] || echo "setup: nothing missing"
    exit $status
fi
log=$(mktemp "${TMPDIR:-/tmp}/leat-setup.XXXXXX")
echo "setup: installing" $missing
as_root apt-get update -qq >"$log" 2>&1 </dev/null
# One unknown name makes apt refuse the whole list: then try them singly.
install_packages $missing || for name in $missing; do install_packages "$name"; done

for name in $(missing_packages); do
    lost=$(sed -n "s/^$name [^|]*| *//p" <<<"$packages")
    case $lost in
    needed:*)
        echo "setup: cannot get $name; leat cannot be built without it (${lost#needed: })"
        status=1
        ;;
    *) echo "setup: cannot get $name; without it there is no $lost" ;;
    esac
done
if [ -n "$(missing_packages)" ]; then
    echo "setup: what apt said is in $log (root rights or sudo are needed, and a package source)"
else
    rm -f "$log"
fi
fetch_dependencies
[ $status != 0 ] || echo "setup: done"
exit $status
