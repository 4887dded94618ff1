# shellcheck shell=bash
# Runs test suites and adds up what they report. Sourced by test.sh and .ci/run.
#
# A suite that ends with an error without naming a failure, or that reports no test at all, counts as
# one failure: what did not run has not passed.

PASSED=0
FAILED=0
RESULTS=()

# Each reader takes a suite's log and prints "PASSED FAILED".
read_cargo() {
  awk '/^test result: / { p += $4; f += $6 } END { print p + 0, f + 0 }' "$1"
}
read_pytest() {
  # The summary line: "= 3 failed, 40 passed, 1 error in 2.31s =", or without the rules under -q.
  # A skipped test has not passed, and nothing here may skip.
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /^=* ?[0-9]+ (passed|failed|errors?|skipped|deselected|xfailed|xpassed|warnings?).* in [0-9.]+s/ {
      p = f = 0
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) p = $(i - 1)
        if ($i ~ /^(failed|errors?|skipped|xfailed|xpassed)/) f += $(i - 1)
      }
    }
    END { print p + 0, f + 0 }'
}
read_go() {
  # Of `go test -v`: top-level tests and examples alone. A skipped test has not passed, and nothing here may skip.
  awk '/^--- PASS: / { p++ } /^--- (FAIL|SKIP): / || /^FAIL.*\[(build|setup) failed\]/ { f++ } END { print p + 0, f + 0 }' "$1"
}
read_node() {
  # The summary of node's test runner. A skipped test has not passed, and nothing here may skip.
  awk '/^ℹ pass / { p += $3 } /^ℹ (fail|cancelled|skipped|todo) / { f += $3 } END { print p + 0, f + 0 }' "$1"
}
read_surefire() {
  # The closing line of each project. A skipped test has not passed, and nothing here may skip.
  awk -F'[:,]' '/^\[[A-Z]+\] Tests run: [0-9]+, .*Skipped: [0-9]+$/ { bad = $4 + $6 + $8; p += $2 - bad; f += bad }
    END { print p + 0, f + 0 }' "$1"
}
read_counts() {
  # The last line of the form "N passed, N failed"; a word may stand before it.
  local counts
  counts=$(sed -nE 's/^([a-z]+: )?([0-9]+) passed, ([0-9]+) failed.*/\2 \3/p' "$1" | tail -n 1)
  echo "${counts:-0 0}"
}
read_exit() {
  # A check without tests of its own: its exit code is its one result.
  echo 1 0
}

# suite NAME READER COMMAND...
suite() {
  local name=$1 reader=$2 log status passed failed began=$SECONDS
  shift 2
  printf '\n=== %s\n' "$name"
  log=$(mktemp)
  "$@" </dev/null 2>&1 | tee "$log"
  status=${PIPESTATUS[0]}
  read -r passed failed < <("read_$reader" "$log")
  rm -f "$log"
  if [ "$reader" = exit ] && [ "$status" -ne 0 ]; then
    passed=0
  fi
  if [ "$failed" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$passed" -eq 0 ]; }; then
    printf '%s: exit code %s, no test counted as failed: counts as one\n' "$name" "$status"
    failed=1
  fi
  record "$name" "$passed" "$failed" $((SECONDS - began))
}

# record NAME PASSED FAILED SECONDS
record() {
  PASSED=$((PASSED + $2))
  FAILED=$((FAILED + $3))
  RESULTS+=("$(printf '%-28s %6d passed %4d failed %5d s' "$1" "$2" "$3" "$4")")
}

# Prints the table and the closing line; the exit code says whether everything passed.
summary() {
  printf '\n'
  printf '%s\n' "${RESULTS[@]}"
  printf '\n%d passed, %d failed\n' "$PASSED" "$FAILED"
  [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
}
