#!/usr/bin/env bash
# Measures the release build and prints the figures. Each benchmark is a package of its own under benches/.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --release
for benchmark in benches/*/run; do
  "$benchmark"
done
