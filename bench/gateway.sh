#!/usr/bin/env bash
# Counts the instructions of a request through `entrada serve`, with a token seen before and with new ones.
#
#   bench/gateway.sh [--requests N] [--before PROGRAM] [--keep FOLDER]
#
# Unlike a time, a count is the same on a busy machine. What is kept, `callgrind_annotate --inclusive=yes` shows by
# function. Needs Python and valgrind. Everything listens on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}

for program in python3 valgrind; do
  command -v "$program" >/dev/null || { echo "$program is missing: see the head of $0" >&2; exit 1; }
done
cargo build --locked --release -p entrada-gateway --bin entrada -p entra-emulator --bin entra-emulator
cargo build --locked --release --manifest-path bench/axum-proxy/Cargo.toml --target-dir "$CARGO_TARGET_DIR/axum-proxy"
exec python3 bench/gateway.py "$@"
