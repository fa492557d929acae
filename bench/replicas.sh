#!/usr/bin/env bash
# What a login and a refresh cost with each store, and with one, two and three replicas on one.
#
#   bench/replicas.sh [--stores file,redis,postgres] [--replicas 1,2,3] [--rounds N] [--refreshes N] [--logins N]
#
# Needs Python, redis-server and PostgreSQL. Everything is on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."

# At once, for apart they would have other features, and be built from the ground up twice.
cargo build --profile load -p entra-emulator --bin entra-emulator -p entrada-gateway --bin entrada
exec python3 bench/replicas.py "$@"
