# settings.sh - where packages come from on this machine: its sources of Debian packages, the
# certificates that it trusts, and the settings of pip, npm and Maven, for a root beside it.
# (Read by tools/bare; the functions print or copy, and change nothing here.)

# Debian's own sources as this machine has them; nothing where it is another system or suite.
debian_sources() {
    local ask=(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)'
        'Created-By: Packages' 'Origin: Debian')
    grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release || return 0
    [ -n "$("${ask[@]}" 2>/dev/null)" ] || apt-get update -qq >/dev/null 2>&1
    "${ask[@]}" 2>/dev/null | while read -r uri release component key; do
        case $key in
        /*) echo "deb [signed-by=$key] $uri $release $component" ;;
        *) echo "deb $uri $release $component" ;;
        esac
    done | sort -u
}

# How apt reaches them: proxies, certificates, retries, whether dates are looked at.
apt_settings() {
    apt-config dump 2>/dev/null |
        grep -E '^Acquire::(https?|ftp|socks|Retries|Check-|Allow|Force|Max-FutureTime)' || true
}

# Each certificate that this machine trusts beyond those of Debian's package, once: DIR/host-N.crt.
certificates() { # DIR
    local java
    java=$(mktemp)
    ! command -v keytool >/dev/null ||
        keytool -list -rfc -cacerts -storepass changeit >"$java" 2>/dev/null </dev/null || true
    mkdir -p "$1"
    find /usr/share/ca-certificates -name '*.crt' -exec cat {} + 2>/dev/null |
        awk -v place="$1/host-" '
            /-BEGIN CERTIFICATE-/ { body = ""; key = ""; within = 1 }
            within { sub(/\r$/, ""); body = body $0 "\n"; key = key $0 }
            /-END CERTIFICATE-/ {
                if (!(key in seen) && !debian) {
                    file = place (++count) ".crt"
                    printf "%s", body > file
                    close(file)
                }
                seen[key] = 1
                within = 0
            }' debian=1 - debian=0 "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$java"
    rm -f "$java"
}

# A file or folder at the same place below ROOT, if there is one.
same_place() { # ROOT PATH...
    local root=$1 path
    shift
    for path; do
        [ -e "$path" ] || continue
        mkdir -p "$root$(dirname "$path")"
        cp -rL "$path" "$root$(dirname "$path")/"
    done
}

client_settings() { # ROOT
    local root=$1 home=${HOME:-/root} name global
    same_place "$root" /etc/hosts /etc/resolv.conf /etc/pip.conf /etc/npmrc /usr/etc/npmrc \
        /usr/local/etc/npmrc /etc/mavenrc /etc/maven/settings.xml /etc/apt/auth.conf \
        /etc/apt/auth.conf.d
    for name in .pip/pip.conf .config/pip/pip.conf .npmrc .mavenrc .m2/settings.xml \
        .m2/settings-security.xml; do
        [ -e "$home/$name" ] || continue
        mkdir -p "$root/root/$(dirname "$name")"
        cp -L "$home/$name" "$root/root/$name"
    done
    # A Maven or npm that is not Debian's keeps its settings beside itself.
    global=$(readlink -f "$(command -v mvn)" 2>/dev/null) || global=""
    global=${global%/bin/mvn}/conf/settings.xml
    if [ -e "$global" ] && [ ! -e "$root/etc/maven/settings.xml" ]; then
        install -D -m 644 "$global" "$root/etc/maven/settings.xml"
    fi
    global=$(npm config get globalconfig 2>/dev/null) || global=""
    if [ -e "$global" ] && [ ! -e "$root/etc/npmrc" ]; then
        install -D -m 644 "$global" "$root/etc/npmrc"
    fi
}

copy_settings() { # ROOT
    local root=$1 key
    debian_sources >"$root/etc/apt/sources.list.new"
    if [ -s "$root/etc/apt/sources.list.new" ]; then
        mv "$root/etc/apt/sources.list.new" "$root/etc/apt/sources.list"
        rm -f "$root"/etc/apt/sources.list.d/*
        sed -n 's/^deb \[signed-by=\([^]]*\)\].*/\1/p' "$root/etc/apt/sources.list" |
            while read -r key; do same_place "$root" "$key"; done
    fi
    rm -f "$root/etc/apt/sources.list.new"
    apt_settings >"$root/etc/apt/apt.conf.d/90machine"
    # A copied file may belong to a package that comes later: it stays, without a question.  And
    # nobody needs a bare root to survive a power cut.
    printf '%s\n' force-confold force-confdef force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/machine"
    certificates "$root/usr/local/share/ca-certificates"
    # Until the package ca-certificates is there and makes its own:
    same_place "$root" "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}"
    client_settings "$root"
}
