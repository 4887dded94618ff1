#!/usr/bin/env bash
# All tests: the contract's lint, Rust, the clients, and what these have in common. Installs what it needs; wants cargo, python3, go, node, java and mvn.
set -u
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
# shellcheck source=scripts/suites.sh
. "$TOP/scripts/suites.sh"
cd "$TOP" || exit 1

contract() {
  buf lint && buf format --diff --exit-code
}

# The Python tests talk to the real server, so they come after the build.
python_tests() {
  venv python --editable 'clients/python[dev]' || return
  (cd clients/python && RUNWIRE_BIN="$TOP/target/debug/runwire" "$TOP/.tools/python/bin/python" -m pytest -ra)
}

go_tests() {
  need go 'the Go client' || return
  (cd clients/go && RUNWIRE_BIN="$TOP/target/debug/runwire" go test -v ./...)
}

typescript_tests() {
  npm_ci clients/typescript && (cd clients/typescript && RUNWIRE_BIN="$TOP/target/debug/runwire" npm test --silent)
}

# The examples are a project of their own: they use the package that the first one installs.
java_tests() {
  (cd clients/java && RUNWIRE_BIN="$TOP/target/debug/runwire" maven install) &&
    (cd clients/java/examples && RUNWIRE_BIN="$TOP/target/debug/runwire" maven test)
}

suite 'contract' exit contract
suite 'rust' cargo cargo test --locked --no-fail-fast
suite 'python' pytest python_tests
suite 'go' go go_tests
suite 'typescript' node typescript_tests
suite 'java' surefire java_tests
suite 'conformance' counts clients/conformance/run

summary
