#!/usr/bin/env bash
# inside.sh COMMAND... - in the bare root: what the README asks for, the clone, COMMAND.
set -uo pipefail
# The README's line for a bare Debian 12.
needed="make git"

quietly() {
    "$@" >/srv/log 2>&1 </dev/null || {
        tail -n 20 /srv/log >&2
        echo "bare: '$*' fails in the bare root" >&2
        exit 70
    }
}
started=$SECONDS
quietly apt-get update
quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $needed
chmod 700 "$HOME"
cd "$HOME" || exit 70
quietly git clone /srv/leat.git leat
rm -rf /srv/leat.git
cd leat || exit 70
echo "bare: $(git log -1 --format='%h %s') in $PWD, with $needed ($((SECONDS - started)) s)"
"$@"
