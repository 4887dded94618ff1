# shellcheck shell=bash
# Starts and stops a server on a free port. Sourced by run.sh and the benchmarks.

# start_server BINARY [ARGUMENTS...]: sets SERVER to the process and ADDRESS to where it listens.
start_server() {
  SERVER_DIR=$(mktemp -d)
  "$1" serve --listen 127.0.0.1:0 --data-dir "$SERVER_DIR/data" "${@:2}" 2>"$SERVER_DIR/log" &
  SERVER=$!
  trap stop_server EXIT
  # The ready line names the port that the system chose.
  for _ in $(seq 100); do
    ADDRESS=$(sed -n 's/^runwire listening on //p' "$SERVER_DIR/log")
    [ -n "$ADDRESS" ] && return
    kill -0 "$SERVER" 2>/dev/null || break
    sleep 0.1
  done
  printf 'the server did not start:\n' >&2
  cat "$SERVER_DIR/log" >&2
  return 1
}

# stop_server: ends it and removes what it kept.
stop_server() {
  trap - EXIT
  kill "$SERVER" 2>/dev/null || true
  wait "$SERVER" 2>/dev/null || true
  rm -rf "$SERVER_DIR"
}
