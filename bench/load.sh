#!/usr/bin/env bash
# Drives the example server over loopback, with the guard and without it; looks at its memory and its start.
#
#   bench/load.sh [--rounds N] [--seconds N] [--grants N]
#
# Needs Python and wrk. Everything listens on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
cargo build --profile load -p entra-emulator --bin entra-emulator
cargo build --profile load -p entrada-rmcp --bench load_server --example protect_a_server
cargo build --profile load -p entrada --bench codes
exec python3 bench/load.py "$@"
