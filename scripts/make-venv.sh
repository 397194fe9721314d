#!/bin/sh
# Makes the virtual environment: make-venv.sh PYTHON FOLDER
set -eu
python=$1
venv=$2

if ! command -v "$python" >/dev/null 2>&1; then
    echo "$python is missing: apt-get install python3, or make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or later is needed, $python is older: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
# Debian keeps a part of the standard library in a package of its own.
if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        echo "Installing python3-venv, which Debian's Python needs for virtual environments."
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
    else
        echo "Python's venv module is missing: apt-get install python3-venv (as root)" >&2
        exit 1
    fi
fi
"$python" -m venv "$venv"
