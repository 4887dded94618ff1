#!/usr/bin/env bash
# Generates the clients' stubs from the contract. `make gen-check` fails when what is committed differs.
# The Rust stubs are not here: build.rs makes them into the build's own folder.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
cd "$TOP"

# Messages and services for grpcio, with type stubs that carry the contract's comments.
python() {
  local out=clients/python/src files
  venv gen "grpcio-tools==$GRPCIO_TOOLS" "mypy-protobuf==$MYPY_PROTOBUF"
  mkdir -p "$out/runwire/v1"
  rm -f "$out"/runwire/v1/*_pb2.py "$out"/runwire/v1/*_pb2.pyi "$out"/runwire/v1/*_pb2_grpc.py*
  files=$(cd proto && find runwire -name '*.proto' | LC_ALL=C sort)
  # shellcheck disable=SC2086 # one word per file is meant
  PATH="$TOP/.tools/gen/bin:$PATH" .tools/gen/bin/python -m grpc_tools.protoc --proto_path=proto \
    --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" $files
}

languages=(python)
for language in "${@:-${languages[@]}}"; do
  "$language"
  printf 'generated: %s\n' "$language"
done
