#!/usr/bin/env bash
# Counts the instructions of what is on every request's path, and of the token endpoint.
#
#   bench/instructions.sh [TIMES]      how often each is done; the counts are for one
#
# Unlike a time, a count is the same on a busy machine. Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."

times=${1:-200}
counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT

program=$(
  cargo build --profile load -p entrada --bench instructions --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\/instructions-[^"]*\)".*/\1/p'
)

for what in remembered-token new-token code refresh; do
  valgrind --tool=callgrind --toggle-collect='instructions::counted*' \
    --callgrind-out-file="$counts/$what" "$program" "$what" "$times" 2>"$counts/log" || {
    cat "$counts/log" >&2
    exit 1
  }
  total=$(sed -n 's/^summary: *//p' "$counts/$what")
  printf '%-18s %9d instructions\n' "$what" "$((total / times))"
done
