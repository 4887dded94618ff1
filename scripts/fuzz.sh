#!/usr/bin/env bash
# Builds the fuzz targets; with a number of seconds, runs each for that long. Installs cargo-fuzz under .tools.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
cd "$TOP"

cargo_fuzz=$TOP/.tools/cargo/bin/cargo-fuzz
[ -x "$cargo_fuzz" ] && [ "$("$cargo_fuzz" --version)" = "cargo-fuzz $CARGO_FUZZ" ] ||
  cargo install --quiet --locked --root "$TOP/.tools/cargo" --version "$CARGO_FUZZ" cargo-fuzz
PATH="$TOP/.tools/cargo/bin:$PATH"
# The sanitizers want compiler options that a stable toolchain offers only under this name.
export RUSTC_BOOTSTRAP=1

cargo fuzz build
[ $# -eq 0 ] && exit
for target in $(cargo fuzz list); do
  cargo fuzz run "$target" -- -max_total_time="$1" -timeout=10
done
