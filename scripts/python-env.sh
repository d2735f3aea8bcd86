#!/usr/bin/env bash
# Makes the virtual environment of the Python side (.venv) from python-fixtures/requirements.txt, once per pin set,
# and prints the path of its python. Safe to call from several processes at once.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
pins="$root/python-fixtures/requirements.txt"
venv="$root/.venv"
stamp="$venv/.celeriac-pins"
python="$venv/bin/python"
want=$(cksum <"$pins")

exec 9>"$root/.venv.lock"
command -v flock >/dev/null 2>&1 && flock 9
if [ ! -x "$python" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
  base=$(command -v python3.11 || command -v python3 || true)
  [ -n "$base" ] || { echo 'python-env: Python 3.9 or later is needed for the interop tests and the Django demo; install python3 and python3-venv' >&2; exit 1; }
  echo "python-env: making $venv from python-fixtures/requirements.txt" >&2
  rm -rf "$venv"
  if ! "$base" -m venv "$venv" >&2; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
      apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2
      rm -rf "$venv"
      "$base" -m venv "$venv" >&2
    else
      echo 'python-env: this Python cannot make virtual environments; install the package python3-venv' >&2
      exit 1
    fi
  fi
  "$python" -m pip install --quiet --disable-pip-version-check -r "$pins" >&2
  printf '%s' "$want" >"$stamp"
fi
echo "$python"
