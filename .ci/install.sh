#!/usr/bin/env bash
# Make a virtual environment with the project in it:  install.sh VENV EXTRAS
# uv takes torch and torchvision from the same package index, so that they fit each other with and without a GPU.
set -euo pipefail
venv=$1 extras=$2
cd "$(dirname "$0")/.."

find_python() {
  for candidate in ${PYTHON:-} python3.12 python3.11 python3 python; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo 'No Python 3.11 or 3.12 was found; install one, or name it: make PYTHON=/path/to/python3.12' >&2
  exit 2
}

if ! "$venv/bin/python" -c '' 2>/dev/null; then
  python=$(find_python)
  echo "Creating $venv with $("$python" --version) ..."
  "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
echo 'Installing (about 6 GB the first time) ...'
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --constraint .ci/constraints.txt --editable ".[$extras]"
