#!/bin/sh
# Installs what the tests need beside Python, or says in one sentence how to get it.
set -eu
PATH=$PATH:/usr/sbin # where Debian has nginx and mkfs and iptables

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 && return 0
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        missing="${missing:-} $2"
    else
        echo "$1 is missing, and the tests need it: apt-get install $2 (as root)" >&2
        failed=1
    fi
}

need node nodejs
need npm npm
need redis-server redis-server
need nginx nginx
need openssl openssl
need chromium "chromium fonts-dejavu-core" # what people see, in a browser
need mkfs.ext4 e2fsprogs # file systems that lose their power
need mkfs.xfs xfsprogs
need unshare util-linux
need mount mount
need cc "gcc libc6-dev"
need ip iproute2
need iptables iptables

[ -z "${failed:-}" ] || exit 1
if [ -n "${missing:-}" ]; then
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi
