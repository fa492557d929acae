#!/usr/bin/env bash
# Holds many streams of events open through `entrada serve`: its memory, and whether every event arrives.
#
#   bench/streams.sh [--streams N] [--seconds N]     so many streams, held for so long
#   bench/streams.sh --idle SECONDS                  streams on which nothing comes for so long
#
# Needs Python, and two files for each stream (`ulimit -n`). Everything is on loopback and ends with the script.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v python3 >/dev/null || { echo "python3 is missing: apt-get install python3" >&2; exit 1; }
cargo build --locked --release -p entrada-gateway --bin entrada -p entra-emulator --bin entra-emulator
exec python3 bench/streams.py "$@"
