#!/usr/bin/env bash
# Has one client work through the gateway, alone and then among nineteen times as much hostile traffic.
#
#   bench/hostile.sh [--rounds N] [--seconds N] [--per-second N]
#
# Needs Python. Everything is on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --profile load -p entra-emulator --bin entra-emulator
cargo build --profile load -p entrada-gateway --bin entrada
cargo build --profile load -p entrada-rmcp --bench load_server
exec python3 bench/hostile.py "$@"
