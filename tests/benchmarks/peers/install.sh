#!/bin/sh
# Installs the peers that a package manager has: install.sh FOLDER PYTHON
# What cannot be installed stays missing, and `make bench` tries again and says how to get it.
set -u
here=$(dirname "$0")
folder=$1
python=$2
failed=0

mkdir -p "$folder/node"
cp "$here/package.json" "$folder/node/"
if ! (cd "$folder/node" && npm install --no-package-lock --no-fund --no-audit --loglevel=error); then
    echo "@tus/server cannot be installed." >&2
    failed=1
fi

if ! { sh scripts/make-venv.sh "$python" "$folder/tuspyserver" &&
    "$folder/tuspyserver/bin/pip" install --quiet --requirement "$here/requirements.txt"; }; then
    echo "tuspyserver cannot be installed." >&2
    failed=1
fi
exit "$failed"
