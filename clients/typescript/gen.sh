#!/usr/bin/env bash
# Generates src/gen from the contract. `make gen` calls it; needs node, npm and package registries.
# The version of the generator is pinned in package-lock.json.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/tools.sh"
npm_ci clients/typescript
buf generate --template clients/typescript/buf.gen.yaml
