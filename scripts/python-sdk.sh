#!/usr/bin/env bash
# Installs the official Python SDK into a virtual environment of its own, or finds the one of last time, and prints the path of
# its Python. Usage: scripts/python-sdk.sh VERSION. Needs python3 with venv, and the package index pip is set up for.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly version=${1:?usage: scripts/python-sdk.sh VERSION}
readonly folder=node_modules/.cache/python-sdk/$version
readonly python=$PWD/$folder/bin/python

say() { printf 'python-sdk: %s\n' "$*" >&2; }

install_tools() {
  if python3 -c 'import ensurepip, venv' 2>/dev/null; then return; fi
  if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
    say 'python3 with venv is missing'
    exit 1
  fi
  say 'installing python3-venv'
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends python3 python3-venv >&2
}

usable() {
  [[ -x $python ]] && "$python" - "$version" <<'EOF' 2>/dev/null
import sys
from importlib.metadata import version
import at_client
sys.exit(version("atsdk") != sys.argv[1])
EOF
}

if ! usable; then
  install_tools
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  "$python" -m pip install --quiet --disable-pip-version-check --no-input "atsdk==$version" >&2
  if ! usable; then
    say "atsdk $version does not load"
    exit 1
  fi
fi
printf '%s\n' "$python"
