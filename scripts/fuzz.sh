#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET...]]: builds the fuzz targets and runs each for so long, two at a time, from the
# recorded streams of tests/golden on. Without SECONDS it only builds. Prints a line per target and "N passed,
# N failed"; what made a target fail is kept under fuzz/artifacts. Installs cargo-fuzz under .tools.
set -euo pipefail
# shellcheck source=scripts/tools.sh
. "$(dirname "$0")/tools.sh"
cd "$TOP"

cargo_fuzz=$TOP/.tools/cargo/bin/cargo-fuzz
[ -x "$cargo_fuzz" ] && [ "$("$cargo_fuzz" --version)" = "cargo-fuzz $CARGO_FUZZ" ] ||
  cargo install --quiet --locked --root "$TOP/.tools/cargo" --version "$CARGO_FUZZ" cargo-fuzz
PATH="$TOP/.tools/cargo/bin:$PATH"
# Coverage wants compiler options that a stable toolchain offers only under this name.
export RUSTC_BOOTSTRAP=1
host=$(rustc -vV | sed -n 's/^host: //p')
programs=$TOP/fuzz/target/$host/release

# No address sanitizer: there is no unsafe code of ours to watch, and the checks of the language are on.
cargo fuzz build --sanitizer none
[ $# -eq 0 ] && exit
seconds=$1
shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list)

# fuzz TARGET: its last line says how it went.
fuzz() {
  local corpus=fuzz/corpus/$1 artifacts=fuzz/artifacts/$1 log
  mkdir -p "$corpus" "$artifacts"
  # Every target starts from every stream: what is garbage to one protocol is its neighbour's answer.
  for stream in tests/golden/*/*/response.*; do
    cp "$stream" "$corpus/$(cksum <"$stream" | cut -d' ' -f1)"
  done
  log=$(mktemp)
  if "$programs/$1" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$artifacts/" "$corpus" >"$log" 2>&1; then
    printf '%-18s ok      %s\n' "$1" "$(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\).*/\1 runs in \2 s/p' "$log")"
  else
    tail -n 40 "$log"
    printf '%-18s FAILED  see %s\n' "$1" "$artifacts"
  fi
  rm -f "$log"
}
export -f fuzz
export programs seconds

# shellcheck disable=SC2016 # the inner shell expands it
report=$(printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz "$1"' _ {} | tee >(cat >&2))
passed=$(grep -c ' ok      [0-9]* runs' <<<"$report" || true)
failed=$((${#targets[@]} - passed))
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
