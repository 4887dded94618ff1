#!/usr/bin/env bash
# Generates the clients' stubs from the contract; `make gen-check` fails when what is committed differs.
# The Rust stubs are not here: build.rs makes them into the build's own folder.
set -euo pipefail
cd "$(dirname "$0")/.."
for generator in clients/*/gen.sh; do
  "$generator"
  printf 'generated: %s\n' "${generator%/gen.sh}"
done
