#!/usr/bin/env bash
# Generates src/runwire/v1 from the contract. `make gen` calls it; needs python3 and a package index.
#
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=scripts/versions.env
. "$root/scripts/versions.env"
venv=${RUNWIRE_TOOLS:-$root/.tools}/python-gen-$GRPCIO_TOOLS-$MYPY_PROTOBUF
out=$here/src/runwire/v1

if [ ! -x "$venv/bin/protoc-gen-mypy" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q "grpcio-tools==$GRPCIO_TOOLS" "mypy-protobuf==$MYPY_PROTOBUF" 'setuptools<81'
fi

mkdir -p "$out"
find "$out" -name '*_pb2*.py*' -delete
PATH="$venv/bin:$PATH" "$venv/bin/python" -m grpc_tools.protoc \
  --proto_path="$root/proto" \
  --python_out="$here/src" --grpc_python_out="$here/src" \
  --mypy_out="quiet:$here/src" --mypy_grpc_out="quiet:$here/src" \
  "$root"/proto/runwire/v1/*.proto
# Files without services get an empty gRPC module; nothing imports it.
for grpc in "$out"/*_pb2_grpc.py; do
  grep -q 'Stub(object)' "$grpc" || rm -f "$grpc" "${grpc}i"
done
