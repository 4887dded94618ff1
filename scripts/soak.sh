#!/usr/bin/env bash
# Ends the server at every step of a run's turns and starts the next one, so many times (56: 1,008 cycles).
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
cd "$TOP"
export RUNWIRE_SOAK=${1:-56}
cargo test --locked --test it -- --exact --nocapture \
  recovery::matrix::wherever_the_server_ends_every_run_ends_once_and_no_effect_comes_twice
