#!/usr/bin/env bash
# Counts the instructions of what is on every request's path, and of the token endpoint.
#
#   bench/instructions.sh [TIMES]      how often each is done; the counts are for one
#
# Unlike a time, a count is the same on a busy machine. Valgrind's processor has no SHA instructions, so what
# digests take is told apart: a real one saves nearly all of it. Needs valgrind.
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
  sha=$(callgrind_annotate --threshold=100 "$counts/$what" | awk '/sha256_block_data_order/ { gsub(",", "", $1); all += $1 } END { print all + 0 }')
  printf '%-18s %9d instructions, %7d of them SHA-256\n' "$what" "$((total / times))" "$((sha / times))"
done
