# shellcheck shell=bash
# Installs the development tools under .tools/, each once per pinned version. Sourced, never run.
# Everything comes from PyPI and crates.io by the ordinary clients; nothing is installed outside the project.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/versions.env
. "$TOP/scripts/versions.env"

# need COMMAND WHY: fails with a sentence when a command that nobody can install for the user is missing.
need() {
  command -v "$1" >/dev/null 2>&1 && return
  printf 'runwire: %s is needed (%s) and is not on the PATH\n' "$1" "$2" >&2
  return 1
}

# venv NAME ARGUMENTS...: a Python environment .tools/NAME holding what `pip install ARGUMENTS` gives.
# The stamp holds the arguments and the sum of every file among them, so a changed pin installs again.
venv() {
  local name=$1 dir stamp argument
  shift
  dir=$TOP/.tools/$name
  stamp=$*
  for argument in "$@"; do
    [ -f "$argument/pyproject.toml" ] && stamp+=$(cksum <"$argument/pyproject.toml")
    [ -f "$argument" ] && stamp+=$(cksum <"$argument")
  done
  [ -f "$dir/.installed" ] && [ "$(cat "$dir/.installed")" = "$stamp" ] && return
  need python3 'tools and the Python client' || return
  rm -rf "$dir"
  python3 -m venv "$dir" &&
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "$@" &&
    printf '%s' "$stamp" >"$dir/.installed"
}

# buf ARGUMENTS...: the linter and formatter of the contract.
buf() {
  venv buf "buf-bin==$BUF_BIN" && (cd "$TOP" && .tools/buf/bin/buf "$@")
}

# go_tool NAME PACKAGE@VERSION: a program .tools/go/NAME, installed again when the version differs.
GO_TOOLS=$TOP/.tools/go
go_tool() {
  [ -x "$GO_TOOLS/$1" ] && [ "$(cat "$GO_TOOLS/$1.installed")" = "$2" ] && return
  GOBIN=$GO_TOOLS GOFLAGS=-mod=mod go install "$2" && printf '%s' "$2" >"$GO_TOOLS/$1.installed"
}

# npm_ci FOLDER: the packages of FOLDER's lock file, installed again when that is newer.
npm_ci() {
  need npm 'the TypeScript client' || return
  [ "$TOP/$1/node_modules/.package-lock.json" -nt "$TOP/$1/package-lock.json" ] ||
    (cd "$TOP/$1" && npm ci --silent --no-audit --no-fund)
}

# maven ARGUMENTS...: builds the Java client, in the folder where it is called.
maven() {
  need java 'the Java client' && need mvn 'the Java client' || return
  MAVEN_OPTS=${MAVEN_OPTS:--Xmx512m} mvn --batch-mode --no-transfer-progress "$@"
}
