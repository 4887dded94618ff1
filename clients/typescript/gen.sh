#!/usr/bin/env bash
# Generates src/gen from the contract. `make gen` calls it; needs node, npm and a package registry.
# The versions of the generator and of buf are pinned in package-lock.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
[ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund
node_modules/.bin/buf generate
