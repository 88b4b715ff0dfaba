#!/usr/bin/env bash
# Installs the official Python SDK into a virtual environment of its own, or finds the one of last time, and prints the path of
# its Python. Usage: scripts/python-sdk.sh VERSION. Needs python3 with venv, and the package index pip is set up for.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly version=${1:?usage: scripts/python-sdk.sh VERSION}
readonly folder=node_modules/.cache/python-sdk/$version
readonly python=$PWD/$folder/bin/python

usable() {
  [[ -x $python ]] && "$python" - "$version" <<'EOF' 2>/dev/null
import sys
from importlib.metadata import version
import at_client
sys.exit(version("atsdk") != sys.argv[1])
EOF
}

if ! usable; then
  rm -rf "$folder"
  python3 -m venv "$folder" >&2
  "$python" -m pip install --quiet --disable-pip-version-check --no-input "atsdk==$version" >&2
  usable || { printf 'python-sdk: atsdk %s does not load\n' "$version" >&2; exit 1; }
fi
printf '%s\n' "$python"
