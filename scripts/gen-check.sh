#!/usr/bin/env bash
# Fails when the committed stubs are not what the contract generates, new and missing files included.
set -euo pipefail
cd "$(dirname "$0")/.."
before=$(git status --porcelain -- clients)
if [ -n "$before" ]; then
  printf 'gen-check compares with the last commit; commit or stash these first:\n%s\n' "$before" >&2
  exit 1
fi
scripts/gen.sh
after=$(git status --porcelain -- clients)
if [ -n "$after" ]; then
  printf 'the committed stubs are stale; run make gen and commit:\n%s\n' "$after" >&2
  exit 1
fi
