#!/usr/bin/env bash
# Builds the server, starts it, runs the demo agent with its Python-hosted tool, stops the server.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
# shellcheck source=scripts/server.sh
. "$TOP/scripts/server.sh"
cd "$TOP"

need cargo 'the server'
cargo build --locked
venv python --editable 'clients/python[dev]'

start_server target/debug/runwire
RUNWIRE_SERVER=$ADDRESS .tools/python/bin/python examples/demo/main.py "$@"
