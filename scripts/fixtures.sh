#!/usr/bin/env bash
# Records python-fixtures/data again from the pinned Celery; fails if git sees a difference. `--check` only compares.
set -euo pipefail
cd "$(dirname "$0")/.."
"$(scripts/python-env.sh)" python-fixtures/generate.py "$@"
git diff --exit-code --stat -- python-fixtures/data
