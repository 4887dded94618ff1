#!/usr/bin/env bash
# Builds the server, starts it, runs the demo agent with its Python-hosted tool, stops the server.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
cd "$TOP"

need cargo 'the server' && cargo build --locked
venv python --editable 'clients/python[dev]'

log=$(mktemp)
data=$(mktemp -d)
target/debug/runwire serve --listen 127.0.0.1:0 --data-dir "$data" 2>"$log" &
server=$!
stop() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  rm -rf "$log" "$data"
}
trap stop EXIT

# The ready line names the port that the system chose.
for _ in $(seq 100); do
  address=$(sed -n 's/^runwire listening on //p' "$log")
  [ -n "$address" ] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
if [ -z "$address" ]; then
  printf 'the server did not start:\n' >&2
  cat "$log" >&2
  exit 1
fi
RUNWIRE_SERVER=$address .tools/python/bin/python examples/demo/main.py "$@"
