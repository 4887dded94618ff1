#!/usr/bin/env bash
# Generates v1 from the contract. `make gen` calls it; needs go, python3, the module proxy and a package index.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/tools.sh"

need go 'the Go client'
venv protoc "grpcio-tools==$GRPCIO_TOOLS" 'setuptools<81'
go_tool protoc-gen-go "google.golang.org/protobuf/cmd/protoc-gen-go@v$PROTOC_GEN_GO"
go_tool protoc-gen-go-grpc "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v$PROTOC_GEN_GO_GRPC"

out=$TOP/clients/go
mkdir -p "$out/v1"
find "$out/v1" -name '*.pb.go' -delete
PATH="$GO_TOOLS:$PATH" "$TOP/.tools/protoc/bin/python" -m grpc_tools.protoc \
  --proto_path="$TOP/proto" \
  --go_out="$out" --go_opt=module=runwire.dev/go/runwire \
  --go-grpc_out="$out" --go-grpc_opt=module=runwire.dev/go/runwire \
  "$TOP"/proto/runwire/v1/*.proto
